//! The faults that the simulator strikes with, and how often each of them did.

use std::fmt::Write;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// A request never arrives.
    RequestLost,
    /// The server has done its part, and the reply never arrives.
    ReplyLost,
    /// A message takes seconds, or longer than anybody waits for it.
    Delay,
    /// The server gets a request twice.
    RequestTwice,
    /// The client gets a reply twice.
    ReplyTwice,
    /// A reply ends before its end.
    CutReply,
    /// What answers is a page of somebody else, with status 200 or a redirect.
    CaptivePortal,
    /// 429 or 503 with `Retry-After`.
    Busy,
    /// An event is lost on its way.
    EventLost,
    /// An event comes twice.
    EventTwice,
    /// An event comes seconds late, after others and after polls.
    EventLate,
    /// A client has no network for a while.
    Partition,
    /// A client's process dies, and starts again from its disk.
    ClientCrash,
    /// A commit of a client fails: the disk was full for a moment.
    CommitFailed,
    /// The server's process dies, and starts again from its disk.
    ServerCrash,
    /// A client's store is replaced by a copy of another one's, which goes on as well.
    StoreCloned,
    /// A client's store is put back from an earlier copy of it.
    StoreRestored,
    /// The server loses everything.
    ServerWiped,
    /// The server is put back from an earlier copy, and is written to.
    ServerRestored,
    /// A change on which the library panics lands in the log.
    HostileChange,
    /// A stranger pushes a batch with bad changes among good ones.
    BadBatch,
    /// A change says that it is another one written again, and is not.
    Liar,
    /// Another process edits on a client's store.
    OtherProcess,
    /// A client's wall clock jumps.
    ClockJump,
    /// A client forgets a document and joins it again.
    Rejoined,
    /// A change has a time or counters that no honest one has, or there are very many beside each other.
    Numbers,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::RequestLost,
        Self::ReplyLost,
        Self::Delay,
        Self::RequestTwice,
        Self::ReplyTwice,
        Self::CutReply,
        Self::CaptivePortal,
        Self::Busy,
        Self::EventLost,
        Self::EventTwice,
        Self::EventLate,
        Self::Partition,
        Self::ClientCrash,
        Self::CommitFailed,
        Self::ServerCrash,
        Self::StoreCloned,
        Self::StoreRestored,
        Self::ServerWiped,
        Self::ServerRestored,
        Self::HostileChange,
        Self::BadBatch,
        Self::Liar,
        Self::OtherProcess,
        Self::ClockJump,
        Self::Rejoined,
        Self::Numbers,
    ];
}

/// How often each fault struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strikes([u64; Fault::ALL.len()]);

impl Strikes {
    /// One more.
    pub(super) fn strike(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often this one struck.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
    }

    /// The faults that struck less often than this.
    pub fn below(&self, least: u64) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| self.of(*fault) < least).collect()
    }

    /// A table, a fault a line.
    pub fn to_table(&self) -> String {
        Fault::ALL.into_iter().fold(String::new(), |mut table, fault| {
            let _ = writeln!(table, "{:>9}  {fault:?}", self.of(fault));
            table
        })
    }
}
