//! What is new at a server, asked once for many documents that owe it nothing.
//!
//! `GET /v1/documents?since=` names the documents that changed since a token. So a store of a thousand documents that are in
//! step asks one question and not a thousand. Two rules keep that true:
//!
//! - The token moves only when all that was listed and is held here came into step. What failed is listed again.
//! - After five minutes, and with other credentials, the whole list is asked for: it shows what may not be read any more,
//!   where a list of changes says nothing, and mends what a list that lied left out. Such a document is asked for by itself.
//!
//! A document is left out only where its cursor is the list's, or where it was in step and is not listed. A server that was put
//! back does not know the token, and of the whole list each cursor proves itself.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Token, Transport, remote};
use crate::{
    ChangeHash, DocumentId, Millis, Store,
    store::{Core, InStep},
};

/// From so many documents on that owe a server nothing it is asked for the list.
pub(super) const MANY: usize = 8;
/// How long changes are asked for before the whole list is, in milliseconds.
const WHOLE_AGAIN: Millis = 300_000;

/// How far the list of a server is known. Kept in the store's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    since: String,
    /// When the whole list was asked for, milliseconds since 1970.
    whole_at: Millis,
}

/// What a server listed.
#[derive(Debug)]
pub(super) struct News {
    /// Up to where and with which heads; none where it was deleted.
    listed: HashMap<DocumentId, Option<InStep>>,
    whole: bool,
    /// Of which server, and for whom: another bearer reads another list.
    whose: String,
    next: Known,
}

impl News {
    /// Asks a server. Nothing, where it has no list for whoever asks: then each document is asked for.
    pub(super) async fn ask(
        store: &Store,
        (server, token, transport): (&str, Option<&Token>, &dyn Transport),
        (now, deadline): (Millis, Duration),
    ) -> Option<Self> {
        let whose = whose(server, token);
        let known = read(store, whose.clone()).await;
        let known = known.filter(|known| (0..WHOLE_AGAIN).contains(&now.saturating_sub(known.whole_at)));
        if let Some(known) = known {
            let listed = tokio::time::timeout(deadline, remote::list(transport, Some(&known.since))).await;
            if let Ok(Ok((entries, since))) = listed {
                let next = Known { since: since.unwrap_or_else(|| known.since.clone()), ..known };
                return Some(Self { listed: by_document(entries), whole: false, whose, next });
            }
        }
        let listed = tokio::time::timeout(deadline, remote::list(transport, None)).await;
        let (entries, since) = listed.ok()?.ok()?;
        let next = Known { since: since?, whole_at: now };
        Some(Self { listed: by_document(entries), whole: true, whose, next })
    }

    /// Whether the server has nothing new of a document that is in step here. What it lists may be believed only where the
    /// heads are the same: a cursor alone may have come with pages that were cut short, or for a push that was swallowed.
    pub(super) fn leaves(&self, document: DocumentId, here: &InStep) -> bool {
        match self.listed.get(&document) {
            Some(Some(listed)) => {
                let heads = |one: &InStep| one.heads.iter().copied().collect::<HashSet<_>>();
                listed.cursor == here.cursor && (listed.heads.is_empty() || heads(listed) == heads(here))
            }
            Some(None) => false,
            None => !self.whole,
        }
    }

    /// Whether all that was listed and stands in this server's log here is in step, and what was `done` holds the heads that
    /// were listed. What is not held here, or not from there, is none of this list's.
    pub(super) async fn came_into_step(
        &self,
        store: &Store,
        (done, server): (&HashSet<DocumentId>, &str),
    ) -> bool {
        let others: HashSet<DocumentId> =
            self.listed.keys().copied().filter(|id| !done.contains(id)).collect();
        let heads: Vec<(DocumentId, Vec<ChangeHash>)> = self
            .listed
            .iter()
            .filter(|(id, _)| done.contains(*id))
            .filter_map(|(id, listed)| Some((*id, listed.as_ref()?.heads.clone())))
            .collect();
        let server = server.to_owned();
        let work =
            move |core: &mut Core| Ok(!core.any_cursor_at(&others, &server)? && core.hold_heads(&heads)?);
        store.with_core(work).await.unwrap_or(false)
    }

    /// All that was listed and is held here is in step.
    pub(super) async fn settle(self, store: &Store) {
        let text = serde_json::to_string(&self.next).unwrap_or_default();
        let kept = store.with_core(move |core| core.keep_listed(&self.whose, &text)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "how far the list of documents is known was not kept");
        }
    }
}

fn by_document(entries: Vec<remote::Listed>) -> HashMap<DocumentId, Option<InStep>> {
    // What is deleted is asked for: whose word counts is for the store to say.
    let in_step = |entry: remote::Listed| match entry.cursor {
        Some(cursor) if !entry.deleted => (entry.id, Some(InStep { cursor, heads: entry.heads })),
        _ => (entry.id, None),
    };
    entries.into_iter().map(in_step).collect()
}

async fn read(store: &Store, whose: String) -> Option<Known> {
    let text = store.with_core(move |core| core.listed(&whose)).await.ok()??;
    serde_json::from_str(&text).ok()
}

/// A server and a bearer, without the secret.
fn whose(server: &str, token: Option<&Token>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(server.trim_end_matches('/'));
    hasher.update([0]);
    hasher.update(token.map_or("", Token::secret));
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Of these documents, those that are in step with a server as far as is known here, and up to where.
pub(super) async fn quiet(
    store: &Store,
    documents: HashSet<DocumentId>,
    server: &str,
) -> HashMap<DocumentId, InStep> {
    let server = server.to_owned();
    store.with_core(move |core| core.in_step_at(&documents, &server)).await.unwrap_or_default()
}
