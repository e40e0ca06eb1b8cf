//! The verbs that both handles have, in one list.

use std::path::Path;

use serde_json::Value;

use super::Store;
#[allow(unused_imports, reason = "the pages below name its kinds")]
use crate::Error;
use crate::{
    Action, ChangeHash, DocumentId, Result, Revised, Revision, Transaction, UndoStep, blocking,
    edits::Edits,
    effects::{Effect, EffectRequest},
    store::{
        Blame, CheckReport, Choice, Conflict, DeletedDocument, Difference, DocumentInfo, DropPlan,
        EffectDrop, HistoryEntry, NextStep, QuarantinedChange, QueueEntry, Receipt, Settings, TrashLimits,
        Undone, UnsentChange,
    },
    work::{ListenerInfo, ThunkId, ThunkInfo},
};

/// Writes the verbs of [`Store`] and [`blocking::Store`] out of one list, so that they cannot differ.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty = $owned:expr),*) -> $out:ty { |$core:ident| $body:expr })*) => {
        #[allow(clippy::redundant_locals, reason = "an argument that needs no copy names itself")]
        impl Store {
            $($(#[$doc])* pub async fn $name(&self, $($arg: $ty),*) -> Result<$out> {
                $(let $arg = $owned;)*
                self.with_core(move |$core| $body).await
            })*
        }

        #[allow(clippy::redundant_locals, reason = "an argument that needs no copy names itself")]
        impl blocking::Store {
            $($(#[$doc])* pub fn $name(&self, $($arg: $ty),*) -> Result<$out> {
                $(let $arg = $owned;)*
                self.inner.with_core_blocking(move |$core| $body)
            })*
        }
    };
}

