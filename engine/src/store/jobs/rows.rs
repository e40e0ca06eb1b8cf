//! The rows of effects, and their mapping.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, Params, named_params};

use crate::{
    DocumentId, Error, Millis, Result,
    job::{Effect, EffectId, EffectRequest, EffectState, FollowUp, Rollback, judge::UNREACHED},
    slice::Registry,
};

/// A row of `effect` with what is not shown.
#[derive(Debug, Clone)]
pub(super) struct EffectRow {
    pub(super) ordinal: i64,
    pub(super) effect: Effect,
    pub(super) commit: Option<FollowUp>,
    pub(super) rollback: Option<Rollback>,
    pub(super) rolled_back: bool,
    pub(super) owner: Option<String>,
    pub(super) lease_until: Option<Millis>,
}

impl EffectRow {
    /// A slice whose action follows from it, and that is not registered here: then its end is another process's.
    pub(super) fn unknown_slice(&self, registry: &Registry) -> Option<&str> {
        let rollback = match &self.rollback {
            Some(Rollback::Action(follow)) => Some(follow),
            _ => None,
        };
        let slices = self.commit.iter().chain(rollback).filter_map(FollowUp::slice);
        slices.into_iter().find(|slice| !registry.knows_slice(slice))
    }
}

const COLUMNS: &str = "ordinal, id, document, change_hash, action_type, action, kind, lane, request, coalesce_key,
    replaced_by, commit_action, rollback, rolled_back, state, attempts, failures, charged, attempt_limit, timeout,
    next_attempt_at, created_at, deadline_at, owner, lease_until, last_error, outcome, settled_at, settled_change";

fn map(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<EffectRow>> {
    let id: String = row.get("id")?;
    let document: String = row.get("document")?;
    let state: String = row.get("state")?;
    let replaced_by: Option<String> = row.get("replaced_by")?;
    let parsed = (|| -> Option<(EffectId, DocumentId, EffectState)> {
        Some((id.parse().ok()?, document.parse().ok()?, EffectState::parse(&state)?))
    })();
    let Some((parsed_id, document, state)) = parsed else {
        return Ok(Err(Error::Corrupt(format!("the row of effect {id:?} cannot be read"))));
    };
    let text = |name: &str| row.get::<_, Option<String>>(name);
    let json = |name: &str| -> rusqlite::Result<Option<serde_json::Value>> {
        Ok(text(name)?.and_then(|t| serde_json::from_str(&t).ok()))
    };
    let count = |name: &str| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(name)?.max(0) as u64) };
    let ordinal: i64 = row.get("ordinal")?;
    let effect = Effect {
        position: ordinal.max(0) as u64,
        id: parsed_id,
        document,
        change: ChangeHash(row.get("change_hash")?),
        action_type: text("action_type")?,
        action: json("action")?,
        kind: row.get("kind")?,
        lane: row.get("lane")?,
        request: json("request")?.unwrap_or_default(),
        coalesce: text("coalesce_key")?,
        after: Vec::new(),
        state,
        attempts: count("attempts")?,
        failures: count("failures")?,
        charged: count("charged")?,
        attempt_limit: count("attempt_limit")?,
        timeout: row.get("timeout")?,
        created_at: row.get("created_at")?,
        next_attempt_at: row.get("next_attempt_at")?,
        deadline_at: row.get("deadline_at")?,
        last_error: text("last_error")?,
        outcome: json("outcome")?,
        settled_at: row.get("settled_at")?,
        settled_change: row.get::<_, Option<[u8; 32]>>("settled_change")?.map(ChangeHash),
        replaced_by: replaced_by.and_then(|t| t.parse().ok()),
    };
    let follow_up = text("commit_action")?.map(|t| serde_json::from_str(&t)).transpose();
    let rollback = text("rollback")?.map(|t| serde_json::from_str(&t)).transpose();
    let (Ok(commit), Ok(rollback)) = (follow_up, rollback) else {
        return Ok(Err(Error::Corrupt(format!("what follows effect {id} cannot be read"))));
    };
    Ok(Ok(EffectRow {
        ordinal,
        effect,
        commit,
        rollback,
        rolled_back: row.get("rolled_back")?,
        owner: row.get("owner")?,
        lease_until: row.get("lease_until")?,
    }))
}

fn select(connection: &Connection, rest: &str, params: impl Params) -> Result<Vec<EffectRow>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM effect {rest}"))?;
    let found = statement.query_map(params, map)?;
    let mut rows: Vec<EffectRow> = found.map(|row| row?).collect::<Result<_>>()?;
    for row in &mut rows {
        row.effect.after = read_after(connection, row.effect.id)?;
    }
    Ok(rows)
}

pub(super) fn read_all(connection: &Connection) -> Result<Vec<EffectRow>> {
    select(connection, "ORDER BY ordinal", [])
}

pub(super) fn read_one(connection: &Connection, id: EffectId) -> Result<Option<EffectRow>> {
    Ok(select(connection, "WHERE id = :id", named_params! {":id": id.to_string()})?.pop())
}

