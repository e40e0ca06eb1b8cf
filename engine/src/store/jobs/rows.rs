//! The rows of jobs, and their mapping.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, Params, Row, named_params};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    DocumentId, Error, Millis, Result,
    job::{
        AskedBy, EffectId, FollowUps, Job, JobId, JobKind, JobState, RolledBack, ThunkCause, ThunkInfo,
        judge::UNREACHED,
    },
};

const COLUMNS: &str = "ordinal, kind, position, id, name, key, document, payload, follow_ups, state, attempts,
    failures, charged, attempt_limit, next_attempt_at, deadline_at, owner, lease_until, error, outcome, created_at,
    started_at, settled_at, settled_change, replaced_by, change_hash, action_type, action, lane, timeout, rollback,
    cause, follow_error";

/// Where a job is not settled, as the indices say it.
const OPEN: &str = "state IN ('waiting', 'running', 'held')";

/// What a text stands for; the outer error is SQLite's, the inner says which column it is in.
type Read<T> = Result<T, &'static str>;

fn map(row: &Row<'_>) -> rusqlite::Result<Result<Job>> {
    let id: String = row.get("id")?;
    Ok(read(row)?.map_err(|column| {
        Error::Corrupt(format!("the row of the job {id:?} cannot be read, for its column {column:?}"))
    }))
}

