//! What is due: a pure, total function over the rows that are not settled.

use std::collections::HashSet;

use super::{EffectState, LONGEST_WAIT, lease::lapsed};
use crate::Millis;

/// What the plan looks at.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) ordinal: i64,
    pub(crate) lane: String,
    pub(crate) state: EffectState,
    pub(crate) next_attempt_at: Option<Millis>,
    pub(crate) deadline_at: Option<Millis>,
    pub(crate) lease_until: Option<Millis>,
    /// Who holds the lease is known to be gone.
    pub(crate) owner_gone: bool,
    pub(crate) dependencies: Dependencies,
    /// Someone here can send it.
    pub(crate) handled: bool,
    /// What follows from it can be dispatched here: otherwise it is another process's.
    pub(crate) known: bool,
}

/// How those stand that an effect comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dependencies {
    Done,
    Open,
    /// One of them died or was dropped.
    Dead(String),
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// To be sent now.
    pub(crate) due: Vec<i64>,
    /// To be settled as dead, and why.
    pub(crate) dying: Vec<(i64, String)>,
    /// When to look again, if nothing else happens.
    pub(crate) wake_at: Option<Millis>,
}

/// Judges rows in their order. Only the first of a lane can be due; a deadline strikes anywhere.
pub(crate) fn plan(rows: &[Row], now: Millis) -> Plan {
    let mut plan = Plan::default();
    let mut lanes: HashSet<&str> = HashSet::new();
    for row in rows {
        let first = lanes.insert(&row.lane);
        if !row.known {
            continue;
        }
        if let Some(why) = dies(row, now) {
            plan.dying.push((row.ordinal, why));
            continue;
        }
        plan.wake(row.deadline_at);
        if !first || !row.handled || row.dependencies != Dependencies::Done {
            continue;
        }
        match ready_at(row, now) {
            Ready::Now => plan.due.push(row.ordinal),
            Ready::At(at) => plan.wake(Some(at)),
            Ready::Never => {}
        }
    }
    plan
}

impl Plan {
    fn wake(&mut self, at: Option<Millis>) {
        self.wake_at = [self.wake_at, at].into_iter().flatten().min();
    }
}

/// Why it dies, if it does. One that is being sent is let be: its outcome counts.
fn dies(row: &Row, now: Millis) -> Option<String> {
    if row.state == EffectState::Running && !lapsed(row.owner_gone, row.lease_until, now) {
        return None;
    }
    if let Dependencies::Dead(id) = &row.dependencies {
        return Some(format!("it comes after the effect {id}, which was not done"));
    }
    let over = row.deadline_at.is_some_and(|at| at <= now);
    over.then(|| "its deadline passed before it was done".to_owned())
}

enum Ready {
    Now,
    At(Millis),
    Never,
}

fn ready_at(row: &Row, now: Millis) -> Ready {
    match row.state {
        EffectState::Waiting => match row.next_attempt_at {
            // "One further ahead than the longest delay counts as due": the clock was put back since.
            Some(at) if at > now && at - now <= longest_wait() => Ready::At(at),
            _ => Ready::Now,
        },
        EffectState::Running if lapsed(row.owner_gone, row.lease_until, now) => Ready::Now,
        EffectState::Running => row.lease_until.map_or(Ready::Never, Ready::At),
        _ => Ready::Never,
    }
}

fn longest_wait() -> Millis {
    Millis::try_from(LONGEST_WAIT.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000_000;

    fn row(ordinal: i64, lane: &str) -> Row {
        Row {
            ordinal,
            lane: lane.to_owned(),
            state: EffectState::Waiting,
            next_attempt_at: None,
            deadline_at: None,
            lease_until: None,
            owner_gone: false,
            dependencies: Dependencies::Done,
            handled: true,
            known: true,
        }
    }

    fn due(rows: &[Row]) -> Vec<i64> {
        plan(rows, NOW).due
    }

    #[test]
    fn the_first_of_each_lane_is_due_and_no_other() {
        let rows = [row(1, "a"), row(2, "b"), row(3, "a"), row(4, "c"), row(5, "b")];
        assert_eq!(due(&rows), [1, 2, 4]);
    }

    #[test]
    fn a_lane_whose_head_cannot_go_holds_up_itself_alone() {
        for state in [EffectState::Held, EffectState::Running] {
            let head = Row { state, lease_until: Some(NOW + 1), ..row(1, "a") };
            assert_eq!(due(&[head, row(2, "a"), row(3, "b")]), [3]);
        }
        let later = Row { next_attempt_at: Some(NOW + 5_000), ..row(1, "a") };
        let planned = plan(&[later, row(2, "a"), row(3, "b")], NOW);
        assert_eq!((planned.due, planned.wake_at), (vec![3], Some(NOW + 5_000)));
        for foreign in [Row { handled: false, ..row(1, "a") }, Row { known: false, ..row(1, "a") }] {
            assert_eq!(due(&[foreign, row(2, "a"), row(3, "b")]), [3]);
        }
    }

    #[test]
    fn what_comes_after_another_waits_for_it_and_dies_with_it() {
        let open = Row { dependencies: Dependencies::Open, ..row(1, "a") };
        assert_eq!(due(&[open]), [0_i64; 0]);
        let orphan = Row { dependencies: Dependencies::Dead("x".into()), ..row(1, "a") };
        let planned = plan(&[orphan], NOW);
        assert_eq!(planned.due, [0_i64; 0]);
        assert!(planned.dying[0].1.contains("effect x"));
    }

    #[test]
    fn a_time_further_ahead_than_the_longest_delay_counts_as_due() {
        let years = Row { next_attempt_at: Some(NOW + 10 * 365 * 86_400_000), ..row(1, "a") };
        assert_eq!(due(&[years]), [1]);
        let years = Row {
            state: EffectState::Running,
            lease_until: Some(NOW + 10 * 365 * 86_400_000),
            ..row(1, "a")
        };
        assert_eq!(due(&[years]), [1]);
    }

    #[test]
    fn a_lease_that_ran_out_or_whose_owner_is_gone_is_taken_over() {
        let held = Row { state: EffectState::Running, lease_until: Some(NOW + 10), ..row(1, "a") };
        assert_eq!(plan(std::slice::from_ref(&held), NOW).wake_at, Some(NOW + 10));
        assert_eq!(due(&[Row { lease_until: Some(NOW), ..held.clone() }]), [1]);
        assert_eq!(due(&[Row { owner_gone: true, ..held }]), [1]);
    }

    #[test]
    fn a_deadline_strikes_anywhere_but_not_what_is_being_sent() {
        let over = Row { deadline_at: Some(NOW), ..row(2, "a") };
        let sent = Row {
            state: EffectState::Running,
            lease_until: Some(NOW + 10),
            deadline_at: Some(NOW - 5),
            ..row(1, "a")
        };
        let planned = plan(&[sent, over], NOW);
        assert_eq!(planned.due, [0_i64; 0]);
        assert_eq!(planned.dying.iter().map(|d| d.0).collect::<Vec<_>>(), [2]);
        let coming = Row { deadline_at: Some(NOW + 50), next_attempt_at: Some(NOW + 100), ..row(1, "a") };
        assert_eq!(plan(&[coming], NOW).wake_at, Some(NOW + 50));
    }
}