pub(super) fn read_ordinal(connection: &Connection, ordinal: i64) -> Result<Option<EffectRow>> {
    Ok(select(connection, "WHERE ordinal = :ordinal", named_params! {":ordinal": ordinal})?.pop())
}

/// Those whose id begins with these characters, two at most.
pub(super) fn read_prefix(connection: &Connection, prefix: &str) -> Result<Vec<EffectRow>> {
    let rest = "WHERE substr(id, 1, length(:prefix)) = :prefix LIMIT 2";
    select(connection, rest, named_params! {":prefix": prefix})
}

/// What a plan has to look at: the first of each lane, and those whose deadline passed. The lanes are jumped
/// through by their index, so that a long lane costs no more than a short one; the planner alone would count.
pub(super) fn read_open(connection: &Connection, now: Millis) -> Result<Vec<EffectRow>> {
    let rest = "WHERE ordinal IN (
          WITH RECURSIVE lanes (lane) AS (
            SELECT * FROM (SELECT lane FROM effect INDEXED BY effect_lane
                            WHERE state IN ('waiting', 'running', 'held') ORDER BY lane LIMIT 1)
            UNION ALL
            SELECT (SELECT lane FROM effect INDEXED BY effect_lane
                     WHERE state IN ('waiting', 'running', 'held') AND lane > lanes.lane ORDER BY lane LIMIT 1)
              FROM lanes WHERE lanes.lane IS NOT NULL
          )
          SELECT (SELECT ordinal FROM effect INDEXED BY effect_lane
                   WHERE state IN ('waiting', 'running', 'held') AND lane = lanes.lane ORDER BY ordinal LIMIT 1)
            FROM lanes WHERE lanes.lane IS NOT NULL
          UNION
          SELECT ordinal FROM effect INDEXED BY effect_deadline
           WHERE deadline_at IS NOT NULL AND state IN ('waiting', 'running', 'held') AND deadline_at <= :now
        ) ORDER BY ordinal";
    select(connection, rest, named_params! {":now": now})
}

/// The earliest deadline of what is not settled.
pub(super) fn next_deadline(connection: &Connection) -> Result<Option<Millis>> {
    let sql = "SELECT deadline_at FROM effect INDEXED BY effect_deadline
                WHERE deadline_at IS NOT NULL AND state IN ('waiting', 'running', 'held')
                ORDER BY deadline_at LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| r.get(0)).optional()?)
}

/// The newest effect of a lane that is not settled.
pub(super) fn read_last_open(connection: &Connection, lane: &str) -> Result<Option<EffectRow>> {
    let rest = "WHERE lane = :lane AND state IN ('waiting', 'running', 'held') ORDER BY ordinal DESC LIMIT 1";
    Ok(select(connection, rest, named_params! {":lane": lane})?.pop())
}

/// Those that an effect took the place of, newest first.
pub(super) fn read_replaced(connection: &Connection, id: EffectId) -> Result<Vec<EffectRow>> {
    let rest = "WHERE replaced_by = :id ORDER BY ordinal DESC";
    select(connection, rest, named_params! {":id": id.to_string()})
}

/// What is in this state and could be sent at once, is to be.
pub(super) fn bring_forward(connection: &Connection, state: EffectState) -> Result<u64> {
    let sql = "UPDATE effect SET state = 'waiting', next_attempt_at = NULL
                WHERE state = :state AND (state = 'held' OR next_attempt_at IS NOT NULL)";
    Ok(connection.prepare_cached(sql)?.execute(named_params! {":state": state.as_str()})? as u64)
}

/// What waits because its last attempt reached nobody is to be sent at once.
pub(super) fn bring_unreached_forward(connection: &Connection) -> Result<u64> {
    let sql =
        "UPDATE effect SET next_attempt_at = NULL WHERE state = 'waiting' AND next_attempt_at IS NOT NULL
                AND substr(last_error, 1, length(:unreached)) = :unreached";
    Ok(connection.prepare_cached(sql)?.execute(named_params! {":unreached": UNREACHED})? as u64)
}

/// A new effect waits as long as the one whose place it takes.
pub(super) fn inherit(connection: &Connection, id: EffectId, replaced: &EffectRow) -> Result<()> {
    let sql = "UPDATE effect SET failures = :failures, next_attempt_at = :next WHERE id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":failures": replaced.effect.failures as i64, ":next": replaced.effect.next_attempt_at,
        ":id": id.to_string(),
    })?;
    Ok(())
}

/// How many are in this state.
pub(super) fn count_state(connection: &Connection, state: EffectState) -> Result<u64> {
    let sql = "SELECT count(*) FROM effect WHERE state = :state";
    let params = named_params! {":state": state.as_str()};
    Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get::<_, i64>(0))?.max(0) as u64)
}

/// What has to be done before it.
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

/// How those stand that it comes after: `None` for one that is not there.
pub(super) fn read_state_of(connection: &Connection, id: EffectId) -> Result<Option<EffectState>> {
    let sql = "SELECT state FROM effect WHERE id = :id";
    let mut statement = connection.prepare_cached(sql)?;
    let state: Option<String> =
        statement.query_row(named_params! {":id": id.to_string()}, |r| r.get(0)).optional()?;
    Ok(state.as_deref().and_then(EffectState::parse))
}