fn text(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<String>> {
    row.get(column)
}

fn count(row: &Row<'_>, column: &'static str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

/// A text that is there, and stands for something.
fn parsed<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<Read<Option<T>>> {
    let Some(text) = text(row, column)? else { return Ok(Ok(None)) };
    Ok(parse(&text).map(Some).ok_or(column))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Read<Option<T>>> {
    parsed(row, column, |text| serde_json::from_str(text).ok())
}

fn hash(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<ChangeHash>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(ChangeHash))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Read<Job>> {
    let kind = parsed(row, "kind", JobKind::parse)?;
    let uuid = parsed(row, "id", parse_uuid)?;
    let document = parsed(row, "document", |text| text.parse::<DocumentId>().ok())?;
    let payload = json::<Value>(row, "payload")?;
    let follow_ups = json::<FollowUps>(row, "follow_ups")?;
    let state = parsed(row, "state", JobState::parse)?;
    let outcome = json::<Value>(row, "outcome")?;
    let replaced_by = parsed(row, "replaced_by", parse_uuid)?;
    let cause = parsed(row, "cause", ThunkCause::parse)?;
    let asked_by = read_asked_by(row)?;
    let known = (|| -> Read<Job> {
        let kind = kind?.ok_or("kind")?;
        let id = JobId { kind, uuid: uuid?.ok_or("id")? };
        let mut job = Job::new(id, "", payload?.ok_or("payload")?, 0);
        job.document = document?;
        job.follow_ups = follow_ups?.ok_or("follow_ups")?;
        job.state = state?.ok_or("state")?;
        job.outcome = outcome?;
        job.replaced_by = replaced_by?;
        job.cause = cause?;
        job.asked_by = asked_by?.filter(|_| kind == JobKind::Effect);
        Ok(job)
    })();
    let mut job = match known {
        Ok(job) => job,
        Err(column) => return Ok(Err(column)),
    };
    job.ordinal = row.get("ordinal")?;
    job.position = count(row, "position")?;
    job.name = row.get("name")?;
    job.key = text(row, "key")?;
    job.attempts = count(row, "attempts")?;
    job.failures = count(row, "failures")?;
    job.charged = count(row, "charged")?;
    job.attempt_limit = count(row, "attempt_limit")?;
    job.next_attempt_at = row.get("next_attempt_at")?;
    job.deadline_at = row.get("deadline_at")?;
    job.owner = text(row, "owner")?;
    job.lease_until = row.get("lease_until")?;
    job.error = text(row, "error")?;
    job.created_at = row.get("created_at")?;
    job.started_at = row.get("started_at")?;
    job.settled_at = row.get("settled_at")?;
    job.settled_change = hash(row, "settled_change")?;
    job.follow_error = text(row, "follow_error")?;
    Ok(Ok(job))
}

fn read_asked_by(row: &Row<'_>) -> rusqlite::Result<Read<Option<AskedBy>>> {
    let (Some(change), Some(lane)) = (hash(row, "change_hash")?, text(row, "lane")?) else {
        return Ok(Ok(None));
    };
    let rollback = match parsed(row, "rollback", RolledBack::parse)? {
        Ok(rollback) => rollback,
        Err(column) => return Ok(Err(column)),
    };
    Ok(Ok(Some(AskedBy {
        change,
        action_type: text(row, "action_type")?,
        action: json(row, "action")?.unwrap_or_default(),
        lane,
        timeout: row.get::<_, Option<Millis>>("timeout")?.unwrap_or_default(),
        after: Vec::new(),
        rollback,
    })))
}

fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

fn select(connection: &Connection, rest: &str, params: impl Params) -> Result<Vec<Job>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM job {rest}"))?;
    let found = statement.query_map(params, map)?;
    let mut jobs: Vec<Job> = found.map(|job| job?).collect::<Result<_>>()?;
    for job in &mut jobs {
        let id = EffectId(job.id.uuid);
        if let Some(asked_by) = &mut job.asked_by {
            asked_by.after = read_after(connection, id)?;
        }
    }
    Ok(jobs)
}

/// All of a kind, in their order.
pub(super) fn read_all(connection: &Connection, kind: JobKind) -> Result<Vec<Job>> {
    select(connection, "WHERE kind = :kind ORDER BY position", named_params! {":kind": kind.as_str()})
}

pub(super) fn read_one(connection: &Connection, id: impl Into<JobId>) -> Result<Option<Job>> {
    let id = id.into();
    let params = named_params! {":kind": id.kind.as_str(), ":id": id.to_string()};
    Ok(select(connection, "WHERE kind = :kind AND id = :id", params)?.pop())
}

pub(super) fn read_ordinal(connection: &Connection, ordinal: i64) -> Result<Option<Job>> {
    Ok(select(connection, "WHERE ordinal = :ordinal", named_params! {":ordinal": ordinal})?.pop())
}

/// The effect at this position.
pub(super) fn read_position(connection: &Connection, position: i64) -> Result<Option<Job>> {
    let rest = "WHERE kind = 'effect' AND position = :position";
    Ok(select(connection, rest, named_params! {":position": position})?.pop())
}

/// The effects whose id begins with these characters, two at most.
pub(super) fn read_prefix(connection: &Connection, prefix: &str) -> Result<Vec<Job>> {
    let rest = "WHERE kind = 'effect' AND substr(id, 1, length(:prefix)) = :prefix LIMIT 2";
    select(connection, rest, named_params! {":prefix": prefix})
}

/// What a plan has to look at: every thunk that is not settled; of effects the first of each lane, and those whose
/// deadline passed. The lanes are jumped through by their index, so that a long lane costs no more than a short one; the
/// planner alone would count.
pub(super) fn read_open(connection: &Connection, kind: JobKind, now: Millis) -> Result<Vec<Job>> {
    if kind == JobKind::Thunk {
        let rest =
            format!("INDEXED BY job_open WHERE kind = 'thunk' AND lane IS NULL AND {OPEN} ORDER BY ordinal");
        return select(connection, &rest, []);
    }
    let lanes = format!("FROM job INDEXED BY job_open WHERE kind = 'effect' AND {OPEN}");
    let rest = format!(
        "WHERE ordinal IN (
          WITH RECURSIVE lanes (lane) AS (
            SELECT * FROM (SELECT lane {lanes} ORDER BY lane LIMIT 1)
            UNION ALL
            SELECT (SELECT lane {lanes} AND lane > lanes.lane ORDER BY lane LIMIT 1)
              FROM lanes WHERE lanes.lane IS NOT NULL
          )
          SELECT (SELECT ordinal {lanes} AND lane = lanes.lane ORDER BY ordinal LIMIT 1)
            FROM lanes WHERE lanes.lane IS NOT NULL
          UNION
          SELECT ordinal FROM job INDEXED BY job_deadline
           WHERE deadline_at IS NOT NULL AND {OPEN} AND deadline_at <= :now
        ) ORDER BY ordinal"
    );
    select(connection, &rest, named_params! {":now": now})
}

/// The earliest deadline of what is not settled.
pub(super) fn next_deadline(connection: &Connection) -> Result<Option<Millis>> {
    let sql = format!(
        "SELECT deadline_at FROM job INDEXED BY job_deadline
          WHERE deadline_at IS NOT NULL AND {OPEN} ORDER BY deadline_at LIMIT 1"
    );
    Ok(connection.prepare_cached(&sql)?.query_row([], |r| r.get(0)).optional()?)
}

/// The newest effect of a lane that is not settled.
pub(super) fn read_last_open(connection: &Connection, lane: &str) -> Result<Option<Job>> {
    let rest = format!("WHERE kind = 'effect' AND lane = :lane AND {OPEN} ORDER BY ordinal DESC LIMIT 1");
    Ok(select(connection, &rest, named_params! {":lane": lane})?.pop())
}

/// The thunks of a name and key (or of the name, without a key) that are not settled.
pub(super) fn read_open_of(connection: &Connection, name: &str, key: Option<&str>) -> Result<Vec<Job>> {
    let rest = format!(
        "INDEXED BY job_named
          WHERE kind = 'thunk' AND name = :name AND (:key IS NULL OR key = :key) AND {OPEN} ORDER BY ordinal"
    );
    select(connection, &rest, named_params! {":name": name, ":key": key})
}

/// The effects that one took the place of, newest first.
pub(super) fn read_replaced(connection: &Connection, id: JobId) -> Result<Vec<Job>> {
    let rest = "WHERE kind = 'effect' AND replaced_by = :id ORDER BY ordinal DESC";
    select(connection, rest, named_params! {":id": id.to_string()})
}

/// The thunks that were written after this commit, in that order, and the commit of the last.
pub(super) fn read_changed(connection: &Connection, after: i64) -> Result<(Vec<ThunkInfo>, i64)> {
    let last = last_changed(connection)?;
    if last <= after {
        return Ok((Vec::new(), after));
    }
    let jobs = select(
        connection,
        "WHERE changed > :after ORDER BY changed, ordinal",
        named_params! {":after": after},
    )?;
    Ok((jobs.into_iter().map(Job::into_thunk).collect(), last))
}

/// The commit in which a thunk was last written.
pub(super) fn last_changed(connection: &Connection) -> Result<i64> {
    let sql = "SELECT coalesce(max(changed), 0) FROM job WHERE changed IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

/// The effects in this state that could be sent at once, are to be.
pub(super) fn bring_forward(connection: &Connection, state: JobState) -> Result<u64> {
    let sql = "UPDATE job SET state = 'waiting', next_attempt_at = NULL
                WHERE kind = 'effect' AND state = :state AND (state = 'held' OR next_attempt_at IS NOT NULL)";
    Ok(connection.prepare_cached(sql)?.execute(named_params! {":state": state.as_str()})? as u64)
}

/// What waits because its last attempt reached nobody is to be sent at once.
pub(super) fn bring_unreached_forward(connection: &Connection) -> Result<u64> {
    let sql = "UPDATE job SET next_attempt_at = NULL
                WHERE kind = 'effect' AND state = 'waiting' AND next_attempt_at IS NOT NULL
                  AND substr(error, 1, length(:unreached)) = :unreached";
    Ok(connection.prepare_cached(sql)?.execute(named_params! {":unreached": UNREACHED})? as u64)
}

/// Whether there are effects in this state.
pub(super) fn is_any(connection: &Connection, state: JobState) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM job WHERE kind = 'effect' AND state = :state)";
    Ok(connection.prepare_cached(sql)?.query_row(named_params! {":state": state.as_str()}, |r| r.get(0))?)
}

