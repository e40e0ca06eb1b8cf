//! What to do next: one total function of the store's facts and of what this run knows.

use super::facts::Facts;

/// What one run of a session has learnt. It may vanish at any time: the next run learns it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Rows that waited when the run began.
    pub owed: u64,
    /// Rows that this run brought to the server, or parked. Rows are taken oldest first, so once this reaches
    /// `owed`, everything that was there at the start is at the server; what came later is the next run's.
    pub offered: u64,
    /// The last page of this run reached the log's end.
    pub end_reached: bool,
    /// The log is read from its beginning, with changes that are here already.
    pub from_the_beginning: bool,
    /// No snapshot is asked for: the last could not be taken.
    pub no_snapshot: bool,
    /// Healing has offered what the server lacks, and reads its log.
    pub reading: bool,
    /// A change was refused because the log holds another, or the same in another spelling: the log is read to its
    /// end before anything more is pushed.
    pub read_first: bool,
    /// The server has no such document.
    pub nothing_there: bool,
    /// The server refused a push of this run, because this token may not write here: what it said. The log is read all the
    /// same.
    pub only_read: Option<String>,
    /// With this refusal it was noted that the document has not begun there.
    pub told_not_begun: bool,
    /// At its end, what waited for one that found room was offered.
    pub offered_parked: bool,
    /// The server was told of the deletion in this run, or asked whether it stands.
    pub tombstone_told: bool,
}

/// The next move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Tell the server that the document is deleted.
    Delete,
    /// Ask the server that said once that the document is deleted whether it says so again.
    AskAgain,
    /// Fetch the first copy as one file.
    Snapshot,
    /// Find out what the server lacks, and offer it.
    Heal,
    /// Push, which pulls as well.
    Push,
    /// Pull.
    Pull,
    /// Nothing is left to do.
    Finish(Finish),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    InStep,
    NotThere,
    Deleted,
    OwedElsewhere,
}

pub(super) fn plan(facts: &Facts, run: &Run) -> Move {
    // "A client that was told `deleted` by the server where the document lives keeps the tombstone, and sends the DELETE
    // again to that server, and to no other." Once a run it is sent whatever the server offers: that costs one small
    // request. A tombstone that was heard of once may have been another's word under this address: it is asked for.
    if facts.tombstone_owed || facts.tombstone_known {
        return match (facts.tombstone_here, run.tombstone_told && !facts.tombstone_owed) {
            (true, false) if facts.tombstone_owed || facts.tombstone_sure => Move::Delete,
            (true, false) => Move::AskAgain,
            (false, _) if facts.tombstone_owed => Move::Finish(Finish::OwedElsewhere),
            _ => Move::Finish(Finish::Deleted),
        };
    }
    if facts.healing {
        // What was offered is proven by a cursor only: the log is read to its end, and the server asked again.
        return if run.reading && !run.end_reached { Move::Pull } else { Move::Heal };
    }
    if facts.cursor.is_none() && !run.from_the_beginning {
        // Changes that are not in the queue and a log that was never read: imported, or restored.
        if facts.unqueued > 0 {
            return Move::Heal;
        }
        if facts.changes == 0 && facts.waiting == 0 && !run.no_snapshot && !run.nothing_there {
            return Move::Snapshot;
        }
    }
    if facts.waiting > 0 && run.offered < run.owed && !run.read_first && run.only_read.is_none() {
        return Move::Push;
    }
    if run.nothing_there && facts.cursor.is_none() {
        return Move::Finish(Finish::NotThere);
    }
    if run.end_reached && (facts.sent == 0 || run.only_read.is_some()) {
        return Move::Finish(Finish::InStep);
    }
    if facts.sent > 0 && run.end_reached {
        // Accepted, and not among what was read up to the log's end: offered again, which costs nothing where
        // the server holds it.
        return Move::Push;
    }
    Move::Pull
}

#[cfg(test)]
mod tests {
    use crate::Cursor;

    use super::*;

    fn fresh() -> Facts {
        Facts::default()
    }

    fn known() -> Facts {
        Facts { cursor: Cursor::parse("5.aa"), changes: 5, unqueued: 5, ..fresh() }
    }

    #[test]
    fn a_tombstone_is_told_before_anything_else() {
        let owed = Facts { tombstone_owed: true, tombstone_here: true, waiting: 3, healing: true, ..known() };
        assert_eq!(plan(&owed, &Run { owed: 3, ..Run::default() }), Move::Delete);
    }

    #[test]
    fn a_known_tombstone_is_told_again_once_a_run() {
        let facts = Facts { tombstone_known: true, tombstone_here: true, tombstone_sure: true, ..known() };
        assert_eq!(plan(&facts, &Run::default()), Move::Delete);
        let told = Run { tombstone_told: true, ..Run::default() };
        assert_eq!(plan(&facts, &told), Move::Finish(Finish::Deleted));
    }

    #[test]
    fn a_tombstone_that_was_heard_of_once_is_asked_for_once_a_run() {
        let facts = Facts { tombstone_known: true, tombstone_here: true, ..known() };
        assert_eq!(plan(&facts, &Run::default()), Move::AskAgain);
        let asked = Run { tombstone_told: true, ..Run::default() };
        assert_eq!(plan(&facts, &asked), Move::Finish(Finish::Deleted));
    }

