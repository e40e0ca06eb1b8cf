//! Values in a text that are none of its characters: only another program puts them there, and everybody's positions behind
//! them count.

use automerge::{ActorId, Automerge, ReadDoc, ScalarValue, transaction::Transactable};
use rejoin::{
    DocumentId,
    store::{Core, Page},
};

use crate::support::{act, one, redo, set, splice, state, undo};

const TEXT: &str = "The salary is 1000 euro";

/// A document with a text before which somebody put numbers, nothing and a counter.
fn with_odd_values() -> (Core, DocumentId) {
    let (mut core, id) = one();
    act(&mut core, id, splice("/note", 0, 0, TEXT));
    let mut doc = Automerge::new().with_actor(ActorId::from(b"another program".to_vec()));
    doc.apply_changes(Automerge::load(&core.export(id).unwrap()).unwrap().get_changes(&[])).unwrap();
    let (_, text) = doc.get(automerge::ROOT, "note").unwrap().unwrap();
    let mut tx = doc.transaction();
    for value in [ScalarValue::Int(5), ScalarValue::Null, ScalarValue::counter(7)] {
        tx.insert(&text, 0, value).unwrap();
    }
    tx.commit();
    let bytes = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
    let changes = vec![rejoin::fence::check_bytes(&bytes, &rejoin::fence::Limits::default()).unwrap()];
    let outcome = core.store_page(id, Page { changes, at_end: true, ..Page::default() }).unwrap();
    assert_eq!((outcome.pulled, outcome.quarantined), (1, 0));
    (core, id)
}

fn note(core: &mut Core, id: DocumentId) -> String {
    state(core, id)["note"].as_str().unwrap().replace('\u{fffc}', "")
}

#[test]
fn what_is_no_character_in_a_text_shifts_no_undo_of_others() {
    let (mut core, id) = with_odd_values();
    assert_eq!(state(&mut core, id)["note"].as_str().unwrap().chars().count(), TEXT.len() + 3);
    act(&mut core, id, splice("/note", 3 + 18, 0, "OFF"));
    let edited = "The salary is 1000OFF euro";
    assert_eq!(note(&mut core, id), edited);
    undo(&mut core, id);
    assert_eq!(note(&mut core, id), TEXT);
    redo(&mut core, id);
    assert_eq!(note(&mut core, id), edited);
    act(&mut core, id, splice("/note", 3, 4, ""));
    undo(&mut core, id);
    assert_eq!(note(&mut core, id), edited);
}

#[test]
fn what_is_no_character_in_a_text_shifts_no_reset_and_no_revision() {
    let (mut core, id) = with_odd_values();
    let heads = core.document(id).unwrap().heads;
    act(&mut core, id, splice("/note", 3 + 14, 4, "2000"));
    act(&mut core, id, set("/other", 1.into()));
    let shown = state(&mut core, id)["note"].as_str().unwrap().to_owned();
    let now = core.document(id).unwrap().heads;
    let new = rejoin::Revision::Value(shown.replace("euro", "pounds").into());
    core.revise(id, ("/note", &now), &new).unwrap();
    assert_eq!(note(&mut core, id), "The salary is 2000 pounds");
    core.reset(id, &heads).unwrap();
    assert_eq!(note(&mut core, id), TEXT);
    undo(&mut core, id);
    assert_eq!(note(&mut core, id), "The salary is 2000 pounds");
}
