use automerge::{Automerge, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use serde_json::json;

use super::*;
use crate::{Action, reducer};

fn last(am: &Automerge) -> Vec<Edit> {
    let change = am.get_changes(&[]).pop().unwrap();
    Edits::of(am, &change).edits
}

fn done(am: &mut Automerge, work: impl FnOnce(&mut automerge::transaction::Transaction<'_>)) -> Vec<Edit> {
    let mut tx = am.transaction();
    work(&mut tx);
    tx.commit();
    last(am)
}

/// The document before the newest change, with its edits done one after another as actions.
fn replayed(am: &Automerge) -> serde_json::Value {
    let change = am.get_changes(&[]).pop().unwrap();
    let mut again = am.fork_at(change.deps()).unwrap();
    for edit in last(am) {
        let mut json = serde_json::to_value(&edit).unwrap();
        json.as_object_mut().unwrap().remove("deleted");
        let action: Action = serde_json::from_value(json).unwrap();
        let mut tx = again.transaction();
        reducer::reduce(&mut tx, &action).unwrap();
        tx.commit();
    }
    crate::state::to_json(&again, "", None).unwrap()
}

#[test]
fn a_change_reads_as_the_actions_that_would_do_the_same() {
    let mut am = Automerge::new();
    let text = am.transact::<_, _, automerge::AutomergeError>(|tx| {
        let text = tx.put_object(ROOT, "note", ObjType::Text)?;
        tx.splice_text(&text, 0, 0, "We leave at nine")?;
        let list = tx.put_object(ROOT, "list", ObjType::List)?;
        for (index, item) in ["tent", "stove", "map"].into_iter().enumerate() {
            tx.insert(&list, index, item)?;
        }
        tx.put(ROOT, "nights", automerge::ScalarValue::counter(2))?;
        Ok((text, list))
    });
    let (text, list) = text.unwrap().result;
    let splice = done(&mut am, |tx| tx.splice_text(&text, 12, 4, "ten").unwrap());
    let wanted = json!({"type": "splice", "path": "/note", "pos": 12, "delete": 4, "insert": "ten", "deleted": "nine"});
    assert_eq!(serde_json::to_value(splice).unwrap(), json!([wanted]));
    let typed = done(&mut am, |tx| tx.splice_text(&text, 0, 0, "Then ").unwrap());
    assert!(
        matches!(typed.as_slice(), [Edit::Splice { pos: 0, delete: 0, insert, .. }] if insert == "Then ")
    );
    done(&mut am, |tx| {
        tx.delete(&list, 1).unwrap();
        tx.put(&list, 1, "atlas").unwrap();
        let map = tx.insert_object(&list, 0, ObjType::Map).unwrap();
        tx.put(&map, "name", "rope").unwrap();
        tx.increment(ROOT, "nights", 3).unwrap();
        tx.increment(ROOT, "nights", -1).unwrap();
        tx.put(ROOT, "a/b", 1).unwrap();
        tx.splice_text(&text, 0, 5, "").unwrap();
        tx.splice_text(&text, 3, 0, "all ").unwrap();
    });
    assert_eq!(replayed(&am), crate::state::to_json(&am, "", None).unwrap());
    let kinds: Vec<_> = last(&am).iter().map(|edit| format!("{} {}", edit.kind(), edit.path())).collect();
    let list = ["insert /list/0", "delete /list/2", "set /list/2"];
    assert_eq!(kinds[..3], list, "{kinds:?}");
    assert!(
        kinds.contains(&"increment /nights".to_owned()) && kinds.contains(&"set /a~1b".to_owned()),
        "{kinds:?}"
    );
    assert_eq!(am.text(&text).unwrap(), "We all leave at ten");
}

#[test]
fn a_message_of_another_program_is_told_as_it_is() {
    let mut am = Automerge::new();
    let commit = |am: &mut Automerge, message: &str| {
        let mut tx = am.transaction();
        tx.put(ROOT, "a", message).unwrap();
        tx.commit_with(automerge::transaction::CommitOptions::default().with_message(message));
        Edits::of(am, &am.get_changes(&[]).pop().unwrap())
    };
    assert_eq!(commit(&mut am, "fix the plan").message.as_deref(), Some("fix the plan"));
    assert_eq!(commit(&mut am, r#"{"a":"set"}"#).message, None);
}
