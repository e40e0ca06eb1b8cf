//! What undo says of what it did.

use automerge::ChangeHash;
use serde::Serialize;

use crate::DocumentId;

/// How an action is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoKind {
    /// By the person who did it: can be redone.
    Undo,
    /// Takes an undo back.
    Redo,
    /// Because what the action asked for failed: is not redone, and leaves the person's undos as they are.
    Rollback,
    /// By anybody, of anybody's change: an action of its own, which is undone like any other.
    Revert,
}

impl UndoKind {
    /// The action type that the change bears: `undo`, `redo`, `rollback` or `revert`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
        }
    }
}

/// What an undo, redo, rollback or revert did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// The new change.
    pub hash: ChangeHash,
    /// What it is.
    pub kind: UndoKind,
    /// The change that it takes back.
    pub of: ChangeHash,
    /// The action that is undone, or done again, in the end.
    pub action: ChangeHash,
    /// That action's type.
    pub action_type: Option<String>,
    /// What a menu calls that action, where it was said: see [`crate::UndoStep::label`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// At how many places something was written. With 0 nothing was left to undo, and an empty change notes that it
    /// was asked for, so that the next undo goes on to the action before.
    pub undone: u64,
    /// At how many places it was left as it is: others wrote there since.
    pub skipped: u64,
    /// Where that is, as the change found it: JSON Pointers, of lists and texts that of the whole.
    pub left: Vec<String>,
    /// The other parts of the same step, in the order in which they were taken back. [`Undone::undone`],
    /// [`Undone::skipped`] and [`Undone::left`] count them in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<UndonePart>,
    /// What was taken back in the other documents of its [`crate::Transaction`], in the same commit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<UndoneBeside>,
    /// The documents of its transaction that are not here any more, or were deleted: what was done there stays done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<DocumentId>,
}

/// What was taken back in another document of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UndoneBeside {
    /// The document.
    pub document: DocumentId,
    /// What was done there.
    #[serde(flatten)]
    pub undone: Undone,
}

/// One action of several that are one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UndonePart {
    /// The new change.
    pub hash: ChangeHash,
    /// The change that it takes back.
    pub of: ChangeHash,
    /// The action that is undone, or done again, in the end.
    pub action: ChangeHash,
}

impl Undone {
    /// The changes that it made in its own document.
    pub(super) fn hashes(&self) -> impl Iterator<Item = ChangeHash> {
        std::iter::once(self.hash).chain(self.with.iter().map(|part| part.hash))
    }

    /// Of a step with several actions.
    pub(super) fn add(&mut self, part: Self) {
        self.undone += part.undone;
        self.skipped += part.skipped;
        let new = part.left.into_iter().filter(|path| !self.left.contains(path)).collect::<Vec<_>>();
        self.left.extend(new);
        self.with.push(UndonePart { hash: part.hash, of: part.of, action: part.action });
    }
}
