//! Whether a server answers, for whoever wants to tell a person.

use std::time::Duration;

use super::{HttpOptions, HttpTransport, Token};
use crate::{Error, Result, wire};

/// Asks a server for its limits, which says that it is a sync server and takes these credentials.
///
/// # Errors
/// [`Error::Unreachable`] when no usable answer came within the deadline, [`Error::Unauthorized`],
/// [`Error::Forbidden`], [`Error::InvalidServer`], [`Error::PlainHttp`], [`Error::NoRuntime`].
pub async fn probe(
    server: &str,
    token: Option<&Token>,
    (http, deadline): (&HttpOptions, Duration),
) -> Result<()> {
    crate::runtime::needs_network()?;
    let transport = HttpTransport::with(server, token, http)?;
    let reply = tokio::time::timeout(deadline, transport.get(&["v1", "limits"], &[])).await;
    let reply = reply.map_err(|_| Error::Unreachable("no answer came in time".to_owned()))?;
    let reply = reply.map_err(|e| Error::Unreachable(e.to_string()))?;
    let object = || serde_json::from_slice::<serde_json::Map<_, _>>(&reply.body).is_ok();
    match reply.status {
        200 if reply.media_type == wire::JSON && object() => Ok(()),
        401 => Err(Error::Unauthorized("status 401".to_owned())),
        403 => Err(Error::Forbidden("status 403".to_owned())),
        429 | 500..600 => Err(Error::Unreachable(format!("it answers with status {}", reply.status))),
        _ => Err(Error::Unreachable("what answers is no sync server".to_owned())),
    }
}
