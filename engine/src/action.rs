//! The built-in JSON slice's actions: what the command line and `apply` speak.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result,
    reducer::{ActionError, MAX_DEPTH, is_deeper_than},
};

/// What a person did to a JSON document. Paths are JSON Pointers (RFC 6901).
///
/// ```
/// use rejoin::Action;
/// let a: Action = serde_json::from_str(r#"{"type":"increment","path":"/n","by":2}"#).unwrap();
/// assert_eq!(a.kind(), "increment");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Puts a value at a path; missing parents become maps. A string is a plain value, not text.
    Set {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes what is at a path: a key of a map, or an element of a list.
    Delete {
        /// Where.
        path: String,
    },
    /// Adds to a counter; makes it when missing; an integer becomes a counter of that value.
    Increment {
        /// Where.
        path: String,
        /// How much; 1 when left out. May be negative.
        #[serde(default = "one")]
        by: i64,
    },
    /// Inserts into a list before an index, or at its end with `-`; makes the list when missing.
    Insert {
        /// The list's path and the index.
        path: String,
        /// What.
        value: Value,
    },
    /// Splices collaborative text; makes it when missing. Counts are Unicode code points.
    Splice {
        /// Where the text is.
        path: String,
        /// The position before which to insert, and from which to delete.
        pos: u64,
        /// How many code points to delete.
        #[serde(default)]
        delete: u64,
        /// What to insert.
        #[serde(default)]
        insert: String,
    },
}

/// An action as JSON, as it may go to the store's thread, whose stack has an end.
///
/// # Errors
/// [`Error::BadAction`] for one that is deeper than any document.
pub(crate) fn shallow(action: &Value) -> Result<Value> {
    if !is_deeper_than(action, MAX_DEPTH + 1) {
        return Ok(action.clone());
    }
    let kind = action.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(Error::BadAction {
        action: kind,
        reason: format!("it is nested more deeply than {MAX_DEPTH} levels"),
    })
}

fn one() -> i64 {
    1
}

impl Action {
    /// The action as it may go to the store's thread, whose stack has an end: of a value that no document holds only so
    /// much is left that it is refused there.
    pub(crate) fn bounded(mut self) -> Self {
        if let Self::Set { value, .. } | Self::Insert { value, .. } = &mut self
            && is_deeper_than(value, MAX_DEPTH)
        {
            *value = (0..=MAX_DEPTH).fold(Value::Null, |value, _| Value::Array(vec![value]));
        }
        self
    }

    /// Looked at before anything goes through the value level by level: a stack has an end.
    ///
    /// # Errors
    /// [`ActionError::TooDeep`].
    pub(crate) fn check_depth(&self) -> Result<(), ActionError> {
        match self {
            Self::Set { path, value } | Self::Insert { path, value } if is_deeper_than(value, MAX_DEPTH) => {
                Err(ActionError::TooDeep { path: path.clone(), limit: MAX_DEPTH })
            }
            _ => Ok(()),
        }
    }

    /// The action's type: `set`, `delete`, `increment`, `insert` or `splice`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Increment { .. } => "increment",
            Self::Insert { .. } => "insert",
            Self::Splice { .. } => "splice",
        }
    }

    /// The path it names.
    pub fn path(&self) -> &str {
        match self {
            Self::Set { path, .. }
            | Self::Delete { path }
            | Self::Increment { path, .. }
            | Self::Insert { path, .. }
            | Self::Splice { path, .. } => path,
        }
    }
}
