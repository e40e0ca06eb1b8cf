//! One event, as it is written to a stream.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rejoin_protocol::{Cursor, DocumentId, wire::ChangesEvent};

use super::Hub;
use crate::{
    LogError, LogStore,
    clock::now,
    log::{Claim, PageLimit, Read, Rows, Span, View},
    rules::{Principal, may_hear},
};

/// Changes up to so many bytes, all together, travel inside the event.
const SMALL: usize = 16 * 1024;
/// Most heads that an event names; where there are more it names none.
const MOST_HEADS: usize = 64;

/// Puts together what is of one document, in the order of the commits.
pub(crate) fn spans(all: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for span in all {
        let earlier = joined.iter_mut().find_map(|earlier| match (earlier, &span) {
            (Span::Grown { document, end, .. }, Span::Grown { document: of, .. }) if document == of => {
                Some(end)
            }
            _ => None,
        });
        match (earlier, span) {
            (Some(earlier), Span::Grown { end, .. }) => *earlier = end,
            (_, span) => joined.push(span),
        }
    }
    joined
}

/// Tells those who listen, after each commit.
#[derive(Debug)]
pub(crate) struct Publisher {
    hub: Hub,
    /// Who was found to be allowed to read what, as long as no other connection wrote to the database: tokens are
    /// granted and revoked by another process, and of a document that begins nobody asked before it was there.
    may: HashMap<(Principal, DocumentId), bool>,
    version: i64,
}

/// Most that is remembered of who may read what.
const MOST_KNOWN: usize = 100_000;

impl Publisher {
    pub(crate) fn new(hub: Hub) -> Self {
        Self { hub, may: HashMap::new(), version: 0 }
    }

    /// Tells those who may read it. Who hears of it can have it: this is said after the commit. An event is a hint:
    /// one that cannot be made is left out, and clients find out by polling.
    pub(crate) fn tell(&mut self, log: &impl Read, spans: Vec<Span>) {
        for span in spans {
            let (Span::Grown { document, .. } | Span::Deleted(document)) = span;
            let who = self.hub.who_listens(&document);
            if who.is_empty() {
                continue;
            }
            let made = log.read(|view| {
                let to = self.allowed(view, &document, who)?;
                Ok((if to.is_empty() { None } else { Some(make(view, &span)?) }, to))
            });
            match made {
                Ok((Some(event), to)) => match self.hold(event) {
                    Some(event) => self.hub.publish(&document, (&event, &to)),
                    None => self.hub.give_up(&document, &to),
                },
                Ok((None, _)) => {}
                Err::<_, LogError>(error) => tracing::warn!(%document, %error, "an event could not be made"),
            }
        }
    }

    /// An event that waits for its readers; where they are slow and there is no room, a bare one.
    fn hold(&self, event: ChangesEvent) -> Option<Bytes> {
        let bare = |event| ChangesEvent { changes: None, heads: Vec::new(), ..event };
        self.hub.hold(frame(&event)).or_else(|| self.hub.hold(frame(&bare(event))))
    }

    /// Those of these who may read it.
    fn allowed(
        &mut self,
        view: &impl View,
        document: &DocumentId,
        mut who: HashSet<Principal>,
    ) -> Result<HashSet<Principal>, LogError> {
        let version = view.version()?;
        if self.version != version || self.may.len() > MOST_KNOWN {
            (self.version, self.may) = (version, HashMap::new());
        }
        for principal in who.clone() {
            let key = (principal, *document);
            let may = match self.may.get(&key) {
                Some(may) => *may,
                None => may_hear(view, &key.0, (document, now()))?,
            };
            if !may {
                who.remove(&key.0);
            }
            self.may.insert(key, may);
        }
        Ok(who)
    }
}

/// The event that tells of a document whose log grew from `before`, or from its beginning, to where it ends now: what
/// the server sends to whoever listens. `None` where there is no such document, where it did not grow, or where its
/// log never was at `before`.
///
/// # Errors
/// Where the log cannot be read.
pub fn event_since(
    log: &mut LogStore,
    document: DocumentId,
    before: Option<&Cursor>,
) -> Result<Option<ChangesEvent>, LogError> {
    log.read(|view| {
        let Some(stored) = view.document(&document)? else { return Ok(None) };
        let claim = before.map_or(Claim::Beginning, |cursor| Claim::read(cursor.as_str()));
        let proved = claim.prove(stored.end, |position| view.digest_at(stored.key, position))?;
        let Some(before) = proved.filter(|before| *before != stored.end) else { return Ok(None) };
        make(view, &Span::Grown { document, before, end: stored.end }).map(Some)
    })
}

fn make(view: &impl View, span: &Span) -> Result<ChangesEvent, LogError> {
    let (document, before, end) = match span {
        Span::Grown { document, before, end } => (document, *before, *end),
        Span::Deleted(document) => {
            return Ok(ChangesEvent {
                document: document.to_string(),
                deleted: true,
                ..ChangesEvent::default()
            });
        }
    };
    let mut event = ChangesEvent {
        document: document.to_string(),
        after: before.to_text(),
        cursor: end.to_text(),
        ..ChangesEvent::default()
    };
    if let Some(stored) = view.document(document)?.filter(|stored| stored.end == end) {
        let heads = view.heads(stored.key)?;
        if heads.len() <= MOST_HEADS {
            event.heads = heads.iter().map(ToString::to_string).collect();
        }
        let limit = PageLimit { changes: usize::MAX, bytes: SMALL };
        let page = view.page(stored.key, (before.position, end.position), &[], limit)?;
        // A page gives out one change even where it alone is larger.
        let whole = page.covered == end.position && page.bytes.len() <= SMALL;
        event.changes = whole.then(|| STANDARD.encode(&page.bytes));
    }
    Ok(event)
}

fn frame(event: &ChangesEvent) -> Vec<u8> {
    // JSON has no line breaks outside its strings, and none unescaped inside them.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("event: changes\ndata: {data}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Mark;

    #[test]
    fn a_group_tells_of_a_document_once() {
        let (one, two) = (DocumentId::random(), DocumentId::random());
        let mark = |position| Mark { position, ..Mark::default() };
        let grown = |document, before, end| Span::Grown { document, before: mark(before), end: mark(end) };
        let joined = spans([grown(one, 0, 2), grown(two, 5, 6), grown(one, 2, 9), Span::Deleted(two)]);
        assert_eq!(joined, [grown(one, 0, 9), grown(two, 5, 6), Span::Deleted(two)]);
    }
}
