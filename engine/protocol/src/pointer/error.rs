//! Why a place cannot be read, or an action not be done there.

use std::fmt;

use automerge::{AutomergeError, ObjType, ScalarValue, Value};

/// What is at a place in a document, or was wanted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A map.
    Map,
    /// A list.
    List,
    /// Either of them.
    MapOrList,
    /// Collaborative text.
    Text,
    /// A counter.
    Counter,
    /// A counter, or an integer that becomes one.
    CounterOrInteger,
    /// An integer.
    Integer,
    /// A number with a fraction.
    Float,
    /// A plain string.
    String,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// Bytes.
    Bytes,
    /// A time.
    Timestamp,
    /// A table: a kind of object that Automerge reads and no longer writes into.
    Table,
    /// A value of a newer Automerge.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "a map",
            Self::List => "a list",
            Self::MapOrList => "a map or a list",
            Self::Text => "collaborative text",
            Self::Counter => "a counter",
            Self::CounterOrInteger => "a counter or an integer",
            Self::Integer => "an integer",
            Self::Float => "a number with a fraction",
            Self::String => "a plain string",
            Self::Boolean => "true or false",
            Self::Null => "null",
            Self::Bytes => "bytes",
            Self::Timestamp => "a time",
            Self::Table => "a table, which nothing can be put into",
            Self::Unknown => "a value of an unknown type",
        })
    }
}

/// What the library's value is.
pub fn kind_of(value: &Value<'_>) -> Kind {
    match value {
        Value::Object(ObjType::Map) => Kind::Map,
        Value::Object(ObjType::Table) => Kind::Table,
        Value::Object(ObjType::List) => Kind::List,
        Value::Object(ObjType::Text) => Kind::Text,
        Value::Scalar(scalar) => match scalar.as_ref() {
            ScalarValue::Bytes(_) => Kind::Bytes,
            ScalarValue::Str(_) => Kind::String,
            ScalarValue::Int(_) | ScalarValue::Uint(_) => Kind::Integer,
            ScalarValue::F64(_) => Kind::Float,
            ScalarValue::Counter(_) => Kind::Counter,
            ScalarValue::Timestamp(_) => Kind::Timestamp,
            ScalarValue::Boolean(_) => Kind::Boolean,
            ScalarValue::Unknown { .. } => Kind::Unknown,
            ScalarValue::Null => Kind::Null,
        },
    }
}

/// Why an action cannot be done, or a place not be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The text is no JSON Pointer.
    #[error("{path:?} is not a JSON Pointer: {reason}")]
    BadPointer {
        /// The text.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The path or the value has more levels than are taken.
    #[error("{path:?} would be deeper than {limit} levels")]
    TooDeep {
        /// The path.
        path: String,
        /// The most levels, path and value together.
        limit: usize,
    },
    /// The path leads to nothing.
    #[error("there is nothing at {path:?}")]
    NotFound {
        /// The path, up to the first part that is missing.
        path: String,
    },
    /// Something else is at the path than the action works on.
    #[error("{path:?} is {found}, not {wanted}")]
    WrongType {
        /// The path of what was found.
        path: String,
        /// What is there.
        found: Kind,
        /// What was wanted.
        wanted: Kind,
    },
    /// A part of the path that leads into a list is no index.
    #[error("{part:?} is no index into the list at {path:?}")]
    NotAnIndex {
        /// The list's path.
        path: String,
        /// The part.
        part: String,
    },
    /// A position, an index or a deletion reaches past the end.
    #[error("position {position} is past the end of {path:?}, whose length is {length}")]
    PastEnd {
        /// The path of the list or text.
        path: String,
        /// The position.
        position: u64,
        /// The length: elements of a list, code points of text.
        length: u64,
    },
    /// The number is outside what a document can hold there.
    #[error("the number for {path:?} is outside the range of 64-bit integers")]
    OutOfRange {
        /// The path.
        path: String,
    },
    /// The action cannot be done to the whole document.
    #[error("the whole document can be set to a map, and nothing else can be done to it at once")]
    WholeDocument,
    /// The library refused.
    #[error("the document refused the action at {path:?}: {source}")]
    Library {
        /// The path.
        path: String,
        /// Why.
        source: Box<AutomergeError>,
    },
}

impl ActionError {
    /// Turns the library's error into one that names the path.
    pub fn library(path: &str) -> impl FnOnce(AutomergeError) -> Self {
        let path = path.to_owned();
        move |source| Self::Library { path, source: Box::new(source) }
    }
}
