//! What the server answers, without HTTP: requests and responses are plain values.

mod cursor;
mod documents;
mod fault;
mod missing;
mod pull;
mod push;

use rejoin::wire::{Request, Response};

use crate::{LogStore, ServerLimits};

pub(crate) use documents::{delete, deleted, list, list_reply};
pub(crate) use fault::{Code, Fault};
pub(crate) use missing::missing;
pub(crate) use pull::pull;
pub(crate) use push::{Form, Push, Receipt, check_body, reply, reply_at_end, take};

/// Answers one request, with the log in the caller's hands: what the HTTP server does, in one thread and without
/// a network. `now` is in milliseconds since 1970. A push is answered after its commit.
pub fn respond(log: &mut LogStore, limits: &ServerLimits, request: &Request, now: i64) -> Response {
    answer(log, limits, request, now).unwrap_or_else(Fault::into_response)
}

fn answer(log: &mut LogStore, limits: &ServerLimits, request: &Request, now: i64) -> Result<Response, Fault> {
    match request {
        Request::Push { document, after, limit, body } => {
            let changes = check_body(body, limits)?;
            let push = Push { document: *document, after: after.clone(), changes };
            let receipt = alone(log, &push, now)?;
            log.read(|view| reply(view, limits, &receipt, Form::Changes { limit: *limit }))
        }
        Request::Pull { document, after, limit } => {
            log.read(|view| pull(view, limits, document, (after.as_ref(), *limit)))
        }
        Request::Missing { document, hashes } => log.read(|view| missing(view, limits, document, hashes)),
        Request::Delete { document } => {
            let group = log.begin()?;
            group.attempt(|view| delete(view, document, now))?;
            group.commit()?;
            Ok(deleted())
        }
        _ => Err(Fault::new(Code::NotFound)),
    }
}

/// One push in a group of its own.
fn alone(log: &mut LogStore, push: &Push, now: i64) -> Result<Receipt, Fault> {
    let group = log.begin()?;
    let receipt = group.attempt(|view| take(view, push, now))??;
    // Invariant 2: "Acknowledged means durable at the server."
    group.commit()?;
    Ok(receipt)
}
