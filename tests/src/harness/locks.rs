use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The bytes of the `-shm` file that SQLite locks in WAL mode: the writer's, and those of a checkpoint and of a
/// recovery, which may hold the writer's too.
const WRITE: u64 = 120;
const CHECKPOINT: u64 = 121;
const RECOVER: u64 = 122;

/// Whether this process is inside a write transaction of this SQLite database right now, as the system's table of
/// locks has it. Nothing is asked of the database, so nothing changes there.
pub fn is_writing(pid: u32, database: &Path) -> bool {
    let mut shared = database.as_os_str().to_owned();
    shared.push("-shm");
    let Ok(inode) = fs::metadata(shared).map(|meta| meta.ino()) else { return false };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held: Vec<(u64, u64)> = table.lines().filter_map(|line| held_range(line, pid, inode)).collect();
    let holds = |byte: u64| held.iter().any(|(first, last)| (*first..=*last).contains(&byte));
    holds(WRITE) && !holds(CHECKPOINT) && !holds(RECOVER)
}

/// The bytes that a line says are locked for writing by this process in this file:
/// `1: POSIX  ADVISORY  WRITE 708 08:01:131090 120 120`.
fn held_range(line: &str, pid: u32, inode: u64) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[_, "POSIX", _, "WRITE", owner, file, first, last] = words.as_slice() else { return None };
    let of = owner.parse() == Ok(pid) && file.rsplit(':').next()?.parse() == Ok(inode);
    of.then_some(())?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn an_open_write_transaction_is_seen_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("some.db");
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let seen = || is_writing(std::process::id(), &file);
        assert!(!seen());
        connection.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        assert!(!seen(), "a reader");
        connection.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
        assert!(seen());
        assert!(!is_writing(1, &file), "another process");
        connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert!(seen());
        connection.execute_batch("COMMIT").unwrap();
        assert!(!seen());
    }
}
