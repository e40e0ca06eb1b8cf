//! What a database does for the log: the verbs of a backend, and nothing else of it. No type here belongs to one.
//!
//! SQLite is the one backend today (`log/sqlite`). What PostgreSQL will do for each verb is said at the verb, and here is
//! what holds for all of them. The calls are synchronous, as the threads are that make them (readers, auth_reader, committer): a
//! backend of PostgreSQL waits in them for its client on that thread. Times are milliseconds since 1970. Documents are
//! named by the keys that [`EditRows::create`] gave them. All tables are the same tables: a row key
//! `document << 40 | position` becomes two columns, `(document, position)`, which are the primary key there.
//!
//! Writers stand in one line: the chain of digests, of each log and of the feed, has one order. With SQLite one server holds
//! a lock on the file. With PostgreSQL each transaction takes `pg_advisory_xact_lock` first, so several servers may write,
//! one after another. What they do not have then is each other's word: a server tells those who listen to it what it
//! committed itself. Until that goes through `NOTIFY`, one server alone may hold `pg_try_advisory_lock` while it is open, and
//! another is answered [`LogError::Served`].

use std::{fmt, sync::Arc};

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{Last, Reach},
};

use super::{
    Access, Document, Edit, LogError, Mark, PackCache, StoredSnapshot, TokenChange, TokenId, TokenInfo,
    TokenKey, TokenRow, View,
    documents::{Counts, Which},
    found::{Known, NewFindings},
    pack::{PackPart, PackRow, Packed, Packs},
    pushers::PushedRun,
    rows::{Head, Line, MovedHeads, NewRow},
    tokens::{Grant, Holder, NewTokenRow},
};

/// Whatever can be read with one state of the database from first to last.
pub(crate) trait Read {
    /// What reads.
    type View<'v>: View
    where
        Self: 'v;

    /// Reads with one state of the log from first to last. PostgreSQL: `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY`.
    fn read<T, E: From<LogError>>(&self, work: impl FnOnce(&Self::View<'_>) -> Result<T, E>) -> Result<T, E>;
}

/// The log of every document, with the one connection that writes. Opening it, and what only looks after it (backup,
/// restore, doctor, vacuum), is each backend's own.
pub(crate) trait Log: Read {
    /// A connection that only reads, for work beside the one that writes.
    type Reader: Read + Send + 'static;
    /// A transaction.
    type Group<'g>: Group
    where
        Self: 'g;

    /// Opens such connections. PostgreSQL: a connection of its own, `default_transaction_read_only`.
    fn opener(&self) -> Opener<Self::Reader>;

    /// Begins a group of writes that are committed together. PostgreSQL: `BEGIN`, then the lock of writers.
    fn begin(&mut self) -> Result<Self::Group<'_>, LogError>;
}

/// A transaction that writes; rolled back when dropped before [`Group::commit`].
pub(crate) trait Group {
    /// What writes in it.
    type Edit<'e>: Edit
    where
        Self: 'e;

    /// Reads and writes in it. What it wrote is seen by its own reads at once.
    fn edit(&self) -> Self::Edit<'_>;

    /// Whether the transaction still stands: an error (a full disk) may have taken all of it.
    fn is_whole(&self) -> bool;

    /// Makes everything durable. Only after this may anybody be told that it is stored. PostgreSQL: `COMMIT` with
    /// `synchronous_commit = on`.
    fn commit(self) -> Result<(), LogError>;
}

/// What one part of a group came to.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// What it wrote stays.
    Keep(T),
    /// What it wrote goes; the rest of the group stays.
    Undo(T),
}

impl<T> Attempt<T> {
    /// The same with another value.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Keep(value) => Attempt::Keep(change(value)),
            Self::Undo(value) => Attempt::Undo(change(value)),
        }
    }
}

/// Reading: the rows of documents, and of the server's list of them. What follows from rows is written once, in
/// [`View`]. Positions count from 1; a span `(after, upto)` is what comes after the first and not after the second.
///
/// What is read in a loop is given out by the page, through a closure that the compiler sees through: no call goes
/// through a pointer for each change.
pub(crate) trait Rows {
    /// What was decoded of packs of this database. It is no verb: a backend holds one for all of its connections.
    fn cache(&self) -> &PackCache;

    /// A document by its name. PostgreSQL: by the unique index on `uuid`.
    fn document(&self, id: &DocumentId) -> Result<Option<Document>, LogError>;

