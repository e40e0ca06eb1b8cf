//! What a server has for whoever asks.

use std::{collections::BTreeMap, time::Duration};

use super::{HttpOptions, HttpTransport, Token, Transport};
use crate::{
    ChangeHash, Cursor, DocumentId, Error, Result,
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
/// As for [`super::probe`]; `deadline` bounds the whole. [`Error::Protocol`] where the list has no end or is none.
pub async fn list_remote(
    server: &str,
    token: Option<&Token>,
    (http, deadline): (&HttpOptions, Duration),
) -> Result<Vec<RemoteDocument>> {
    let transport = HttpTransport::with(server, token, http)?;
    let listed = tokio::time::timeout(deadline, list(&transport, None)).await;
    let (listed, _) = listed.map_err(|_| Error::Unreachable("no answer came in time".to_owned()))??;
    let document = |one: Listed| RemoteDocument { id: one.id, heads: one.heads, deleted: one.deleted };
    let found: BTreeMap<DocumentId, RemoteDocument> =
        listed.into_iter().map(|one| (one.id, document(one))).collect();
    Ok(found.into_values().collect())
}

/// A document as a server lists it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: DocumentId,
    pub(super) cursor: Option<Cursor>,
    pub(super) heads: Vec<ChangeHash>,
    pub(super) deleted: bool,
}

/// All documents that changed since a token, oldest change first, and the token after them; the last entry of a document counts.
pub(super) async fn list(
    transport: &dyn Transport,
    since: Option<&str>,
) -> Result<(Vec<Listed>, Option<String>)> {
    let (mut listed, mut since) = (Vec::new(), since.map(str::to_owned));
    loop {
        let reply = transport.list(since.as_deref()).await;
        let page = read(&reply.map_err(|e| Error::Unreachable(e.to_string()))?)?;
        let ended = page.documents.is_empty();
        for entry in page.documents {
            listed.push(one(entry)?);
        }
        let next = page.next.filter(|next| !next.is_empty());
        // One that does not get on would be asked for ever.
        let ended = ended || next.is_none() || next == since;
        since = next.or(since);
        if ended {
            return Ok((listed, since));
        }
        if listed.len() > MOST {
            return Err(Error::Protocol(format!("it lists more than {MOST} documents")));
        }
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

fn one(entry: DocumentEntry) -> Result<Listed> {
    let id = entry.id.parse();
    let heads: Result<Vec<ChangeHash>, _> = entry.heads.iter().map(|hash| hash.parse()).collect();
    match (id, heads) {
        (Ok(id), Ok(heads)) => {
            let cursor = entry.cursor.as_deref().and_then(Cursor::parse);
            Ok(Listed { id, cursor, heads, deleted: entry.deleted })
        }
        _ => Err(Error::Protocol("its list names what is no document".to_owned())),
    }
}
