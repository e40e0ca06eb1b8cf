//! A store whose clock a test turns, and thunks that a test holds in its hand.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin::{
    Action, DocumentId, Millis,
    effects::FollowUp,
    fence,
    store::{BatchBounds, Claim, Core, HeardFailure, Page, PageOutcome, Reacted, Work, WorkTerms},
    work::{
        Heard, Listener, Orphan, Reaction, StartOptions, Thunk, ThunkContext, ThunkGround, ThunkId,
        ThunkInfo, ThunkRequest,
    },
};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

/// Nothing here takes longer, or it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const LEASE: Duration = Duration::from_secs(30);

const NOW: Millis = 1_800_000_000_000;

pub(crate) fn set(path: &str, value: impl Into<Value>) -> Action {
    Action::Set { path: path.to_owned(), value: value.into() }
}

pub(crate) fn increment(path: &str, by: i64) -> Action {
    Action::Increment { path: path.to_owned(), by }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it never comes to that")
}

/// Hands everything that waits in `from` to `to`, as a server's log would.
pub(crate) fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) -> PageOutcome {
    let batch = from.take_batch(id, BatchBounds { count: usize::MAX, bytes: usize::MAX }).unwrap();
    let framed = fence::frame(&batch.body).unwrap();
    let changes = framed.iter().map(|f| fence::check(f, &fence::Limits::default()).unwrap()).collect();
    let outcome = to.store_page(id, Page { changes, ..Page::default() }).unwrap();
    assert!(!outcome.hole);
    outcome
}

/// Echoes its argument, and may be resumed.
pub(crate) struct Echo;

impl Thunk for Echo {
    const NAME: &'static str = "echo";
    type Argument = Value;
    type Output = Value;
    type Error = String;

    fn condition(argument: &Value, ground: &ThunkGround<'_>) -> bool {
        match argument["when"].as_str() {
            Some("none is pending") => !ground.is_pending(),
            Some(pointer) => ground.state(pointer).is_ok(),
            None => true,
        }
    }

    async fn run(&self, _: ThunkContext, argument: Value) -> Result<Value, String> {
        match argument["fail"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(argument),
        }
    }

    fn fulfilled(argument: &Value) -> Option<FollowUp> {
        let path = argument["into"].as_str()?;
        Some(FollowUp::new(json!({"type": "set", "path": path})).put("/say", "/value"))
    }

    fn rejected(argument: &Value) -> Option<FollowUp> {
        let path = argument["failed"].as_str()?;
        Some(FollowUp::new(json!({"type": "set", "path": path})).put("/error", "/value"))
    }
}

/// The same, and must not be begun twice.
pub(crate) struct Once;

impl Thunk for Once {
    const NAME: &'static str = "once";
    const ON_DEATH: Orphan = Orphan::Reject;
    type Argument = Value;
    type Output = Value;
    type Error = String;

    async fn run(&self, _: ThunkContext, argument: Value) -> Result<Value, String> {
        Ok(argument)
    }

    fn rejected(argument: &Value) -> Option<FollowUp> {
        Echo::rejected(argument)
    }
}

/// Counts how often it was begun and dropped, and waits until it is let go.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) begun: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) changed: Notify,
    open: Mutex<Vec<(i64, oneshot::Sender<()>)>>,
}