/// What an action asks for.
#[derive(Debug)]
pub(super) struct NewEffect<'a> {
    pub(super) document: DocumentId,
    pub(super) change: ChangeHash,
    pub(super) action_type: &'a str,
    pub(super) action: &'a str,
    pub(super) request: &'a EffectRequest,
    pub(super) now: Millis,
}

pub(super) fn insert(connection: &Connection, new: &NewEffect<'_>) -> Result<()> {
    let sql = "INSERT INTO effect (id, document, change_hash, action_type, action, kind, lane, request, coalesce_key,
               commit_action, rollback, attempt_limit, timeout, created_at, deadline_at)
               VALUES (:id, :document, :change, :action_type, :action, :kind, :lane, :request, :key,
               :commit, :rollback, :limit, :timeout, :now, :deadline)";
    let request = new.request;
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": request.id.to_string(), ":document": new.document.to_string(), ":change": new.change.0,
        ":action_type": new.action_type, ":action": new.action, ":kind": request.kind,
        ":lane": request.lane_of(new.document), ":request": request.request.to_string(),
        ":key": request.coalesce, ":commit": to_json(request.commit.as_ref())?,
        ":rollback": to_json(request.rollback.as_ref())?, ":limit": i64::from(request.attempt_limit),
        ":timeout": request.timeout_millis(), ":now": new.now, ":deadline": request.deadline_at(new.now),
    })?;
    let sql = "INSERT OR IGNORE INTO effect_after (effect, after) VALUES (:effect, :after)";
    for after in &request.after {
        connection.prepare_cached(sql)?.execute(named_params! {
            ":effect": request.id.to_string(), ":after": after.to_string(),
        })?;
    }
    Ok(())
}

fn to_json<T: serde::Serialize>(value: Option<&T>) -> Result<Option<String>> {
    value.map(serde_json::to_string).transpose().map_err(|e| Error::Bug(e.to_string()))
}

/// Writes back what can change of a row.
pub(super) fn update(connection: &Connection, row: &EffectRow) -> Result<()> {
    let sql =
        "UPDATE effect SET state = :state, attempts = :attempts, failures = :failures, charged = :charged,
               next_attempt_at = :next, deadline_at = :deadline, owner = :owner, lease_until = :lease_until,
               last_error = :last_error, outcome = :outcome, settled_at = :settled_at,
               settled_change = :settled_change, rolled_back = :rolled_back, replaced_by = :replaced_by
               WHERE ordinal = :ordinal";
    let effect = &row.effect;
    connection.prepare_cached(sql)?.execute(named_params! {
        ":state": effect.state.as_str(), ":attempts": effect.attempts as i64,
        ":failures": effect.failures as i64, ":charged": effect.charged as i64,
        ":next": effect.next_attempt_at, ":deadline": effect.deadline_at, ":owner": row.owner,
        ":lease_until": row.lease_until, ":last_error": effect.last_error,
        ":outcome": effect.outcome.as_ref().map(ToString::to_string), ":settled_at": effect.settled_at,
        ":settled_change": effect.settled_change.map(|h| h.0), ":rolled_back": row.rolled_back,
        ":replaced_by": effect.replaced_by.map(|id| id.to_string()), ":ordinal": row.ordinal,
    })?;
    Ok(())
}

/// Takes away what was done or dropped long ago: all but the newest so many, what others still come after, and
/// what would be rolled back with the effect that took its place.
pub(super) fn prune(connection: &Connection, keep: i64) -> Result<()> {
    let sql = "SELECT ordinal FROM effect WHERE state = :state ORDER BY ordinal DESC LIMIT 1 OFFSET :keep";
    let delete = "DELETE FROM effect WHERE state = :state AND ordinal <= :until
                  AND NOT EXISTS (SELECT 1 FROM effect by WHERE by.id = effect.replaced_by AND by.state <> 'done'
                        AND effect.rollback IS NOT NULL AND effect.rolled_back = 0)
                  AND NOT EXISTS (SELECT 1 FROM effect_after a JOIN effect e ON e.id = a.effect
                        WHERE a.after = effect.id AND e.state IN ('waiting', 'running', 'held', 'dead'))";
    for state in [EffectState::Done, EffectState::Dropped] {
        let find = |keep: i64| -> Result<Option<i64>> {
            let params = named_params! {":state": state.as_str(), ":keep": keep};
            Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?)
        };
        // Many at a time, so that most calls end here.
        let (Some(_), Some(until)) = (find(keep + keep / 10)?, find(keep)?) else { continue };
        let params = named_params! {":state": state.as_str(), ":until": until};
        if connection.prepare_cached(delete)?.execute(params)? > 0 {
            connection.execute("DELETE FROM effect_after WHERE effect NOT IN (SELECT id FROM effect)", [])?;
        }
    }
    Ok(())
}
