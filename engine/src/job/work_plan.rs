//! What is to be done with a thunk, or a listener, at this moment: pure and total.

use super::{LONGEST_WAIT, Orphan, lease::Held};
use crate::Millis;

/// A thunk that may be resumed is rejected when so many processes died while they ran it: or one that kills its
/// process would kill processes for ever.
const DEATHS: u64 = 5;

/// What is known of a pending thunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) held: Option<Held>,
    pub(crate) on_death: Orphan,
    pub(crate) deaths: u64,
    /// It is registered here.
    pub(crate) handled: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Run it; `orphan`: its process died while it ran.
    Run { orphan: bool },
    /// It ends.
    Reject(String),
    /// Somebody else has it, or it has failed: look again then.
    Wait(Millis),
    /// It is not for this process.
    Leave,
}

pub(crate) fn step(row: Pending, now: Millis) -> Step {
    let run = |orphan: bool| if row.handled { Step::Run { orphan } } else { Step::Leave };
    match row.held {
        None => run(false),
        Some(held) if !held.lapsed(now) => held.until.map_or(Step::Leave, Step::Wait),
        Some(_) if row.on_death == Orphan::Reject => {
            Step::Reject("the process that ran it ended before it did".to_owned())
        }
        Some(_) if row.deaths + 1 >= DEATHS => {
            Step::Reject(format!("given up: {} processes died while they ran it", row.deaths + 1))
        }
        Some(_) => run(true),
    }
}

/// When a listener may go on: after a failure, and when nobody else has it. It is never rejected.
pub(crate) fn listener_step(held: Option<Held>, next_attempt_at: Option<Millis>, now: Millis) -> Step {
    match held {
        Some(held) if !held.lapsed(now) => return held.until.map_or(Step::Leave, Step::Wait),
        Some(_) => return Step::Run { orphan: true },
        None => {}
    }
    let longest = Millis::try_from(LONGEST_WAIT.as_millis()).unwrap_or(Millis::MAX);
    match next_attempt_at {
        // "One further ahead than the longest delay counts as due": the clock was put back since.
        Some(at) if at > now && at - now <= longest => Step::Wait(at),
        _ => Step::Run { orphan: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000;

    fn pending(held: Option<Held>) -> Pending {
        Pending { held, on_death: Orphan::Resume, deaths: 0, handled: true }
    }

    fn until(at: Millis) -> Option<Held> {
        Some(Held { until: Some(at), owner_gone: false })
    }

    #[test]
    fn what_nobody_has_is_run_where_it_is_registered() {
        assert_eq!(step(pending(None), NOW), Step::Run { orphan: false });
        assert_eq!(step(Pending { handled: false, ..pending(None) }, NOW), Step::Leave);
    }

    #[test]
    fn a_lease_holds_until_it_runs_out_or_its_owner_is_seen_to_be_gone() {
        assert_eq!(step(pending(until(NOW + 1)), NOW), Step::Wait(NOW + 1));
        assert_eq!(step(pending(until(NOW)), NOW), Step::Run { orphan: true });
        let gone = Some(Held { until: Some(NOW + 1), owner_gone: true });
        assert_eq!(step(pending(gone), NOW), Step::Run { orphan: true });
        assert_eq!(
            step(pending(until(NOW + crate::job::lease::LONGEST_LEASE + 1)), NOW),
            Step::Run { orphan: true }
        );
    }

    #[test]
    fn an_orphan_ends_where_it_chose_to_and_where_it_kills_its_processes() {
        let reject = Pending { on_death: Orphan::Reject, handled: false, ..pending(until(NOW)) };
        assert!(matches!(step(reject, NOW), Step::Reject(_)));
        assert_eq!(step(Pending { held: None, handled: true, ..reject }, NOW), Step::Run { orphan: false });
        let deadly = Pending { deaths: DEATHS - 1, handled: false, ..pending(until(NOW)) };
        assert!(matches!(step(deadly, NOW), Step::Reject(_)));
    }

    #[test]
    fn a_listener_that_failed_waits_and_one_whose_process_died_does_not() {
        assert_eq!(listener_step(None, None, NOW), Step::Run { orphan: false });
        assert_eq!(listener_step(None, Some(NOW + 5), NOW), Step::Wait(NOW + 5));
        assert_eq!(listener_step(None, Some(NOW), NOW), Step::Run { orphan: false });
        assert_eq!(listener_step(None, Some(NOW * 1_000_000), NOW), Step::Run { orphan: false });
        assert_eq!(listener_step(until(NOW + 5), None, NOW), Step::Wait(NOW + 5));
        assert_eq!(listener_step(until(NOW), None, NOW), Step::Run { orphan: true });
    }
}
