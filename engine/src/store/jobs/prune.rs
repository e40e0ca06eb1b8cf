//! Taking away what was settled long ago.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::{
    Result,
    job::{JobKind, JobState},
};

/// How many of each kind and each way to end are kept to be looked at.
const KEPT: i64 = 1_000;

/// Takes away all but the newest of those of a kind that ended alike. A dead effect stays for a person; one that others
/// still come after stays, and one that would be rolled back with the effect that took its place.
pub(super) fn prune(connection: &Connection, kind: JobKind) -> Result<()> {
    let states: &[JobState] = match kind {
        JobKind::Effect => &[JobState::Done, JobState::Dropped],
        JobKind::Thunk => &[JobState::Done, JobState::Dead, JobState::Dropped],
    };
    states.iter().try_for_each(|state| prune_one(connection, kind, *state))
}

fn prune_one(connection: &Connection, kind: JobKind, state: JobState) -> Result<()> {
    let sql = "SELECT ordinal FROM job WHERE kind = :kind AND state = :state
                ORDER BY ordinal DESC LIMIT 1 OFFSET :keep";
    let delete = "DELETE FROM job WHERE kind = :kind AND state = :state AND ordinal <= :until
                  AND NOT EXISTS (SELECT 1 FROM job by WHERE by.kind = job.kind AND by.id = job.replaced_by
                        AND by.state <> 'done' AND job.rollback = 'owed')
                  AND NOT EXISTS (SELECT 1 FROM effect_after a JOIN job e ON e.kind = 'effect' AND e.id = a.effect
                        WHERE a.after = job.id AND e.state IN ('waiting', 'running', 'held', 'dead'))";
    let find = |keep: i64| -> Result<Option<i64>> {
        let params = named_params! {":kind": kind.as_str(), ":state": state.as_str(), ":keep": keep};
        Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?)
    };
    // Of effects many at a time, for what they come after is looked at: so most calls end here.
    let slack = if kind == JobKind::Effect { KEPT / 10 } else { 0 };
    let (Some(_), Some(until)) = (find(KEPT + slack)?, find(KEPT)?) else { return Ok(()) };
    let params = named_params! {":kind": kind.as_str(), ":state": state.as_str(), ":until": until};
    if connection.prepare_cached(delete)?.execute(params)? > 0 && kind == JobKind::Effect {
        let orphans =
            "DELETE FROM effect_after WHERE effect NOT IN (SELECT id FROM job WHERE kind = 'effect')";
        connection.execute(orphans, [])?;
    }
    Ok(())
}
