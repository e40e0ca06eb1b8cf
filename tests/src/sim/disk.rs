//! A client's disk: a database in memory that outlives the processes working on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, backup::Backup};

/// The name of the next database: SQLite knows databases in memory by their name, in the whole process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What survives a crash: the last commit.
#[derive(Debug)]
pub(super) struct Disk {
    name: String,
    /// Keeps the database alive, and looks into it.
    pub(super) raw: Connection,
    /// The next commit of a process fails.
    pub(super) failing: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let name = format!("file:/rejoin-sim-{}?vfs=memdb", NEXT.fetch_add(1, Ordering::Relaxed));
        let raw = Connection::open(&name).unwrap();
        raw.busy_timeout(Duration::ZERO).unwrap();
        raw.set_prepared_statement_cache_capacity(64);
        Self { name, raw, failing: Arc::default() }
    }

    /// What a process opens.
    pub(super) fn connect(&self) -> Connection {
        let mut connection = Connection::open(&self.name).unwrap();
        let failing = Arc::clone(&self.failing);
        connection.commit_hook(Some(move || failing.swap(false, Ordering::Relaxed))).unwrap();
        connection
    }

    /// A consistent copy, while it is in use.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        Backup::new(&self.raw, &mut copy.raw)
            .unwrap()
            .run_to_completion(i32::MAX, Duration::ZERO, None)
            .unwrap();
        copy
    }
}
