//! What was done: histories, and taking it back.

use super::super::Store;
#[allow(unused_imports, reason = "the pages below name its kinds")]
use crate::Error;
use serde_json::Value;

use crate::{
    ChangeHash, DocumentId, Result, Revised, Revision, blocking,
    edits::Edits,
    store::{Blame, Choice, Conflict, Difference, HistoryEntry, NextStep, Receipt, Undone},
};

verbs! {
    /// The state as it was at the given heads.
    ///
    /// # Errors
    /// As [`Store::state`], and [`Error::UnknownChange`] for a head that is not held.
    state_at(id: DocumentId = id, pointer: &str = pointer.to_owned(), heads: &[ChangeHash] = heads.to_vec()) -> Value {
        |core| core.state(id, &pointer, Some(&heads))
    }
    /// The history, oldest first: all of it, or the newest so many actions.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    history(id: DocumentId = id, newest: Option<usize> = newest) -> Vec<HistoryEntry> { |core| core.history(id, newest) }
    /// The history of one place, oldest first: the changes that wrote there, in what is there, or in the place of what
    /// holds it. An index of a list means the element that has it now.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere; one to a key that is empty now leads to what was there.
    history_of(id: DocumentId = id, pointer: &str = pointer.to_owned(), newest: Option<usize> = newest) -> Vec<HistoryEntry> {
        |core| core.history_of(id, &pointer, newest)
    }
    /// As [`Store::history_of`], of what came behind the first `known` lines of the whole history.
    ///
    /// # Errors
    /// As [`Store::history_of`].
    history_since(id: DocumentId = id, pointer: &str = pointer.to_owned(), known: u64 = known) -> Vec<HistoryEntry> {
        |core| core.history_since(id, &pointer, known)
    }
    /// What these changes did, place by place, in this order. Of one that is not in the document only what it says of
    /// itself.
    ///
    /// # Errors
    /// [`Error::UnknownChange`] for one that is not held.
    edits(id: DocumentId = id, changes: &[ChangeHash] = changes.to_vec()) -> Vec<Edits> { |core| core.edits(id, &changes) }
    /// What differs between two points of the history; `to` is now when it is `None`.
    ///
    /// # Errors
    /// [`Error::UnknownChange`].
    diff(id: DocumentId = id, from: &[ChangeHash] = from.to_vec(), to: Option<&[ChangeHash]> = to.map(<[ChangeHash]>::to_vec)) -> Vec<Difference> {
        |core| core.diff(id, &from, to.as_deref())
    }
    /// The change of this document whose hash begins with `prefix` (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownChange`] when none or several do.
    resolve_hash(id: DocumentId = id, prefix: &str = prefix.to_owned()) -> ChangeHash { |core| core.resolve_hash(id, &prefix) }
    /// Undoes the last action of this replica that is not undone, by a new change: before a sync and after it, and
    /// where others wrote in between, what still wins. `None`: there is none. A group
    /// ([`UndoStep::group`](crate::UndoStep::group)) is undone whole, in one transaction, and a [`Transaction`](crate::Transaction) in all its documents: see [`Undone::beside`], and
    /// [`Undone::gone`] for a document that is not here any more. What follows from actions
    /// (after thunks and effects, reactions of listeners) is passed by, unless it is declared to be undoable.
    ///
    /// # Errors
    /// [`Error::Refused`] when what it would write is outside the limits; [`Error::Deleted`].
    undo(id: DocumentId = id) -> Option<Undone> { |core| core.undo(id) }
    /// Does the last undone action of this replica again, by a new change, or the group that was undone whole. `None`:
    /// there is none, or an action came after the undo.
    ///
    /// # Errors
    /// As [`Store::undo`].
    redo(id: DocumentId = id) -> Option<Undone> { |core| core.redo(id) }
    /// Undoes this change of this replica, whatever came after it. `None`: it is undone already.
    ///
    /// # Errors
    /// As [`Store::undo`]; [`Error::UnknownChange`], and [`Error::NotOwn`] for a change of another replica.
    undo_change(id: DocumentId = id, change: ChangeHash = change) -> Option<Undone> {
        |core| core.undo_change(id, change)
    }
    /// Takes this change back, whoever made it and whatever came after it, by a new action, which can be undone. Only
    /// what still wins is taken back: [`Undone::left`] says where others built on it. `None`: it is taken back already.
    ///
    /// # Errors
    /// As [`Store::undo`]; [`Error::UnknownChange`].
    revert(id: DocumentId = id, change: ChangeHash = change) -> Option<Undone> { |core| core.revert(id, change) }
    /// Makes the document read as it did at the given heads, by a new action, which can be undone. What is the same
    /// thing then and now stays, so that what others write beside it still finds its place. `None`: it reads so already.
    ///
    /// # Errors
    /// As [`Store::undo`]; [`Error::UnknownChange`] for a head that is not held.
    reset(id: DocumentId = id, heads: &[ChangeHash] = heads.to_vec()) -> Option<Receipt> { |core| core.reset(id, &heads) }
    /// Writes what a [`Revision`] made of the value at a JSON Pointer as it was at these heads, when it was shown to a
    /// person, as one action: what differs, where that belongs now. What others wrote meanwhile stays.
    ///
    /// ```
    /// # fn main() -> rejoin::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// use rejoin::{Action, Revision, blocking::Store};
    /// let store = Store::open(dir.path().join("notes.db"))?;
    /// let id = store.create(None, None)?;
    /// let splice = |pos, insert: &str| Action::Splice { path: "/note".into(), pos, delete: 0, insert: insert.into() };
    /// store.dispatch(id, splice(0, "We leave at nine"))?;
    /// let heads = store.document(id)?.heads; // shown, and being edited, when something else is written:
    /// store.dispatch(id, splice(16, ", all of us"))?;
    /// store.revise(id, "/note", &heads, Revision::Value("We leave at ten".into()))?;
    /// assert_eq!(store.state(id, "/note")?, "We leave at ten, all of us");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that led nowhere then, and for what cannot be written; [`Error::UnknownChange`]
    /// for a head that is not held; else as [`Store::dispatch`].
    revise(id: DocumentId = id, pointer: &str = pointer.to_owned(), heads: &[ChangeHash] = heads.to_vec(), revision: Revision = revision) -> Revised {
        |core| core.revise(id, (&pointer, &heads), &revision)
    }
    /// What [`Store::undo`] would undo, for a menu ("Undo Rename"). `None`: there is nothing.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    next_undo(id: DocumentId = id) -> Option<NextStep> { |core| core.next_undo(id) }
    /// What [`Store::redo`] would do again, for a menu ("Redo Rename"). `None`: there is nothing.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    next_redo(id: DocumentId = id) -> Option<NextStep> { |core| core.next_redo(id) }
    /// Whether there is an action to undo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    can_undo(id: DocumentId = id) -> bool { |core| core.can_undo(id) }
    /// Whether there is an action to redo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    can_redo(id: DocumentId = id) -> bool { |core| core.can_redo(id) }
    /// Who wrote what is at a JSON Pointer, now or at the given heads: of a text its runs, of a counter the
    /// change that made it and those that added to it, of a map or list the one that made it and then everything in it.
    ///
    /// # Errors
    /// As [`Store::state_at`].
    blame(id: DocumentId = id, pointer: &str = pointer.to_owned(), heads: Option<&[ChangeHash]> = heads.map(<[_]>::to_vec)) -> Vec<Blame> {
        |core| core.blame(id, &pointer, heads.as_deref())
    }
    /// The places at and under a JSON Pointer where concurrent writes met, with every value, who wrote it and when;
    /// until one is taken or written over. The pointer is from the document's root: `/notes` is all of the slice `notes`, and
    /// `""` all of the document. What lost in a [`Migration::rename`](crate::slice::Migration::rename) is among them.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere.
    conflicts(id: DocumentId = id, pointer: &str = pointer.to_owned()) -> Vec<Conflict> {
        |core| core.conflicts(id, &pointer)
    }
    /// Takes one of the values at a conflict, by a new action `take`.
    ///
    /// # Errors
    /// [`Error::NoConflict`] where no writes met, or none of them is the chosen one; else as [`Store::dispatch`].
    take(id: DocumentId = id, pointer: &str = pointer.to_owned(), choice: impl Into<Choice> = choice.into()) -> Receipt {
        |core| core.take(id, &pointer, choice)
    }
}
