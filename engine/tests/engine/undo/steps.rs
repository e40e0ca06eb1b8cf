//! What is one step of undo, what is none, and what a menu calls it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use rejoin::{
    Action, ChangeHash, DocumentId, Error, Slice, Store, UndoStep,
    effects::{EffectRequest, FollowUp, Verdict},
    slice::{Draft, Rejection},
    store::{Core, Durability, LeaseTerms},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::undo::{
    random::{Kind, fit, kind},
    support::*,
};

/// A store under a clock that a test turns.
struct Bench {
    core: Core,
    id: DocumentId,
    clock: Arc<AtomicI64>,
}

impl Bench {
    fn new() -> Self {
        let (core, id) = one();
        Self::over(core, id)
    }

    fn over(mut core: Core, id: DocumentId) -> Self {
        let clock = Arc::new(AtomicI64::new(1_800_000_000_000));
        let shared = Arc::clone(&clock);
        core.set_clock(Box::new(move || shared.load(Ordering::SeqCst)));
        Self { core, id, clock }
    }

    /// The same file, opened again.
    fn reopened(self) -> Self {
        let now = self.clock.load(Ordering::SeqCst);
        let bench = Self::over(Core::open_connection(self.core.into_connection()).unwrap(), self.id);
        bench.clock.store(now, Ordering::SeqCst);
        bench
    }

    fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    fn act(&mut self, action: Action, step: UndoStep) -> ChangeHash {
        self.core.dispatch_step(self.id, &action, &step).unwrap().hash
    }

    /// Types at the end of the text.
    fn types(&mut self, text: &str, step: UndoStep) -> ChangeHash {
        let pos = self.text().chars().count() as u64;
        self.act(splice("/text", pos, 0, text), step)
    }

    fn text(&mut self) -> String {
        let text = self.core.state(self.id, "/text", None).ok();
        text.and_then(|text| Some(text.as_str()?.to_owned())).unwrap_or_default()
    }

    fn undo(&mut self) -> String {
        undo(&mut self.core, self.id);
        self.text()
    }

    fn redo(&mut self) -> String {
        redo(&mut self.core, self.id);
        self.text()
    }

    /// The labels of what is next.
    fn menu(&mut self) -> (Option<String>, Option<String>) {
        let undo = self.core.next_undo(self.id).unwrap().map(|next| next.label);
        (undo, self.core.next_redo(self.id).unwrap().map(|next| next.label))
    }
}

fn typing() -> UndoStep {
    UndoStep::new().group("typing")
}

#[test]
fn a_group_is_undone_and_redone_whole_also_after_a_restart() {
    let mut bench = Bench::new();
    bench.types("-", UndoStep::new());
    let hashes: Vec<_> = ["a", "b", "c"]
        .map(|letter| {
            bench.pass(999);
            bench.types(letter, typing())
        })
        .into();
    let mut bench = bench.reopened();
    for _ in 0..2 {
        let undone = undo(&mut bench.core, bench.id);
        assert_eq!((bench.text(), undone.action), ("-".to_owned(), hashes[2]));
        let with: Vec<_> = undone.with.iter().map(|part| part.action).collect();
        assert_eq!((with, undone.skipped), (vec![hashes[1], hashes[0]], 0));
        bench = bench.reopened();
        assert_eq!(bench.redo(), "-abc");
        bench = bench.reopened();
    }
    assert_eq!([bench.undo(), bench.undo()], ["-", ""]);
    assert_eq!([bench.redo(), bench.redo()], ["-", "-abc"]);
    assert!(bench.core.check().unwrap().ok);
}

#[test]
fn an_action_joins_only_the_same_group_within_the_window_with_nothing_between() {
    let mut bench = Bench::new();
    bench.types("a", typing());
    bench.pass(1_000);
    bench.types("b", typing());
    bench.types("c", UndoStep::new().group("pasting"));
    bench.types("d", typing());
    bench.types("e", UndoStep::new());
    bench.types("f", typing());
    bench.undo();
    bench.types("g", typing());
    bench.types("h", typing());
    bench.undo();
    bench.redo();
    bench.types("i", typing());
    let steps = ["abcdegh", "abcde", "abcd", "abc", "ab", "a", ""];
    assert_eq!(steps.map(|_| bench.undo()), steps);
}

