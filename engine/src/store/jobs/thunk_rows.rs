//! The rows of thunks, and their mapping.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, Params, named_params};

use crate::{
    DocumentId, Error, Millis, Result,
    job::FollowUp,
    job::{FollowUps, Orphan, ThunkCause, ThunkId, ThunkInfo, ThunkRequest, ThunkState, lease::Held},
    slice::Registry,
};

/// A row of `thunk` with what is not shown.
#[derive(Debug, Clone)]
pub(in super::super) struct ThunkRow {
    pub(in super::super) info: ThunkInfo,
    pub(in super::super) on_death: Orphan,
    /// None of it is for `pending`: that was done.
    pub(in super::super) follow: FollowUps,
    pub(in super::super) deaths: u64,
    pub(in super::super) owner: Option<String>,
    pub(in super::super) lease_until: Option<Millis>,
}

impl ThunkRow {
    /// How it is held, if it is.
    pub(in super::super) fn held(&self) -> Option<Held> {
        Held::of(self.owner.as_deref(), self.lease_until)
    }

    /// The slice of the action that follows such an end, where this process does not know it.
    pub(in super::super) fn unknown_slice(&self, cause: ThunkCause, registry: &Registry) -> Option<&str> {
        let slice = self.follow.after(cause).and_then(FollowUp::slice)?;
        (!registry.knows_slice(slice)).then_some(slice)
    }
}

const COLUMNS: &str =
    "ordinal, id, name, key, document, argument, on_death, fulfilled, rejected, state, attempts, deaths, owner,
    lease_until, result, error, created_at, started_at, settled_at, settled_change, superseded_by, aborted,
    superseded, orphaned, cause, rejection, follow_error";

fn map(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<ThunkRow>> {
    let id: String = row.get("id")?;
    let text = |name: &str| row.get::<_, Option<String>>(name);
    let count = |name: &str| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(name)?.max(0) as u64) };
    let (state, on_death): (String, String) = (row.get("state")?, row.get("on_death")?);
    let (document, superseded) = (text("document")?, text("superseded_by")?);
    let (argument, result) = (text("argument")?, text("result")?);
    let follow = |name: &str| -> rusqlite::Result<_> {
        let json = text(name)?;
        Ok(move || json.map(|json| serde_json::from_str::<FollowUp>(&json)).transpose().ok())
    };
    let (fulfilled, rejected, orphaned) = (follow("fulfilled")?, follow("rejected")?, follow("orphaned")?);
    let (aborted, superseded_follow) = (follow("aborted")?, follow("superseded")?);
    let (cause, rejection) = (text("cause")?, text("rejection")?);
    let owner = text("owner")?;
    let parsed = (|| -> Option<ThunkRow> {
        Some(ThunkRow {
            info: ThunkInfo {
                position: 0,
                id: id.parse().ok()?,
                name: String::new(),
                key: None,
                document: document.map(|d| d.parse::<DocumentId>()).transpose().ok()?,
                argument: serde_json::from_str(&argument?).ok()?,
                state: ThunkState::parse(&state)?,
                running: owner.is_some(),
                attempts: 0,
                result: result.map(|r| serde_json::from_str(&r)).transpose().ok()?,
                error: None,
                cause: cause.map(|c| ThunkCause::parse(&c).ok_or(())).transpose().ok()?,
                rejection: rejection.map(|r| serde_json::from_str(&r)).transpose().ok()?,
                follow_error: None,
                created_at: 0,
                started_at: None,
                settled_at: None,
                settled_change: None,
                superseded_by: superseded.map(|s| s.parse::<ThunkId>()).transpose().ok()?,
            },
            on_death: Orphan::parse(&on_death)?,
            follow: FollowUps {
                pending: None,
                fulfilled: fulfilled()?,
                rejected: rejected()?,
                aborted: aborted()?,
                superseded: superseded_follow()?,
                orphaned: orphaned()?,
            },
            deaths: 0,
            owner,
            lease_until: None,
        })
    })();
    let Some(mut parsed) = parsed else {
        return Ok(Err(Error::Corrupt(format!("the row of thunk {id:?} cannot be read"))));
    };
    let info = &mut parsed.info;
    info.position = count("ordinal")?;
    info.name = row.get("name")?;
    info.key = text("key")?;
    info.attempts = count("attempts")?;
    info.error = text("error")?;
    info.follow_error = text("follow_error")?;
    info.created_at = row.get("created_at")?;
    info.started_at = row.get("started_at")?;
    info.settled_at = row.get("settled_at")?;
    info.settled_change = row.get::<_, Option<[u8; 32]>>("settled_change")?.map(ChangeHash);
    parsed.deaths = count("deaths")?;
    parsed.lease_until = row.get("lease_until")?;
    Ok(Ok(parsed))
}

fn select(connection: &Connection, rest: &str, params: impl Params) -> Result<Vec<ThunkRow>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM thunk {rest}"))?;
    let found = statement.query_map(params, map)?;
    found.map(|row| row?).collect()
}

pub(in super::super) fn read_all(connection: &Connection) -> Result<Vec<ThunkRow>> {
    select(connection, "ORDER BY ordinal", [])
}

