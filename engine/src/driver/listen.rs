//! Listening to the event streams of servers: a task a server, which connects, waits, and connects again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use rand::RngExt;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Transport,
    sse::Parser,
    transport::{EventStream, NoStream},
};
use crate::{DocumentId, wire::ChangesEvent};

/// With more documents than this a stream is about all of them: an address has to fit into a line.
const MOST_NAMED: usize = 100;
/// Notes that wait for the watch. Then the stream waits, and the server cuts it where that takes too long.
const WAITING: usize = 256;
/// The longest window of waits between attempts to connect.
const LONGEST: Duration = Duration::from_secs(60);

/// What a stream has to say.
#[derive(Debug)]
pub(super) enum Said {
    /// Streams pass: pull once, and then believe it.
    Open,
    /// Something happened.
    Changes(Box<ChangesEvent>),
    /// It ended.
    Ended,
}

/// What a stream said.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) server: String,
    pub(super) said: Said,
    /// Which of the streams to this server it was.
    number: u64,
}

/// How streams are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A stream that says nothing for so long is given up.
    pub(super) watchdog: Duration,
    /// The window of the first wait before connecting again.
    pub(super) reconnect: Duration,
}

/// The streams of a watch.
#[derive(Debug)]
pub(super) struct Streams {
    patience: Patience,
    open: BTreeMap<String, Listener>,
    notes: mpsc::Receiver<Note>,
    sender: mpsc::Sender<Note>,
    numbers: u64,
}

#[derive(Debug)]
struct Listener {
    documents: BTreeSet<DocumentId>,
    task: JoinHandle<()>,
    number: u64,
    state: State,
    hurry: Arc<Notify>,
}

/// What is believed of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet.
    Silent,
    /// It speaks.
    Live,
    /// It speaks, but a poll found what it had not told: something on the way may keep it back.
    Doubtful,
    /// It spoke and ended.
    Lost,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Streams {
    pub(super) fn new(patience: Patience) -> Self {
        let (sender, notes) = mpsc::channel(WAITING);
        Self { patience, open: BTreeMap::new(), notes, sender, numbers: 0 }
    }

    /// Follows these servers, each for its documents, and no others.
    pub(super) fn follow(&mut self, wanted: BTreeMap<String, (Arc<dyn Transport>, BTreeSet<DocumentId>)>) {
        self.open.retain(|server, _| wanted.contains_key(server));
        for (server, (transport, documents)) in wanted {
            if self.open.get(&server).is_some_and(|listener| listener.documents == documents) {
                continue;
            }
            self.numbers += 1;
            let hurry = Arc::new(Notify::new());
            let named =
                if documents.len() > MOST_NAMED { Vec::new() } else { documents.iter().copied().collect() };
            let line = Line { server: server.clone(), number: self.numbers, notes: self.sender.clone() };
            let task = tokio::spawn(listen((transport, named), line, self.patience, Arc::clone(&hurry)));
            let listener = Listener { documents, task, number: self.numbers, state: State::Silent, hurry };
            self.open.insert(server, listener);
        }
    }

    /// The next note of a stream that is still wanted. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Note {
        loop {
            // There is always a sender here: it never ends.
            let Some(note) = self.notes.recv().await else { return std::future::pending().await };
            let Some(listener) = self.open.get_mut(&note.server).filter(|l| l.number == note.number) else {
                continue;
            };
            listener.state = match (&note.said, listener.state) {
                (Said::Open, _) => State::Live,
                (Said::Ended, State::Live | State::Doubtful) => State::Lost,
                (Said::Ended, _) => State::Silent,
                (Said::Changes(_), state) => state,
            };
            return note;
        }
    }

    /// A note that waits already.
    pub(super) fn waiting(&mut self) -> Option<Note> {
        use futures_util::FutureExt;
        self.next().now_or_never()
    }

    /// The documents that a stream is about.
    pub(super) fn documents(&self, server: &str) -> impl Iterator<Item = DocumentId> {
        self.open.get(server).into_iter().flat_map(|listener| listener.documents.iter().copied())
    }

    /// Whether a slow poll is enough: every stream speaks, or has just ended and is to be opened again. (When a
    /// server restarts, all who follow it lose their streams at once: they must not all ask it at once.)
    pub(super) fn suffice(&self) -> bool {
        !self.open.is_empty() && self.open.values().all(|l| matches!(l.state, State::Live | State::Lost))
    }

    /// Whether a poll of this document finds nothing that its stream has not told.
    pub(super) fn doubt(&mut self, document: DocumentId) {
        for listener in self.open.values_mut().filter(|l| l.documents.contains(&document)) {
            if listener.state == State::Live {
                listener.state = State::Doubtful;
            }
        }
    }

    /// It told something new.
    pub(super) fn believe(&mut self, server: &str) {
        if let Some(listener) = self.open.get_mut(server).filter(|l| l.state == State::Doubtful) {
            listener.state = State::Live;
        }
    }

    /// Something was exchanged with the servers: whoever waits to connect again does so now.
    pub(super) fn hurry(&self) {
        self.open.values().filter(|l| l.state == State::Lost).for_each(|l| l.hurry.notify_waiters());
    }
}

/// Where a task's notes go.
struct Line {
    server: String,
    number: u64,
    notes: mpsc::Sender<Note>,
}

impl Line {
    async fn say(&self, said: Said) {
        let note = Note { server: self.server.clone(), said, number: self.number };
        // Nobody listens any more: the task is about to be ended.
        let _ = self.notes.send(note).await;
    }
}

async fn listen(
    (transport, documents): (Arc<dyn Transport>, Vec<DocumentId>),
    line: Line,
    patience: Patience,
    hurry: Arc<Notify>,
) {
    let mut failures = 0_u32;
    loop {
        let opened = timeout(patience.watchdog, transport.events(&documents)).await;
        let least = match opened {
            Ok(Ok(stream)) => {
                if read(stream, &line, patience.watchdog).await {
                    failures = 0;
                }
                Duration::ZERO
            }
            Ok(Err(NoStream { why, retry_after })) => {
                tracing::debug!(server = line.number, %why, "no event stream");
                retry_after.unwrap_or_default().min(LONGEST)
            }
            Err(_) => Duration::ZERO,
        };
        failures = failures.saturating_add(1);
        line.say(Said::Ended).await;
        // Full jitter: all clients of a server that restarts come here at the same moment.
        let window = patience.reconnect.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST);
        let wait = least + window.mul_f64(rand::rng().random_range(0.0..=1.0));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = hurry.notified() => {}
        }
    }
}

/// Reads a stream to its end; whether anything came.
async fn read(mut stream: EventStream, line: &Line, watchdog: Duration) -> bool {
    let mut parser = Parser::default();
    let mut open = false;
    while let Ok(Some(Ok(piece))) = timeout(watchdog, stream.next()).await {
        if !std::mem::replace(&mut open, true) {
            line.say(Said::Open).await;
        }
        let Ok(events) = parser.feed(&piece) else { break };
        for event in events.into_iter().filter(|event| event.name == "changes") {
            if let Ok(event) = serde_json::from_str(&event.data) {
                line.say(Said::Changes(Box::new(event))).await;
            }
        }
    }
    open
}
