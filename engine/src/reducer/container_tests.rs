//! Containers that two devices make, and what both read afterwards.

use automerge::{ActorId, Automerge, Change, ObjType, ROOT, transaction::Transactable};
use serde_json::json;

use crate::{
    Action,
    container::{ContainerKind, ContainerSet, ContainerSpec, Held, make, verify},
    fence::CheckedChange,
    reducer, state,
};

fn spec(path: &[&str], kind: ContainerKind, generations: &[u32]) -> ContainerSpec {
    ContainerSpec::new(path.iter().map(|p| (*p).to_owned()).collect(), kind, generations.to_vec()).unwrap()
}

fn checked(change: &Change) -> CheckedChange {
    CheckedChange {
        hash: change.hash(),
        actor: change.actor_id().clone(),
        seq: change.seq(),
        start_op: change.start_op().get(),
        operations: change.len() as u64,
        deps: change.deps().to_vec(),
        time: change.timestamp(),
        message: change.message().map(str::to_owned),
        bytes: change.raw_bytes().to_vec(),
    }
}
/// A device: a document, and what its store would know of containers.
struct Device {
    doc: Automerge,
    held: ContainerSet,
}

impl Device {
    fn new(name: &str) -> Self {
        let doc = Automerge::new().with_actor(ActorId::from(name.as_bytes().to_vec()));
        Self { doc, held: ContainerSet::default() }
    }

    fn act(&mut self, action: serde_json::Value) {
        assert!(self.try_act(action));
    }

    /// Whether it could be done.
    fn try_act(&mut self, action: serde_json::Value) -> bool {
        let action: Action = serde_json::from_value(action).unwrap();
        let Ok(specs) = reducer::plan_action(&self.doc, &self.held, &action) else { return false };
        for spec in specs {
            let change = make(&spec);
            self.doc.apply_changes([Change::try_from(&change.bytes[..]).unwrap()]).unwrap();
            self.held.note(&change.actor);
        }
        let mut tx = self.doc.transaction();
        reducer::reduce(&mut tx, &action).unwrap();
        tx.commit();
        true
    }

    fn pull(&mut self, other: &Self) {
        let changes = other.doc.get_changes(&[]);
        for change in &changes {
            verify(&checked(change)).unwrap();
            self.held.note(change.actor_id());
        }
        self.doc.apply_changes(changes).unwrap();
    }

    fn state(&self) -> serde_json::Value {
        state::to_json(&self.doc, "", None).unwrap()
    }
}

/// Both act offline, then exchange their changes; what both then read.
fn merged(a: &[serde_json::Value], b: &[serde_json::Value]) -> serde_json::Value {
    let (mut one, mut two) = (Device::new("one"), Device::new("two"));
    a.iter().for_each(|action| one.act(action.clone()));
    b.iter().for_each(|action| two.act(action.clone()));
    one.pull(&two);
    two.pull(&one);
    assert_eq!(one.state(), two.state());
    assert_eq!(one.doc.get_heads(), two.doc.get_heads());
    assert_eq!(one.held, two.held);
    assert_eq!(ContainerSet::of(&one.doc), one.held);
    let loaded = Automerge::load(&one.doc.save()).unwrap();
    assert_eq!(state::to_json(&loaded, "", None).unwrap(), one.state());
    one.state()
}

#[test]
fn a_map_made_on_two_devices_merges() {
    let state = merged(
        &[json!({"type":"set","path":"/a/b/x","value":1})],
        &[json!({"type":"set","path":"/a/b/y","value":2}), json!({"type":"set","path":"/a/z","value":3})],
    );
    assert_eq!(state, json!({"a":{"b":{"x":1,"y":2},"z":3}}));
}

