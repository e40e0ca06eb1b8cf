//! "A deletion is believed from the server where the document lives, and nowhere else."

use super::*;

const HOME: &str = "http://home";
const LIAR: &str = "http://liar";

/// A client whose document lives at home, with an edit that was never sent.
fn at_home() -> (Client, Log) {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.core.set_server(Some(HOME)).unwrap();
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    client.edit(1);
    (client, log)
}

fn deleted() -> Log {
    Log { deleted: true, ..Log::new() }
}

fn deletes(client: &Client) -> usize {
    client.asked.iter().filter(|r| matches!(r, Request::Delete { .. })).count()
}

#[test]
fn another_servers_word_changes_nothing_here_and_reaches_no_server() {
    let (mut client, mut log) = at_home();
    let kept = |client: &mut Client| {
        let facts = client.core.facts(client.id).unwrap();
        (facts.cursor, facts.waiting, facts.changes, facts.tombstone_known)
    };
    let before = kept(&mut client);
    for _ in 0..2 {
        assert_eq!(client.at(LIAR).sync(&mut deleted()), End::Done(Outcome::NotServed));
        assert_eq!(kept(&mut client), before);
        assert_eq!(client.core.document(client.id).unwrap().not_served_by.as_deref(), Some(LIAR));
        client.restart();
    }
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    assert_eq!((deletes(&client), client.queue().len(), log.deleted), (0, 0, false));
    assert_eq!(client.core.document(client.id).unwrap().not_served_by, None);
    // The one where it lives is believed.
    client.edit(1);
    log.deleted = true;
    assert_eq!(client.sync(&mut log), End::Done(Outcome::Deleted));
    let kept = client.core.list_deleted().unwrap();
    assert_eq!((kept.len(), kept[0].unsent, kept[0].server.as_deref()), (1, 1, Some(HOME)));
}

#[test]
fn a_server_that_was_set_but_never_held_the_document_is_not_believed() {
    let (mut client, mut log) = at_home();
    client.core.set_server(Some(LIAR)).unwrap();
    assert_eq!(client.at(LIAR).sync(&mut deleted()), End::Done(Outcome::NotServed));
    client.core.set_server(Some(HOME)).unwrap();
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    // Nor one that is set when nothing was ever synced.
    let mut fresh = Client::new(2);
    fresh.core.set_server(Some(LIAR)).unwrap();
    assert_eq!(fresh.at(LIAR).sync(&mut deleted()), End::Done(Outcome::NotServed));
    assert_eq!(fresh.queue().len(), 2);
    // A person says that it lives there.
    fresh.core.join(fresh.id, None, Some(LIAR)).unwrap();
    assert_eq!(fresh.sync(&mut deleted()), End::Done(Outcome::Deleted));
    assert_eq!(fresh.core.list_deleted().unwrap()[0].unsent, 2);
}

#[test]
fn a_tombstone_is_told_again_to_its_own_server_and_to_no_other() {
    let (mut client, mut log) = at_home();
    log.deleted = true;
    assert_eq!(client.sync(&mut log), End::Done(Outcome::Deleted));
    let mut other = Log::new();
    assert_eq!(client.at(LIAR).sync(&mut other), End::Done(Outcome::Deleted));
    assert_eq!((client.asked.len(), other.deleted), (0, false));
    // It says so again an hour later, and is then restored to before the deletion.
    later(&mut client);
    assert_eq!(client.at(HOME).sync(&mut log), End::Done(Outcome::Deleted));
    log.deleted = false;
    later(&mut client);
    assert_eq!(client.at(HOME).sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted);
    // Who deleted it is sure at once.
    let (mut client, mut log) = at_home();
    client.core.delete(client.id).unwrap();
    assert_eq!(client.sync(&mut log), End::Done(Outcome::Deleted));
    log.deleted = false;
    client.restart();
    assert_eq!(client.at(HOME).sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted);
}

/// The client is started again, an hour after it heard of the deletion.
fn later(client: &mut Client) {
    let now = client.core.list_deleted().unwrap()[0].deleted_at + 3_600_000;
    client.core.set_clock(Box::new(move || now));
    client.restart();
}

