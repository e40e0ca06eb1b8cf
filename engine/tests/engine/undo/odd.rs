//! Values in a text that are none of its characters: only another program puts them there, and everybody's positions behind
//! them count.

use automerge::{
    ActorId, Automerge, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::Transactable,
};
use rejoin::{
    DocumentId,
    store::{Core, Page},
};

use crate::undo::support::{act, one, redo, set, splice, state, undo};

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

/// A document with a text that somebody marked: each mark from its start to its end, with its value.
fn marked(marks: &[(usize, usize, &str)], numbers: bool) -> (Core, DocumentId) {
    let (mut core, id) = one();
    act(&mut core, id, splice("/note", 0, 0, TEXT));
    if marks.is_empty() && !numbers {
        return (core, id);
    }
    let mut doc = Automerge::new().with_actor(ActorId::from(b"another program".to_vec()));
    doc.apply_changes(Automerge::load(&core.export(id).unwrap()).unwrap().get_changes(&[])).unwrap();
    let (_, text) = doc.get(automerge::ROOT, "note").unwrap().unwrap();
    let mut tx = doc.transaction();
    for (start, end, value) in marks {
        let mark = Mark::new("link".to_owned(), *value, *start, *end);
        tx.mark(&text, mark, ExpandMark::None).unwrap();
    }
    if numbers {
        tx.insert(&text, TEXT.len(), 5).unwrap();
    }
    tx.commit();
    let bytes = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
    let changes = vec![rejoin::fence::check_bytes(&bytes, &rejoin::fence::Limits::default()).unwrap()];
    core.store_page(id, Page { changes, at_end: true, ..Page::default() }).unwrap();
    (core, id)
}

/// What the text reads as after each of many things that people do, as somebody sees it who is not shown marks.
fn what_people_do((mut core, id): (Core, DocumentId)) -> Vec<String> {
    let mut seen = Vec::new();
    let begun = core.document(id).unwrap().heads;
    let look = |core: &mut Core, seen: &mut Vec<String>| seen.push(note(core, id));
    for edit in [("/note", 14, 4, "2000"), ("/note", 0, 5, ""), ("/note", 1, 1, ""), ("/note", 17, 0, "!")] {
        act(&mut core, id, splice(edit.0, edit.1, edit.2, edit.3));
        look(&mut core, &mut seen);
        undo(&mut core, id);
        look(&mut core, &mut seen);
        redo(&mut core, id);
        look(&mut core, &mut seen);
    }
    let now = core.document(id).unwrap().heads;
    let shown = state(&mut core, id)["note"].as_str().unwrap().to_owned();
    let new = rejoin::Revision::Value(shown.replace("euro", "pounds").into());
    core.revise(id, ("/note", &now), &new).unwrap();
    look(&mut core, &mut seen);
    act(&mut core, id, set("/note", "over".into()));
    undo(&mut core, id);
    look(&mut core, &mut seen);
    core.reset(id, &begun).unwrap();
    look(&mut core, &mut seen);
    undo(&mut core, id);
    look(&mut core, &mut seen);
    seen
}

#[test]
fn marks_with_any_value_shift_no_undo_no_reset_and_no_revision() {
    let long = "https://example.org/a/long/address";
    let plain = what_people_do(marked(&[], false));
    let numbered = what_people_do(marked(&[], true));
    assert_eq!(plain, numbered, "a number behind all of it changes nothing before it");
    for value in [long, "u", "T", "The", TEXT, "", "\u{fffc}", "e e"] {
        for (start, end) in [(0, 2), (1, 3), (0, TEXT.len()), (4, 10), (TEXT.len() - 1, TEXT.len())] {
            for numbers in [false, true] {
                let seen = what_people_do(marked(&[(start, end, value), (3, 12, "u")], numbers));
                assert_eq!(seen, plain, "{value:?} from {start} to {end}, a number: {numbers}");
            }
        }
    }
}
