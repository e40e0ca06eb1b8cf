//! The store without an async runtime of the caller's.
use std::{collections::BTreeSet, sync::mpsc};

use rejoin::{
    Error, SyncOptions, WatchOptions,
    blocking::Store,
    slice::{Draft, Rejection, Slice},
    work::{Settled, StartOptions, Thunk, ThunkContext, WorkOptions},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// A server on a runtime of its own.
struct Server {
    url: String,
    _directory: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = rejoin_server::ServerConfig::new(directory.path().join("log.db"));
        let (stop, stopped) = oneshot::channel::<()>();
        let (told, address) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let state = rejoin_server::AppState::open(config).unwrap();
                rejoin_server::serve(listener, state, async { drop(stopped.await) }).await.unwrap();
            });
        });
        let url = format!("http://{}", address.recv().unwrap());
        Self { url, _directory: directory, _stop: stop }
    }

    fn options(&self) -> SyncOptions {
        SyncOptions::default().server(&self.url)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Act {
    Added { by: i64 },
}

struct Count;

impl Slice for Count {
    const NAME: &'static str = "count";
    const PAYLOAD: bool = true;
    type State = serde_json::Value;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, Act::Added { by }: &Act) -> Result<(), Rejection> {
        draft.increment("/n", *by)
    }
}

fn counting() -> Store {
    rejoin::Builder::in_memory().slice::<Count>().thunk(Doubling).open_blocking().unwrap()
}

#[test]
fn a_store_syncs_and_watches_without_a_runtime() {
    let server = Server::start();
    let (ada, ben) = (counting(), counting());
    let id = ada.create(None, None).unwrap();
    ben.join(id, None, None).unwrap();
    ada.slice::<Count>(id).dispatch(Act::Added { by: 2 }).unwrap();
    assert_eq!(ada.sync(server.options()).unwrap().pushed, 1);
    let (told, reports) = mpsc::channel();
    let options = WatchOptions::default().sync(server.options());
    let watch = ben
        .watch(options, move |report| {
            let _ = told.send(report.pulled);
        })
        .unwrap();
    // The first round, and what comes while it goes on.
    assert!(reports.iter().any(|pulled| pulled > 0));
    let mut changes = ben.slice::<Count>(id).changes();
    ada.slice::<Count>(id).dispatch(Act::Added { by: 3 }).unwrap();
    assert_eq!(ada.sync(server.options()).unwrap().pushed, 1);
    let change = changes.next().unwrap();
    assert!(matches!(change.action, Some(Act::Added { by: 3 })));
    assert!(!watch.is_over());
    watch.stop().unwrap();
    assert_eq!(ben.state(id, "/count/n").unwrap(), 5);
    ben.close().unwrap();
    assert!(changes.next().is_none(), "it ends with the store");
    assert!(matches!(ben.sync(server.options()), Err(Error::Closed)));
}

/// A runtime that is entered already would panic where another is begun.
#[tokio::test]
async fn a_blocking_sync_can_be_called_on_a_thread_of_a_runtime() {
    let server = Server::start();
    let store = counting();
    let id = store.create(None, None).unwrap();
    store.slice::<Count>(id).dispatch(Act::Added { by: 1 }).unwrap();
    assert_eq!(store.sync(server.options()).unwrap().pushed, 1);
}

#[test]
fn a_watch_whose_callback_panics_says_so() {
    let server = Server::start();
    let store = counting();
    let id = store.create(None, None).unwrap();
    store.slice::<Count>(id).dispatch(Act::Added { by: 1 }).unwrap();
    let (told, heard) = mpsc::channel();
    let options = WatchOptions::default().sync(server.options());
    let watch = store
        .watch(options, move |_| {
            told.send(()).unwrap();
            panic!("a bug of the app");
        })
        .unwrap();
    heard.recv().unwrap();
    let error = watch.stop().unwrap_err();
    assert!(matches!(&error, Error::Panicked(why) if why.contains("a bug of the app")), "{error}");
    store.slice::<Count>(id).dispatch(Act::Added { by: 1 }).unwrap();
}

#[test]
fn a_thunk_is_started_run_and_waited_for_without_a_runtime() {
    let store = counting();
    let running = store.run(WorkOptions::default()).unwrap();
    let good = store.start::<Doubling>(21, StartOptions::default()).unwrap().unwrap();
    assert_eq!(good.unwrap().unwrap(), 42);
    let bad = store.start::<Doubling>(i64::MAX, StartOptions::default()).unwrap().unwrap();
    assert!(matches!(bad.wait().unwrap(), Settled::Rejected(why) if why == "too large"));
    running.stop().unwrap();
}

/// What blocking callers have beside the async ones, by name. A verb that is new there is missed here.
#[test]
fn no_verb_is_missing_for_blocking_callers() {
    // Handed out by the blocking one too, or only good where there is a runtime.
    let elsewhere = [
        "builder",
        "with_core",
        "dispatch_in_turn",
        "mark_path",
        "queue_signal",
        "write_signal",
        "effect_signal",
        "thunk_events",
        "sync_over",
        "watch_over",
        "http_options",
    ];
    let sources = |of: &str, files: &[&str]| -> BTreeSet<String> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        let text: String =
            files.iter().map(|file| std::fs::read_to_string(format!("{root}{file}")).unwrap()).collect();
        let begins = format!("\nimpl{of} {{");
        let store = text.split(&begins).skip(1).map(|part| part.split("\n}\n").next().unwrap());
        let name = |line: &str| {
            let rest = line.strip_prefix("    pub async fn ").or_else(|| line.strip_prefix("    pub fn "))?;
            Some(rest.split(['(', '<']).next().unwrap().to_owned())
        };
        store.flat_map(str::lines).filter_map(name).collect()
    };
    let own = ["blocking.rs", "blocking/away.rs", "blocking/reading.rs"];
    let verbs = [
        "api.rs",
        "driver/sync.rs",
        "driver/watch.rs",
        "runner/effects.rs",
        "runner/work.rs",
        "runner/handle.rs",
    ];
    let slices = ["slice/handle.rs", "slice/latest.rs", "slice/select.rs"];
    for (of, asynchronous, known) in [
        (" Store", sources(" Store", &verbs), "sync"),
        ("<S: Slice> SliceHandle<S>", sources("<S: Slice> SliceHandle<S>", &slices), "select2"),
    ] {
        let blocking = sources(of, &own);
        assert!(asynchronous.contains(known) && blocking.contains(known));
        // The store of a slice is at hand where the slice was asked for.
        let missing: Vec<_> = asynchronous
            .difference(&blocking)
            .filter(|name| !elsewhere.contains(&name.as_str()) && *name != "store")
            .collect();
        assert!(missing.is_empty(), "{of}: {missing:?}");
    }
}

struct Doubling;

impl Thunk for Doubling {
    const NAME: &'static str = "doubling";
    type Argument = i64;
    type Output = i64;
    type Error = String;
    async fn run(&self, _: ThunkContext, argument: i64) -> Result<i64, String> {
        argument.checked_mul(2).ok_or_else(|| "too large".to_owned())
    }
}
