use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use rejoin::{
    Action, DocumentId, Store, SyncOptions, WatchOptions,
    driver::{Connect, EventStream, HttpTransport, NoStream, Transport},
    wire::{Request, Response, TransportError},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::live::loopback::own_loopback;

/// Far longer than any test: what happens sooner was not a poll.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

/// A server that can be stopped and started again at its address.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
    running: Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let mut server = Self::absent().await;
        server.restart().await;
        server
    }

    /// An address at which nobody answers yet.
    pub(crate) async fn absent() -> Self {
        let address = TcpListener::bind((own_loopback(), 0)).await.unwrap().local_addr().unwrap();
        Self { address, directory: tempfile::tempdir().unwrap(), running: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            drop(stop);
            task.await.unwrap().unwrap();
        }
    }

    /// A copy of its database, as a backup has it.
    pub(crate) async fn copy(&mut self) -> Vec<u8> {
        self.stop().await;
        let copy = std::fs::read(self.directory.path().join("log.db")).unwrap();
        self.restart().await;
        copy
    }

    /// Goes on with an older copy of its database.
    pub(crate) async fn put_back(&mut self, copy: Vec<u8>) {
        self.stop().await;
        for beside in ["log.db-wal", "log.db-shm"] {
            let _ = std::fs::remove_file(self.directory.path().join(beside));
        }
        std::fs::write(self.directory.path().join("log.db"), copy).unwrap();
        self.restart().await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let config = rejoin_server::ServerConfig::new(self.directory.path().join("log.db"));
        let state = rejoin_server::AppState::open(config).unwrap();
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = rejoin_server::serve(listener, state, stopped.map(drop));
        self.running = Some((stop, tokio::spawn(serving)));
    }
}

/// A client with a store of its own.
pub(crate) struct Client {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
    options: SyncOptions,
}

impl Client {
    pub(crate) async fn new(server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("a.db")).await.unwrap();
        Self { directory, store, options: SyncOptions::default().server(server.url()) }
    }

    pub(crate) async fn set(&self, document: DocumentId, key: &str, value: i64) {
        let action = Action::Set { path: format!("/{key}"), value: json!(value) };
        self.store.dispatch(document, action).await.unwrap();
    }

    pub(crate) async fn sync(&self) -> rejoin::SyncReport {
        self.store.sync(self.options.clone()).await.unwrap()
    }

    pub(crate) async fn state(&self, document: DocumentId) -> Value {
        self.store.state(document, "").await.unwrap()
    }

    /// Follows; polls never, unless told otherwise.
    pub(crate) fn watch(&self, change: impl FnOnce(WatchOptions) -> WatchOptions, events: Events) -> Watch {
        let options = WatchOptions::default().sync(self.options.clone()).poll(NEVER).live_poll(NEVER);
        let options = change(options.reconnect(Duration::from_millis(20)));
        let (stop, stopped) = oneshot::channel::<()>();
        let store = self.store.clone();
        let opened = Arc::new(tokio::sync::Semaphore::new(0));
        let counted = Arc::clone(&opened);
        let task = tokio::spawn(async move {
            let connect = move |server: &str, token: Option<&rejoin::Token>| {
                let inner = HttpTransport::new(server, token)?;
                let passed = Passed { inner, events, opened: Arc::clone(&counted) };
                Ok(Arc::new(passed) as Arc<dyn Transport>)
            };
            let connect: &Connect = &connect;
            store.watch_over((options, connect), |_| {}, stopped.map(drop)).await.unwrap();
        });
        Watch { stop: Some(stop), task, opened }
    }

    /// Waits until the document reads so.
    pub(crate) async fn reads(&self, document: DocumentId, wanted: Value) {
        let mut changes = self.store.subscribe();
        let look = async {
            while self.state(document).await != wanted {
                let _ = changes.recv().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), look).await.is_err() {
            panic!("{} instead of {wanted}", self.state(document).await);
        }
    }
}

/// A watch that goes on.
pub(crate) struct Watch {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    opened: Arc<tokio::sync::Semaphore>,
}

impl Watch {
    /// Waits for a stream to be opened, one more than before.
    pub(crate) async fn opened(&self) {
        self.opened.acquire().await.unwrap().forget();
    }

    pub(crate) async fn end(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }
}

/// What becomes of the events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    Pass,
    /// None arrives, though the stream speaks.
    Lost,
    /// Each comes three times.
    Doubled,
    /// Each comes with those before it again, the newest first.
    Reordered,
    /// Each comes when the next one does.
    Late,
    /// A proxy keeps everything.
    Buffered,
}

struct Passed {
    inner: HttpTransport,
    events: Events,
    opened: Arc<tokio::sync::Semaphore>,
}

impl Transport for Passed {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.inner.send(request)
    }

    fn events<'a>(&'a self, documents: &'a [DocumentId]) -> BoxFuture<'a, Result<EventStream, NoStream>> {
        async move {
            if self.events == Events::Buffered {
                return Ok(stream::pending().boxed());
            }
            let inner = self.inner.events(documents).await?;
            let (events, opened, kept) = (self.events, Arc::clone(&self.opened), Mutex::new(Vec::new()));
            Ok(inner
                .map(move |piece| {
                    let piece = piece?;
                    if piece.starts_with(b"retry") {
                        opened.add_permits(1);
                        return Ok(piece);
                    }
                    let mut kept = kept.lock().unwrap();
                    kept.push(piece.clone());
                    Ok(match events {
                        Events::Pass | Events::Buffered => piece,
                        Events::Lost => b":\n\n".to_vec(),
                        Events::Doubled => piece.repeat(3),
                        Events::Reordered => kept.iter().rev().flatten().copied().collect(),
                        Events::Late => kept.iter().rev().nth(1).cloned().unwrap_or(b":\n\n".to_vec()),
                    })
                })
                .boxed())
        }
        .boxed()
    }
}