pub(in super::super) fn read_one(connection: &Connection, id: ThunkId) -> Result<Option<ThunkRow>> {
    Ok(select(connection, "WHERE id = :id", named_params! {":id": id.to_string()})?.pop())
}

/// The pending ones, oldest first.
pub(in super::super) fn read_pending(connection: &Connection) -> Result<Vec<ThunkRow>> {
    select(connection, "WHERE state = 'pending' ORDER BY ordinal", [])
}

/// The pending ones of a name and key (or of the name, without a key).
pub(in super::super) fn read_pending_of(
    connection: &Connection,
    name: &str,
    key: Option<&str>,
) -> Result<Vec<ThunkRow>> {
    let rest = "WHERE state = 'pending' AND name = :name AND (:key IS NULL OR key = :key) ORDER BY ordinal";
    select(connection, rest, named_params! {":name": name, ":key": key})
}

/// Those that were written after this commit, in that order, and the commit of the last.
pub(in super::super) fn read_changed(connection: &Connection, after: i64) -> Result<(Vec<ThunkInfo>, i64)> {
    let last = last_changed(connection)?;
    if last <= after {
        return Ok((Vec::new(), after));
    }
    let rest = "WHERE changed > :after ORDER BY changed, ordinal";
    let rows = select(connection, rest, named_params! {":after": after})?;
    Ok((rows.into_iter().map(|row| row.info).collect(), last))
}

/// The commit in which a thunk was last written.
pub(in super::super) fn last_changed(connection: &Connection) -> Result<i64> {
    let sql = "SELECT coalesce(max(changed), 0) FROM thunk";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

pub(in super::super) fn insert(
    connection: &Connection,
    (request, argument): (&ThunkRequest, &serde_json::Value),
    (now, changed): (Millis, i64),
) -> Result<()> {
    let json = |follow: &Option<FollowUp>| -> Result<Option<String>> {
        let text = follow.as_ref().map(serde_json::to_string).transpose();
        text.map_err(|error| Error::Bug(error.to_string()))
    };
    let sql = "INSERT INTO thunk (id, name, key, document, argument, on_death, fulfilled, rejected, aborted, superseded,
                      orphaned, created_at, changed)
               VALUES (:id, :name, :key, :document, :argument, :on_death, :fulfilled, :rejected, :aborted, :superseded,
                      :orphaned, :now, :changed)";
    let follow = &request.follow;
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": request.id.to_string(), ":name": request.name, ":key": request.options.key,
        ":document": request.options.document.map(|d| d.to_string()), ":argument": argument.to_string(),
        ":on_death": request.on_death.as_str(), ":fulfilled": json(&follow.fulfilled)?,
        ":rejected": json(&follow.rejected)?, ":aborted": json(&follow.aborted)?,
        ":superseded": json(&follow.superseded)?, ":orphaned": json(&follow.orphaned)?, ":now": now, ":changed": changed,
    })?;
    Ok(())
}

/// Writes what changes; `changed` is the commit.
pub(in super::super) fn update(connection: &Connection, row: &ThunkRow, changed: i64) -> Result<()> {
    let sql = "UPDATE thunk SET state = :state, attempts = :attempts, deaths = :deaths, owner = :owner,
                      lease_until = :lease_until, result = :result, error = :error, started_at = :started_at,
                      settled_at = :settled_at, settled_change = :settled_change, superseded_by = :superseded_by,
                      cause = :cause, rejection = :rejection, follow_error = :follow_error, changed = :changed
                WHERE id = :id";
    let info = &row.info;
    connection.prepare_cached(sql)?.execute(named_params! {
        ":state": info.state.as_str(), ":attempts": info.attempts as i64, ":deaths": row.deaths as i64,
        ":owner": row.owner, ":lease_until": row.lease_until,
        ":result": info.result.as_ref().map(ToString::to_string), ":error": info.error,
        ":started_at": info.started_at, ":settled_at": info.settled_at,
        ":settled_change": info.settled_change.map(|h| h.0),
        ":superseded_by": info.superseded_by.map(|id| id.to_string()), ":cause": info.cause.map(ThunkCause::as_str),
        ":rejection": info.rejection.as_ref().map(ToString::to_string), ":follow_error": info.follow_error, ":changed": changed, ":id": info.id.to_string(),
    })?;
    Ok(())
}

/// Holds a lease longer. It is no news.
pub(in super::super) fn renew(connection: &Connection, id: ThunkId, until: Millis) -> Result<()> {
    let sql = "UPDATE thunk SET lease_until = :until WHERE id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {":until": until, ":id": id.to_string()})?;
    Ok(())
}

/// Keeps only the newest of those that are settled in this way.
pub(in super::super) fn prune(connection: &Connection, state: ThunkState, keep: i64) -> Result<()> {
    let sql = "SELECT ordinal FROM thunk WHERE state = :state ORDER BY ordinal DESC LIMIT 1 OFFSET :keep";
    let params = named_params! {":state": state.as_str(), ":keep": keep};
    let oldest: Option<i64> = connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?;
    if let Some(oldest) = oldest {
        let sql = "DELETE FROM thunk WHERE state = :state AND ordinal <= :oldest";
        connection
            .prepare_cached(sql)?
            .execute(named_params! {":state": state.as_str(), ":oldest": oldest})?;
    }
    Ok(())
}
