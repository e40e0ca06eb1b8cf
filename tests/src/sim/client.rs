//! A client: a disk, the processes on it, and what was last seen on the disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use rejoin::{
    ChangeHash, Cursor, DocumentId,
    session::{Session, SessionLimits},
    store::Core,
};
use rusqlite::named_params;

use super::{disk::Disk, undoing::Line, world::Telling};

/// Simulated times begin here, in milliseconds since 1970.
pub(super) const EPOCH: i64 = 1_700_000_000_000;

/// One document's session in the driver's hands.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) session: Session,
    /// The flight whose reply is waited for.
    pub(super) flight: Option<u64>,
    /// Events that came meanwhile.
    pub(super) heard: Vec<Telling>,
    /// The number of the drive that is due: earlier ones are off.
    pub(super) drive: u64,
    /// The last run ended well, and nothing came since.
    pub(super) settled: bool,
    /// The session said `Done`.
    pub(super) idle: bool,
}

/// What the disk said when it was last looked at.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) pending: BTreeMap<ChangeHash, String>,
    pub(super) cursor: Option<Cursor>,
    pub(super) last: i64,
    pub(super) epoch: i64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) disk: Disk,
    pub(super) core: Option<Core>,
    /// A second process, which edits only: one process at a time syncs.
    pub(super) other: Option<Core>,
    pub(super) slots: Vec<Slot>,
    pub(super) joined: Vec<bool>,
    /// Counts processes: a reply to an earlier one is lost.
    pub(super) life: u64,
    pub(super) started: i64,
    pub(super) wall: Arc<AtomicI64>,
    /// The world's: no two processes get the same nonce.
    pub(super) nonces: Arc<AtomicU64>,
    pub(super) offset: i64,
    pub(super) partitioned: bool,
    pub(super) copies: Vec<(Disk, Vec<bool>)>,
    pub(super) seen: HashMap<DocumentId, Seen>,
    pub(super) commits: i64,
    /// What was done in each document since something last came.
    pub(super) lines: Vec<Line>,
    pub(super) limits: SessionLimits,
}

impl Client {
    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// The wall clock.
    pub(super) fn set_wall(&self, now: i64) {
        self.wall.store(EPOCH + now + self.offset, Ordering::Relaxed);
    }

    /// Opens a process on the disk.
    pub(super) fn open(&self) -> rejoin::Result<Core> {
        let armed = self.disk.failing.swap(false, Ordering::Relaxed);
        let mut core = Core::open_connection(self.disk.connect())?;
        self.disk.failing.store(armed, Ordering::Relaxed);
        let wall = Arc::clone(&self.wall);
        core.set_clock(Box::new(move || wall.load(Ordering::Relaxed)));
        let nonces = Arc::clone(&self.nonces);
        core.set_nonces(Box::new(move || nonces.fetch_add(1, Ordering::Relaxed)));
        Ok(core)
    }

    /// How many write transactions the disk has seen.
    pub(super) fn count_commits(&self) -> i64 {
        let mut statement = self.disk.raw.prepare_cached("SELECT commits FROM pulse").unwrap();
        statement.query_row([], |r| r.get(0)).unwrap()
    }

    /// Every row of a document: hash, what it was, what replaced it, whether it is quarantined.
    pub(super) fn rows(&self, document: DocumentId) -> Vec<Row> {
        let sql = "SELECT c.hash, c.was, c.replaced_by, c.quarantined, c.bytes, c.local FROM document d JOIN change c
                   ON c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1 WHERE d.uuid = :uuid ORDER BY c.id";
        let mut statement = self.disk.raw.prepare_cached(sql).unwrap();
        let rows = statement.query_map(named_params! {":uuid": document.to_string()}, |r| {
            Ok(Row {
                hash: ChangeHash(r.get(0)?),
                was: r.get::<_, Option<[u8; 32]>>(1)?.map(ChangeHash),
                replaced_by: r.get::<_, Option<[u8; 32]>>(2)?.map(ChangeHash),
                quarantined: r.get(3)?,
                bytes: r.get(4)?,
                local: r.get(5)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// A document's rows in words, for whoever looks into a seed that failed.
    pub(super) fn describe(&self, document: DocumentId) -> Vec<String> {
        let sql = "SELECT c.id & 1099511627775, substr(lower(hex(c.hash)), 1, 6), substr(lower(hex(a.bytes)), 1, 14), c.seq,
                          lower(hex(c.deps)), coalesce('was ' || substr(lower(hex(c.was)), 1, 6), ''),
                          coalesce('now ' || substr(lower(hex(c.replaced_by)), 1, 6), ''), CASE c.loser WHEN 1 THEN 'loser' ELSE '' END,
                          coalesce('out: ' || c.quarantined, ''), coalesce(p.state, ''), c.acknowledged_at IS NOT NULL
                     FROM document d JOIN change c ON c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1
                     JOIN actor a ON a.id = c.actor LEFT JOIN pending p ON p.id = c.id WHERE d.uuid = :uuid ORDER BY c.id";
        let mut statement = self.disk.raw.prepare_cached(sql).unwrap();
        let rows = statement.query_map(named_params! {":uuid": document.to_string()}, |r| {
            let text = |at| r.get::<_, String>(at);
            let (position, seq): (i64, i64) = (r.get(0)?, r.get(3)?);
            let known: bool = r.get(10)?;
            Ok(format!(
                "{position:>4} {} {:<14} {seq:>3} back {:<8} {} {} {} {} {} {}",
                text(1)?,
                text(2)?,
                text(4)?,
                text(5)?,
                text(6)?,
                text(7)?,
                text(8)?,
                text(9)?,
                if known { "known" } else { "" }
            ))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The document's row and queue as they are on the disk; `None` where it is not there.
    pub(super) fn look(&self, document: DocumentId) -> Option<Seen> {
        let uuid = document.to_string();
        let sql = "SELECT cursor, last, epoch FROM document WHERE uuid = :uuid";
        let mut statement = self.disk.raw.prepare_cached(sql).unwrap();
        let mut seen = statement
            .query_row(named_params! {":uuid": uuid}, |r| {
                let cursor: Option<String> = r.get(0)?;
                let cursor = cursor.map(|c| Cursor::parse(&c).unwrap());
                Ok(Seen { pending: BTreeMap::new(), cursor, last: r.get(1)?, epoch: r.get(2)? })
            })
            .ok()?;
        let sql = "SELECT c.hash, p.state FROM document d JOIN pending p
                   ON p.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1
                   JOIN change c ON c.id = p.id WHERE d.uuid = :uuid";
        let mut statement = self.disk.raw.prepare_cached(sql).unwrap();
        let rows = statement
            .query_map(named_params! {":uuid": uuid}, |r| Ok((ChangeHash(r.get(0)?), r.get(1)?)))
            .unwrap();
        seen.pending = rows.map(Result::unwrap).collect();
        Some(seen)
    }
}

/// A row of `change`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) hash: ChangeHash,
    pub(super) was: Option<ChangeHash>,
    pub(super) replaced_by: Option<ChangeHash>,
    pub(super) quarantined: Option<String>,
    pub(super) bytes: Vec<u8>,
    /// Made here.
    pub(super) local: bool,
}

impl Row {
    pub(super) fn stands(&self) -> bool {
        self.replaced_by.is_none() && self.quarantined.is_none()
    }
}