verbs! {
    /// What is remembered for all documents.
    ///
    /// # Errors
    /// The file's.
    settings() -> Settings { |core| core.settings() }
    /// Remembers the server's base address, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    set_server(server: Option<&str> = server.map(str::to_owned)) -> () { |core| core.set_server(server.as_deref()) }
    /// Remembers that plain HTTP may be spoken to this server, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    set_allow_http_to(server: Option<&str> = server.map(str::to_owned)) -> () { |core| core.set_allow_http_to(server.as_deref()) }
    /// Remembers the file of certificates (PEM) that are trusted beside this machine's, or forgets it.
    ///
    /// # Errors
    /// The file's; [`Error::InvalidCertificates`] for a path that is not Unicode.
    set_ca_file(path: Option<&Path> = path.map(Path::to_owned)) -> () { |core| core.set_ca_file(path.as_deref()) }
    /// Remembers the name that changes made here bear from now on, or forgets it.
    ///
    /// # Errors
    /// The file's.
    set_author(author: Option<&str> = author.map(str::to_owned)) -> () { |core| core.set_author(author.as_deref()) }
    /// All thunks that are kept, in the order of their starts: the pending ones, and the newest thousand of each way
    /// to end.
    ///
    /// # Errors
    /// The file's.
    thunks() -> Vec<ThunkInfo> { |core| core.thunks() }
    /// One thunk.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`].
    thunk_info(id: ThunkId = id) -> ThunkInfo { |core| core.thunk_info(id) }
    /// Aborts a thunk, and drops its future wherever it runs; its [`Thunk::aborted`](crate::work::Thunk::aborted) is
    /// dispatched in the same transaction. `false`: it was settled before.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`]; [`Error::UnknownSlice`] where the slice of that action is not registered here: then it is
    /// not aborted; the file's.
    abort_thunk(id: ThunkId = id) -> bool { |core| core.abort_thunk(id) }
    /// How far each listener that was ever registered has heard each document.
    ///
    /// # Errors
    /// The file's.
    listeners() -> Vec<ListenerInfo> { |core| core.listeners() }
    /// Lets a listener that failed try again now, on one document or on all. Returns on how many.
    ///
    /// # Errors
    /// [`Error::UnknownListener`]; the file's.
    resume_listener(name: &str = name.to_owned(), document: Option<DocumentId> = document) -> u64 {
        |core| core.resume_listener(&name, document)
    }
    /// Lets a listener go on after the action of this document on which it failed, without hearing it. Returns on how
    /// many actions: 0 where it failed on none, 2 where it failed in a local-only slice as well.
    ///
    /// # Errors
    /// [`Error::UnknownListener`]; the file's.
    skip_listener(name: &str = name.to_owned(), document: DocumentId = document) -> u64 {
        |core| core.skip_listener(&name, document)
    }
    /// Forgets a listener that is no longer registered, with its positions. `false`: there is none of this name.
    ///
    /// # Errors
    /// The file's.
    forget_listener(name: &str = name.to_owned()) -> bool { |core| core.forget_listener(&name) }
    /// Makes an empty document.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when the id or the name is taken.
    create(id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.create(id, name.as_deref())
    }
    /// Makes many empty documents in one commit, all or none: one for each name, in their order. A thousand take as long as
    /// a few that are made one by one.
    ///
    /// # Errors
    /// As [`Store::create`]. Then none is made.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = rejoin::blocking::Store::open(dir.path().join("notes.db"))?;
    /// let ids = store.create_all(&[Some("monday"), Some("tuesday"), None])?;
    /// assert_eq!((ids.len(), store.find("tuesday")?), (3, ids[1]));
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    create_all(names: &[Option<&str>] = names.iter().map(|name| name.map(str::to_owned)).collect::<Vec<_>>()) -> Vec<DocumentId> {
        |core| core.create_all(&names)
    }
    /// Takes part in a document that exists elsewhere. Works offline: it is filled at the next sync.
    ///
    /// # Errors
    /// [`Error::DocumentExists`], [`Error::InvalidServer`].
    join(id: DocumentId = id, name: Option<&str> = name.map(str::to_owned), server: Option<&str> = server.map(str::to_owned)) -> DocumentId {
        |core| core.join(id, name.as_deref(), server.as_deref())
    }
    /// Makes an empty document of a kind that was registered with the builder.
    ///
    /// # Errors
    /// As [`Store::create`], and [`Error::BadSlice`] for an unknown kind.
    create_kind(kind: &str = kind.to_owned(), id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.create_kind(&kind, id, name.as_deref())
    }
    /// Says of which kind a document is: for one that was joined.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::BadSlice`] for an unknown kind.
    set_kind(id: DocumentId = id, kind: &str = kind.to_owned()) -> () { |core| core.set_kind(id, &kind) }
    /// Does an action that is given as JSON, with its type: of the built-in slice, or `slice/action` of one that is
    /// registered.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::BadAction`], [`Error::UnknownSlice`].
    dispatch_json(id: DocumentId = id, action: &Value = action.clone()) -> Receipt { |core| core.dispatch_json(id, &action) }
    /// Does all of a transaction, or nothing of it: in one commit, as one step of undo in each document. Returns what each of
    /// its actions made, in their order. See [`Transaction`] for an example.
    ///
    /// # Errors
    /// That of the first action that cannot be done, as [`Store::dispatch`] and [`crate::slice::SliceHandle::dispatch`];
    /// [`Error::BadAction`] for one of a slice in memory; [`Error::InvalidEffect`], [`Error::InvalidThunk`]. Then nothing was
    /// changed.
    transact(transaction: Transaction = transaction) -> Vec<Receipt> { |core| core.transact(transaction) }
    /// The document with this local name; made, empty, where there is none. Another process that does the same at the same
    /// time gets the same document; another device makes its own.
    ///
    /// # Errors
    /// As [`Store::create`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = rejoin::blocking::Store::open(dir.path().join("notes.db"))?;
    /// let inbox = store.find_or_create("inbox")?;
    /// assert_eq!(store.find_or_create("inbox")?, inbox);
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    find_or_create(name: &str = name.to_owned()) -> DocumentId { |core| core.find_or_create(&name) }
    /// The document with this local name, UUID, unique prefix of one (4 characters or more), or `automerge:`
    /// URL.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`]; [`Error::Trashed`] for one that was deleted and is kept,
    /// [`Error::Deleted`] where nothing of it is.
    find(name_or_id: &str = name_or_id.to_owned()) -> DocumentId { |core| core.find(&name_or_id) }
    /// Every document of this store, the deleted ones left out.
    ///
    /// # Errors
    /// The file's.
    documents() -> Vec<DocumentInfo> { |core| core.documents() }
    /// One document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    document(id: DocumentId = id) -> DocumentInfo { |core| core.document(id) }
    /// Gives the document another name, on this device alone.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Trashed`], [`Error::InvalidName`]; [`Error::DocumentExists`] for a name that
    /// another one has.
    rename(id: DocumentId = id, name: &str = name.to_owned()) -> () { |core| core.rename(id, &name) }
    /// Forgets the document here, with what waits of it. Others keep it.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    leave(id: DocumentId = id) -> () { |core| core.leave(id) }
    /// Deletes the document for everyone, at the next sync with the server where it lives. What is here is kept in the
    /// trash for a while.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    delete(id: DocumentId = id) -> () { |core| core.delete(id) }
    /// The trash: documents that were deleted, by others or from here, and are kept for a while.
    ///
    /// # Errors
    /// The file's.
    list_deleted() -> Vec<DeletedDocument> { |core| core.list_deleted() }
    /// The document of the trash with this id, unique prefix of one (4 characters or more), `automerge:` URL, or the
    /// name that it had here.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`]; [`Error::Deleted`] where nothing of it is kept.
    find_deleted(name_or_id: &str = name_or_id.to_owned()) -> DocumentId { |core| core.find_deleted(&name_or_id) }
    /// What of a deleted document was never sent, in the order in which it was made.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    unsent(id: DocumentId = id) -> Vec<UnsentChange> { |core| core.unsent(id) }
    /// Notes that a person looked at this deleted document: it is no reason any more to call one
    /// ([`crate::SyncReport::needs_person`]), and its days in the trash are counted.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    note_looked_at(id: DocumentId = id) -> () { |core| core.note_looked_at(id) }
    /// The changes that are quarantined, in the order in which they came: of one document, or of all that are not
    /// deleted. They are kept out of the document, because they would harm it or depend on one that does.
    ///
    /// ```
    /// # fn main() -> rejoin::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = rejoin::blocking::Store::open(dir.path().join("notes.db"))?;
    /// for change in store.quarantined(None)?.iter().filter(|change| change.seen_at.is_none()) {
    ///     println!("{} was left out: {}", change.change_hash, change.why);
    ///     store.note_quarantine_seen(change.document, &[change.change_hash])?;
    /// }
    /// assert!(store.quarantined(None)?.iter().all(|change| change.seen_at.is_some()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    quarantined(id: Option<DocumentId> = id) -> Vec<QuarantinedChange> { |core| core.quarantined(id) }
    /// Notes that a person has seen that these changes of a document are left out: they are no reason any more to call
    /// one ([`crate::SyncReport::needs_person`]). Returns of how many that was new.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    note_quarantine_seen(id: DocumentId = id, changes: &[ChangeHash] = changes.to_vec()) -> u64 {
        |core| core.note_quarantine_seen(id, &changes)
    }
    /// Makes a new document of a deleted one, with all of its content; what was never sent waits in the queue again.
    /// Without a name it takes the one that the deleted one had, where that is free. The deleted one leaves the trash,
    /// unless changes of it are quarantined: those stay there.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Deleted`] where nothing of it is kept, [`Error::DocumentExists`] when the
    /// name is taken.
    undelete(id: DocumentId = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.undelete(id, name.as_deref())
    }
    /// Forgets what is kept of a deleted document, for good. That it was deleted stays known.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Deleted`] where nothing of it is kept.
    discard(id: DocumentId = id) -> () { |core| core.discard(id) }
    /// How long and how much the trash keeps.
    ///
    /// # Errors
    /// The file's.
    trash_limits() -> TrashLimits { |core| core.trash_limits() }
    /// Remembers how long and how much the trash keeps, for this store.
    ///
    /// # Errors
    /// The file's.
    set_trash_limits(limits: TrashLimits = limits) -> () { |core| core.set_trash_limits(limits) }
    /// The state at a JSON Pointer (`""` is the whole document) as JSON.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere.
    state(id: DocumentId = id, pointer: &str = pointer.to_owned()) -> Value { |core| core.state(id, &pointer, None) }
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
    /// What waits, in order; of one document or of all.
    ///
    /// # Errors
    /// The file's.
    queue(id: Option<DocumentId> = id) -> Vec<QueueEntry> { |core| core.queue(id) }
    /// One queue row, by position or by a prefix of its change's hash (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    find_queued(id: &str = id.to_owned()) -> QueueEntry { |core| core.find_queued(&id) }
    /// The raw change of a queue row: a plain Automerge chunk.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    queued_bytes(id: &str = id.to_owned()) -> Vec<u8> { |core| core.queued_bytes(&id) }
    /// Has a row tried again at once, with those that wait for it. Returns how many that are.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    retry(id: &str = id.to_owned()) -> u64 { |core| core.retry(&id) }
    /// What dropping this row would take along.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`]; [`Error::AlreadySent`] when the server holds it.
    plan_drop(id: &str = id.to_owned()) -> DropPlan { |core| core.plan_drop(&id) }
    /// Removes the row's change from queue and document, with those later ones that touch what it made; the
    /// other later ones are written again without it.
    ///
    /// # Errors
    /// As [`Store::plan_drop`].
    drop_queued(id: &str = id.to_owned()) -> DropPlan { |core| core.drop_queued(&id) }
    /// Does an action and records the effects it asks for, in one transaction: both are there or both not.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::InvalidEffect`]: then nothing was done.
    dispatch_with(id: DocumentId = id, action: Action = action, effects: Vec<EffectRequest> = effects) -> Receipt {
        |core| core.dispatch_with(id, &action, &effects)
    }
    /// All effects that are kept, in the order in which they were asked for: what waits and what is dead, and the
    /// newest thousand of those that are done and of those that were dropped.
    ///
    /// # Errors
    /// The file's.
    effects() -> Vec<Effect> { |core| core.effects() }
    /// One effect, by its position, its id or the beginning of it (4 characters or more).
    ///
    /// # Errors
    /// [`Error::UnknownEffect`].
    effect(id: &str = id.to_owned()) -> Effect { |core| core.effect(&id) }
    /// Sends an effect now, also one that is held or dead, with those dead ones that it comes after: under the
    /// same keys. Returns how many. A dead letter has its attempts anew and no deadline; what its rollback took
    /// back stays taken back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done or was dropped.
    retry_effect(id: &str = id.to_owned()) -> u64 { |core| core.retry_effect(&id) }
    /// What dropping this effect would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Store::drop_effect`].
    plan_effect_drop(id: &str = id.to_owned()) -> EffectDrop { |core| core.plan_effect_drop(&id) }
    /// Takes an effect off: it is not sent any more. What its action wrote stays, unless `roll_back`. Those that
    /// come after it become dead letters, and are rolled back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done, was dropped, or is being sent.
    drop_effect(id: &str = id.to_owned(), roll_back: bool = roll_back) -> EffectDrop {
        |core| core.drop_effect(&id, roll_back)
    }
    /// Sends again what is held for want of credentials: to be called when there are new ones. Returns how many.
    ///
    /// # Errors
    /// The file's.
    release_held_effects() -> u64 { |core| core.release_held_effects() }
    /// Sends now what waits for its next time: to be called when there is a connection again. Returns how many. A
    /// [watch](Store::watch) does it by itself, for what reached nobody, when its server answers again.
    ///
    /// # Errors
    /// The file's.
    hurry_effects() -> u64 { |core| core.hurry_effects() }
    /// The document as a compact Automerge file.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    export(id: DocumentId = id) -> Vec<u8> { |core| core.export(id) }
    /// A new document from an Automerge file.
    ///
    /// # Errors
    /// [`Error::Import`], [`Error::DocumentExists`].
    import(bytes: Vec<u8> = bytes, id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.import(&bytes, id, name.as_deref())
    }
    /// A consistent copy of the whole store in a new file, while it is in use.
    ///
    /// # Errors
    /// [`Error::Io`] when the file exists or cannot be made, [`Error::DiskFull`].
    backup(to: impl AsRef<Path> = to.as_ref().to_owned()) -> () { |core| core.backup(&to) }
    /// Reads the whole file and says what is wrong with it, and what to do.
    ///
    /// # Errors
    /// Only when not even the check can be made.
    check() -> CheckReport { |core| core.check() }
    /// Undoes the last action of this replica that is not undone, by a new change: before a sync and after it, and
    /// where others wrote in between, what still wins. `None`: there is none. A group ([`UndoStep::group`]) is undone
    /// whole, in one transaction. What follows from actions (after thunks and effects, reactions of listeners) is passed
    /// by, unless it is declared to be undoable.
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
    /// Does an action that stands in undo as this says: its label, its group, or that it cannot be undone. See
    /// [`UndoStep`] for an example.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::BadAction`] for a label or group that is empty or too long.
    dispatch_step(id: DocumentId = id, action: Action = action, step: &UndoStep = step.clone()) -> Receipt {
        |core| core.dispatch_step(id, &action, &step)
    }
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
    /// until one is taken or written over.
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
