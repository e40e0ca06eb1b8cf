//! The server in one thread and without a network, for tests and simulations.

use std::time::Duration;

use rejoin_protocol::{
    DocumentId,
    wire::{Request, Response},
};

use crate::{
    LogStore, ServerLimits,
    log::{Attempt, Edit, EditRows, Group, Log},
    merge::examine_here,
    rules::{
        ApiError, Changes, Code, Form, Principal, Push, Receipt, Room, any_snapshot, delete, deleted,
        missing, pull, pushers, readable, reply, stored_snapshot, take,
    },
};

/// How long making a snapshot may take here.
const LONGEST_MAKING: Duration = Duration::from_secs(60);

/// Answers one request, with the log in the caller's hands: what the HTTP server does, in one thread and without
/// a network. `now` is in milliseconds since 1970. A push is answered after its commit.
pub fn respond(log: &mut LogStore, limits: &ServerLimits, request: &Request, now: i64) -> Response {
    answer(log, limits, request, now).unwrap_or_else(ApiError::into_response)
}

fn answer(
    log: &mut impl Log,
    limits: &ServerLimits,
    request: &Request,
    now: i64,
) -> Result<Response, ApiError> {
    match request {
        Request::Push { document, after, limit, body } => {
            let push = Push {
                document: *document,
                after: after.clone(),
                changes: Changes::read(body.to_vec(), limits)?,
                by: Principal::Local,
                room: Room::of(limits),
            };
            let receipt = alone(log, &push, now)?;
            let form = Form::Changes { limit: *limit };
            Ok(log.read(|view| reply(view, limits, receipt, form))?.into_whole())
        }
        Request::Pull { document, after, limit } => {
            log.read(|view| pull(view, limits, document, (after.as_ref(), *limit)))
        }
        Request::Pushers { document, after } => {
            log.read(|view| pushers(view, limits, document, (after.as_ref(), None)))
        }
        Request::Missing { document, hashes } => log.read(|view| missing(view, limits, document, hashes)),
        Request::Delete { document } => {
            let group = log.begin()?;
            group.edit().attempt(|edit| delete(edit, document, (&Principal::Local, now)))??;
            group.commit()?;
            Ok(deleted())
        }
        Request::Snapshot { document } => fresh_snapshot(log, document, now),
    }
}

/// The snapshot, made and stored first where that is due.
fn fresh_snapshot(log: &mut impl Log, document: &DocumentId, now: i64) -> Result<Response, ApiError> {
    if let Some(stored) = log.read(|view| stored_snapshot(view, document))? {
        return Ok(stored);
    }
    let found = log.read(|view| examine_here(view, &readable(view, document)?, LONGEST_MAKING))?;
    let group = log.begin()?;
    group.edit().attempt(|edit| edit.keep_found(&found, now).map(Attempt::Keep))?;
    group.commit()?;
    log.read(|view| any_snapshot(view, document))?.ok_or_else(|| ApiError::new(Code::Unavailable))
}

/// One push in a group of its own.
fn alone(log: &mut impl Log, push: &Push, now: i64) -> Result<Receipt, ApiError> {
    let group = log.begin()?;
    let receipt = group.edit().attempt(|edit| take(edit, push, now))??;
    // Invariant 2: "Acknowledged means durable at the server."
    group.commit()?;
    Ok(receipt)
}