#[test]
fn at_most_a_hundred_actions_are_one_step() {
    let mut bench = Bench::new();
    for _ in 0..101 {
        bench.types("a", typing());
    }
    assert_eq!(bench.core.next_undo(bench.id).unwrap().unwrap().actions, 1);
    assert_eq!(bench.undo().len(), 100);
    assert_eq!(bench.core.next_undo(bench.id).unwrap().unwrap().actions, 100);
    assert_eq!([bench.undo(), bench.redo()].map(|text| text.len()), [0, 100]);
}

#[test]
fn the_window_is_a_setting() {
    let mut bench = Bench::new();
    bench.core.set_undo_window(Duration::from_secs(60));
    bench.types("a", typing());
    bench.pass(59_999);
    bench.types("b", typing());
    bench.pass(60_000);
    bench.types("c", typing());
    assert_eq!([bench.undo(), bench.undo()], ["ab", ""]);
}

#[test]
fn a_clock_that_was_put_back_begins_a_new_step() {
    let mut bench = Bench::new();
    bench.types("a", typing());
    bench.pass(-5_000);
    bench.types("b", typing());
    assert_eq!([bench.undo(), bench.undo()], ["a", ""]);
}

#[test]
fn what_cannot_be_undone_is_passed_by_and_leaves_group_and_redo_alone() {
    let mut bench = Bench::new();
    bench.types("a", typing());
    let seen = bench.act(set("/seen", json!(1)), UndoStep::new().never());
    bench.types("b", typing());
    assert_eq!(bench.undo(), "");
    bench.act(set("/seen", json!(2)), UndoStep::new().never());
    assert_eq!(bench.redo(), "ab");
    assert_eq!(bench.undo(), "");
    assert_eq!(bench.core.undo(bench.id).unwrap(), None);
    assert_eq!(bench.core.state(bench.id, "/seen", None).unwrap(), 2);
    // Who names it takes it back.
    assert!(bench.core.undo_change(bench.id, seen).unwrap().is_some());
}

#[test]
fn a_part_that_is_taken_back_by_itself_is_passed_by_and_the_rest_stays_one_step() {
    let mut bench = Bench::new();
    bench.types("a", typing());
    let b = bench.types("b", typing());
    bench.types("c", typing());
    bench.core.undo_change(bench.id, b).unwrap().unwrap();
    assert_eq!(bench.text(), "ac");
    assert_eq!(bench.undo(), "");
    assert_eq!([bench.redo(), bench.redo()], ["ac", "abc"]);
}

#[test]
fn what_others_wrote_into_a_group_stays() {
    let (mut a, mut b, id) = two(vec![set("/x", json!(0)), set("/y", json!(0))]);
    for (path, value) in [("/x", 1), ("/y", 1), ("/x", 2)] {
        a.dispatch_step(id, &set(path, json!(value)), &typing()).unwrap();
    }
    sync(&mut a, &mut b, id);
    act(&mut b, id, set("/y", json!("theirs")));
    sync(&mut a, &mut b, id);
    let undone = undo(&mut a, id);
    assert_eq!((undone.undone, undone.skipped, undone.left), (2, 1, vec!["/y".to_owned()]));
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 0, "y": "theirs"}));
}

