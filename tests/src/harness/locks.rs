//! Whether another process is inside a write transaction of a database.

use std::{fs::File, path::Path};

use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

/// The bytes of the `-shm` file that SQLite locks in WAL mode: the writer's, and those of a checkpoint and of a
/// recovery, which may hold the writer's too.
const WRITE: u64 = 120;
const CHECKPOINT: u64 = 121;
const RECOVER: u64 = 122;

/// Whether this process, which must not be the calling one, is inside a write transaction of this SQLite database
/// right now. The system is asked who holds the locks, and the database is not touched. (To close a file gives up
/// all locks that the caller has on it: the caller has none open.)
pub fn is_writing(pid: u32, database: &Path) -> bool {
    let mut shared = database.as_os_str().to_owned();
    shared.push("-shm");
    let Ok(file) = File::open(shared) else { return false };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let holds = |byte: u64| {
        let wanted = Flock { start: byte, length: 1, ..Flock::from(FlockType::WriteLock) };
        let holder = fcntl_getlk(&file, &wanted).ok().flatten();
        holder.is_some_and(|lock| lock.typ == FlockType::WriteLock && lock.pid == pid)
    };
    holds(WRITE) && !holds(CHECKPOINT) && !holds(RECOVER)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    use super::*;

    const FILE: &str = "REJOIN_TEST_LOCKED_FILE";

    /// In a process of its own: each line of its input is SQL, and answered when it is done.
    #[test]
    fn runs_sql_for_the_other_test() {
        let Some(file) = std::env::var_os(FILE) else { return };
        let connection = rusqlite::Connection::open(file).unwrap();
        for sql in std::io::stdin().lock().lines() {
            connection.execute_batch(&sql.unwrap()).unwrap();
            eprintln!("done");
        }
    }

    #[test]
    fn an_open_write_transaction_is_seen_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("some.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "harness::locks::tests::runs_sql_for_the_other_test"])
            .env(FILE, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut answers) =
            (child.stdin.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
        let mut after = |sql: &str| {
            writeln!(stdin, "{sql}").unwrap();
            let mut line = String::new();
            answers.read_line(&mut line).unwrap();
            assert_eq!(line, "done\n");
            is_writing(child.id(), &file)
        };
        assert!(!after("PRAGMA journal_mode = WAL; CREATE TABLE t (x)"));
        assert!(!after("BEGIN; SELECT * FROM t"), "a reader");
        assert!(after("COMMIT; BEGIN IMMEDIATE"));
        assert!(after("INSERT INTO t VALUES (1)"));
        assert!(!is_writing(1, &file), "not another process");
        assert!(!after("COMMIT"));
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}
