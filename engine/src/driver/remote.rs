//! What a server has for whoever asks.

use std::{collections::BTreeMap, time::Duration};

use super::{HttpOptions, HttpTransport, Token};
use crate::{
    ChangeHash, DocumentId, Error, Result,
    wire::{self, DocumentEntry, DocumentsReply, Response},
};

/// Most documents that are taken from one server: who has more wants another way to choose than a list.
const MOST: usize = 100_000;

/// A document at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteDocument {
    /// Its id.
    pub id: DocumentId,
    /// Its heads there.
    pub heads: Vec<ChangeHash>,
    /// It was deleted for everyone.
    pub deleted: bool,
}

/// Lists the documents that these credentials may read at a server, by id. Those that were deleted are among them.
///
/// ```no_run
/// # async fn run() -> rejoin::Result<()> {
/// use std::time::Duration;
/// let http = rejoin::HttpOptions::default();
/// let all = rejoin::list_remote("http://127.0.0.1:4810", None, (&http, Duration::from_secs(10))).await?;
/// let living = all.iter().filter(|document| !document.deleted).count();
/// println!("{living} documents");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`super::probe`]; `deadline` bounds each request. [`Error::Protocol`] where the list has no end or is none.
pub async fn list_remote(
    server: &str,
    token: Option<&Token>,
    (http, deadline): (&HttpOptions, Duration),
) -> Result<Vec<RemoteDocument>> {
    let transport = HttpTransport::with(server, token, http)?;
    let (mut found, mut since) = (BTreeMap::new(), None::<String>);
    loop {
        let query: Vec<(&str, &str)> = since.iter().map(|since| ("since", since.as_str())).collect();
        let reply = tokio::time::timeout(deadline, transport.get(&["v1", "documents"], &query)).await;
        let reply = reply.map_err(|_| Error::Unreachable("no answer came in time".to_owned()))?;
        let page = read(&reply.map_err(|e| Error::Unreachable(e.to_string()))?)?;
        let before = found.len();
        for entry in page.documents {
            let document = document(entry)?;
            found.insert(document.id, document);
        }
        let next = page.next.filter(|next| !next.is_empty());
        // One that does not get on would be asked for ever.
        if next.is_none() || next == since || found.len() == before {
            return Ok(found.into_values().collect());
        }
        if found.len() > MOST {
            return Err(Error::Protocol(format!("it lists more than {MOST} documents")));
        }
        since = next;
    }
}

fn read(reply: &Response) -> Result<DocumentsReply> {
    match reply.status {
        200 if reply.media_type == wire::JSON => serde_json::from_slice(&reply.body)
            .map_err(|_| Error::Protocol("its list of documents cannot be read".to_owned())),
        401 => Err(Error::Unauthorized("status 401".to_owned())),
        403 => Err(Error::Forbidden("status 403".to_owned())),
        429 | 500..600 => Err(Error::Unreachable(format!("it answers with status {}", reply.status))),
        _ => Err(Error::Unreachable("what answers is no sync server".to_owned())),
    }
}

fn document(entry: DocumentEntry) -> Result<RemoteDocument> {
    let id = entry.id.parse();
    let heads: Result<Vec<ChangeHash>, _> = entry.heads.iter().map(|hash| hash.parse()).collect();
    match (id, heads) {
        (Ok(id), Ok(heads)) => Ok(RemoteDocument { id, heads, deleted: entry.deleted }),
        _ => Err(Error::Protocol("its list names what is no document".to_owned())),
    }
}
