//! The verbs that both handles have, in lists by subject.

use std::path::Path;

use serde_json::Value;

use super::Store;
#[allow(unused_imports, reason = "the pages below name its kinds")]
use crate::Error;
use crate::{
    Action, ChangeHash, DocumentId, Result, Transaction, UndoStep,
    action::shallow,
    blocking,
    job::EffectRequest,
    store::{
        CheckReport, DeletedDocument, DocumentInfo, QuarantinedChange, Receipt, Salvaged, Settings,
        TrashLimits, UnsentChange,
    },
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

mod past;
mod waiting;

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
    dispatch_json(id: DocumentId = id, action: &Value = shallow(action)) -> Receipt { |core| core.dispatch_json(id, &action?) }
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
    /// Does an action and records the effects it asks for, in one transaction: both are there or both not.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::InvalidEffect`]: then nothing was done.
    dispatch_with(id: DocumentId = id, action: Action = action.bounded(), effects: Vec<EffectRequest> = effects) -> Receipt {
        |core| core.dispatch_with(id, &action, &effects)
    }
    /// The document as a compact Automerge file.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    export(id: DocumentId = id) -> Vec<u8> { |core| core.export(id) }
    /// What can still be read of a document in a damaged store: every change that is whole and has all that it was made on.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::Corrupt`] where the list of documents itself cannot be read.
    salvage(id: DocumentId = id) -> Salvaged { |core| core.salvage(id) }
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
    /// Does an action that stands in undo as this says: its label, its group, or that it cannot be undone. See
    /// [`UndoStep`] for an example.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::BadAction`] for a label or group that is empty or too long.
    dispatch_step(id: DocumentId = id, action: Action = action.bounded(), step: &UndoStep = step.clone()) -> Receipt {
        |core| core.dispatch_step(id, &action, &step)
    }
}
