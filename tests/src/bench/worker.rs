//! A client in a process of its own: one JSON command a line in, one JSON answer a line out.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use automerge::Automerge;
use rejoin::{
    Action, DocumentId, Error, Store, SyncOptions, WatchOptions,
    driver::{HttpTransport, Transport},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{floor, ms, typist::Typist};
use crate::harness::Proc;

/// An order that takes longer hangs: the benchmark fails and says which.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Order {
    /// Open this store.
    Open { store: PathBuf },
    /// Make a document.
    Create,
    /// Take part in one.
    Join { id: DocumentId },
    /// Set keys, so many to a commit.
    Set { id: DocumentId, from: usize, n: usize, group: usize },
    /// Set keys by single dispatches, so many of them waiting at once.
    SetAlone { id: DocumentId, n: usize, at_once: usize },
    /// Type, 1,000 edits to a commit.
    Type { id: DocumentId, typist: u64, length: u64, n: usize },
    /// Sync once; the connection is kept for the next time.
    Sync { server: String },
    /// Follow until the document holds so many changes.
    Follow { id: DocumentId, server: String, changes: u64 },
    /// How long the text is, and the heads.
    Look { id: DocumentId },
    /// Time opening a store and reading a document's state.
    TimeOpen { store: PathBuf, id: DocumentId },
    /// The compact file, written here.
    Export { id: DocumentId, to: PathBuf },
    /// Time `Automerge::load` of such a file.
    Load { from: PathBuf },
    /// Bare commits and rows.
    Bare { file: PathBuf, n: usize, group: usize },
}

/// Does what it is told until its input ends.
pub fn worker() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the system gives threads");
    let mut client = Client::default();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        let order: Order = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let answer = runtime.block_on(client.obey(order));
        println!("{answer}");
        std::io::stdout().flush().expect("someone listens");
    }
}

#[derive(Default)]
struct Client {
    store: Option<Store>,
    transport: Option<(String, Arc<dyn Transport>)>,
}

impl Client {
    async fn obey(&mut self, order: Order) -> Value {
        let began = Instant::now();
        let shown = format!("{order:?}");
        let mut answer = match tokio::time::timeout(DEADLINE, self.carry_out(order)).await {
            Ok(answer) => answer,
            Err(_) => panic!("{shown} was not done within {DEADLINE:?}"),
        };
        if answer.get("ms").is_none() {
            answer["ms"] = ms(began.elapsed()).into();
        }
        answer
    }

