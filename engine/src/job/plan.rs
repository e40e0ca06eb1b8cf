//! What is due: pure, total functions over the rows that are not settled.

use std::collections::HashSet;

use super::{JobKind, JobState, LONGEST_WAIT, lease::Held};
use crate::Millis;

/// What the plan looks at.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) ordinal: i64,
    pub(crate) kind: JobKind,
    /// First in, first out. `None`: it stands in none, and waits for nothing.
    pub(crate) lane: Option<String>,
    pub(crate) state: JobState,
    pub(crate) next_attempt_at: Option<Millis>,
    pub(crate) deadline_at: Option<Millis>,
    /// Exactly while it is running.
    pub(crate) held: Option<Held>,
    /// Failures that count against the limit.
    pub(crate) charged: u64,
    pub(crate) attempt_limit: u64,
    pub(crate) dependencies: Dependencies,
    /// Someone here can do it.
    pub(crate) handled: bool,
    /// What follows from its death can be dispatched here: otherwise that is another process's.
    pub(crate) known: bool,
}

/// How those stand that a job comes after.
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
    /// To be begun now.
    pub(crate) due: Vec<i64>,
    /// To be settled as dead, and why.
    pub(crate) dying: Vec<(i64, String)>,
    /// When to look again, if nothing else happens.
    pub(crate) wake_at: Option<Millis>,
}

/// Judges rows in their order. Only the first of a lane can be due; a deadline strikes anywhere.
pub(crate) fn plan(rows: &[Facts], now: Millis) -> Plan {
    let mut plan = Plan::default();
    let mut lanes: HashSet<&str> = HashSet::new();
    for row in rows {
        let first = row.lane.as_deref().is_none_or(|lane| lanes.insert(lane));
        if let Some(why) = dies(row, now) {
            if row.known {
                plan.dying.push((row.ordinal, why));
            }
            continue;
        }
        if row.known {
            plan.wake(row.deadline_at);
        }
        if !first || !row.handled || row.dependencies != Dependencies::Done || row.state == JobState::Held {
            continue;
        }
        match ready(row.held, row.next_attempt_at, now) {
            Ready::Now { .. } => plan.due.push(row.ordinal),
            Ready::At(at) => plan.wake(Some(at)),
            Ready::Never => {}
        }
    }
    plan
}

impl Plan {
    /// Looks again then, or before.
    pub(crate) fn wake(&mut self, at: Option<Millis>) {
        self.wake_at = [self.wake_at, at].into_iter().flatten().min();
    }
}

/// Why it dies, if it does. One that is being done is let be: its outcome counts.
fn dies(row: &Facts, now: Millis) -> Option<String> {
    let orphan = row.held.is_some_and(|held| held.lapsed(now));
    if row.held.is_some() && !orphan {
        return None;
    }
    if let Dependencies::Dead(id) = &row.dependencies {
        return Some(format!("it comes after the effect {id}, which was not done"));
    }
    if row.deadline_at.is_some_and(|at| at <= now) {
        return Some("its deadline passed before it was done".to_owned());
    }
    // Whoever did it is gone without a word: that counts against the limit, or a job that kills its process would
    // kill processes for ever.
    let deaths = row.charged + 1;
    (orphan && deaths >= row.attempt_limit).then(|| killed(row, deaths))
}

/// What is known of an attempt that nobody ended.
pub(crate) const SENDER_DIED: &str = "the process that sent it ended before it was recorded";

fn killed(row: &Facts, deaths: u64) -> String {
    match row.kind {
        JobKind::Effect => format!("given up after {deaths} failed attempts: {SENDER_DIED}"),
        JobKind::Thunk if row.attempt_limit <= 1 => "the process that ran it ended before it did".to_owned(),
        JobKind::Thunk => format!("given up: {deaths} processes died while they ran it"),
    }
}

/// Whether something may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It may. `orphan`: its process died while it did it.
    Now { orphan: bool },
    /// Somebody else has it, or it failed: look again then.
    At(Millis),
    /// Somebody else has it, nobody knows how long.
    Never,
}

