use std::sync::{Arc, Mutex};

use rejoin::{
    Error, Store,
    slice::{Before, Committed, Middleware, Verdict},
};
use serde_json::json;

use crate::slices::support::{TaskAction, TaskSlice};

type Log = Arc<Mutex<Vec<String>>>;

struct Logged(&'static str, Log);

impl Middleware for Logged {
    fn before(&self, action: &Before<'_>) -> Verdict {
        self.1.lock().unwrap().push(format!("{} before {}", self.0, action.action_type()));
        Verdict::Continue
    }

    fn after(&self, action: &Committed) {
        self.1.lock().unwrap().push(format!("{} after {}", self.0, action.action_type));
    }
}

/// At most three tasks; titles are trimmed; the word is forbidden.
struct Rules;

impl Middleware for Rules {
    fn before(&self, action: &Before<'_>) -> Verdict {
        let Some(TaskAction::Added { title }) = action.action_of::<TaskSlice>() else {
            return Verdict::Continue;
        };
        if title == "panic" {
            panic!("at the rules");
        }
        let tasks = action.state("/tasks/items").unwrap_or_default();
        if tasks.as_object().is_some_and(|tasks| tasks.len() >= 3) {
            return Verdict::Reject("three tasks are enough".to_owned());
        }
        if title.trim() == title {
            return Verdict::Continue;
        }
        Verdict::Replace(json!({"type": "tasks/added", "title": title.trim()}))
    }

    fn after(&self, _: &Committed) {
        panic!("after the commit, it harms nobody");
    }
}

#[tokio::test]
async fn middleware_continues_rejects_and_replaces_in_order() {
    let place = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = Store::builder(place.path().join("store.db"))
        .slice::<TaskSlice>()
        .middleware(Logged("first", Arc::clone(&log)))
        .middleware(Rules)
        .middleware(Logged("last", Arc::clone(&log)))
        .open()
        .await
        .unwrap();
    let id = store.create(None, None).await.unwrap();
    let tasks = store.slice::<TaskSlice>(id);
    let add = |title: &str| TaskAction::Added { title: title.to_owned() };
    tasks.dispatch(add("  bread ")).await.unwrap();
    assert_eq!(
        std::mem::take(&mut *log.lock().unwrap()),
        [
            "first before tasks/added",
            "last before tasks/added",
            "last after tasks/added",
            "first after tasks/added"
        ]
    );
    assert_eq!(tasks.state().await.unwrap().items.iter().next().unwrap().1.title, "bread");
    // It sees what is dispatched together with it.
    let results = tasks.dispatch_all(vec![add("a"), add("b"), add("c")]).await.unwrap();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.to_string(), "the action \"tasks/added\" was rejected: three tasks are enough");
    let error = tasks.dispatch(add("panic")).await.unwrap_err();
    assert!(matches!(error, Error::ReducerPanicked { .. }), "{error}");
    assert_eq!(tasks.state().await.unwrap().items.len(), 3);
    assert_eq!(store.queue(None).await.unwrap().len(), 3);
}