    async fn carry_out(&mut self, order: Order) -> Value {
        match order {
            Order::Open { store } => {
                self.store = None;
                self.store = Some(Store::open(store).await.expect("the store opens"));
                json!({})
            }
            Order::Create => json!({"id": self.store().create(None, None).await.expect("it is made")}),
            Order::Join { id } => {
                json!({"id": self.store().join(id, None, None).await.expect("it is joined")})
            }
            Order::Set { id, from, n, group } => self.set(id, from..from + n, group).await,
            Order::SetAlone { id, n, at_once } => self.set_alone(id, n, at_once).await,
            Order::Type { id, typist, length, n } => self.type_text(id, Typist::new(typist, length), n).await,
            Order::Sync { server } => self.sync(server).await,
            Order::Follow { id, server, changes } => self.follow(id, server, changes).await,
            Order::Look { id } => self.look(id).await,
            Order::TimeOpen { store, id } => time_open(store, id).await,
            Order::Export { id, to } => {
                let bytes = self.store().export(id).await.expect("it is exported");
                std::fs::write(to, &bytes).expect("it is written");
                json!({"bytes": bytes.len()})
            }
            Order::Load { from } => load(&from),
            Order::Bare { file, n, group } => {
                let (commits, rows) = floor::bare(&file, n, group);
                json!({"commits": commits, "rows": rows})
            }
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("a store was opened")
    }

    async fn set(&self, id: DocumentId, range: std::ops::Range<usize>, group: usize) -> Value {
        let mut groups = Vec::new();
        for first in range.clone().step_by(group) {
            let actions: Vec<Action> = (first..(first + group).min(range.end)).map(set_action).collect();
            let began = Instant::now();
            for result in self.store().dispatch_all(id, actions).await.expect("the group is stored") {
                result.expect("each fits");
            }
            groups.push(ms(began.elapsed()));
        }
        json!({"ms": groups.iter().sum::<f64>(), "groups": groups})
    }

    async fn set_alone(&self, id: DocumentId, n: usize, at_once: usize) -> Value {
        let began = Instant::now();
        let tasks: Vec<_> = (0..at_once)
            .map(|lane| {
                let store = self.store().clone();
                tokio::spawn(async move {
                    for i in (lane..n).step_by(at_once) {
                        store.dispatch(id, set_action(i)).await.expect("it is stored");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a lane does not panic");
        }
        json!({"ms": ms(began.elapsed())})
    }

    async fn type_text(&self, id: DocumentId, mut typist: Typist, n: usize) -> Value {
        let began = Instant::now();
        for first in (0..n).step_by(1000) {
            let actions = (first..(first + 1000).min(n)).map(|_| typist.next_action()).collect();
            for result in self.store().dispatch_all(id, actions).await.expect("the group is stored") {
                result.expect("each fits");
            }
        }
        json!({"ms": ms(began.elapsed())})
    }

    fn transport(&mut self, server: &str) -> Arc<dyn Transport> {
        match &self.transport {
            Some((of, transport)) if of == server => Arc::clone(transport),
            _ => {
                let made: Arc<dyn Transport> =
                    Arc::new(HttpTransport::new(server, None).expect("the address is one"));
                self.transport = Some((server.to_owned(), Arc::clone(&made)));
                made
            }
        }
    }

    async fn sync(&mut self, server: String) -> Value {
        let transport = self.transport(&server);
        let began = Instant::now();
        let connect = move |_: &str, _: Option<&rejoin::Token>| Ok(Arc::clone(&transport));
        let report = self.store().sync_over(SyncOptions::default().server(server), &connect).await;
        let report = report.expect("it syncs");
        assert!(report.worst().is_none(), "{report:?}");
        json!({"ms": ms(began.elapsed()), "pushed": report.pushed, "pulled": report.pulled})
    }

    /// Going online: everything from the connection on is in the time.
    async fn follow(&self, id: DocumentId, server: String, changes: u64) -> Value {
        let began = Instant::now();
        let store = self.store().clone();
        let mut events = store.subscribe();
        let full = async {
            loop {
                let document = store.document(id).await.expect("it is here");
                if document.changes >= changes && document.queued == 0 {
                    return;
                }
                // A missed event is as good as one: it is looked at again.
                let _ = tokio::time::timeout(Duration::from_millis(2), events.recv()).await;
            }
        };
        let options = WatchOptions::default().sync(SyncOptions::default().server(server));
        let options = options.poll(Duration::from_millis(10));
        let mut rounds = 0_u64;
        self.store().watch(options, |_| rounds += 1, full).await.expect("it follows");
        json!({"ms": ms(began.elapsed()), "rounds": rounds})
    }

    async fn look(&self, id: DocumentId) -> Value {
        let text = match self.store().state(id, "/text").await {
            Ok(text) => text.as_str().map_or(0, |t| t.chars().count()),
            Err(Error::Action(_)) => 0,
            Err(error) => panic!("{error}"),
        };
        let document = self.store().document(id).await.expect("it is here");
        let heads: Vec<String> = document.heads.iter().map(ToString::to_string).collect();
        json!({"length": text, "heads": heads, "changes": document.changes, "queued": document.queued})
    }
}

fn set_action(i: usize) -> Action {
    Action::Set { path: format!("/k{}", i % 1000), value: i.into() }
}

async fn time_open(store: PathBuf, id: DocumentId) -> Value {
    let began = Instant::now();
    let store = Store::open(store).await.expect("the store opens");
    store.state(id, "").await.expect("the state is read");
    let took = ms(began.elapsed());
    drop(store);
    json!({"ms": took})
}

fn load(from: &Path) -> Value {
    let bytes = std::fs::read(from).expect("the file is there");
    let began = Instant::now();
    let document = Automerge::load(&bytes).expect("it is a document");
    let took = ms(began.elapsed());
    assert!(!document.get_heads().is_empty());
    json!({"ms": took})
}

/// A worker, from outside.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) process: Proc,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one.
    pub(super) fn start() -> Self {
        let exe = std::env::current_exe().expect("this program knows where it is");
        let mut child = Command::new(exe)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a worker can be started");
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self { process: Proc::new(child), stdin, stdout }
    }

    /// Starts one on this store.
    pub(super) fn on(store: PathBuf) -> Self {
        let mut worker = Self::start();
        worker.ask(&Order::Open { store });
        worker
    }

    /// Ends its input and waits until it has closed its store.
    pub(super) fn close(self) {
        let Self { mut process, stdin, .. } = self;
        drop(stdin);
        process.child.wait().expect("a child can be waited for");
    }

    /// Tells it, without waiting.
    pub(super) fn tell(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("an order is JSON");
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).expect("the worker listens");
    }

    /// The answer to what it was told.
    pub(super) fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the worker answers");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the worker said {line:?}: {e}"))
    }

    /// Tells it and waits.
    pub(super) fn ask(&mut self, order: &Order) -> Value {
        self.tell(order);
        self.answer()
    }

    /// The milliseconds that an order took, as the worker measured them.
    pub(super) fn time(&mut self, order: &Order) -> f64 {
        self.ask(order)["ms"].as_f64().expect("each answer has a time")
    }

    /// Makes a document.
    pub(super) fn create(&mut self) -> DocumentId {
        let answer = self.ask(&Order::Create);
        serde_json::from_value(answer["id"].clone()).expect("it has an id")
    }
}
