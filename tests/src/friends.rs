//! Two people typing at once: who had seen what, and the process in which each of them types.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rejoin::{Action, DocumentId, Error, Receipt, Store, SyncOptions, Token, driver::Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    harness::{Held, Proc},
    traces::{Patch, Trace},
};

/// What happens, in an order in which each typist sees exactly what the trace says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This person types these transactions, one after another.
    Type {
        /// Who.
        agent: usize,
        /// Indexes into the trace.
        txns: Vec<usize>,
    },
    /// Everything that this person typed goes to the server; somebody will want to see exactly so much.
    Push {
        /// Who.
        agent: usize,
    },
    /// This person gets to see the first `count` transactions of the other, and no more.
    Pull {
        /// Who.
        agent: usize,
        /// How many of the other's.
        count: usize,
    },
}

/// For each transaction, how many of each person's it builds on, itself among them.
fn clocks(trace: &Trace) -> Vec<[usize; 2]> {
    let mut clocks: Vec<[usize; 2]> = Vec::with_capacity(trace.txns.len());
    let mut typed = [0; 2];
    for txn in &trace.txns {
        let mut clock = [0; 2];
        for parent in &txn.parents {
            let seen: [usize; 2] = clocks[*parent];
            clock = [clock[0].max(seen[0]), clock[1].max(seen[1])];
        }
        assert_eq!(clock[txn.agent], typed[txn.agent], "a person has seen what they typed themselves");
        clock[txn.agent] += 1;
        typed[txn.agent] += 1;
        clocks.push(clock);
    }
    clocks
}

/// The steps of a trace of two people.
pub fn plan(trace: &Trace) -> Vec<Step> {
    let clocks = clocks(trace);
    // How much of each person's typing somebody will be shown: there it must go to the server on its own.
    let mut wanted = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    for (txn, clock) in trace.txns.iter().zip(&clocks) {
        let other = 1 - txn.agent;
        wanted[other].insert(clock[other]);
    }
    let (mut steps, mut seen, mut typed) = (Vec::new(), [0; 2], [0; 2]);
    for (index, (txn, clock)) in trace.txns.iter().zip(&clocks).enumerate() {
        let (agent, other) = (txn.agent, 1 - txn.agent);
        if clock[other] > seen[agent] {
            seen[agent] = clock[other];
            steps.push(Step::Pull { agent, count: clock[other] });
        }
        match steps.last_mut() {
            Some(Step::Type { agent: last, txns }) if *last == agent => txns.push(index),
            _ => steps.push(Step::Type { agent, txns: vec![index] }),
        }
        typed[agent] += 1;
        if wanted[agent].contains(&typed[agent]) {
            steps.push(Step::Push { agent });
        }
    }
    steps
}

/// What the process of a typist is told, a line each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Type.
    Type {
        /// The edits.
        patches: Vec<Patch>,
    },
    /// Sync with a log that ends here.
    Sync {
        /// How many changes of the log are to be seen; `None` for all.
        end: Option<u64>,
    },
    /// Say how things stand.
    Look,
}

/// The process of a typist: obeys until its input ends.
pub fn typist(store: &Path, id: DocumentId, server: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives threads").block_on(async {
        let store = Store::open(store).await.expect("the store opens");
        if store.document(id).await.is_err() {
            store.join(id, None, None).await.expect("it is joined");
        }
        let held = Arc::new(Held::to(server));
        println!("{}", json!({"ready": true}));
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("standard input is text");
            let order = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            println!("{}", obey(&store, (id, server), &held, order).await);
            std::io::stdout().flush().expect("someone listens");
        }
    });
}

async fn obey(store: &Store, (id, server): (DocumentId, &str), held: &Arc<Held>, order: Order) -> Value {
    match order {
        Order::Type { patches } => {
            let action = |(pos, delete, insert): Patch| Action::Splice {
                path: "/text".to_owned(),
                pos: pos as u64,
                delete: delete as u64,
                insert,
            };
            let actions = patches.into_iter().map(action).collect();
            let results = store.dispatch_in_turn(id, actions).await.expect("it is stored");
            let hash = |r: rejoin::Result<Receipt>| r.expect("it fits").hash.to_string();
            json!({"typed": results.into_iter().map(hash).collect::<Vec<_>>()})
        }
        Order::Sync { end } => {
            let options = SyncOptions::default().server(server).timeout(Duration::from_secs(20));
            let report = match end {
                None => store.sync(options).await,
                Some(end) => {
                    held.set_end(end);
                    let transport = Arc::clone(held);
                    let connect =
                        move |_: &str, _: Option<&Token>| Ok(Arc::clone(&transport) as Arc<dyn Transport>);
                    tokio::select! {
                        report = store.sync_over(options, &connect) => report,
                        // What was answered is stored; the rest is held back.
                        () = held.stuck.notified() => return json!({"held": true}),
                    }
                }
            };
            let error = report.expect("the store is sound").worst().map(ToString::to_string);
            json!({"error": error})
        }
        Order::Look => look(store, id).await,
    }
}

async fn look(store: &Store, id: DocumentId) -> Value {
    let history = store.history(id, None).await.expect("it is here");
    let own = history.iter().filter(|entry| entry.local).count();
    let document = store.document(id).await.expect("it is here");
    let text = match store.state(id, "/text").await {
        Ok(text) => text,
        Err(Error::Action(_)) => "".into(),
        Err(error) => panic!("{error}"),
    };
    let heads: Vec<String> = document.heads.iter().map(ToString::to_string).collect();
    json!({
        "own": own, "others": history.len() - own, "text": text, "heads": heads, "queued": document.queued,
        "in_step": document.in_step, "cursor": document.cursor,
    })
}

/// A typist, from outside.
#[derive(Debug)]
pub struct Typist {
    /// The process, to be killed.
    pub process: Proc,
    /// The store's file.
    pub store: PathBuf,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Typist {
    /// Starts one with this program, which is to call [`typist`].
    pub fn start(program: &Path, store: &Path, (id, server): (DocumentId, &str)) -> Self {
        let mut child = Command::new(program)
            .arg(store)
            .arg(id.to_string())
            .arg(server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut typist = Self { process: Proc::new(child), store: store.to_owned(), stdin, stdout };
        let ready = typist.answer();
        assert!(ready.is_some(), "the typist's store opens");
        typist
    }

    /// Tells it something; `false` when it is dead.
    pub fn tell(&mut self, order: &Order) -> bool {
        let line = serde_json::to_string(order).expect("an order is JSON");
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).is_ok()
    }

    /// The answer; `None` when it died.
    pub fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Tells it, and waits.
    pub fn ask(&mut self, order: &Order) -> Option<Value> {
        self.tell(order).then(|| self.answer()).flatten()
    }
}