impl Gate {
    /// Until it was begun, or dropped, so often.
    pub(crate) async fn until(&self, count: &AtomicUsize, times: usize) {
        soon(async {
            loop {
                let changed = self.changed.notified();
                if count.load(Ordering::SeqCst) >= times {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    /// Lets those with this argument end.
    pub(crate) fn let_go(&self, argument: i64) {
        let mut open = self.open.lock().unwrap();
        for (_, sender) in open.extract_if(.., |(waiting, _)| *waiting == argument) {
            let _ = sender.send(());
        }
    }
}

/// Waits at a gate, and gives its argument.
pub(crate) struct Waits(pub(crate) Arc<Gate>);

struct OnDrop(Arc<Gate>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Thunk for Waits {
    const NAME: &'static str = "waits";
    type Argument = i64;
    type Output = i64;
    type Error = String;

    async fn run(&self, _: ThunkContext, argument: i64) -> Result<i64, String> {
        let _guard = OnDrop(Arc::clone(&self.0));
        let (sender, open) = oneshot::channel();
        self.0.open.lock().unwrap().push((argument, sender));
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
        let _ = open.await;
        Ok(argument)
    }
}

/// A store in memory under a clock that stands still.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) id: DocumentId,
    pub(crate) listeners: Vec<Arc<Listener>>,
    clock: Arc<AtomicI64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Core::open_in_memory().unwrap(), None)
    }

    pub(crate) fn with(listener: Listener) -> Self {
        let mut bench = Self::new();
        bench.listen(listener);
        bench
    }

    fn over(mut core: Core, id: Option<DocumentId>) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let shared = Arc::clone(&clock);
        core.set_clock(Box::new(move || shared.load(Ordering::SeqCst)));
        let id = id.unwrap_or_else(|| core.create(None, None).unwrap());
        Self { core, id, listeners: Vec::new(), clock }
    }

    pub(crate) fn listen(&mut self, listener: Listener) {
        self.core.register_listeners([&listener]).unwrap();
        self.listeners.push(Arc::new(listener));
    }

    /// The same file, opened again, as after a restart that gave nothing back.
    pub(crate) fn reopened(self) -> Self {
        let now = self.clock.load(Ordering::SeqCst);
        let mut bench =
            Self::over(Core::open_connection(self.core.into_connection()).unwrap(), Some(self.id));
        bench.clock.store(now, Ordering::SeqCst);
        for listener in self.listeners {
            bench.listen(listener.as_ref().clone());
        }
        bench
    }

    /// Another store with what this one has, that writes under the same actor, as when a file is copied.
    pub(crate) fn copied(&mut self) -> Self {
        let mut core = Core::open_in_memory().unwrap();
        core.join(self.id, None, None).unwrap();
        hand_over(&mut self.core, &mut core, self.id);
        core.take_fresh_actor(self.core.actor().clone()).unwrap();
        Self::over(core, Some(self.id))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    pub(crate) fn dispatch(&mut self, action: Action) {
        self.core.dispatch(&[(self.id, action)]).unwrap().remove(0).unwrap();
    }

    pub(crate) fn state(&mut self, pointer: &str) -> Value {
        self.core.state(self.id, pointer, None).unwrap_or(Value::Null)
    }

    pub(crate) fn start<T: Thunk>(
        &mut self,
        argument: T::Argument,
        options: StartOptions,
    ) -> Option<ThunkId> {
        self.core.start_thunk(&ThunkRequest::new::<T>(argument, options)).unwrap()
    }

    pub(crate) fn info(&mut self, id: ThunkId) -> ThunkInfo {
        self.core.thunk_info(id).unwrap()
    }

    pub(crate) fn lease(&mut self) -> Work {
        let terms = WorkTerms {
            thunks: vec!["echo".to_owned(), "once".to_owned()],
            listeners: self.listeners.clone(),
            most_thunks: 100,
            most_listeners: 100,
            lease: LEASE,
        };
        self.core.lease_work(&terms).unwrap()
    }

    /// What is heard now, one action after another, each with this reaction.
    pub(crate) fn hear(&mut self, mut react: impl FnMut(&Heard) -> Reaction) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let heard = self.lease().heard;
            if heard.is_empty() {
                return all;
            }
            for (heard, claim) in heard {
                let mut next = Some(Box::new((heard, claim)));
                while let Some((heard, claim)) = next.take().map(|boxed| *boxed) {
                    let reaction = react(&heard);
                    match self.react(&heard, &claim, &reaction) {
                        Reacted::Next(more) => next = Some(more),
                        Reacted::Done => {}
                        other => panic!("{other:?}"),
                    }
                    all.push(heard);
                    assert!(all.len() < 1_000, "it hears itself");
                }
            }
        }
    }

    /// What is heard now, as the paths or texts of the actions.
    pub(crate) fn paths(&mut self) -> Vec<String> {
        self.hear(|_| Reaction::none()).iter().map(path_of).collect()
    }

    pub(crate) fn react(&mut self, heard: &Heard, claim: &Claim, reaction: &Reaction) -> Reacted {
        let listener =
            self.listeners.iter().find(|l| format!("{l:?}").contains(&heard.listener)).unwrap().clone();
        self.core.react(claim, (heard, reaction), (&listener, LEASE, true)).unwrap()
    }

    pub(crate) fn fail(&mut self, claim: &Claim, limit: u32) {
        let failure = HeardFailure { why: "a bad day".to_owned(), wait: 5_000, limit };
        assert!(self.core.fail_listener(claim, &failure).unwrap());
    }
}

/// Where the action that was heard wrote.
pub(crate) fn path_of(heard: &Heard) -> String {
    let path = heard.payload.as_ref().and_then(|payload| payload["path"].as_str());
    path.unwrap_or("?").to_owned()
}
