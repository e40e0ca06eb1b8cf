//! Blame, and the places where concurrent writes met.

use rejoin::{Action, Choice, Error, store::Core};
use serde_json::{Value, json};

use crate::undo::support::*;

/// Both write one key, and meet.
fn met(mine: Value, theirs: Value) -> (Core, Core, rejoin::DocumentId) {
    let (mut a, mut b, id) = two(vec![]);
    a.set_author(Some("Ada")).unwrap();
    b.set_author(Some("Ben")).unwrap();
    act(&mut a, id, set("/m/x", mine));
    act(&mut b, id, set("/m/x", theirs));
    sync(&mut a, &mut b, id);
    (a, b, id)
}

#[test]
fn blame_names_the_change_that_wrote_a_value() {
    let (mut core, id) = one();
    core.set_author(Some("Ada")).unwrap();
    let first = act(&mut core, id, set("/m/x", json!(1)));
    let at = core.document(id).unwrap().heads;
    let second = act(&mut core, id, set("/m/x", json!({"deep": [true]})));
    let now = core.blame(id, "/m/x", None).unwrap();
    let paths: Vec<_> = now.iter().map(|b| b.path.as_str()).collect();
    assert_eq!(paths, ["/m/x", "/m/x/deep", "/m/x/deep/0"]);
    assert!(now.iter().all(|b| b.writer.hash == second && b.writer.author.as_deref() == Some("Ada")));
    let then = core.blame(id, "/m/x", Some(&at)).unwrap();
    assert_eq!((then.len(), then[0].writer.hash), (1, first));
    assert_eq!(then[0].writer.action_type.as_deref(), Some("set"));
    assert!(core.blame(id, "/m", None).unwrap()[0].writer.container);
    assert!(matches!(core.blame(id, "/no", None), Err(Error::Action(_))));
}

#[test]
fn blame_of_a_text_has_runs_with_their_writers() {
    let (mut a, mut b, id) = two(vec![splice("/t", 0, 0, "héllo")]);
    let theirs = act(&mut b, id, splice("/t", 2, 1, "LL"));
    sync(&mut a, &mut b, id);
    assert_eq!(a.state(id, "/t", None).unwrap(), "héLLlo");
    let runs: Vec<_> = a.blame(id, "/t", None).unwrap().into_iter().filter(|b| b.start.is_some()).collect();
    let spans: Vec<_> = runs.iter().map(|b| (b.start.unwrap(), b.length.unwrap())).collect();
    assert_eq!(spans, [(0, 2), (2, 2), (4, 2)]);
    assert_eq!(runs[1].writer.hash, theirs);
    assert_eq!(runs[0].writer.hash, runs[2].writer.hash);
    assert!(runs[0].writer.local && !runs[1].writer.local);
}

#[test]
fn blame_of_a_counter_names_who_added_to_it() {
    let (mut a, mut b, id) = two(vec![add("/m/n", 1)]);
    let at = a.document(id).unwrap().heads;
    let theirs = act(&mut b, id, add("/m/n", 10));
    act(&mut a, id, add("/other", 3));
    sync(&mut a, &mut b, id);
    let lines = |core: &mut Core, at: Option<&[rejoin::ChangeHash]>| -> Vec<Option<i64>> {
        core.blame(id, "/m/n", at).unwrap().into_iter().map(|b| b.added).collect()
    };
    assert_eq!(lines(&mut a, None), [None, Some(1), Some(10)]);
    assert_eq!(lines(&mut a, Some(&at)), [None, Some(1)]);
    assert_eq!(a.blame(id, "/m/n", None).unwrap()[2].writer.hash, theirs);
    assert_eq!(a.blame(id, "/other", None).unwrap()[1].added, Some(3));
}

#[test]
fn blame_names_who_wrote_it_and_not_who_put_it_back() {
    let (mut a, mut b, id) = two(vec![splice("/t", 0, 0, "text")]);
    act(&mut b, id, splice("/t", 0, 4, ""));
    let back = undo(&mut b, id);
    sync(&mut a, &mut b, id);
    let runs = a.blame(id, "/t", None).unwrap();
    let run = runs.iter().find(|b| b.start.is_some()).unwrap();
    assert!(run.writer.local);
    assert_eq!(run.writer.action_type.as_deref(), Some("splice"));
    assert_eq!(run.restored_by, Some(back.hash));
}

#[test]
fn concurrent_writes_are_listed_until_one_is_taken() {
    let (mut a, mut b, id) = met(json!("mine"), json!({"theirs": [1]}));
    let found = a.conflicts(id, "").unwrap();
    assert_eq!(
        found,
        b.conflicts(id, "/m/x")
            .unwrap()
            .into_iter()
            .map(|mut c| {
                for value in &mut c.values {
                    value.writer.local = !value.writer.local;
                    value.writer.own_actor = value.writer.local;
                }
                // Times are kept in full where a change was made.
                for (value, own) in c.values.iter_mut().zip(&found[0].values) {
                    value.writer.made_at = own.writer.made_at;
                }
                c
            })
            .collect::<Vec<_>>()
    );
    assert_eq!((found.len(), found[0].path.as_str(), found[0].values.len()), (1, "/m/x", 2));
    assert!(found[0].values[0].wins && !found[0].values[1].wins);
    assert_eq!(state(&mut a, id)["m"]["x"], found[0].values[0].value);
    let mut who: Vec<_> = found[0].values.iter().map(|v| v.writer.author.clone().unwrap()).collect();
    who.sort();
    assert_eq!(who, ["Ada", "Ben"]);
    let mut values: Vec<_> = found[0].values.iter().map(|v| v.value.to_string()).collect();
    values.sort();
    assert_eq!(values, ["\"mine\"", "{\"theirs\":[1]}"]);
    let other = found[0].values[1].clone();
    a.take(id, "/m/x", Choice::Change(other.writer.hash)).unwrap();
    assert_eq!(a.conflicts(id, "").unwrap(), []);
    let read = sync(&mut a, &mut b, id);
    assert_eq!(read["m"]["x"], other.value);
    assert_eq!(b.conflicts(id, "").unwrap(), []);
    let history = b.history(id, Some(1)).unwrap();
    assert_eq!(
        (history[0].action_type.as_deref(), history[0].author.as_deref()),
        (Some("take"), Some("Ada"))
    );
    let row = a.queue(None).unwrap().pop().unwrap();
    assert_eq!(row.action.unwrap()["path"], "/m/x");
    let undone = undo(&mut a, id);
    assert_eq!((undone.action, undone.action_type.as_deref()), (history[0].hash, Some("take")));
}

