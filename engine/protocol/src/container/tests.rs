//! Tests of container changes, with their golden bytes.

use automerge::{ActorId, Automerge, Change};

use super::*;

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