    /// So many documents of a kind, in the order that the kind says. PostgreSQL: the same statements, with arrays in the
    /// place of `json_each`.
    fn documents(&self, which: &Which, limit: usize) -> Result<Vec<Document>, LogError>;

    /// The newest entry of the feed, or this one: its number and the digest there. PostgreSQL: by primary key.
    fn feed(&self, entry: Option<u64>) -> Result<Option<Mark>, LogError>;

    /// What the figures count of the whole database. PostgreSQL: the same counts.
    fn counts(&self) -> Result<Counts, LogError>;

    /// A number that changes when another connection wrote what may be read here. PostgreSQL: a sequence that statement
    /// triggers on the tables of tokens move.
    fn version(&self) -> Result<i64, LogError>;

    /// Position and plain bytes of the rows in a span, in order, until `take` says `false`. PostgreSQL: a cursor
    /// (`query_raw`), so that no page is in memory twice.
    fn chunks(
        &self,
        document: i64,
        span: (u64, u64),
        take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError>;

    /// The same of the rows without their bytes. PostgreSQL: the same columns, `octet_length(bytes)` among them.
    fn lines(
        &self,
        document: i64,
        span: (u64, u64),
        take: impl FnMut(Line<'_>) -> bool,
    ) -> Result<(), LogError>;

    /// The dependencies of the rows in a span, as they were stored. PostgreSQL: one column of a range of the primary key.
    fn dependencies(&self, document: i64, span: (u64, u64)) -> Result<Vec<Box<[u8]>>, LogError>;

    /// Which row in a span has this hash; what is new is looked at first. PostgreSQL: a unique index on
    /// `(document, hash)`, without the stretches that SQLite's index has.
    fn find(&self, document: i64, span: (u64, u64), hash: &ChangeHash) -> Result<Option<u64>, LogError>;

    /// The change that is this one written again, in rows and in packs. PostgreSQL: a partial index on `(document, was)`.
    fn rewritten_as(&self, document: i64, was: &ChangeHash) -> Result<Option<ChangeHash>, LogError>;

    /// Whether a change is proved to be another written again, in rows and in packs. PostgreSQL: as SQLite.
    fn is_rewritten(&self, document: i64, position: u64, hash: &ChangeHash) -> Result<bool, LogError>;

    /// What came last of an actor. PostgreSQL: a unique index on `(document, bytes)`.
    fn actor(&self, document: i64, actor: &ActorId) -> Result<Option<Last>, LogError>;

    /// How many actors there are, and how many of them are containers'. PostgreSQL: two counts over that index.
    fn count_actors(&self, document: i64) -> Result<(u64, u64), LogError>;

    /// The heads, in the order of their positions. PostgreSQL: a range of the primary key.
    fn head_rows(&self, document: i64) -> Result<Vec<Head>, LogError>;

    /// How far a change counts, where that was noted: of nearly all it follows from their bytes. PostgreSQL: by primary key.
    fn noted_reach(&self, document: i64, position: u64) -> Result<Option<Reach>, LogError>;

    /// The packs of a document, oldest first: all, the newest, or the first that ends at a position or after it.
    /// PostgreSQL: the same; packs stay ours, for what the database compresses by itself is each row alone.
    fn packs(&self, document: i64, which: Packs) -> Result<Vec<PackRow>, LogError>;

    /// A part of the pack that ends at a position. PostgreSQL: a column of type `bytea`, `STORAGE EXTERNAL`.
    fn pack_part(&self, document: i64, last: u64, part: PackPart) -> Result<Option<Vec<u8>>, LogError>;

    /// The first runs of a span, at most so many, by who pushed them. A run begins before the span where it covers the
    /// span's beginning. PostgreSQL: the same statement.
    fn runs(&self, document: i64, span: (u64, u64), most: usize) -> Result<Vec<PushedRun>, LogError>;

    /// What was found of a document: what this release has verified, which changes it leaves out, which snapshot it has.
    /// PostgreSQL: three selects by the document's key.
    fn known(&self, document: i64) -> Result<Known, LogError>;

    /// The position and the bytes of the stored snapshot. PostgreSQL: as [`Rows::pack_part`].
    fn snapshot(&self, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError>;
}

/// Writing, inside a transaction. Rules that stand above rows are written once, in [`Edit`].
pub(crate) trait EditRows: Rows {
    /// Runs one part that can be undone alone. An error undoes this part; where it took the whole transaction with it,
    /// [`Group::is_whole`] says so. PostgreSQL: `SAVEPOINT`, and always back to it after an error, for a transaction with
    /// an error in it takes no other statement.
    fn attempt<T>(&self, work: impl FnOnce(&Self) -> Result<Attempt<T>, LogError>) -> Result<T, LogError>;

    /// Makes a document with an empty log, whose first entry in the feed will be `entry`; gives its key. PostgreSQL:
    /// `INSERT … RETURNING id`.
    fn create(&self, id: &DocumentId, entry: u64, now: i64) -> Result<i64, LogError>;

    /// Appends rows, notes what came last of their actors, and how far those of them count that say something else in
    /// their bytes. PostgreSQL: `INSERT … SELECT FROM unnest(…)`, one statement for each table: a way to the database
    /// costs more there than a row.
    fn append(&self, document: i64, rows: &[NewRow<'_>]) -> Result<(), LogError>;

    /// Writes the row of a document as it is now, its heads, and its entry in the feed, whose number the row bears.
    /// PostgreSQL: the same, heads by `unnest`.
    fn put(&self, document: &Document, heads: &MovedHeads, entry: Mark) -> Result<(), LogError>;

    /// Puts a tombstone on a document; what was found of it and its snapshot go. PostgreSQL: the same.
    fn bury(&self, document: i64, now: i64) -> Result<(), LogError>;

    /// Notes that a run begins at a position, and who pushed it. PostgreSQL: the name by `ON CONFLICT DO NOTHING`.
    fn begin_run(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError>;

    /// Writes what verification found, as far as it is new. PostgreSQL: the same.
    fn put_findings(&self, document: i64, new: &NewFindings<'_>, now: i64) -> Result<(), LogError>;

    /// Stores a snapshot in the place of the one before. PostgreSQL: `ON CONFLICT DO UPDATE`.
    fn put_snapshot(
        &self,
        document: i64,
        snapshot: StoredSnapshot,
        bytes: &[u8],
        now: i64,
    ) -> Result<(), LogError>;

    /// Stores a pack and removes the rows that it holds, and the pack that it replaces; gives how many rows went.
    /// PostgreSQL: the same; the space is `autovacuum`'s.
    fn put_pack(&self, packed: &Packed) -> Result<u64, LogError>;

    /// Gives some space back to the system, in a short step. Whether there is more. PostgreSQL: nothing, and `false`.
    fn tidy(&self) -> Result<bool, LogError>;
}

/// Reading tokens and grants.
pub(crate) trait TokenRows {
    /// One token. It is found by an index on the hash alone, which says nothing of the secret: so how long the search
    /// takes says nothing either. PostgreSQL: the same indexes.
    fn token(&self, key: TokenKey<'_>) -> Result<Option<TokenRow>, LogError>;

    /// Every token, in the order in which they were made. PostgreSQL: times by `to_char(… AT TIME ZONE 'UTC')`.
    fn tokens(&self, now: i64) -> Result<Vec<TokenInfo>, LogError>;

    /// What somebody was granted on a document, or has from beginning it. PostgreSQL: by primary key.
    fn granted(&self, to: Holder<'_>, id: &DocumentId) -> Result<Option<Access>, LogError>;
}

/// Writing tokens and grants, inside a transaction.
pub(crate) trait EditTokens: TokenRows {
    /// Keeps a token. PostgreSQL: `INSERT … RETURNING id`.
    fn put_token(&self, new: &NewTokenRow<'_>, now: i64) -> Result<TokenId, LogError>;

    /// Ends or revokes a token. PostgreSQL: `least` in the place of `min`.
    fn change_token(&self, id: TokenId, change: TokenChange) -> Result<(), LogError>;

    /// Grants; on how many documents. PostgreSQL: the same.
    fn grant(&self, grant: &Grant<'_>) -> Result<u64, LogError>;
}

/// Opens connections that read.
pub(crate) struct Opener<R>(Arc<Open<R>>);

type Open<R> = dyn Fn() -> Result<R, LogError> + Send + Sync;

impl<R> Opener<R> {
    pub(crate) fn new(open: impl Fn() -> Result<R, LogError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// Opens one.
    pub(crate) fn open(&self) -> Result<R, LogError> {
        (self.0)()
    }
}

impl<R> Clone for Opener<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}
