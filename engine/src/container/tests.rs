use automerge::{ActorId, Automerge, Change, ObjType, ROOT, transaction::Transactable};
use serde_json::json;

use super::*;
use crate::{Action, reducer, state};

fn spec(path: &[&str], kind: ContainerKind, generations: &[u32]) -> ContainerSpec {
    ContainerSpec::new(path.iter().map(|p| (*p).to_owned()).collect(), kind, generations.to_vec()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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

/// A document with so many containers, so many of which this store made.
struct Many {
    held: usize,
    own: usize,
}

impl Held for Many {
    fn contains(&self, _: &ActorId) -> bool {
        false
    }
    fn count(&self) -> usize {
        self.held
    }
    fn own(&self) -> usize {
        self.own
    }
}

#[test]
fn one_member_who_makes_all_containers_that_he_can_leaves_room_for_others() {
    let path = ["a".to_owned()];
    let makes =
        |held, own| !plan(&Automerge::new(), &Many { held, own }, &path, ContainerKind::Map).is_empty();
    assert!(makes(0, 0) && makes(999, 999) && !makes(1_000, 1_000), "a store makes a thousand");
    // The server lets one name bring half of all, a second half of what is left, and so on.
    let mut held = 0;
    for hostile in 1..=6 {
        held += (MAX_CONTAINERS - held) / 2;
        assert!(makes(held, 0), "{hostile} hostile members");
    }
    assert!(makes(held, 8) && !makes(held, 40), "what the server would refuse is not made");
    assert!(!makes(MAX_CONTAINERS, 0));
}

#[test]
fn a_container_change_depends_on_its_parent_alone() {
    let child = make(&spec(&["a", "b"], ContainerKind::List, &[0, 3]));
    let change = Change::try_from(&child.bytes[..]).unwrap();
    assert_eq!(change.deps(), [make(&spec(&["a"], ContainerKind::Map, &[0])).hash]);
    assert_eq!((change.seq(), change.start_op().get(), change.len(), change.timestamp()), (1, 2, 1, 0));
    assert_eq!(change.hash(), child.hash);
    assert!(is_container_actor(change.actor_id()));
    let own = spec_of(change.message()).unwrap();
    assert_eq!(own, spec(&["a", "b"], ContainerKind::List, &[0, 3]));
}

#[test]
fn path_kind_and_generation_each_make_another_actor() {
    let all = [
        spec(&["a"], ContainerKind::Map, &[0]),
        spec(&["a"], ContainerKind::List, &[0]),
        spec(&["a"], ContainerKind::Map, &[1]),
        spec(&["a", "b"], ContainerKind::Map, &[0, 0]),
        spec(&["ab"], ContainerKind::Map, &[0]),
        spec(&["a", ""], ContainerKind::Map, &[0, 0]),
        spec(&["", "a"], ContainerKind::Map, &[0, 0]),
    ];
    let actors: std::collections::HashSet<_> = all.iter().map(ContainerSpec::actor).collect();
    assert_eq!(actors.len(), all.len());
}

#[test]
fn any_other_change_under_a_container_actor_is_refused() {
    let made = make(&spec(&["a"], ContainerKind::Map, &[0]));
    let good = checked(&Change::try_from(&made.bytes[..]).unwrap());
    assert_eq!(verify(&good), Ok(()));
    let expanded = Change::try_from(&made.bytes[..]).unwrap().decode();
    let mut forgeries = Vec::new();
    let forge_each: [fn(&mut automerge::ExpandedChange); 12] = [
        |c| c.time = 1,
        |c| c.seq = 2,
        |c| c.message = None,
        |c| c.message = Some("{}".to_owned()),
        |c| c.message = c.message.as_ref().map(|m| m.replace("\"a\"", "\"b\"")),
        |c| c.message = c.message.as_ref().map(|m| m.replace("[0]", "[1]")),
        |c| c.message = c.message.as_ref().map(|m| m.replace("map", "list")),
        |c| c.message = c.message.as_ref().map(|m| m.replace("{\"container", "{ \"container")),
        |c| c.operations.push(c.operations[0].clone()),
        |c| c.operations.clear(),
        |c| c.extra_bytes = vec![1],
        |c| c.deps = vec![automerge::ChangeHash([7; 32])],
    ];
    for forge in forge_each {
        let mut forged = expanded.clone();
        forge(&mut forged);
        forgeries.push(Change::from(forged));
    }
    for forged in &forgeries {
        assert!(verify(&checked(forged)).is_err(), "{:?}", forged.message());
    }
    let mut other = expanded;
    other.actor_id = ActorId::from(b"someone".to_vec());
    assert_eq!(verify(&checked(&Change::from(other))), Ok(()));
}

#[test]
fn a_spec_outside_the_limits_is_none() {
    let path = |n: usize, part: &str| vec![part.to_owned(); n];
    let make = |path: Vec<String>| {
        let generations = vec![0; path.len()];
        ContainerSpec::new(path, ContainerKind::Map, generations)
    };
    assert!(make(path(MAX_DEPTH, "x")).is_ok());
    assert!(make(path(MAX_DEPTH + 1, "x")).is_err());
    assert!(make(path(0, "x")).is_err());
    assert!(make(vec!["x".repeat(MAX_PATH_BYTES)]).is_ok());
    assert!(make(vec!["x".repeat(MAX_PATH_BYTES + 1)]).is_err());
    assert!(ContainerSpec::new(path(2, "x"), ContainerKind::Map, vec![0]).is_err());
    let deep = format!(
        r#"{{"container":{{"path":[{}"x"],"kind":"map","generations":[{}0]}}}}"#,
        r#""x","#.repeat(MAX_DEPTH),
        "0,".repeat(MAX_DEPTH)
    );
    assert!(spec_of(Some(&deep)).is_none());
}

/// These bytes are shared by all devices and releases: a release that makes others would split documents.
#[test]
fn the_bytes_are_fixed() {
    let all = [
        spec(&["todos"], ContainerKind::Map, &[0]),
        spec(&["todos"], ContainerKind::List, &[0]),
        spec(&["todos"], ContainerKind::Text, &[0]),
        spec(&["todos"], ContainerKind::Counter, &[0]),
        spec(&["a", "b", "n"], ContainerKind::Counter, &[0, 2, 1]),
        spec(&["", "~/\u{e9}\"\n"], ContainerKind::Text, &[300, 0]),
    ];
    let lines: Vec<String> = all.iter().map(|spec| hex(&make(spec).bytes)).collect();
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    assert_eq!(lines, golden);
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
