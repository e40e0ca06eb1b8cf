//! What follows from actions, and undo.

use rejoin::{
    Slice, Store, UndoStep,
    effects::FollowUp,
    slice::{Draft, Rejection},
    work::{Listener, Reaction, StartOptions, Thunk, ThunkContext, WorkOptions},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::work::support::{Bench, increment, set};

/// Says what it gives; where its argument says so, as a step of undo.
struct Says;

impl Thunk for Says {
    const NAME: &'static str = "echo";
    type Argument = Value;
    type Output = Value;
    type Error = String;

    async fn run(&self, _: ThunkContext, argument: Value) -> Result<Value, String> {
        Ok(argument)
    }

    fn pending(_: &Value) -> Option<FollowUp> {
        Some(FollowUp::new(json!({"type": "set", "path": "/status", "value": "asked"})))
    }

    fn fulfilled(argument: &Value) -> Option<FollowUp> {
        let follow = FollowUp::new(json!({"type": "set", "path": "/status", "value": "there"}));
        Some(if argument["undoable"] == true { follow.undoable() } else { follow })
    }
}

fn run(bench: &mut Bench, argument: Value) {
    let options = StartOptions::new().document(bench.id);
    let id = bench.start::<Says>(argument, options).unwrap();
    let (_, lease) = bench.lease().thunks.remove(0);
    assert!(bench.core.settle_thunk(id, &lease, Ok(json!(1))).unwrap());
}

#[test]
fn what_follows_a_thunk_is_passed_by_and_where_it_is_declared_it_is_a_step() {
    for undoable in [false, true] {
        let mut bench = Bench::new();
        bench.dispatch(set("/title", "mine"));
        run(&mut bench, json!({"undoable": undoable}));
        let mut bench = bench.reopened();
        let id = bench.id;
        bench.core.undo(id).unwrap().unwrap();
        let expected = match undoable {
            false => json!({"status": "there"}),
            true => json!({"status": "asked", "title": "mine"}),
        };
        assert_eq!(bench.state(""), expected);
        bench.core.redo(id).unwrap().unwrap();
        assert_eq!(bench.state(""), json!({"status": "there", "title": "mine"}));
    }
}

#[test]
fn what_follows_leaves_what_was_undone_to_be_redone() {
    let mut bench = Bench::new();
    bench.dispatch(set("/title", "mine"));
    let id = bench.id;
    bench.core.undo(id).unwrap().unwrap();
    run(&mut bench, json!({}));
    assert_eq!(bench.core.next_redo(id).unwrap().unwrap().label, "set");
    bench.core.redo(id).unwrap().unwrap();
    assert_eq!(bench.state("/title"), "mine");
}

#[test]
fn a_listeners_reaction_is_passed_by_and_where_it_or_the_listener_declares_it_it_is_a_step() {
    let react = || Reaction::none().action(increment("/heard", 1));
    let hears = || Listener::new("a").types(["set"]);
    for (listener, reaction, undoable) in
        [(hears(), react(), false), (hears(), react().undoable(), true), (hears().undoable(), react(), true)]
    {
        let mut bench = Bench::with(listener);
        bench.dispatch(set("/title", "mine"));
        bench.hear(|_| reaction.clone());
        let mut bench = bench.reopened();
        let id = bench.id;
        assert_eq!(
            bench.core.next_undo(id).unwrap().unwrap().label,
            if undoable { "increment" } else { "set" }
        );
        bench.core.undo(id).unwrap().unwrap();
        let expected = if undoable { json!({"title": "mine", "heard": 0}) } else { json!({"heard": 1}) };
        assert_eq!(bench.state(""), expected);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TallyAction {
    Counted,
    Corrected,
}

struct Tally;

impl Slice for Tally {
    const NAME: &'static str = "tally";
    type State = Value;
    type Action = TallyAction;

    fn reduce(draft: &mut Draft<'_>, _: &TallyAction) -> Result<(), Rejection> {
        draft.increment("/n", 1)
    }

    fn undo_step(action: &TallyAction) -> UndoStep {
        match action {
            TallyAction::Counted => UndoStep::new(),
            TallyAction::Corrected => UndoStep::new().always().label("Correction"),
        }
    }
}

#[tokio::test]
async fn a_slice_declares_that_its_action_is_a_step_whatever_it_follows_from() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Store::builder(dir.path().join("a.db")).slice::<Tally>();
    let corrects = |_| async { Ok(Reaction::none().json(json!({"type": "tally/corrected"}))) };
    let counts = |_| async { Ok(Reaction::none().json(json!({"type": "tally/counted"}))) };
    let store = builder()
        .listener(Listener::new("corrects").types(["set"]), corrects)
        .listener(Listener::new("counts").types(["set"]), counts)
        .open()
        .await
        .unwrap();
    let id = store.create(None, None).await.unwrap();
    store.dispatch(id, set("/title", "mine")).await.unwrap();
    store.run_until_idle(WorkOptions::default()).await.unwrap();
    assert_eq!(store.state(id, "/tally/n").await.unwrap(), 2);
    // In another process as well: it stands in the file.
    let other = Store::open(store.path().unwrap()).await.unwrap();
    assert_eq!(other.next_undo(id).await.unwrap().unwrap().label, "Correction");
    other.undo(id).await.unwrap().unwrap();
    assert_eq!(store.state(id, "/tally/n").await.unwrap(), 1);
    store.undo(id).await.unwrap().unwrap();
    assert_eq!(store.state(id, "").await.unwrap(), json!({"tally": {"n": 1}}));
    assert!(!store.can_undo(id).await.unwrap());
}