/// What has to be done before an effect.
fn read_after(connection: &Connection, id: EffectId) -> Result<Vec<EffectId>> {
    read_ids(connection, "SELECT after FROM effect_after WHERE effect = :id ORDER BY after", id)
}

/// Those that come after it.
pub(super) fn read_dependants(connection: &Connection, id: EffectId) -> Result<Vec<EffectId>> {
    read_ids(connection, "SELECT effect FROM effect_after WHERE after = :id ORDER BY effect", id)
}

fn read_ids(connection: &Connection, sql: &str, id: EffectId) -> Result<Vec<EffectId>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(named_params! {":id": id.to_string()}, |r| r.get::<_, String>(0))?;
    let ids = found.map(|id| id.map(|id| id.parse().ok())).collect::<rusqlite::Result<Option<_>>>()?;
    ids.ok_or_else(|| Error::Corrupt("an effect comes after what is no effect".to_owned()))
}

/// How it stands; `None` for one that is not there.
pub(super) fn read_state_of(connection: &Connection, id: impl Into<JobId>) -> Result<Option<JobState>> {
    let id = id.into();
    let sql = "SELECT state FROM job WHERE kind = :kind AND id = :id";
    let params = named_params! {":kind": id.kind.as_str(), ":id": id.to_string()};
    let state: Option<String> = connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?;
    Ok(state.as_deref().and_then(JobState::parse))
}