#[test]
fn a_group_that_cannot_be_undone_whole_is_not_undone_at_all() {
    let mut bench = Bench::new();
    for letter in ["a", "b", "c"] {
        bench.types(letter, typing());
    }
    let (id, before) = (bench.id, bench.core.history(bench.id, None).unwrap().len());
    let raw = bench.core.into_connection();
    let third = "CREATE TRIGGER full BEFORE INSERT ON change
                   WHEN NEW.action_type = 'undo' AND (SELECT count(*) FROM change WHERE action_type = 'undo') = 2
                   BEGIN SELECT RAISE(ABORT, 'no room'); END";
    raw.execute_batch(third).unwrap();
    let mut core = Core::open_connection(raw).unwrap();
    assert!(core.undo(id).is_err());
    assert_eq!(
        (core.state(id, "/text", None).unwrap(), core.history(id, None).unwrap().len()),
        (json!("abc"), before)
    );
    let raw = core.into_connection();
    raw.execute_batch("DROP TRIGGER full").unwrap();
    let mut bench = Bench::over(Core::open_connection(raw).unwrap(), id);
    assert_eq!([bench.undo(), bench.redo()], ["", "abc"]);
    assert!(bench.core.check().unwrap().ok);
}

#[test]
fn two_processes_on_one_file_have_the_same_steps() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Core::open(path, Durability::Normal).unwrap();
    let path = dir.path().join("a.db");
    let (mut first, mut second) = (open(&path), open(&path));
    for core in [&mut first, &mut second] {
        core.set_clock(Box::new(|| 1_800_000_000_000));
    }
    let id = first.create(None, None).unwrap();
    first.dispatch_step(id, &splice("/text", 0, 0, "a"), &typing()).unwrap();
    second.dispatch_step(id, &splice("/text", 1, 0, "b"), &typing()).unwrap();
    second.dispatch_step(id, &set("/seen", json!(1)), &UndoStep::new().never()).unwrap();
    assert_eq!(first.next_undo(id).unwrap().unwrap().actions, 2);
    undo(&mut first, id);
    assert_eq!(state(&mut second, id), json!({"text": "", "seen": 1}));
    redo(&mut second, id);
    assert_eq!(state(&mut first, id)["text"], "ab");
}

#[test]
fn steps_stay_what_they_are_when_a_fork_writes_their_changes_again() {
    let (mut a, mut b, id) = two(vec![set("/x", json!(0))]);
    b.take_fresh_actor(a.actor().clone()).unwrap();
    let mut bench = Bench::over(b, id);
    for n in 0..3 {
        act(&mut a, id, set("/a", json!(n)));
        bench.types("b", typing().label("Typing"));
        bench.act(set("/seen", json!(n)), UndoStep::new().never());
    }
    sync(&mut a, &mut bench.core, id);
    assert_eq!(bench.menu(), (Some("Typing".to_owned()), None));
    assert_eq!([bench.undo(), bench.redo()], ["", "bbb"]);
    sync(&mut a, &mut bench.core, id);
    assert_eq!(bench.undo(), "");
    assert_eq!(bench.core.undo(id).unwrap(), None);
}

#[test]
fn steps_stay_what_they_are_when_a_drop_writes_their_changes_again() {
    let mut bench = Bench::new();
    let first = bench.act(set("/x", json!(1)), UndoStep::new());
    bench.types("a", typing().label("Typing"));
    bench.types("b", typing().label("Typing"));
    bench.act(set("/seen", json!(1)), UndoStep::new().never());
    assert_eq!(bench.core.drop_queued(&first.to_string()).unwrap().dropped.len(), 1);
    assert_eq!(bench.menu(), (Some("Typing".to_owned()), None));
    assert_eq!([bench.undo(), bench.redo()], ["", "ab"]);
    bench.undo();
    assert_eq!(bench.core.undo(bench.id).unwrap(), None);
}

#[test]
fn what_effects_did_is_passed_by_also_when_their_rows_are_gone_and_where_it_is_declared_it_is_a_step() {
    for undoable in [false, true] {
        let (mut core, id) = one();
        let commit = FollowUp::new(json!({"type": "set", "path": "/saved", "value": true}));
        let commit = if undoable { commit.undoable() } else { commit };
        let effect = EffectRequest::new("save", json!({})).commit(commit);
        core.dispatch_with(id, &set("/x", json!(1)), &[effect]).unwrap();
        settle_one(&mut core);
        let raw = core.into_connection();
        raw.execute_batch("DELETE FROM job").unwrap();
        let mut core = Core::open_connection(raw).unwrap();
        undo(&mut core, id);
        let expected = if undoable { json!({"x": 1}) } else { json!({"saved": true}) };
        assert_eq!(state(&mut core, id), expected);
    }
}