#[test]
fn a_list_made_on_two_devices_merges() {
    let state = merged(
        &[json!({"type":"insert","path":"/l/-","value":"one"})],
        &[json!({"type":"set","path":"/l","value":[]}), json!({"type":"insert","path":"/l/0","value":"two"})],
    );
    let mut items: Vec<_> = state["l"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    items.sort_unstable();
    assert_eq!(items, ["one", "two"]);
}

#[test]
fn text_made_on_two_devices_merges() {
    let state = merged(
        &[json!({"type":"splice","path":"/n/t","pos":0,"insert":"one"})],
        &[json!({"type":"splice","path":"/n/t","pos":0,"insert":"two"})],
    );
    let text = state["n"]["t"].as_str().unwrap();
    assert!(text == "onetwo" || text == "twoone", "{text}");
}

#[test]
fn counters_made_on_two_devices_add() {
    let state = merged(
        &[json!({"type":"increment","path":"/n","by":5})],
        &[json!({"type":"increment","path":"/n","by":10}), json!({"type":"increment","path":"/c/n","by":-2})],
    );
    assert_eq!(state, json!({"n":15,"c":{"n":-2}}));
}

#[test]
fn an_empty_map_or_list_set_on_two_devices_is_one() {
    let state = merged(
        &[json!({"type":"set","path":"/m","value":{}}), json!({"type":"set","path":"/m/x","value":1})],
        &[json!({"type":"set","path":"/m","value":{}}), json!({"type":"set","path":"/m/y","value":2})],
    );
    assert_eq!(state, json!({"m":{"x":1,"y":2}}));
}

#[test]
fn after_a_delete_the_next_generation_is_made_alike_on_both() {
    let (mut one, mut two) = (Device::new("one"), Device::new("two"));
    one.act(json!({"type":"set","path":"/a/b/x","value":1}));
    two.pull(&one);
    one.act(json!({"type":"delete","path":"/a/b"}));
    two.pull(&one);
    one.act(json!({"type":"set","path":"/a/b/y","value":2}));
    two.act(json!({"type":"set","path":"/a/b/z","value":3}));
    two.pull(&one);
    one.pull(&two);
    assert_eq!(one.state(), json!({"a":{"b":{"y":2,"z":3}}}));
    assert_eq!(one.state(), two.state());
    assert!(one.held.contains(&spec(&["a", "b"], ContainerKind::Map, &[0, 1]).actor()));
    // And below the second generation of a parent.
    one.act(json!({"type":"delete","path":"/a"}));
    one.act(json!({"type":"increment","path":"/a/b/n"}));
    assert_eq!(one.state(), json!({"a":{"b":{"n":1}}}));
    assert!(one.held.contains(&spec(&["a", "b", "n"], ContainerKind::Counter, &[1, 0, 0]).actor()));
}

#[test]
fn below_an_ordinary_container_and_in_lists_makers_are_ordinary() {
    let mut one = Device::new("one");
    let mut tx = one.doc.transaction();
    tx.put_object(ROOT, "ordinary", ObjType::Map).unwrap();
    tx.commit();
    one.act(json!({"type":"set","path":"/ordinary/a/b","value":1}));
    assert_eq!(one.held.count(), 0);
    one.act(json!({"type":"insert","path":"/l/-","value":{}}));
    assert_eq!(one.held.count(), 1);
    one.act(json!({"type":"increment","path":"/l/0/deep/n","by":7}));
    one.act(json!({"type":"splice","path":"/l/0/deep/t","pos":0,"insert":"x"}));
    one.act(json!({"type":"insert","path":"/l/0/deep/l/-","value":null}));
    assert_eq!(one.held.count(), 1);
    assert_eq!(one.state(), json!({"ordinary":{"a":{"b":1}},"l":[{"deep":{"n":7,"t":"x","l":[null]}}]}));
}

/// A random action. What is under `c`, `l`, `t` and `m` only grows, so that it can be counted exactly; under `z`
/// anything happens. `n` is unique.
fn random_action(n: usize, kind: u8, place: u8) -> serde_json::Value {
    let small = place % 3;
    let token = format!("<{n}>");
    let empty = [json!({}), json!([]), json!(1)][n % 3].clone();
    match kind % 12 {
        0 | 1 => json!({"type":"increment","path":format!("/c/{small}/n"),"by":i64::from(place) - 100}),
        2 => json!({"type":"insert","path":format!("/l/{small}/-"),"value":token}),
        3 => json!({"type":"splice","path":format!("/t/{small}"),"pos":0,"insert":token}),
        4 => json!({"type":"set","path":format!("/m/{small}/u{n}"),"value":token}),
        5 => {
            json!({"type":"set","path":format!("/z/{small}"),"value":empty})
        }
        6 => json!({"type":"delete","path":format!("/z/{small}")}),
        7 => json!({"type":"set","path":format!("/z/{small}/x/y"),"value":n}),
        8 => json!({"type":"increment","path":format!("/z/{small}/x/c")}),
        9 => json!({"type":"delete","path":format!("/z/{small}/x")}),
        10 => json!({"type":"insert","path":format!("/z/{small}/-"),"value":{"a":[n]}}),
        _ => json!({"type":"splice","path":format!("/z/{small}/t"),"pos":0,"insert":"x"}),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 200, failure_persistence: None, ..Default::default()
    })]

    /// Three devices act and exchange at random, then exchange until all have everything: then all are equal,
    /// and what only grows is all there, once.
    #[test]
    fn devices_converge_and_lose_nothing(
        script in proptest::collection::vec(proptest::prelude::any::<(u8, u8, u8)>(), 1..60)
    ) {
        let mut devices = [Device::new("one"), Device::new("two"), Device::new("three")];
        let mut done = Vec::new();
        for (n, (who, kind, place)) in script.into_iter().enumerate() {
            let who = usize::from(who) % 3;
            if kind % 16 >= 12 {
                let [a, b] = devices.get_disjoint_mut([who, (who + 1) % 3]).unwrap();
                a.pull(b);
                continue;
            }
            let action = random_action(n, kind % 16, place);
            // Under `z` an action may be refused; what only grows never is.
            if devices[who].try_act(action.clone()) {
                done.push(action);
            } else {
                proptest::prop_assert!(action["path"].as_str().unwrap().starts_with("/z/"));
            }
        }
        for (a, b) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
            let [a, b] = devices.get_disjoint_mut([a, b]).unwrap();
            a.pull(b);
            b.pull(a);
        }
        let state = devices[0].state();
        for device in &devices {
            proptest::prop_assert_eq!(device.state(), state.clone());
            proptest::prop_assert_eq!(device.doc.get_heads(), devices[0].doc.get_heads());
            proptest::prop_assert_eq!(&ContainerSet::of(&device.doc), &device.held);
        }
        let text = json!([state["l"], state["t"], state["m"]]).to_string();
        let mut sums = std::collections::HashMap::<String, i64>::new();
        for action in &done {
            let path = action["path"].as_str().unwrap().to_owned();
            let token = action["value"].as_str().or(action["insert"].as_str());
            match (action["by"].as_i64(), token) {
                (Some(by), _) => *sums.entry(path).or_default() += by,
                (None, Some(token)) if !path.starts_with("/z/") => {
                    proptest::prop_assert_eq!(text.matches(token).count(), 1, "{} in {}", token, text);
                }
                _ => {}
            }
        }
        for (path, sum) in sums {
            proptest::prop_assert_eq!(state.pointer(&path), Some(&json!(sum)), "{}", path);
        }
    }
}
