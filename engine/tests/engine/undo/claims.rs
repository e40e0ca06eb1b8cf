//! That something was taken back is a claim, and anybody can make one: it counts where it is so.

use automerge::{
    ActorId, Automerge, ROOT, ReadDoc as _, transaction::CommitOptions, transaction::Transactable as _,
};
use rejoin::{
    ChangeHash, DocumentId,
    fence::{self, Limits},
    store::{Core, Page},
};
use rusqlite::Connection;
use serde_json::json;

use crate::undo::support::*;

/// What somebody else makes on what Ada has: `work` says what it does, and the message whatever it likes.
fn forge(
    ada: &mut Core,
    id: DocumentId,
    (action, of): (&str, ChangeHash),
    work: impl FnOnce(&mut automerge::transaction::Transaction<'_>),
) {
    let mut am = Automerge::load(&ada.export(id).unwrap()).unwrap();
    am.set_actor(ActorId::from([0xee; 16]));
    let message = json!({"a": action, "u": of.to_string()}).to_string();
    let options = || CommitOptions::default().with_message(message.clone()).with_time(1_795_000_000);
    let mut tx = am.transaction();
    work(&mut tx);
    if tx.commit_with(options()).0.is_none() {
        am.empty_commit(options());
    }
    let bytes = am.get_last_local_change().unwrap().raw_bytes().to_vec();
    let change = fence::check_bytes(&bytes, &Limits::default()).unwrap();
    let page = Page { changes: vec![change], ..Page::default() };
    let outcome = ada.store_page(id, page).unwrap();
    assert_eq!((outcome.pulled, outcome.quarantined), (1, 0));
}

fn restart(core: Core) -> Core {
    Core::open_connection(core.into_connection()).unwrap()
}

#[test]
fn an_undo_that_somebody_only_claims_is_none_before_a_restart_and_after_it() {
    for again in [false, true] {
        let (mut ada, id) = one();
        act(&mut ada, id, set("/a", json!(1)));
        let last = act(&mut ada, id, set("/b", json!(2)));
        forge(&mut ada, id, ("undo", last), |_| {});
        // With an operation that has nothing to do with it.
        forge_beside(&mut ada, id, ("undo", last));
        let mut ada = if again { restart(ada) } else { ada };
        assert!(ada.can_undo(id).unwrap());
        let undone = undo(&mut ada, id);
        assert_eq!((undone.of, undone.undone), (last, 1));
        assert_eq!(state(&mut ada, id), json!({"a": 1, "elsewhere": true}));
        undo(&mut ada, id);
        assert_eq!(state(&mut ada, id), json!({"elsewhere": true}));
        assert!(!ada.can_undo(id).unwrap());
    }
}

fn forge_beside(ada: &mut Core, id: DocumentId, claim: (&str, ChangeHash)) {
    let mut am = Automerge::load(&ada.export(id).unwrap()).unwrap();
    am.set_actor(ActorId::from([0xdd; 16]));
    let message = json!({"a": claim.0, "u": claim.1.to_string()}).to_string();
    let mut tx = am.transaction();
    tx.put(ROOT, "elsewhere", true).unwrap();
    tx.commit_with(CommitOptions::default().with_message(message).with_time(1_795_000_000));
    let bytes = am.get_last_local_change().unwrap().raw_bytes().to_vec();
    let change = fence::check_bytes(&bytes, &Limits::default()).unwrap();
    ada.store_page(id, Page { changes: vec![change], ..Page::default() }).unwrap();
}

#[test]
fn an_undo_of_ones_own_is_not_hidden_by_a_claim_that_a_part_of_it_was_taken_back() {
    for again in [false, true] {
        let (mut ada, id) = one();
        act(&mut ada, id, splice("/t", 0, 0, "before"));
        let last = act(&mut ada, id, splice("/t", 6, 0, " and a long sentence"));
        forge(&mut ada, id, ("undo", last), |tx| {
            let (_, text) = tx.get(ROOT, "t").unwrap().unwrap();
            tx.splice_text(&text, 10, 1, "").unwrap();
        });
        let mut ada = if again { restart(ada) } else { ada };
        assert_eq!(undo(&mut ada, id).of, last);
        assert_eq!(state(&mut ada, id), json!({"t": "before"}));
    }
}

#[test]
fn a_redo_that_somebody_only_claims_is_none() {
    for again in [false, true] {
        let (mut ada, id) = one();
        act(&mut ada, id, set("/a", json!(1)));
        let undone = undo(&mut ada, id).hash;
        forge(&mut ada, id, ("redo", undone), |_| {});
        let mut ada = if again { restart(ada) } else { ada };
        assert!(!ada.can_undo(id).unwrap(), "it is undone");
        assert_eq!(redo(&mut ada, id).of, undone);
        assert_eq!(state(&mut ada, id), json!({"a": 1}));
    }
}

#[test]
fn a_value_that_somebody_only_claims_to_have_taken_back_returns_all_the_same() {
    for again in [false, true] {
        let (mut ada, id) = one();
        let first = act(&mut ada, id, set("/k", json!(1)));
        act(&mut ada, id, set("/k", json!(2)));
        forge(&mut ada, id, ("undo", first), |_| {});
        let mut ada = if again { restart(ada) } else { ada };
        undo(&mut ada, id);
        assert_eq!(state(&mut ada, id), json!({"k": 1}));
        undo(&mut ada, id);
        assert_eq!(state(&mut ada, id), json!({}));
    }
}

#[test]
fn a_rollback_that_somebody_only_claims_is_none() {
    let (mut ada, id) = one();
    let only = act(&mut ada, id, add("/n", 5));
    forge(&mut ada, id, ("rollback", only), |_| {});
    assert_eq!(undo(&mut ada, id).of, only);
    assert_eq!(state(&mut ada, id), json!({"n": 0}));
}

fn copy(disk: &Connection) -> Connection {
    let mut to = Connection::open_in_memory().unwrap();
    let backup = rusqlite::backup::Backup::new(disk, &mut to).unwrap();
    backup.run_to_completion(1_000, std::time::Duration::ZERO, None).unwrap();
    drop(backup);
    to
}

/// Two devices of one person: copies of one store.
fn devices() -> (Core, Core, DocumentId) {
    let (mut core, id) = one();
    act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/b", json!(2)));
    act(&mut core, id, add("/n", 5));
    let disk = core.into_connection();
    let other = copy(&disk);
    (Core::open_connection(disk).unwrap(), Core::open_connection(other).unwrap(), id)
}

#[test]
fn what_another_device_of_this_person_took_back_is_taken_back_here() {
    let (mut here, mut there, id) = devices();
    undo(&mut there, id);
    sync(&mut here, &mut there, id);
    let mut here = restart(here);
    // It goes on to the action before.
    undo(&mut here, id);
    assert_eq!(sync(&mut here, &mut there, id), json!({"a": 1, "n": 0}));
    undo(&mut there, id);
    assert_eq!(sync(&mut here, &mut there, id), json!({"n": 0}));
    assert!(!here.can_undo(id).unwrap() && !there.can_undo(id).unwrap());
}

#[test]
fn what_another_device_took_back_and_did_again_can_be_undone_here() {
    let (mut here, mut there, id) = devices();
    undo(&mut there, id);
    undo(&mut there, id);
    redo(&mut there, id);
    redo(&mut there, id);
    assert_eq!(sync(&mut here, &mut there, id), json!({"a": 1, "b": 2, "n": 5}));
    let mut here = restart(here);
    undo(&mut here, id);
    assert_eq!(sync(&mut here, &mut there, id), json!({"a": 1, "b": 2, "n": 0}));
    undo(&mut here, id);
    assert_eq!(sync(&mut here, &mut there, id), json!({"a": 1, "n": 0}));
}

#[test]
fn what_two_devices_took_back_at_once_is_taken_back_once() {
    let (mut here, mut there, id) = devices();
    undo(&mut here, id);
    undo(&mut here, id);
    undo(&mut there, id);
    undo(&mut there, id);
    let both = sync(&mut here, &mut there, id);
    assert_eq!((&both["a"], both.get("b")), (&json!(1), None));
    undo(&mut here, id);
    assert_eq!(sync(&mut here, &mut there, id).get("a"), None);
    assert!(!here.can_undo(id).unwrap() && !there.can_undo(id).unwrap());
}

#[test]
fn a_counter_is_not_taken_back_by_another_sum() {
    let (mut ada, id) = one();
    let only = act(&mut ada, id, add("/n", 5));
    forge(&mut ada, id, ("undo", only), |tx| tx.increment(ROOT, "n", -1).unwrap());
    assert_eq!(undo(&mut ada, id).of, only);
    assert_eq!(state(&mut ada, id), json!({"n": -1}));
}