fn settle_one(core: &mut Core) {
    let terms = LeaseTerms { kinds: vec!["save".to_owned()], most: 1, lease: Duration::from_secs(30) };
    let (effect, lease) = core.lease_effects(&terms).unwrap().effects.remove(0);
    assert!(core.settle_effect(effect.id, &lease, Verdict::Done { reply: json!(null) }).unwrap());
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CardAction {
    Renamed { to: String },
    Typed { text: String },
    Opened { at: i64 },
    Cleared,
}

struct Card;

impl Slice for Card {
    const NAME: &'static str = "card";
    type State = Value;
    type Action = CardAction;

    fn reduce(draft: &mut Draft<'_>, action: &CardAction) -> Result<(), Rejection> {
        match action {
            CardAction::Renamed { to } => draft.set("/name", to.as_str()),
            CardAction::Typed { text } => draft.set("/text", text.as_str()),
            CardAction::Opened { at } => draft.set("/opened", *at),
            CardAction::Cleared => draft.set("/text", ""),
        }
    }

    fn undo_step(action: &CardAction) -> UndoStep {
        match action {
            CardAction::Renamed { .. } => UndoStep::new().label("Rename"),
            CardAction::Typed { .. } => UndoStep::new().label("Typing").group("typing"),
            CardAction::Opened { .. } => UndoStep::new().never(),
            CardAction::Cleared => UndoStep::new(),
        }
    }
}

#[tokio::test]
async fn a_slice_names_groups_and_excludes_its_actions_and_a_dispatch_goes_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let builder = || Store::builder(&path).slice::<Card>().undo_window(Duration::from_secs(3_600));
    let store = builder().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let card = store.slice::<Card>(id);
    card.dispatch(CardAction::Renamed { to: "a".into() }).await.unwrap();
    card.dispatch(CardAction::Cleared).await.unwrap();
    card.dispatch(CardAction::Typed { text: "b".into() }).await.unwrap();
    card.dispatch(CardAction::Typed { text: "bc".into() }).await.unwrap();
    card.dispatch(CardAction::Opened { at: 1 }).await.unwrap();
    let all = UndoStep::new().label("Open").always();
    card.dispatch_step(CardAction::Opened { at: 2 }, &all).await.unwrap();
    store.close().await.unwrap();
    // One that knows no slices has the same menu, as the command line.
    let store = Store::open(&path).await.unwrap();
    let mut menu = Vec::new();
    while let Some(next) = store.next_undo(id).await.unwrap() {
        let undone = store.undo(id).await.unwrap().unwrap();
        let label = undone.label.clone().or(undone.action_type.clone()).unwrap();
        assert_eq!((label, undone.with.len() as u64 + 1), (next.label.clone(), next.actions));
        assert_eq!(store.next_redo(id).await.unwrap().unwrap().label, next.label);
        menu.push((next.label, next.actions));
    }
    let expected = [("Open", 1), ("Typing", 2), ("card/cleared", 1), ("Rename", 1)];
    assert_eq!(menu, expected.map(|(label, actions)| (label.to_owned(), actions)));
    assert_eq!(store.state(id, "/card").await.unwrap(), json!({"opened": 1}));
}

#[test]
fn a_label_or_group_that_is_empty_or_too_long_is_refused_and_nothing_is_done() {
    let (mut core, id) = one();
    for step in [UndoStep::new().label(""), UndoStep::new().group("x".repeat(201))] {
        let refused = core.dispatch_step(id, &set("/x", json!(1)), &step);
        assert!(matches!(refused, Err(Error::BadAction { .. })), "{refused:?}");
    }
    assert!(core.history(id, None).unwrap().is_empty());
}