    #[test]
    fn a_tombstone_is_told_to_its_own_server_and_to_no_other() {
        let elsewhere = Facts { tombstone_known: true, waiting: 2, ..known() };
        assert_eq!(plan(&elsewhere, &Run::default()), Move::Finish(Finish::Deleted));
        let owed = Facts { tombstone_owed: true, waiting: 2, ..known() };
        assert_eq!(plan(&owed, &Run::default()), Move::Finish(Finish::OwedElsewhere));
    }

    #[test]
    fn a_joined_document_begins_with_a_snapshot() {
        assert_eq!(plan(&fresh(), &Run::default()), Move::Snapshot);
    }

    #[test]
    fn a_snapshot_that_could_not_be_taken_is_replaced_by_raw_changes() {
        assert_eq!(plan(&fresh(), &Run { no_snapshot: true, ..Run::default() }), Move::Pull);
    }

    #[test]
    fn a_joined_document_that_nobody_pushed_is_quietly_done() {
        let run = Run { nothing_there: true, ..Run::default() };
        assert_eq!(plan(&fresh(), &run), Move::Finish(Finish::NotThere));
    }

    #[test]
    fn edits_of_a_document_that_nobody_pushed_begin_it() {
        let facts = Facts { waiting: 1, changes: 1, ..fresh() };
        let run = Run { nothing_there: true, owed: 1, ..Run::default() };
        assert_eq!(plan(&facts, &run), Move::Push);
    }

    #[test]
    fn a_new_document_is_pushed() {
        let facts = Facts { waiting: 1_000, changes: 1_000, ..fresh() };
        assert_eq!(plan(&facts, &Run { owed: 1_000, ..Run::default() }), Move::Push);
    }

    #[test]
    fn imported_or_restored_changes_are_healed_first() {
        let facts = Facts { changes: 10, unqueued: 4, waiting: 6, ..fresh() };
        assert_eq!(plan(&facts, &Run { owed: 6, ..Run::default() }), Move::Heal);
        let healed = Run { from_the_beginning: true, owed: 6, ..Run::default() };
        assert_eq!(plan(&facts, &healed), Move::Push);
    }

    #[test]
    fn a_cursor_that_the_server_does_not_know_is_healed_first() {
        let facts = Facts { healing: true, waiting: 2, ..known() };
        assert_eq!(plan(&facts, &Run { owed: 2, ..Run::default() }), Move::Heal);
    }

    #[test]
    fn after_a_fork_the_log_is_read_to_its_end_before_anything_is_pushed() {
        let facts = Facts { waiting: 2, ..known() };
        let run = Run { owed: 2, read_first: true, ..Run::default() };
        assert_eq!(plan(&facts, &run), Move::Pull);
    }

    #[test]
    fn healing_reads_the_log_to_its_end_and_asks_again() {
        let facts = Facts { healing: true, cursor: None, ..known() };
        let reading = Run { reading: true, ..Run::default() };
        assert_eq!(plan(&facts, &reading), Move::Pull);
        assert_eq!(plan(&facts, &Run { end_reached: true, ..reading }), Move::Heal);
    }

    #[test]
    fn a_push_comes_before_a_pull_because_it_pulls_too() {
        let facts = Facts { waiting: 2, ..known() };
        assert_eq!(plan(&facts, &Run { owed: 2, ..Run::default() }), Move::Push);
    }

    #[test]
    fn who_may_not_push_reads_the_log_to_its_end() {
        for facts in [Facts { waiting: 2, ..known() }, Facts { sent: 2, ..known() }] {
            let run = Run { owed: 2, only_read: Some("403".into()), ..Run::default() };
            assert_eq!(plan(&facts, &run), Move::Pull);
            assert_eq!(plan(&facts, &Run { end_reached: true, ..run }), Move::Finish(Finish::InStep));
        }
    }

    #[test]
    fn without_anything_to_push_the_log_is_read_to_its_end() {
        assert_eq!(plan(&known(), &Run::default()), Move::Pull);
        let end = Run { end_reached: true, ..Run::default() };
        assert_eq!(plan(&known(), &end), Move::Finish(Finish::InStep));
    }

    #[test]
    fn an_end_that_an_earlier_run_reached_is_read_again() {
        assert_eq!(plan(&Facts { at_end: true, ..known() }, &Run::default()), Move::Pull);
    }

    #[test]
    fn accepted_rows_that_no_cursor_covers_are_waited_for() {
        let facts = Facts { sent: 2, ..known() };
        let run = Run { owed: 2, offered: 2, ..Run::default() };
        assert_eq!(plan(&facts, &run), Move::Pull);
    }

    #[test]
    fn accepted_rows_that_are_not_in_the_log_are_offered_again() {
        let facts = Facts { sent: 2, ..known() };
        let run = Run { owed: 2, offered: 2, end_reached: true, ..Run::default() };
        assert_eq!(plan(&facts, &run), Move::Push);
    }

    #[test]
    fn what_came_after_the_start_is_left_to_the_next_run() {
        let facts = Facts { waiting: 7, ..known() };
        let run = Run { owed: 3, offered: 3, end_reached: true, ..Run::default() };
        assert_eq!(plan(&facts, &run), Move::Finish(Finish::InStep));
    }

    #[test]
    fn parked_rows_do_not_hold_up_the_rest() {
        let facts = Facts { parked: 4, ..known() };
        let end = Run { end_reached: true, ..Run::default() };
        assert_eq!(plan(&facts, &Run::default()), Move::Pull);
        assert_eq!(plan(&facts, &end), Move::Finish(Finish::InStep));
    }
}