/// A new job. Its ordinal and its position are given out here; `changed` is the commit, of a thunk.
pub(super) fn insert(connection: &Connection, job: &Job, changed: Option<i64>) -> Result<()> {
    let sql = "INSERT INTO job (kind, position, id, name, key, document, payload, follow_ups, failures, attempt_limit,
                      next_attempt_at, deadline_at, created_at, change_hash, action_type, action, lane, timeout, rollback,
                      changed)
               VALUES (:kind, (SELECT coalesce(max(position), 0) + 1 FROM job WHERE kind = :kind), :id, :name, :key,
                      :document, :payload, :follow_ups, :failures, :limit, :next, :deadline, :created_at, :change,
                      :action_type, :action, :lane, :timeout, :rollback, :changed)";
    let follow_ups = serde_json::to_string(&job.follow_ups).map_err(|error| Error::Bug(error.to_string()))?;
    let asked_by = job.asked_by.as_ref();
    connection.prepare_cached(sql)?.execute(named_params! {
        ":kind": job.id.kind.as_str(), ":id": job.id.to_string(), ":name": job.name, ":key": job.key,
        ":document": job.document.map(|d| d.to_string()), ":payload": job.payload.to_string(),
        ":follow_ups": follow_ups, ":failures": job.failures as i64, ":limit": job.attempt_limit as i64,
        ":next": job.next_attempt_at, ":deadline": job.deadline_at, ":created_at": job.created_at,
        ":change": asked_by.map(|a| a.change.0), ":action_type": asked_by.and_then(|a| a.action_type.as_deref()),
        ":action": asked_by.and_then(|a| a.action.as_ref()).map(ToString::to_string),
        ":lane": asked_by.map(|a| a.lane.as_str()), ":timeout": asked_by.map(|a| a.timeout),
        ":rollback": asked_by.and_then(|a| a.rollback).map(RolledBack::as_str), ":changed": changed,
    })?;
    let sql = "INSERT OR IGNORE INTO effect_after (effect, after) VALUES (:effect, :after)";
    for after in asked_by.iter().flat_map(|a| &a.after) {
        connection
            .prepare_cached(sql)?
            .execute(named_params! {":effect": job.id.to_string(), ":after": after.to_string()})?;
    }
    Ok(())
}

/// Writes back what can change of a row; `changed` is the commit, of a thunk.
pub(super) fn update(connection: &Connection, job: &Job, changed: Option<i64>) -> Result<()> {
    let sql = "UPDATE job SET state = :state, attempts = :attempts, failures = :failures, charged = :charged,
                      next_attempt_at = :next, deadline_at = :deadline, owner = :owner, lease_until = :lease_until,
                      error = :error, outcome = :outcome, started_at = :started_at, settled_at = :settled_at,
                      settled_change = :settled_change, replaced_by = :replaced_by, rollback = :rollback, cause = :cause,
                      follow_error = :follow_error, changed = :changed
                WHERE ordinal = :ordinal";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":state": job.state.as_str(), ":attempts": job.attempts as i64, ":failures": job.failures as i64,
        ":charged": job.charged as i64, ":next": job.next_attempt_at, ":deadline": job.deadline_at,
        ":owner": job.owner, ":lease_until": job.lease_until, ":error": job.error,
        ":outcome": job.outcome.as_ref().map(ToString::to_string), ":started_at": job.started_at,
        ":settled_at": job.settled_at, ":settled_change": job.settled_change.map(|h| h.0),
        ":replaced_by": job.replaced_by.map(|id| id.to_string()),
        ":rollback": job.asked_by.as_ref().and_then(|a| a.rollback).map(RolledBack::as_str),
        ":cause": job.cause.map(ThunkCause::as_str), ":follow_error": job.follow_error, ":changed": changed,
        ":ordinal": job.ordinal,
    })?;
    Ok(())
}

/// Holds a lease longer. It is no news.
pub(super) fn renew(connection: &Connection, ordinal: i64, until: Millis) -> Result<()> {
    let sql = "UPDATE job SET lease_until = :until WHERE ordinal = :ordinal";
    connection.prepare_cached(sql)?.execute(named_params! {":until": until, ":ordinal": ordinal})?;
    Ok(())
}
