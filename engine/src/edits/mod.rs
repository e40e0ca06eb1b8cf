//! What a change did, in words that an action could say: which values it set, deleted and inserted where, which texts
//! it spliced. Read from its operations, so it is known of every change, whoever made it and with whatever program.
//!
//! Places are named as they were right after the change, and of several edits in one list or text each as it is when
//! the ones before it are done. So the edits of a change, done one after another as actions on the document as it was
//! before it, lead to the document as it was after it.

mod line;
mod place;
mod read;
mod sequence;
mod walk;

use automerge::{Automerge, Change, ChangeHash};
use serde::Serialize;
use serde_json::Value;

pub use place::{Places, Spot, spot};

use self::walk::Walk;
use crate::{Message, untrusted::guarded};

/// One thing that a change did at one place. In JSON it reads as the action that would do the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Edit {
    /// It put a value, or an object with all that it wrote into it.
    Set {
        /// Where, as a JSON Pointer.
        path: String,
        /// What.
        value: Value,
    },
    /// It removed what was there: a key of a map, or an element of a list.
    Delete {
        /// Where.
        path: String,
    },
    /// It added to a counter.
    Increment {
        /// Where.
        path: String,
        /// How much, all together.
        by: i64,
    },
    /// It inserted into a list.
    Insert {
        /// The list's path and the index.
        path: String,
        /// What.
        value: Value,
    },
    /// It spliced text.
    Splice {
        /// Where the text is.
        path: String,
        /// From which code point.
        pos: u64,
        /// How many code points it deleted.
        delete: u64,
        /// What it inserted.
        insert: String,
        /// What it deleted.
        deleted: String,
    },
    /// It marked a part of a text, or unmarked it with null.
    Mark {
        /// Where the text is.
        path: String,
        /// The mark's name.
        name: String,
        /// Its value.
        value: Value,
    },
}

impl Edit {
    /// What it is: as [`crate::Action::kind`], and `mark`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Increment { .. } => "increment",
            Self::Insert { .. } => "insert",
            Self::Splice { .. } => "splice",
            Self::Mark { .. } => "mark",
        }
    }

    /// Where.
    pub fn path(&self) -> &str {
        match self {
            Self::Set { path, .. }
            | Self::Delete { path }
            | Self::Increment { path, .. }
            | Self::Insert { path, .. }
            | Self::Splice { path, .. }
            | Self::Mark { path, .. } => path,
        }
    }
}

/// Of so many changes what they did is read at their heads: to take the whole history apart would cost more.
const FEW: usize = 16;

/// All that a change did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edits {
    /// The change.
    #[serde(serialize_with = "crate::store::as_hex")]
    pub change: ChangeHash,
    /// What another program wrote as the change's message, as it is.
    pub message: Option<String>,
    /// What it says to take back, or to take: the hash that that change was first made with.
    #[serde(serialize_with = "hex_or_null")]
    pub of: Option<ChangeHash>,
    /// What it did, place by place. Empty where it did nothing, and where the change is not in the document.
    pub edits: Vec<Edit>,
    /// It holds no operation, and nothing was made beside it: what it was to do was so already.
    pub already_so: bool,
}

fn hex_or_null<S: serde::Serializer>(hash: &Option<ChangeHash>, serializer: S) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => serializer.collect_str(hash),
        None => serializer.serialize_none(),
    }
}

impl Edits {
    /// What a change did that is in the document.
    pub fn of(am: &Automerge, change: &Change) -> Self {
        Self { edits: read::read(am, change, None), ..Self::said(change) }
    }

    /// What changes did that are in the document, in their order: what [`Edits::of`] gives of each, in a time that grows
    /// with the document and not with its product with how many they are. None of one that cannot be read.
    pub fn of_each(am: &Automerge, changes: &[&Change]) -> Vec<Option<Self>> {
        let walk = (changes.len() > FEW).then(|| guarded(|| Walk::of(am)).ok()).flatten();
        let one = |walk: Option<&Walk>, change: &Change| {
            guarded(|| Self { edits: read::read(am, change, walk), ..Self::said(change) }).ok()
        };
        let Some(mut walk) = walk else {
            return changes.iter().map(|change| one(None, change)).collect();
        };
        // One actor's changes come after one another, so on the way from the first to the last nothing is done twice.
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by_key(|nth| changes.get(*nth).map(|change| (change.actor_id(), change.seq())));
        let mut found = vec![None; changes.len()];
        for nth in order {
            if let (Some(change), Some(place)) = (changes.get(nth), found.get_mut(nth)) {
                let stands = walk.go(change);
                *place = one(stands.then_some(&walk), change);
            }
        }
        found
    }

    /// A change of which nothing can be read.
    pub(crate) fn unread(change: ChangeHash) -> Self {
        Self { change, message: None, of: None, edits: Vec::new(), already_so: false }
    }

    /// What a change says of itself, without what it did: for one that is not in the document.
    pub fn said(change: &Change) -> Self {
        let text = change.message().filter(|text| !text.is_empty());
        let message = Message::decode(text);
        let foreign = text.filter(|text| serde_json::from_str::<Message>(text).is_err());
        Self {
            change: change.hash(),
            message: foreign.map(str::to_owned),
            of: message.undoes(),
            edits: Vec::new(),
            already_so: false,
        }
    }
}

#[cfg(test)]
mod tests;
