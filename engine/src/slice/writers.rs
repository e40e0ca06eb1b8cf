//! Who wrote what a migration finds, and when: it chooses between two writes, and names the one that lost.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, ChangeHash, ObjId, ObjType, ReadDoc, transaction::Transaction};

use crate::Message;

/// The changes that a document holds.
#[derive(Debug, Default)]
pub(crate) struct Writers(HashMap<ChangeHash, Writer>);

#[derive(Debug)]
struct Writer {
    /// In seconds by its author's clock; `None` for a migration, which is nobody's.
    at: Option<i64>,
    deps: Vec<ChangeHash>,
    /// The hash that it was first made with, where it was written again.
    was: Option<ChangeHash>,
}

/// A write by somebody. The later one is the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) at: i64,
    pub(super) hash: ChangeHash,
}

impl Writers {
    /// All that the document holds.
    pub(crate) fn of(am: &Automerge) -> Self {
        let writer = |meta: &automerge::ChangeMetadata<'_>| {
            let message = Message::decode(meta.message.as_deref());
            let migrates = message.action.as_ref().is_some_and(|kind| kind.ends_with("/@migrate"));
            let at = (!migrates).then_some(meta.timestamp);
            Writer { at, deps: meta.deps.to_vec(), was: message.was() }
        };
        Self(am.get_changes_meta(&[]).iter().map(|meta| (meta.hash, writer(meta))).collect())
    }

    /// The last write of an object or value, or of what is in it.
    pub(super) fn last_write(&self, doc: &Transaction<'_>, id: &ObjId) -> Option<Write> {
        let own = doc.hash_for_opid(id).and_then(|hash| Some(Write { at: self.0.get(&hash)?.at?, hash }));
        let inside: Vec<ObjId> = match doc.object_type(id) {
            Ok(ObjType::Map | ObjType::Table) => {
                doc.keys(id).filter_map(|key| Some(doc.get(id, key).ok()??.1)).collect()
            }
            Ok(ObjType::List) => {
                let indexes = 0..doc.length(id);
                indexes.filter_map(|index| Some(doc.get(id, index).ok()??.1)).collect()
            }
            _ => Vec::new(),
        };
        inside.iter().filter_map(|id| self.last_write(doc, id)).chain(own).max()
    }

    /// Whether neither of two changes was made by somebody who knew the other.
    pub(super) fn are_concurrent(&self, one: ChangeHash, other: ChangeHash) -> bool {
        !self.knows(one, other) && !self.knows(other, one)
    }

    /// Whether the later change is this one, or was made on it.
    fn knows(&self, later: ChangeHash, earlier: ChangeHash) -> bool {
        let (mut seen, mut ahead) = (HashSet::from([later]), vec![later]);
        while let Some(hash) = ahead.pop() {
            if hash == earlier {
                return true;
            }
            let deps = self.0.get(&hash).into_iter().flat_map(|writer| &writer.deps);
            ahead.extend(deps.filter(|dep| seen.insert(**dep)));
        }
        false
    }

    /// The hash that a change was first made with.
    pub(super) fn first(&self, hash: ChangeHash) -> ChangeHash {
        self.0.get(&hash).and_then(|writer| writer.was).unwrap_or(hash)
    }
}
