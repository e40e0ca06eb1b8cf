use std::{
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

/// A process that does not outlive its handle.
#[derive(Debug)]
pub struct Proc {
    /// The process.
    pub child: Child,
}

impl Proc {
    /// Takes over a process.
    pub fn new(child: Child) -> Self {
        Self { child }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `KILL`, `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).output();
        sent.expect("kill can be started");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        // One that has ended already is as good.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for")
    }

    /// Stops the process where it is and waits until it stands still, so that what it is in the middle of can
    /// be looked at before it is killed. `false` when it has ended instead.
    pub fn freeze(&mut self) -> bool {
        self.signal("STOP");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            match self.state() {
                Some('T') => return true,
                Some('Z' | 'X') | None => return false,
                _ => std::thread::yield_now(),
            }
        }
        panic!("process {} does not stop", self.id());
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// The most memory it has had, in KiB (`VmHWM`).
    pub fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// The memory it has now, in KiB (`VmRSS`).
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix(field));
        line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether some process is inside a write transaction on this SQLite file right now. Asked of a frozen
/// process's file it tells what a kill will tear.
pub fn is_write_locked(file: &Path) -> bool {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = rusqlite::Connection::open_with_flags(file, flags) else { return false };
    if connection.busy_timeout(Duration::ZERO).is_err() {
        return false;
    }
    match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => false,
        Err(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy),
    }
}
