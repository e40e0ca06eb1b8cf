//! Where clients stand: how far the cursor that each was last given is behind the log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rejoin_protocol::DocumentId;

use crate::{
    LogError,
    log::View,
    rules::{Client, Principal},
};

/// Most pairs of client and document that are remembered. Beyond, those that were heard of least recently go.
const MOST: usize = 20_000;

/// Who was not heard of for so many milliseconds is left out: 30 days.
const FORGOTTEN: i64 = 30 * 24 * 3_600_000;

/// The cursor that each client was last given, for each document.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<(Client, DocumentId), Stand>>);

#[derive(Debug, Clone, Copy)]
struct Stand {
    position: u64,
    at: i64,
}

/// How far a client is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Its token's name, or `jwt:` and the subject of its JWTs.
    pub(crate) client: String,
    pub(crate) changes: u64,
    /// Milliseconds since 1970.
    pub(crate) seen: i64,
}

impl Clients {
    /// This client was given this place. Who has no name is not told from others, and is not noted.
    pub(crate) fn note(&self, by: &Principal, document: DocumentId, (position, at): (u64, i64)) {
        let Some(client) = by.client() else { return };
        let key = (client, document);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&key) {
            let mut times: Vec<i64> = all.values().map(|stand| stand.at).collect();
            let (_, middle, _) = times.select_nth_unstable(MOST / 2);
            let middle = *middle;
            all.retain(|_, stand| stand.at > middle);
        }
        all.insert(key, Stand { position, at });
    }

    /// All of them, by name. A token that was revoked or has expired is left out.
    pub(crate) fn lags(&self, view: &impl View, now: i64) -> Result<Vec<Lag>, LogError> {
        let all: Vec<_> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(key, stand)| (key.clone(), *stand)).collect()
        };
        let mut ends = HashMap::new();
        let mut lags: HashMap<Client, Lag> = HashMap::new();
        for ((by, document), stand) in all {
            if now - stand.at > FORGOTTEN {
                continue;
            }
            let end = match ends.get(&document) {
                Some(end) => *end,
                None => view.document(&document)?.filter(|d| !d.deleted).map_or(0, |d| d.end.position),
            };
            ends.insert(document, end);
            let lag = lags.entry(by).or_insert_with(|| Lag { client: String::new(), changes: 0, seen: 0 });
            lag.changes += end.saturating_sub(stand.position);
            lag.seen = lag.seen.max(stand.at);
        }
        let mut named = Vec::new();
        for (by, lag) in lags {
            if let Some(client) = by.name(view, now)? {
                named.push(Lag { client, ..lag });
            }
        }
        Ok(named)
    }
}
