//! Tests of revisions: what an editor made of a value, where others wrote meanwhile.

use automerge::{ActorId, Automerge, ROOT, ReadDoc as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Action, reducer, state, undo::Standing};

fn act(am: &mut Automerge, action: Value) {
    let action: Action = serde_json::from_value(action).unwrap();
    let mut tx = am.transaction();
    reducer::reduce(&mut tx, &action).unwrap();
    tx.commit();
}

fn document() -> Automerge {
    let mut am = Automerge::new().with_actor(ActorId::from([1; 16]));
    act(
        &mut am,
        json!({"type": "splice", "path": "/note", "pos": 0, "insert": "We leave at nine, all of us."}),
    );
    act(&mut am, json!({"type": "increment", "path": "/nights", "by": 3}));
    let value = json!([{"name": "tent"}, {"name": "stove"}, "map"]);
    act(&mut am, json!({"type": "set", "path": "/list", "value": value}));
    act(&mut am, json!({"type": "set", "path": "/title", "value": "Alps"}));
    am
}

/// The document with a revision of what it was at these heads.
fn revised(am: &mut Automerge, at: (&str, &[crate::ChangeHash]), new: &Value) -> RevisionPlan {
    let plan = plan(am, at, &Revision::Value(new.clone()), &Standing::default()).unwrap();
    let mut tx = am.transaction();
    apply(&mut tx, &plan).unwrap();
    tx.commit();
    plan
}

fn read(am: &Automerge) -> Value {
    state::to_json(am, "", None).unwrap()
}

#[test]
fn what_arrives_while_a_value_is_edited_is_not_lost() {
    let mut am = document();
    let heads = am.get_heads();
    let mut new = read(&am);
    act(&mut am, json!({"type": "splice", "path": "/note", "pos": 0, "insert": "Dear all! "}));
    act(
        &mut am,
        json!({"type": "splice", "path": "/note", "pos": 37, "delete": 1, "insert": ", and the dog!"}),
    );
    act(&mut am, json!({"type": "insert", "path": "/list/0", "value": "rope"}));
    act(&mut am, json!({"type": "set", "path": "/list/1/weight", "value": 2}));
    act(&mut am, json!({"type": "increment", "path": "/nights", "by": 1}));
    act(&mut am, json!({"type": "set", "path": "/new", "value": true}));
    new["note"] = json!("We leave at ten, all of us.");
    new["nights"] = json!(5);
    new["list"] = json!([{"name": "big tent"}, {"name": "stove"}, "atlas", "pen"]);
    let plan = revised(&mut am, ("", &heads), &new);
    assert!(plan.left.is_empty() && plan.over.is_empty(), "{plan:?}");
    let wanted = json!({
        "note": "Dear all! We leave at ten, all of us, and the dog!",
        "nights": 6,
        "list": ["rope", {"name": "big tent", "weight": 2}, {"name": "stove"}, "atlas", "pen"],
        "title": "Alps",
        "new": true,
    });
    assert_eq!(read(&am), wanted);
}

#[test]
fn what_has_nowhere_to_go_and_what_stands_over_others_is_named() {
    let mut am = document();
    let heads = am.get_heads();
    let mut new = read(&am);
    act(&mut am, json!({"type": "set", "path": "/title", "value": "Andes"}));
    act(&mut am, json!({"type": "delete", "path": "/list/0"}));
    act(&mut am, json!({"type": "delete", "path": "/note"}));
    new["title"] = json!("Ural");
    new["list"][0]["name"] = json!("big tent");
    new["note"] = json!("We leave.");
    let plan = revised(&mut am, ("", &heads), &new);
    assert_eq!(plan.over, ["/title"]);
    let mut left = plan.left.clone();
    left.sort();
    assert_eq!(left, ["/list/0", "/note"]);
    assert_eq!(read(&am), json!({"title": "Ural", "nights": 3, "list": [{"name": "stove"}, "map"]}));
}

#[test]
fn a_deletion_takes_nothing_that_others_wrote_there_meanwhile() {
    let mut am = document();
    let heads = am.get_heads();
    act(&mut am, json!({"type": "set", "path": "/title", "value": "Andes"}));
    let mut new = state::to_json(&am, "", Some(&heads)).unwrap();
    new.as_object_mut().unwrap().remove("title");
    assert_eq!(revised(&mut am, ("", &heads), &new).left, ["/title"]);
    assert_eq!(read(&am)["title"], "Andes");
}

#[test]
fn splices_of_what_was_shown_are_done_where_it_is_now() {
    let mut am = document();
    let heads = am.get_heads();
    act(&mut am, json!({"type": "splice", "path": "/note", "pos": 3, "delete": 6, "insert": "all go "}));
    let splices = vec![
        TextSplice { pos: 0, delete: 5, insert: "I am".into() },
        TextSplice { pos: 12, delete: 4, insert: "ten".into() },
    ];
    let revision = Revision::Splices(splices.clone());
    let planned = plan(&am, ("/note", &heads), &revision, &Standing::default()).unwrap();
    let mut tx = am.transaction();
    apply(&mut tx, &planned).unwrap();
    tx.commit();
    let note = am.get(ROOT, "note").unwrap().unwrap().1;
    assert_eq!(am.text(&note).unwrap(), "I amall go at ten, all of us.");
    let past = Revision::Splices(vec![TextSplice { pos: 99, delete: 0, insert: String::new() }]);
    assert!(plan(&am, ("/note", &heads), &past, &Standing::default()).is_err());
    assert!(plan(&am, ("/list", &heads), &revision, &Standing::default()).is_err());
    let plain = vec![TextSplice { pos: 4, delete: 0, insert: "!".into() }];
    let planned = plan(&am, ("/title", &heads), &Revision::Splices(plain), &Standing::default()).unwrap();
    assert!(matches!(planned.writes.as_slice(), [Write::Set(_, _, new)] if new == "Alps!"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![(0..4_i64).prop_map(Value::from), "[ab ]{0,4}".prop_map(Value::from), Just(Value::Null),];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Where nobody wrote meanwhile, a document reads as it was edited.
    #[test]
    fn a_revision_reads_as_it_was_edited(
        before in value(), after in value(), text in "[abc ,]{0,20}", edited in "[abc ,]{0,20}",
    ) {
        let mut am = Automerge::new();
        act(&mut am, json!({"type": "set", "path": "", "value": {"v": before}}));
        act(&mut am, json!({"type": "splice", "path": "/t", "pos": 0, "insert": text}));
        let heads = am.get_heads();
        let new = json!({"v": after, "t": edited});
        revised(&mut am, ("", &heads), &new);
        prop_assert_eq!(read(&am), new);
    }

    /// Words that two people write at once into one text are all there.
    #[test]
    fn what_two_write_at_once_into_one_text_is_all_there(at in 0..5_usize, other in 0..5_usize) {
        let mut am = Automerge::new();
        let words = ["a", "b", "c", "d"];
        act(&mut am, json!({"type": "splice", "path": "/t", "pos": 0, "insert": words.join(" ")}));
        let heads = am.get_heads();
        let with = |at: usize, word: &'static str| {
            let mut words = words.to_vec();
            words.insert(at, word);
            words.join(" ")
        };
        revised(&mut am, ("/t", &heads), &json!(with(at, "MINE")));
        revised(&mut am, ("/t", &heads), &json!(with(other, "THEIRS")));
        let read = read(&am)["t"].as_str().unwrap().to_owned();
        for word in words.iter().chain(&["MINE", "THEIRS"]) {
            prop_assert!(read.contains(word), "{} in {}", word, read);
        }
    }
}