#[test]
fn a_deletion_that_was_heard_of_once_takes_the_document_from_nobody() {
    let (mut client, mut log) = at_home();
    // Somebody answers under the home address, for one sync and the next that a frightened person makes.
    for _ in 0..2 {
        assert_eq!(client.sync(&mut deleted()), End::Done(Outcome::Deleted));
        client.restart();
        client.at(HOME);
    }
    assert_eq!(client.core.list_deleted().unwrap()[0].unsent, 1);
    // Who knows nothing of the document proves nothing.
    assert_eq!(client.sync(&mut Log::new()), End::Done(Outcome::Deleted));
    client.restart();
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    assert_eq!((deletes(&client), log.deleted, client.queue().len()), (0, false, 0));
    assert!(client.core.list_deleted().unwrap().is_empty());
    let mut fresh = Client::joined(client.id);
    fresh.sync(&mut log);
    assert_eq!(fresh.count(), 4, "what waited was sent");
}

#[test]
fn what_a_person_discarded_does_not_come_back_by_itself() {
    let (mut client, mut log) = at_home();
    assert_eq!(client.sync(&mut deleted()), End::Done(Outcome::Deleted));
    client.core.discard(client.id).unwrap();
    client.restart();
    assert_eq!(client.at(HOME).sync(&mut log), End::Done(Outcome::Deleted));
    assert_eq!((deletes(&client), log.deleted), (0, false));
    // It does where the person asks for it.
    client.core.join(client.id, None, Some(HOME)).unwrap();
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.count(), 3, "what was never sent was discarded");
}

#[test]
fn a_deletion_that_is_owed_is_told_where_the_document_lives() {
    let (mut client, mut log) = at_home();
    client.core.delete(client.id).unwrap();
    let mut other = Log::new();
    assert_eq!(client.at(LIAR).sync(&mut other), End::Done(Outcome::OwedElsewhere));
    assert_eq!((client.asked.len(), other.deleted), (0, false));
    assert_eq!(client.at(HOME).sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted);
}

#[test]
fn a_token_that_may_not_delete_does_not_fail_for_ever() {
    let (mut client, mut log) = at_home();
    log.deleted = true;
    client.sync(&mut log);
    later(&mut client);
    client.at(HOME).sync(&mut log);
    later(&mut client);
    client.at(HOME);
    let refused = |_: &Request| Ok(problem(403, "forbidden"));
    assert_eq!(client.sync_with(refused), End::Done(Outcome::Deleted));
    client.restart();
    assert_eq!(client.at(HOME).sync_with(refused), End::Done(Outcome::Deleted));
    // What this person wants deleted, and may not delete, is told.
    let (mut owing, _) = at_home();
    owing.core.delete(owing.id).unwrap();
    assert!(matches!(owing.sync_with(refused), End::Done(Outcome::Forbidden(_))));
    // And can be taken back.
    owing.core.join(owing.id, None, None).unwrap();
    assert_eq!(owing.queue().len(), 1);
}

#[test]
fn a_server_that_takes_pushes_and_gives_the_home_servers_cursor_keeps_nothing_from_it() {
    let (mut client, mut log) = at_home();
    // It answers as the home server would, with that one's cursor, and hands nothing on.
    let mut copy = Log { rows: log.rows.clone(), ..Log::new() };
    let end = log.cursor(log.rows.len());
    let lie = |request: &Request| {
        let reply = copy.answer(request);
        let (cursor, at_end) = (reply.cursor.and(end.clone()), reply.end.and(end.clone()));
        Ok(Response { cursor, end: at_end, ..reply })
    };
    assert_eq!(client.at(LIAR).sync_with(lie), IN_STEP);
    assert!(client.queue().is_empty());
    assert_eq!(
        (client.core.facts(client.id).unwrap().cursor, copy.rows.len()),
        (end, 5),
        "four edits and their counter"
    );
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    let mut fresh = Client::joined(client.id);
    fresh.sync(&mut log);
    assert_eq!(fresh.count(), 4);
}

#[test]
fn a_tombstone_of_a_server_that_was_left_does_not_hold_where_a_person_goes() {
    let (mut client, mut log) = at_home();
    client.core.join(client.id, None, Some(LIAR)).unwrap();
    assert_eq!(client.at(LIAR).sync(&mut deleted()), End::Done(Outcome::Deleted));
    assert!(matches!(client.core.join(client.id, None, Some(LIAR)), Err(rejoin::Error::Trashed(_))));
    assert!(matches!(client.core.join(client.id, None, None), Err(rejoin::Error::Trashed(_))));
    client.core.join(client.id, None, Some(HOME)).unwrap();
    assert_eq!(client.at(HOME).sync(&mut log), IN_STEP);
    assert_eq!((client.count(), client.queue().len(), log.deleted), (4, 0, false));
    let mut fresh = Client::joined(client.id);
    fresh.sync(&mut log);
    assert_eq!(fresh.count(), 4);
}