/// Of a job, and of a listener: after a failure it waits for its time, and for as long as somebody else holds it.
pub(crate) fn ready(held: Option<Held>, next_attempt_at: Option<Millis>, now: Millis) -> Ready {
    match held {
        Some(held) if !held.lapsed(now) => return held.until.map_or(Ready::Never, Ready::At),
        Some(_) => return Ready::Now { orphan: true },
        None => {}
    }
    let longest = Millis::try_from(LONGEST_WAIT.as_millis()).unwrap_or(Millis::MAX);
    match next_attempt_at {
        // "One further ahead than the longest delay counts as due": the clock was put back since.
        Some(at) if at > now && at - now <= longest => Ready::At(at),
        _ => Ready::Now { orphan: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::lease::LONGEST_LEASE;

    const NOW: Millis = 1_000_000_000;

    fn effect(ordinal: i64, lane: &str) -> Facts {
        Facts {
            ordinal,
            kind: JobKind::Effect,
            lane: Some(lane.to_owned()),
            state: JobState::Waiting,
            next_attempt_at: None,
            deadline_at: None,
            held: None,
            charged: 0,
            attempt_limit: 32,
            dependencies: Dependencies::Done,
            handled: true,
            known: true,
        }
    }

    fn thunk(ordinal: i64) -> Facts {
        Facts { kind: JobKind::Thunk, lane: None, attempt_limit: 5, ..effect(ordinal, "") }
    }

    fn until(at: Millis) -> Option<Held> {
        Some(Held { until: Some(at), owner_gone: false })
    }

    fn running(row: Facts, held: Option<Held>) -> Facts {
        Facts { state: JobState::Running, held, ..row }
    }

    fn due(rows: &[Facts]) -> Vec<i64> {
        plan(rows, NOW).due
    }

    #[test]
    fn the_first_of_each_lane_is_due_and_no_other_and_what_is_in_no_lane_waits_for_none() {
        let rows = [effect(1, "a"), effect(2, "b"), effect(3, "a"), effect(4, "c"), effect(5, "b")];
        assert_eq!(due(&rows), [1, 2, 4]);
        assert_eq!(due(&[thunk(1), thunk(2), Facts { handled: false, ..thunk(3) }]), [1, 2]);
    }

    #[test]
    fn a_lane_whose_head_cannot_go_holds_up_itself_alone() {
        let held = Facts { state: JobState::Held, ..effect(1, "a") };
        for head in [held, running(effect(1, "a"), until(NOW + 1))] {
            assert_eq!(due(&[head, effect(2, "a"), effect(3, "b")]), [3]);
        }
        let later = Facts { next_attempt_at: Some(NOW + 5_000), ..effect(1, "a") };
        let planned = plan(&[later, effect(2, "a"), effect(3, "b")], NOW);
        assert_eq!((planned.due, planned.wake_at), (vec![3], Some(NOW + 5_000)));
        let foreign = Facts { handled: false, ..effect(1, "a") };
        assert_eq!(due(&[foreign, effect(2, "a"), effect(3, "b")]), [3]);
    }

    #[test]
    fn what_comes_after_another_waits_for_it_and_dies_with_it_where_its_slices_are_known() {
        let open = Facts { dependencies: Dependencies::Open, ..effect(1, "a") };
        assert_eq!(due(&[open]), [0_i64; 0]);
        let orphan = Facts { dependencies: Dependencies::Dead("x".into()), ..effect(1, "a") };
        let planned = plan(std::slice::from_ref(&orphan), NOW);
        assert_eq!(planned.due, [0_i64; 0]);
        assert!(planned.dying[0].1.contains("effect x"));
        assert_eq!(plan(&[Facts { known: false, ..orphan }], NOW), Plan::default());
    }

    #[test]
    fn a_time_further_ahead_than_the_longest_delay_counts_as_due() {
        let years = NOW + 10 * 365 * 86_400_000;
        assert_eq!(due(&[Facts { next_attempt_at: Some(years), ..effect(1, "a") }]), [1]);
        assert_eq!(due(&[running(effect(1, "a"), until(years))]), [1]);
    }

    #[test]
    fn a_lease_holds_until_it_runs_out_or_its_owner_is_seen_to_be_gone() {
        for row in [effect(1, "a"), thunk(1)] {
            let held = running(row.clone(), until(NOW + 10));
            assert_eq!(plan(&[held], NOW), Plan { wake_at: Some(NOW + 10), ..Plan::default() });
            let gone = Some(Held { until: Some(NOW + 10), owner_gone: true });
            for lapsed in [until(NOW), until(NOW + LONGEST_LEASE + 1), gone] {
                assert_eq!(due(&[running(row.clone(), lapsed)]), [1]);
            }
        }
    }

    #[test]
    fn an_orphan_dies_where_it_may_not_be_begun_twice_and_where_it_kills_its_processes() {
        let why = |row: Facts| plan(&[row], NOW).dying.pop().map(|(_, why)| why);
        for handled in [true, false] {
            let once = Facts { attempt_limit: 1, handled, ..running(thunk(1), until(NOW)) };
            assert_eq!(why(once).unwrap(), "the process that ran it ended before it did");
            let deadly = Facts { charged: 4, handled, ..running(thunk(1), until(NOW)) };
            assert_eq!(why(deadly).unwrap(), "given up: 5 processes died while they ran it");
            let deadly = Facts { charged: 31, handled, ..running(effect(1, "a"), until(NOW)) };
            assert!(why(deadly).unwrap().starts_with("given up after 32 failed attempts: the process"));
        }
        assert_eq!(due(&[Facts { attempt_limit: 1, ..thunk(1) }]), [1], "nobody has begun it");
    }

    #[test]
    fn a_deadline_strikes_anywhere_but_not_what_is_being_sent() {
        let over = Facts { deadline_at: Some(NOW), ..effect(2, "a") };
        let sent = Facts { deadline_at: Some(NOW - 5), ..running(effect(1, "a"), until(NOW + 10)) };
        let planned = plan(&[sent, over], NOW);
        assert_eq!(planned.due, [0_i64; 0]);
        assert_eq!(planned.dying.iter().map(|d| d.0).collect::<Vec<_>>(), [2]);
        let coming =
            Facts { deadline_at: Some(NOW + 50), next_attempt_at: Some(NOW + 100), ..effect(1, "a") };
        assert_eq!(plan(&[coming], NOW).wake_at, Some(NOW + 50));
    }

    #[test]
    fn what_failed_waits_and_what_lost_its_process_does_not() {
        assert_eq!(ready(None, None, NOW), Ready::Now { orphan: false });
        assert_eq!(ready(None, Some(NOW + 5), NOW), Ready::At(NOW + 5));
        assert_eq!(ready(None, Some(NOW), NOW), Ready::Now { orphan: false });
        assert_eq!(ready(until(NOW + 5), None, NOW), Ready::At(NOW + 5));
        assert_eq!(ready(until(NOW), None, NOW), Ready::Now { orphan: true });
    }
}
