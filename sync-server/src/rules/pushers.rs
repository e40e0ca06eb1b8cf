//! Who pushed what, for those who may read it.

use rejoin_protocol::{
    Cursor, DocumentId,
    wire::{JSON, PushedBy, PushersReply, Response},
};

use super::{
    ApiError, Client, Principal, api_error::to_json, cursor::prove, pull::page_limit, pull::readable,
};
use crate::{
    ServerLimits,
    log::{LogError, TokenKey, View},
};

/// Most changes of a page: with a long name for each of them it has about 3 MB.
const MOST: usize = 8_192;

/// What whoever pushes is called: a token by its name, a JWT by its subject; `None` where nobody is asked who it is.
pub(super) fn name_of(view: &impl View, by: &Principal) -> Result<Option<String>, LogError> {
    Ok(match by.client() {
        None => None,
        Some(Client::Subject(subject)) => Some(format!("jwt:{subject}")),
        Some(Client::Token(token)) => {
            view.token(TokenKey::Id(token))?.map(|row| format!("token:{}", row.name))
        }
    })
}

/// Who pushed the changes after a cursor: a page of it, in the log's order. It says who brought a change here, and
/// not who made it.
pub(crate) fn pushers(
    view: &impl View,
    limits: &ServerLimits,
    id: &DocumentId,
    (after, limit): (Option<&Cursor>, Option<u32>),
) -> Result<Response, ApiError> {
    let document = readable(view, id)?;
    let after = prove(view, Some(&document), after)??.position;
    let end = document.end.position;
    let mut reply = PushersReply::default();
    let covered = match view.first_pushed(document.key, after, end)? {
        None => end,
        Some(first) => {
            let most = page_limit(limits, limit).changes.clamp(1, MOST) as u64;
            let upto = end.min((first - 1).saturating_add(most));
            for run in view.pushed(document.key, (first - 1, upto))? {
                let Some(by) = run.by else { continue };
                let hashes = view.hashes(document.key, (run.first, run.last))?;
                let hashes = hashes.iter().map(ToString::to_string).collect();
                reply.pushers.push(PushedBy { by, hashes });
            }
            upto
        }
    };
    let cursor = view.mark_at(document.key, document.end, covered)?;
    Ok(Response {
        status: 200,
        media_type: JSON.to_owned(),
        cursor: cursor.to_cursor(),
        end: document.end.to_cursor(),
        more: covered < end,
        body: to_json(&reply),
        ..Response::default()
    })
}
