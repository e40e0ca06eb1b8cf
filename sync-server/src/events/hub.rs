//! Who listens to which documents, and what each is still to be told.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rejoin_protocol::DocumentId;
use tokio::sync::mpsc;

use super::Stream;
use crate::{
    rules::{ApiError, Asker, Code, Principal},
    shares::{Amounts, Counted, Share, Shares, Taker},
};

/// Events that may wait for one reader. All readers share an event's bytes, so this is memory for pointers.
const WAITING: usize = 64;
/// Bytes of all events that wait for some reader.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// So many documents that a stream names take as much as a stream.
const NAMED: usize = 16;

/// What a stream is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topics {
    /// Everything that may be read.
    All,
    /// These documents, whether they exist yet or not.
    Only(HashSet<DocumentId>),
}

/// Who listens to what. A listener costs an entry here and a timer: no task, no thread, no memory for a document.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    listeners: Arc<Mutex<Listeners>>,
    places: Shares<Asker>,
    /// Bytes of events that wait for readers.
    waiting: Shares<()>,
    heartbeat: Duration,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    closed: bool,
    all: HashSet<u64>,
    by_document: HashMap<DocumentId, HashSet<u64>>,
    open: HashMap<u64, Listener>,
    /// Whether somebody looks from time to time who may still listen.
    watched: bool,
}

#[derive(Debug)]
struct Listener {
    by: Principal,
    topics: Topics,
    events: mpsc::Sender<Bytes>,
}

impl Hub {
    /// For at most so many streams at once, each of which says something at least so often.
    pub(crate) fn new(places: Amounts, heartbeat: Duration) -> Self {
        let waiting = Amounts { all: WAITING_BYTES, each: WAITING_BYTES, kept: 0 };
        Self {
            listeners: Arc::default(),
            places: Shares::new(places),
            waiting: Shares::new(waiting),
            heartbeat,
        }
    }

    /// Counts an event among those that wait. `None`: there is no room for it.
    pub(crate) fn hold(&self, event: Vec<u8>) -> Option<Bytes> {
        let share = self.waiting.take(Taker::ordinary(None), event.len()).ok()?;
        Some(Bytes::from_owner(Counted { bytes: event, _share: Some(share) }))
    }

    /// Ends the streams of those of these principals who listen to this document: they pull.
    pub(crate) fn give_up(&self, document: &DocumentId, to: &HashSet<Principal>) {
        let mut listeners = self.lock();
        let told: Vec<u64> = listeners.to(document).collect();
        for id in told {
            if listeners.open.get(&id).is_some_and(|listener| to.contains(&listener.by)) {
                listeners.remove(id);
            }
        }
    }

    /// Opens a stream. What is committed from now on is in it, as far as its principal may read it then.
    ///
    /// `keeper`: it is somebody who looks after the server, for whom some are kept.
    pub(crate) fn open(&self, (by, keeper): (Principal, bool), topics: Topics) -> Result<Stream, ApiError> {
        let named = if let Topics::Only(documents) = &topics { documents.len() } else { 0 };
        let place = self.places.take(Taker { who: by.asker(), keeper }, 1 + named / NAMED);
        let mut listeners = self.lock();
        let Some(share) = place.ok().filter(|_| !listeners.closed) else {
            return Err(ApiError::because(
                Code::Unavailable,
                "No more streams are open at once: poll instead.",
            ));
        };
        let (sender, waiting) = mpsc::channel(WAITING);
        listeners.next += 1;
        let id = listeners.next;
        match &topics {
            Topics::All => drop(listeners.all.insert(id)),
            Topics::Only(documents) => {
                for document in documents {
                    listeners.by_document.entry(*document).or_default().insert(id);
                }
            }
        }
        listeners.open.insert(id, Listener { by, topics, events: sender });
        drop(listeners);
        Ok(Stream::new(waiting, (Place { hub: self.clone(), id, _share: share }, self.heartbeat)))
    }

    /// Who would be told of this document, if they may read it.
    pub(crate) fn who_listens(&self, document: &DocumentId) -> HashSet<Principal> {
        let listeners = self.lock();
        listeners.to(document).filter_map(|id| listeners.open.get(&id)).map(|l| l.by.clone()).collect()
    }

    /// Tells those of these principals who listen. One whose buffer is full is cut, and catches up by its cursor:
    /// nobody is waited for.
    pub(crate) fn publish(&self, document: &DocumentId, (event, to): (&Bytes, &HashSet<Principal>)) {
        let mut listeners = self.lock();
        let told: Vec<u64> = listeners.to(document).collect();
        for id in told {
            let listener = listeners.open.get(&id).filter(|listener| to.contains(&listener.by));
            if listener.is_some_and(|listener| listener.events.try_send(event.clone()).is_err()) {
                listeners.remove(id);
            }
        }
    }

    /// Whose streams are open.
    pub(super) fn principals(&self) -> HashSet<Principal> {
        self.lock().open.values().map(|listener| listener.by.clone()).collect()
    }

    /// Ends the streams of these.
    pub(super) fn cut(&self, gone: &HashSet<Principal>) {
        let mut listeners = self.lock();
        let ids: Vec<u64> = listeners
            .open
            .iter()
            .filter(|(_, listener)| gone.contains(&listener.by))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().for_each(|id| listeners.remove(id));
    }