#[derive(Debug, Clone)]
enum Did {
    Act(Kind, Option<u8>),
    Never(u8),
    Pass(u16),
    Undo,
    Redo,
    Restart,
}

fn did() -> impl Strategy<Value = Did> {
    prop_oneof![
        8 => (kind(), prop::option::weighted(0.8, 0..2_u8)).prop_map(|(kind, group)| Did::Act(kind, group)),
        1 => any::<u8>().prop_map(Did::Never),
        2 => (0..1_500_u16).prop_map(Did::Pass),
        2 => Just(Did::Undo),
        1 => Just(Did::Redo),
        1 => Just(Did::Restart),
    ]
}

/// One step, as whoever did it sees it.
#[derive(Debug)]
struct Seen {
    before: Value,
    after: Value,
    group: Option<u8>,
    at: i64,
    actions: u64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// A model that knows only what was read before and after each step.
    #[test]
    fn steps_are_undone_and_redone_as_a_model_of_them_says(all in prop::collection::vec(did(), 1..60)) {
        let mut bench = Bench::new();
        let id = bench.id;
        // Containers have changes of their own, and stay.
        for action in [insert("/a/list/-", json!(0)), splice("/a/text", 0, 0, "x"), add("/a/n", 1)] {
            bench.act(action, UndoStep::new().never());
        }
        let (mut done, mut undone): (Vec<Seen>, Vec<Seen>) = (Vec::new(), Vec::new());
        let mut may_join = false;
        for did in all {
            let now = bench.clock.load(Ordering::SeqCst);
            let before = bench.core.state(id, "/a", None).unwrap();
            match did {
                Did::Act(kind, group) => {
                    let Some(action) = fit(&mut bench.core, id, "a", &kind) else { continue };
                    let key = |group: u8| UndoStep::new().group(group.to_string());
                    bench.act(action, group.map_or(UndoStep::new(), key));
                    let after = bench.core.state(id, "/a", None).unwrap();
                    undone.clear();
                    match done.last_mut() {
                        Some(last) if may_join && group.is_some() && last.group == group && now - last.at < 1_000 => {
                            (last.after, last.at) = (after, now);
                            last.actions += 1;
                        }
                        _ => done.push(Seen { before, after, group, at: now, actions: 1 }),
                    }
                    may_join = true;
                }
                Did::Never(n) => drop(bench.act(set("/seen", json!(n)), UndoStep::new().never())),
                Did::Pass(millis) => bench.pass(i64::from(millis)),
                Did::Restart => bench = bench.reopened(),
                Did::Undo => {
                    let next = bench.core.next_undo(id).unwrap().map(|next| next.actions);
                    prop_assert_eq!(next, done.last().map(|step| step.actions));
                    bench.core.undo(id).unwrap();
                    let Some(step) = done.pop() else { continue };
                    prop_assert_eq!(&bench.core.state(id, "/a", None).unwrap(), &step.before);
                    undone.push(step);
                    may_join = false;
                }
                Did::Redo => {
                    let next = bench.core.next_redo(id).unwrap().map(|next| next.actions);
                    prop_assert_eq!(next, undone.last().map(|step| step.actions));
                    bench.core.redo(id).unwrap();
                    let Some(step) = undone.pop() else { continue };
                    prop_assert_eq!(&bench.core.state(id, "/a", None).unwrap(), &step.after);
                    done.push(step);
                    may_join = false;
                }
            }
        }
        let steps = done.len();
        while let Some(step) = done.pop() {
            bench.core.undo(id).unwrap().unwrap();
            prop_assert_eq!(&bench.core.state(id, "/a", None).unwrap(), &step.before);
        }
        prop_assert!(!bench.core.can_undo(id).unwrap(), "{}", steps);
        prop_assert!(bench.core.check().unwrap().ok);
    }
}
