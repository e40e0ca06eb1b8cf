//! One error for the crate. A caller can tell apart what to try again, what was refused, what is corrupt
//! and what is a bug: see [`Error::kind`].

use std::path::PathBuf;

use crate::fence::Refusal;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No document has this name, id or prefix.
    #[error("no document is called {0:?} here")]
    UnknownDocument(String),
    /// The prefix fits several documents.
    #[error("{0:?} could mean several documents")]
    AmbiguousDocument(String),
    /// The name or id is taken by another document.
    #[error("a document with the name or id {0:?} is here already")]
    DocumentExists(String),
    /// The name would be read as something else, or cannot be read.
    #[error("{name:?} cannot be a name: {why}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The document was deleted for everyone, and nothing of it is kept, or nothing can be done with it any more.
    #[error("the document {0} was deleted")]
    Deleted(crate::DocumentId),
    /// The document was deleted for everyone, and is kept in the trash: [`crate::Store::list_deleted`].
    #[error("the document {0} was deleted, and is kept in the trash")]
    Trashed(crate::DocumentId),
    /// The action does not fit the document; nothing was changed.
    #[error("{0}")]
    Action(#[from] crate::reducer::ActionError),
    /// A slice's reducer did not do the action; nothing was changed.
    #[error("the action {action:?} was rejected: {reason}")]
    Rejected {
        /// The action's type.
        action: String,
        /// Why.
        reason: String,
    },
    /// A slice's reducer, or middleware, panicked; nothing was changed.
    #[error("the action {action:?} made its reducer panic: {reason}")]
    ReducerPanicked {
        /// The action's type.
        action: String,
        /// The panic's message.
        reason: String,
    },
    /// What was given is no action of its slice.
    #[error("the action {action:?} cannot be done: {reason}")]
    BadAction {
        /// Its type, or its slice's name.
        action: String,
        /// Why.
        reason: String,
    },
    /// No slice of this name is registered with the store.
    #[error("no slice is called {0:?} here: register it with the store's builder")]
    UnknownSlice(String),
    /// The slice or kind cannot be registered.
    #[error("the slice {slice:?} cannot be registered: {reason}")]
    BadSlice {
        /// Its name.
        slice: String,
        /// Why.
        reason: String,
    },
    /// The document is of a kind that has no such slice.
    #[error("a document of the kind {kind:?} takes no actions of the slice {slice:?}")]
    NotOfThisKind {
        /// The document's kind.
        kind: String,
        /// The slice.
        slice: String,
    },
    /// The slice's state in the document does not fit its type.
    #[error("the state of the slice {slice:?} does not fit its type: {reason}")]
    StateMismatch {
        /// Its name.
        slice: String,
        /// What does not fit.
        reason: String,
    },
    /// A newer version of the slice has written to it: what is there does not fit this one, or this one only reads it then
    /// ([`crate::slice::Newer`]).
    #[error("slice {slice} was written by version {written}; this is version {version}")]
    NewerSlice {
        /// Its name.
        slice: String,
        /// The newest version that has written to it.
        written: u32,
        /// The version of this app.
        version: u32,
    },
    /// A head or hash that this document does not hold.
    #[error("the document holds no change {0}")]
    UnknownChange(String),
    /// The beginning of a hash fits several changes of the document.
    #[error("{0:?} could mean several changes of the document")]
    AmbiguousChange(String),
    /// The beginning of a hash is too short to be looked up.
    #[error("{0:?} is too short: at least 4 digits of a change's hash are needed")]
    ShortHash(String),
    /// Made by another replica: only its own actions can be undone here.
    #[error("the change {0} was made by another replica, and is undone there")]
    NotOwn(String),
    /// No concurrent writes met at this path, or none of them is the chosen one.
    #[error("no concurrent writes to choose from at {0:?}")]
    NoConflict(String),
    /// No queue row answers to this.
    #[error("no change in the queue has the id {0:?}")]
    UnknownQueueRow(String),
    /// The queue row is at the server already, and cannot be taken back.
    #[error("the change {0} is at the server already")]
    AlreadySent(String),
    /// No effect answers to this, or several do.
    #[error("no effect is called {0:?}")]
    UnknownEffect(String),
    /// The effect is in a state in which this cannot be done; nothing was changed.
    #[error("the effect {id} is {state}")]
    EffectSettled {
        /// The effect.
        id: String,
        /// How it stands.
        state: crate::job::EffectState,
    },
    /// An effect cannot be asked for like this; nothing was changed.
    #[error("the effect cannot be asked for: {0}")]
    InvalidEffect(String),
    /// No thunk has this id, or it was settled so long ago that its row is gone.
    #[error("no thunk is called {0:?}")]
    UnknownThunk(String),
    /// A thunk cannot be registered or started like this, or its row not be read; nothing was changed.
    #[error("the thunk {0}")]
    InvalidThunk(String),
    /// No listener of this name was ever registered.
    #[error("no listener is called {0:?}")]
    UnknownListener(String),
    /// The listener cannot be registered.
    #[error("the listener {name:?} cannot be registered: {reason}")]
    BadListener {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A change is outside the limits; nothing was changed.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// The file is not a store of ours; it was left alone.
    #[error("{path} is not a rejoin store")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The store was written by a newer release; it was left alone.
    #[error("{path} has schema {found}, and this release knows up to {known}")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest schema of this release.
        known: i32,
    },
    /// The store can be read, and not written: its file, its directory or its disk is read-only, or it was opened so.
    #[error("this store can be read here, and not written")]
    ReadOnly,
    /// The write-ahead log beside the file belongs to another database: read with it, it would spoil the file. It was
    /// left alone.
    #[error("the write-ahead log {log} is not that of the file beside it")]
    ForeignLog {
        /// The log.
        log: PathBuf,
    },
    /// The file cannot take the place of a store.
    #[error("{path} cannot be restored: {why}")]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file's content contradicts itself: what can be read can be exported, see [`crate::Store::check`].
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The bytes given are no Automerge file, or one outside the limits.
    #[error("cannot import: {0}")]
    Import(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// SQLite failed.
    #[error("the store failed: {0}")]
    Storage(#[source] rusqlite::Error),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// No server is known for this.
    #[error("no server is set")]
    NoServer,
    /// A sync or a watch was asked for where no tokio runtime does it, with timers and network.
    #[error("this needs a tokio runtime, and {0}")]
    NoRuntime(&'static str),
    /// The server's address cannot be used.
    #[error("{0:?} is not an http or https address")]
    InvalidServer(String),
    /// Plain HTTP to another machine, which nobody asked for: see `HttpOptions`.
    #[error("{0} would be reached by plain HTTP, which anybody in between can read")]
    PlainHttp(String),
    /// What was given as certificates cannot be used.
    #[error("these certificates cannot be used: {0}")]
    InvalidCertificates(String),
    /// The server cannot be reached, or what answers is not a sync server. Nothing is lost.
    #[error("the server could not be reached: {0}")]
    Unreachable(String),
    /// The server refused the credentials.
    #[error("the server refused these credentials ({0})")]
    Unauthorized(String),
    /// The server takes the credentials, and they have not the right to do this.
    #[error("the server knows these credentials, but they do not allow this ({0})")]
    Forbidden(String),
    /// The server answered something that breaks the protocol. Nothing was taken from it.
    #[error("the server's answer breaks the protocol: {0}")]
    Protocol(String),
    /// The document would become larger here than is taken from a server: see `SyncOptions::document_bytes` and
    /// `SyncOptions::document_actors`. Of what the server has, no more was taken.
    #[error("the server's log of this document has more than {limit} {of}, the limit here")]
    LogTooLarge {
        /// The limit.
        limit: u64,
        /// Of what: `bytes` or `actors`.
        of: &'static str,
    },
    /// The library refused, or panicked on, what was asked in a document that others shaped too; nothing was changed.
    #[error("Automerge cannot do this in this document: {0}; nothing was changed")]
    Library(String),
    /// What the app gave `Store::with_core` panicked. What it had not committed is not there.
    #[error("what was asked of the store panicked: {0}")]
    Panicked(String),
    /// A verb that waits for the store was called where the store itself waits: in a reducer, in middleware, or in what
    /// was given to `Store::with_core`. Nothing was done.
    #[error(
        "a method of the store was called inside the store (in a reducer, middleware or `with_core`): it would wait for itself"
    )]
    InsideStore,
    /// This release contradicts itself.
    #[error("a bug in rejoin: {0}")]
    Bug(String),
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call was wrong: change it.
    Usage,
    /// What was asked cannot be done on this state: nothing changed.
    Refused,
    /// It may work later: try again.
    TryAgain,
    /// The server wants other credentials.
    Unauthorized,
    /// The file is damaged or foreign.
    Corrupt,
    /// A defect of rejoin.
    Bug,
}

impl Error {
    /// Whether a whole transaction fails with it, and not one action only.
    pub(crate) fn is_of_the_file(&self) -> bool {
        matches!(self, Self::DiskFull | Self::ReadOnly | Self::Storage(_) | Self::Io { .. })
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AmbiguousDocument(_)
            | Self::AmbiguousChange(_)
            | Self::ShortHash(_)
            | Self::InvalidName { .. }
            | Self::InvalidServer(_)
            | Self::PlainHttp(_)
            | Self::InvalidCertificates(_)
            | Self::InvalidEffect(_)
            | Self::BadAction { .. }
            | Self::UnknownSlice(_)
            | Self::InvalidThunk(_)
            | Self::InsideStore
            | Self::NoRuntime(_)
            | Self::Panicked(_)
            | Self::BadListener { .. }
            | Self::BadSlice { .. } => ErrorKind::Usage,
            Self::UnknownDocument(_)
            | Self::DocumentExists(_)
            | Self::Deleted(_)
            | Self::Trashed(_)
            | Self::Action(_)
            | Self::Rejected { .. }
            | Self::ReducerPanicked { .. }
            | Self::NotOfThisKind { .. }
            | Self::StateMismatch { .. }
            | Self::NewerSlice { .. }
            | Self::UnknownChange(_)
            | Self::NotOwn(_)
            | Self::NoConflict(_)
            | Self::UnknownQueueRow(_)
            | Self::AlreadySent(_)
            | Self::UnknownEffect(_)
            | Self::UnknownThunk(_)
            | Self::UnknownListener(_)
            | Self::EffectSettled { .. }
            | Self::Refused(_)
            | Self::LogTooLarge { .. }
            | Self::Library(_)
            | Self::Import(_)
            | Self::ReadOnly
            | Self::BadBackup { .. }
            | Self::NoServer => ErrorKind::Refused,
            Self::DiskFull
            | Self::Storage(_)
            | Self::Io { .. }
            | Self::InUse { .. }
            | Self::Unreachable(_)
            | Self::Closed => ErrorKind::TryAgain,
            Self::Unauthorized(_) | Self::Forbidden(_) => ErrorKind::Unauthorized,
            Self::NotAStore { .. }
            | Self::NewerSchema { .. }
            | Self::ForeignLog { .. }
            | Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Protocol(_) => ErrorKind::TryAgain,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Corrupt(error.to_string()),
            _ => Self::Storage(error),
        }
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