    /// Whether nobody looked after the streams until now; who asks does from now on.
    pub(super) fn begin_watch(&self) -> bool {
        !std::mem::replace(&mut self.lock().watched, true)
    }

    /// Whether the watch is over because no stream is open.
    pub(super) fn end_watch(&self) -> bool {
        let mut listeners = self.lock();
        if listeners.open.is_empty() {
            listeners.watched = false;
        }
        !listeners.watched
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.lock().open.len()
    }

    /// Ends all streams, and opens no more.
    pub(crate) fn close(&self) {
        let mut listeners = self.lock();
        let watched = listeners.watched;
        *listeners = Listeners { closed: true, watched, ..Listeners::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners {
    /// Who asked for this document.
    fn to(&self, document: &DocumentId) -> impl Iterator<Item = u64> {
        self.all.iter().chain(self.by_document.get(document).into_iter().flatten()).copied()
    }

    fn remove(&mut self, id: u64) {
        let Some(Listener { topics, .. }) = self.open.remove(&id) else { return };
        self.all.remove(&id);
        let Topics::Only(documents) = topics else { return };
        for document in documents {
            if let Some(ids) = self.by_document.get_mut(&document) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_document.remove(&document);
                }
            }
        }
    }
}

/// The place of a stream among the listeners: it is given up with the stream.
#[derive(Debug)]
pub(super) struct Place {
    hub: Hub,
    id: u64,
    _share: Share<Asker>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn hub(most: usize) -> Hub {
        Hub::new(Amounts { all: most, each: most, kept: 0 }, Duration::from_secs(3_600))
    }

    fn local() -> HashSet<Principal> {
        [Principal::Local].into()
    }

    fn event(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// What a stream has to say just now; `None` at its end.
    fn taken(stream: &mut Stream) -> Vec<Bytes> {
        let mut all = Vec::new();
        while let Some(Some(Ok(bytes))) = tokio::task::coop::unconstrained(stream.next()).now_or_never() {
            all.push(bytes);
        }
        all
    }

    #[tokio::test]
    async fn each_hears_what_it_asked_for() {
        let hub = hub(9);
        let (one, two) = (DocumentId::random(), DocumentId::random());
        let mut all = hub.open((Principal::Local, true), Topics::All).unwrap();
        let mut only = hub.open((Principal::Local, true), Topics::Only([one].into())).unwrap();
        drop((taken(&mut all), taken(&mut only)));
        hub.publish(&one, (&event("one"), &local()));
        hub.publish(&two, (&event("two"), &local()));
        assert_eq!(taken(&mut all), ["one", "two"]);
        assert_eq!(taken(&mut only), ["one"]);
        drop(all);
        assert_eq!((hub.who_listens(&one), hub.who_listens(&two)), (local(), HashSet::new()));
        drop(only);
        assert!(hub.who_listens(&one).is_empty());
        assert_eq!(hub.streams(), 0);
        assert!(hub.lock().by_document.is_empty());
    }

    #[tokio::test]
    async fn a_slow_reader_is_cut_and_holds_nobody_back() {
        let hub = hub(2);
        let document = DocumentId::random();
        let mut slow = hub.open((Principal::Local, true), Topics::All).unwrap();
        let mut quick = hub.open((Principal::Local, true), Topics::Only([document].into())).unwrap();
        drop(taken(&mut quick));
        for _ in 0..10 * WAITING {
            hub.publish(&document, (&event("x"), &local()));
            assert_eq!(taken(&mut quick).len(), 1);
        }
        assert_eq!(hub.streams(), 1);
        // What it was sent in time, and then the end.
        assert_eq!(taken(&mut slow).len(), WAITING + 1);
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn there_are_at_most_so_many_streams_and_none_after_the_end() {
        let hub = hub(1);
        let mut stream = hub.open((Principal::Local, true), Topics::All).unwrap();
        assert_eq!(hub.open((Principal::Local, true), Topics::All).unwrap_err().status(), 503);
        drop(taken(&mut stream));
        hub.close();
        assert!(stream.next().await.is_none());
        assert_eq!(hub.open((Principal::Local, true), Topics::All).unwrap_err().status(), 503);
    }

    #[tokio::test]
    async fn events_that_wait_have_a_budget_whoever_does_not_read() {
        let hub = hub(2);
        let document = DocumentId::random();
        let stream = hub.open((Principal::Local, true), Topics::All).unwrap();
        let mut held = 0;
        while let Some(event) = hub.hold(vec![0; WAITING_BYTES / 40]) {
            hub.publish(&document, (&event, &local()));
            held += 1;
        }
        assert_eq!(held, 40);
        hub.give_up(&document, &local());
        assert_eq!(hub.streams(), 0);
        drop(stream);
        assert!(hub.hold(vec![0; WAITING_BYTES]).is_some(), "what nobody reads any more is free");
    }

    #[tokio::test]
    async fn many_documents_in_a_stream_count_as_many_streams() {
        let hub = hub(10);
        let named = |count| Topics::Only((0..count).map(|_| DocumentId::random()).collect());
        assert!(hub.open((Principal::Local, false), named(10 * NAMED)).is_err());
        let _one = hub.open((Principal::Local, false), named(9 * NAMED)).unwrap();
        assert!(hub.open((Principal::Local, false), Topics::All).is_err());
    }
}