#[test]
fn either_value_can_be_taken_whatever_it_is() {
    let values = [json!(1), json!("s"), json!({"a": {"b": [1, "x"]}}), json!([[]]), json!(null)];
    for (mine, theirs) in values.iter().flat_map(|m| values.iter().map(move |t| (m, t))) {
        for index in 0..2 {
            let (mut a, mut b, id) = met(mine.clone(), theirs.clone());
            let found = a.conflicts(id, "/m/x").unwrap();
            if mine == theirs {
                // All wrote the same: there is nothing to choose.
                assert_eq!(found, []);
                continue;
            }
            let want = found[0].values[index].value.clone();
            a.take(id, "/m/x", index.into()).unwrap();
            assert_eq!(a.state(id, "/m/x", None).unwrap(), want);
            assert_eq!(a.conflicts(id, "").unwrap(), []);
            assert_eq!(sync(&mut a, &mut b, id)["m"]["x"], want);
            undo(&mut a, id);
            sync(&mut a, &mut b, id);
        }
    }
}

#[test]
fn conflicts_in_lists_and_inside_objects_are_found() {
    let (mut a, mut b, id) = two(vec![insert("/l/-", json!({"k": 0})), insert("/l/-", json!(0))]);
    for (core, n) in [(&mut a, 1), (&mut b, 2)] {
        act(core, id, set("/l/0/k", json!(n)));
        act(core, id, set("/l/1", json!(n)));
        act(core, id, set("/a~1b", json!(n)));
    }
    sync(&mut a, &mut b, id);
    let paths = |core: &mut Core, at: &str| -> Vec<String> {
        core.conflicts(id, at).unwrap().into_iter().map(|c| c.path).collect()
    };
    assert_eq!(paths(&mut a, ""), ["/a~1b", "/l/0/k", "/l/1"]);
    assert_eq!(paths(&mut a, "/l/0"), ["/l/0/k"]);
    // Writing over it settles it as well.
    act(&mut a, id, set("/l/0/k", json!(3)));
    assert_eq!(paths(&mut a, "/l"), ["/l/1"]);
    a.take(id, "/l/1", 1.into()).unwrap();
    a.take(id, "/a~1b", 0.into()).unwrap();
    sync(&mut a, &mut b, id);
    assert_eq!(paths(&mut b, ""), [""; 0]);
}

#[test]
fn what_an_ordinary_map_hides_of_a_container_is_listed() {
    let (mut a, mut b, id) = two(vec![]);
    act(&mut a, id, set("/m/mine", json!(1)));
    act(&mut b, id, set("/m", json!({"theirs": 2})));
    sync(&mut a, &mut b, id);
    let found = a.conflicts(id, "/m").unwrap();
    let mut values: Vec<_> = found[0].values.iter().map(|v| v.value.clone()).collect();
    values.sort_by_key(Value::to_string);
    assert_eq!(values, [json!({"mine": 1}), json!({"theirs": 2})]);
}

#[test]
fn a_subscriber_is_told_where_writes_met() {
    let (mut a, mut b, id) = two(vec![set("/l", json!([0])), set("/s", json!(0))]);
    for (core, n) in [(&mut a, 1), (&mut b, 2)] {
        act(core, id, set("/l/0", json!(n)));
        act(core, id, set("/m/x~0y", json!(n)));
        act(core, id, set(&format!("/only{n}"), json!(n)));
    }
    let mut told = [&mut a, &mut b].map(|core| core.subscribe());
    sync(&mut a, &mut b, id);
    for told in &mut told {
        let mut found = Vec::new();
        while let Ok(event) = told.try_recv() {
            found.extend(event.conflicts());
        }
        assert_eq!(found, ["/l/0", "/m/x~0y"]);
    }
}

#[test]
fn what_cannot_be_taken_is_refused_and_changes_nothing() {
    let (mut a, _, id) = met(json!(1), json!(2));
    let before = a.document(id).unwrap().heads;
    for (path, choice) in [
        ("/m/x", Choice::Index(2)),
        ("/m/x", Choice::Change(rejoin::ChangeHash([1; 32]))),
        ("/m", Choice::Index(0)),
        ("", Choice::Index(0)),
        ("/no", Choice::Index(0)),
    ] {
        assert!(matches!(a.take(id, path, choice), Err(Error::NoConflict(_))), "{path}");
    }
    assert!(matches!(a.take(id, "bad", 0.into()), Err(Error::Action(_))));
    assert_eq!(a.document(id).unwrap().heads, before);
    act(&mut a, id, Action::Delete { path: "/m/x".into() });
    assert_eq!(a.conflicts(id, "").unwrap(), []);
}
