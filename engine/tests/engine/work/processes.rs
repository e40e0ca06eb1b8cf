//! Real processes, killed in the middle.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rejoin::{
    Store,
    work::{
        Heard, Listener, Reaction, Settled, StartOptions, ThunkCause, ThunkFailure, ThunkState, WorkOptions,
    },
};
use serde_json::json;

use crate::work::support::{Echo, Gate, Once, Waits, increment, set, soon};

const STORE: &str = "REJOIN_TEST_WORK_STORE";

/// Not a test of its own: the process that is killed while it works.
#[tokio::test]
async fn child_that_works_without_end() {
    let Ok(path) = std::env::var(STORE) else { return };
    let gate: Arc<Gate> = Arc::default();
    let hangs = |_: Heard| async {
        println!("hears");
        std::future::pending().await
    };
    let store = Store::builder(path)
        .thunk(Waits(Arc::clone(&gate)))
        .thunk(Hangs(Arc::clone(&gate)))
        .listener(Listener::new("a"), hangs)
        .open()
        .await
        .unwrap();
    let says = async {
        gate.until(&gate.begun, 2).await;
        println!("runs");
        std::future::pending::<()>().await;
    };
    store.run(WorkOptions::default(), says).await.unwrap();
}

/// [`Once`], in a child that never ends it.
struct Hangs(Arc<Gate>);

impl rejoin::work::Thunk for Hangs {
    const NAME: &'static str = Once::NAME;
    type Argument = serde_json::Value;
    type Output = i64;
    type Error = String;

    async fn run(&self, cx: rejoin::work::ThunkContext, _: serde_json::Value) -> Result<i64, String> {
        Waits(Arc::clone(&self.0)).run(cx, 0).await
    }
}

/// The child, once it works.
fn working(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work::processes::child_that_works_without_end", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for word in ["hears", "runs"] {
        let _ = word;
        assert!(
            lines.any(|line| ["hears", "runs"].iter().any(|w| line.as_ref().unwrap().contains(w))),
            "it ended"
        );
    }
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_leaves_no_pending_for_ever_and_no_action_unheard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate: Arc<Gate> = Arc::default();
    let hears = |_: Heard| async { Ok(Reaction::none().action(increment("/heard", 1))) };
    let open = || {
        let builder = Store::builder(&path).thunk(Waits(Arc::clone(&gate))).thunk(Once).thunk(Echo);
        builder.listener(Listener::new("a").types(["set"]), hears).open()
    };
    let store = open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    store.dispatch(id, set("/x", 1)).await.unwrap();
    let resumed = store.start::<Waits>(1, StartOptions::new()).await.unwrap().unwrap();
    let rejected = StartOptions::new().document(id);
    let rejected = store.start::<Once>(json!({"failed": "/why"}), rejected).await.unwrap().unwrap();
    let mut child = tokio::task::block_in_place(|| working(&path));
    assert!(resumed.info().await.unwrap().running && rejected.info().await.unwrap().running);
    // What a living process holds is its own.
    soon(store.run_until_idle(WorkOptions::default())).await.unwrap();
    assert_eq!(resumed.info().await.unwrap().state, ThunkState::Pending);
    assert_eq!(store.listeners().await.unwrap()[0].position, 0);
    child.kill().unwrap();
    child.wait().unwrap();
    // The next who opens the store settles what must not be begun twice; no lease is waited for.
    let next = open().await.unwrap();
    let why = "the process that ran it ended before it did";
    let died = Settled::Failed(ThunkFailure::new(ThunkCause::Orphaned, why));
    assert_eq!(soon(rejected.wait()).await.unwrap(), died);
    assert_eq!(next.state(id, "/why").await.unwrap(), "the process that ran it ended before it did");
    let go = async {
        gate.until(&gate.begun, 1).await;
        gate.let_go(1);
        resumed.wait().await.unwrap()
    };
    let (run, settled) =
        soon(futures_util::future::join(next.run_until_idle(WorkOptions::default()), go)).await;
    run.unwrap();
    assert_eq!(settled, Settled::Fulfilled(1));
    assert_eq!(resumed.info().await.unwrap().attempts, 2);
    // "/x" and "/why" were both set by now; the reaction to each is there once.
    assert_eq!(next.state(id, "/heard").await.unwrap(), 2);
}
