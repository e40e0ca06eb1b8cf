//! The simulator as a test: it finds nothing in the shipped code, and everything that is planted.

use rejoin::planted::Bug;
use rejoin_tests::{
    harness::size,
    sim::{self, Options, Report, Strikes},
};

/// Each planted bug must be found within so many seeds.
const FOUND_WITHIN: u64 = 150;
/// Undos and redos that must come to something, a seed.
const UNDOS: u64 = 8;
/// Each fault must strike so often in a thousand seeds: a promise that was never tested is none. In fewer seeds the rare
/// ones strike by chance.
const STRIKES: u64 = 1_000;
/// As many strikes in the few seeds of a small run.
const STRIKES_OF_FEW: u64 = 25;

fn complain(report: &Report, bug: Option<Bug>) {
    if let Some(violation) = &report.violation {
        panic!("seed {}: {violation}\nreplay: {}", report.seed, sim::replay_command(report.seed, bug));
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    sim::quiet();
    for (seed, what) in sim::REGRESSIONS {
        eprintln!("seed {seed}: {what}");
        complain(&sim::run(seed, Options::default()), None);
    }
    let (mut strikes, mut actions, mut undos) = (Strikes::default(), 0, 0);
    let (seeds, least) = size((100, STRIKES_OF_FEW), (1_000, STRIKES));
    for report in sim::run_many(0..seeds, Options::default()) {
        complain(&report, None);
        strikes.add(&report.strikes);
        actions += report.actions;
        undos += report.undos;
    }
    eprintln!("{actions} actions in {seeds} seeds, of these {undos} undos and redos\n{}", strikes.to_table());
    assert!(actions >= 50 * seeds, "at least 50 actions a seed");
    assert!(undos >= UNDOS * seeds, "at least {UNDOS} undos and redos a seed");
    assert_eq!(strikes.below(least), [], "each fault strikes at least {least} times");
}

#[test]
fn a_seed_replays_exactly() {
    sim::quiet();
    for seed in [3, 57, 161, 170, 295] {
        let (one, two) = (sim::run(seed, Options::default()), sim::run(seed, Options::default()));
        assert_eq!(one.trace_hash, two.trace_hash, "seed {seed}");
        assert_eq!(one.strikes, two.strikes, "seed {seed}");
    }
}

fn is_found(bug: Bug) {
    sim::quiet();
    let options = Options { bug: Some(bug), keep_trace: false };
    let found = sim::run_many(0..FOUND_WITHIN, options).find(|report| report.violation.is_some());
    let Some(Report { seed, violation: Some(violation), .. }) = found else {
        panic!("{bug:?} was not found in {FOUND_WITHIN} seeds");
    };
    eprintln!("{bug:?} is found by seed {seed}: {violation}");
}

#[test]
fn a_queue_row_in_another_transaction_is_found() {
    is_found(Bug::QueueRowApart);
}

#[test]
fn a_cursor_before_its_commit_is_found() {
    is_found(Bug::CursorBeforeCommit);
}

#[test]
fn a_row_gone_before_the_cursor_covers_it_is_found() {
    is_found(Bug::RowGoneEarly);
}

#[test]
fn one_bad_change_that_fails_its_batch_is_found() {
    is_found(Bug::BadChangeFailsBatch);
}

#[test]
fn an_acknowledgement_by_any_ok_is_found() {
    is_found(Bug::AnyOkAcknowledges);
}

#[test]
fn a_lost_wake_up_is_found() {
    is_found(Bug::LostWakeUp);
}

#[test]
fn a_snapshot_past_a_change_that_it_leaves_out_is_found() {
    is_found(Bug::SnapshotPastHole);
}

#[test]
fn an_event_taken_at_another_cursor_is_found() {
    is_found(Bug::EventAtOtherCursor);
}

#[test]
fn actions_dispatched_again_after_a_fork_are_found() {
    is_found(Bug::DispatchAgainAfterFork);
}

#[test]
fn an_undo_over_what_others_wrote_is_found() {
    is_found(Bug::UndoOverOthers);
}

#[test]
fn a_claim_that_is_believed_is_found() {
    is_found(Bug::ClaimBelieved);
}

#[test]
fn a_fence_that_lets_any_number_through_is_found() {
    is_found(Bug::NumbersUnbounded);
}

#[test]
fn references_that_nobody_looks_up_are_found() {
    is_found(Bug::ReferencesUnchecked);
}
