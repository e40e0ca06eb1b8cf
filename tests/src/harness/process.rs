//! A process that ends with its handle.

use std::{
    process::{Child, ExitStatus},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

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

    /// Sends a signal. One that has ended already is left alone.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
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
        self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            let mut states = self.states();
            // A thread that has ended, and with the last one the process.
            states.retain(|state| !"ZX".contains(*state));
            if states.is_empty() {
                return false;
            }
            if states.iter().all(|state| *state == 'T') {
                return true;
            }
            std::thread::yield_now();
        }
        panic!("process {} does not stop", self.id());
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// What each thread does: `T` for one that stands still.
    fn states(&self) -> Vec<char> {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.id())) else { return Vec::new() };
        let state = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        };
        threads.filter_map(state).collect()
    }

    /// The most memory it has had, in KiB (`VmHWM`), and each process that it started and that is there: at most what
    /// they had at once.
    pub fn peak_kib(&self) -> u64 {
        peak_kib(self.id())
    }

    /// Looks at [`Proc::peak_kib`] again and again, for processes that end in the meantime.
    pub fn watch_peak(&self) -> PeakWatch {
        let (id, (stop, stopped)) = (self.id(), channel());
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PeakWatch::EVERY) {
                peak = peak_kib(id).max(peak);
            }
            peak_kib(id).max(peak)
        });
        PeakWatch { stop, thread }
    }

    /// The memory it has now, in KiB (`VmRSS`).
    pub fn resident_kib(&self) -> u64 {
        status_kib(self.id(), "VmRSS:")
    }
}

/// A watch on the memory of a process and of those that it starts.
#[derive(Debug)]
pub struct PeakWatch {
    stop: Sender<()>,
    thread: JoinHandle<u64>,
}

impl PeakWatch {
    /// Processes of the server live for a second at least after they worked.
    const EVERY: Duration = Duration::from_millis(100);

    /// The most that was seen, in KiB.
    pub fn end(self) -> u64 {
        drop(self.stop);
        self.thread.join().expect("it only looks")
    }
}

fn peak_kib(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = threads.flat_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
    });
    status_kib(process, "VmHWM:") + children.map(|id| status_kib(id, "VmHWM:")).sum::<u64>()
}

fn status_kib(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill();
    }
}
