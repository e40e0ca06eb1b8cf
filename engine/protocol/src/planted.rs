//! Known bugs that a test can switch on, in the code that ships, to see that the simulator finds them.
//! Without the feature `planted-bugs` every switch is a constant `false` and costs nothing.

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// The queue row is written in another transaction than its change (breaks invariant 1).
    QueueRowApart,
    /// The cursor is stored before the changes it counts (breaks invariant 4).
    CursorBeforeCommit,
    /// A queue row goes when the change was accepted, before the cursor covers it (breaks invariant 2).
    RowGoneEarly,
    /// One bad change fails the whole batch (breaks invariant 6).
    BadChangeFailsBatch,
    /// Any reply with status 200 acknowledges (breaks invariant 2).
    AnyOkAcknowledges,
    /// A dispatch during an upload does not wake the sync again (breaks liveness).
    LostWakeUp,
    /// The changes of an event are taken whatever the cursor is (breaks invariant 4).
    EventAtOtherCursor,
    /// A snapshot claims a position past a change that it leaves out (breaks invariant 10).
    SnapshotPastHole,
    /// After a fork the actions are dispatched again instead of being rewritten (breaks invariant 5).
    DispatchAgainAfterFork,
    /// An undo puts back what was there before, over what somebody else wrote at the same time (breaks the promise
    /// of undo).
    UndoOverOthers,
    /// The undo of a deletion brings back what somebody else has undone the typing of (breaks the promise of undo).
    UndoneComesBack,
    /// A change that names another one in `was` is taken for it, proved or not (breaks "a claim is proved or ignored").
    ClaimBelieved,
    /// The fence lets any time and any counter through (breaks "every honest person can go on").
    NumbersUnbounded,
    /// Nobody looks whether what an operation refers to is there (breaks "all leave out the same").
    ReferencesUnchecked,
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static INTERRUPTS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Whether the process "dies" right here: between the two halves that a planted bug tears apart. Every
/// fourth time.
#[cfg(feature = "planted-bugs")]
pub fn interrupts() -> bool {
    INTERRUPTS.with(|n| {
        n.set(n.get().wrapping_add(1));
        n.get() % 4 == 0
    })
}

/// Whether the process "dies" right here: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn interrupts() -> bool {
    false
}

/// Switches one bug on for this thread, or all off.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.with(|p| p.set(bug));
}

/// Whether `bug` is switched on for this thread.
#[cfg(feature = "planted-bugs")]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.with(|p| p.get() == Some(bug))
}

/// Whether `bug` is switched on: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
