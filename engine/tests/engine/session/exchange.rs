//! Pushing and pulling: what goes, in how many requests, and when a row may leave the queue.

use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};

#[test]
fn a_thousand_queued_changes_are_one_request() {
    let (mut client, mut log) = (Client::new(1_000), Log::new());
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.asked.len(), 1);
    assert!(client.queue().is_empty());
    assert_eq!(client.progress.pushed, 1_000);
}

#[test]
fn push_and_pull_are_one_round_trip() {
    let (mut one, mut log) = (Client::new(10), Log::new());
    let mut two = Client::joined(one.id);
    two.edit(10);
    one.sync(&mut log);
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!((two.asked.len(), two.count()), (1, 20));
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!((one.asked.len(), one.count()), (1, 20));
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn a_page_that_is_not_the_last_is_followed_to_the_end() {
    let (mut one, mut log) = (Client::new(50), Log::new());
    one.sync(&mut log);
    log.page = 7;
    let mut two = Client::joined(one.id);
    for path in ["/a", "/b", "/c"] {
        two.set(path);
    }
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!(two.count(), 50);
    assert_eq!(two.pushes(), 1, "accepted rows wait for the cursor, and are not sent again");
    assert!(two.queue().is_empty());
}

#[test]
fn an_accepted_row_stays_until_the_cursor_covers_it() {
    let (mut one, mut log) = (Client::new(50), Log::new());
    one.sync(&mut log);
    log.page = 7;
    let mut two = Client::joined(one.id);
    two.edit(3);
    let Step::Send { request, ticket } = two.step() else { panic!() };
    two.take(ticket, Ok(log.answer(&request)));
    assert!(two.queue().iter().all(|s| *s == QueueState::Sent), "{:?}", two.queue());
    two.restart();
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert!(two.queue().is_empty());
}

#[test]
fn a_joined_document_that_nobody_pushed_is_no_error() {
    let (mut client, mut log) = (Client::joined(DocumentId::random()), Log::new());
    assert_eq!(client.sync(&mut log), End::Done(Outcome::NotThere));
    assert_eq!(client.session.trouble(), None);
}

#[test]
fn a_lost_reply_is_asked_again_and_stored_once() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let mut lost = 0;
    let end = client.sync_with(|request| {
        let reply = log.answer(request);
        lost += 1;
        if lost <= 3 { Err(TransportError::TimedOut("x".into())) } else { Ok(reply) }
    });
    assert_eq!(end, IN_STEP);
    assert!(client.queue().is_empty());
    let hashes: HashSet<_> = log.rows.iter().map(|r| r.0).collect();
    assert_eq!(hashes.len(), log.rows.len());
}

#[test]
fn killed_between_acknowledgement_and_recording_it_pushing_again_changes_nothing() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, .. } = client.step() else { panic!() };
    log.answer(&request);
    let before = log.rows.clone();
    client.restart();
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    assert_eq!(log.rows, before);
}

#[test]
fn a_late_or_repeated_reply_changes_nothing() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, ticket } = client.step() else { panic!() };
    let reply = log.answer(&request);
    // Given up, and asked again.
    let Step::Send { ticket: second, .. } = client.step() else { panic!() };
    assert_eq!(client.take(ticket, Ok(reply.clone())), Progress::default());
    assert_eq!(client.queue().len(), 5);
    assert!(client.take(second.clone(), Ok(reply.clone())).answered);
    assert!(client.queue().is_empty());
    assert_eq!(client.take(second, Ok(reply)), Progress::default());
}

#[test]
fn an_edit_during_an_upload_stays_queued_and_goes_in_another_round() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, ticket } = client.step() else { panic!() };
    client.edit(1);
    client.take(ticket, Ok(log.answer(&request)));
    assert_eq!(client.queue().len(), 1);
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)), "what was there at the start is done");
    let Step::Send { request, ticket } = client.step() else { panic!("the edit was forgotten") };
    client.take(ticket, Ok(log.answer(&request)));
    assert!(client.queue().is_empty());
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)));
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)), "no further round without a reason");
}

#[test]
fn batches_are_bounded_and_split_further_when_the_server_says_so() {
    let (mut client, mut log) = (Client::new(100), Log::new());
    log.largest_push = 30;
    let batch = BatchBounds { count: 64, bytes: 1 << 20 };
    client.session = Session::new(client.id, SessionLimits { batch, ..SessionLimits::default() });
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    assert!(client.pushes() < 12, "{}", client.pushes());
}

#[test]
fn replies_that_are_too_large_are_asked_for_in_smaller_pages() {
    let (mut one, mut log) = (Client::new(300), Log::new());
    one.sync(&mut log);
    let mut two = Client::joined(one.id);
    let end = two.sync_with(|request| {
        let reply = log.answer(request);
        if reply.body.len() > 8_000 { Err(TransportError::TooLarge(8_000)) } else { Ok(reply) }
    });
    assert_eq!(end, IN_STEP);
    assert_eq!(two.count(), 300);
}

#[test]
fn an_imported_document_is_offered_before_it_is_read() {
    let (mut one, mut log) = (Client::new(20), Log::new());
    let file = one.core.export(one.id).unwrap();
    let mut core = Core::open_in_memory().unwrap();
    let id = core.import(&file, Some(one.id), None).unwrap();
    let mut two = Client { core, id, ..Client::joined(one.id) };
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!(log.rows.len() as u64, one.core.facts(one.id).unwrap().changes);
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn a_fork_is_written_again_and_goes_on() {
    let (mut one, mut log) = (Client::new(2), Log::new());
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.db"), dir.path().join("b.db"));
    let mut core = Core::open(&first, rejoin::store::Durability::Normal).unwrap();
    let id = core.create(Some(one.id), None).unwrap();
    drop(core);
    std::fs::copy(&first, &second).unwrap();
    one.sync(&mut log);
    let mut clients = [&first, &second].map(|path| {
        let core = Core::open(path, rejoin::store::Durability::Normal).unwrap();
        Client { core, id, ..Client::joined(one.id) }
    });
    for client in &mut clients {
        client.edit(3);
    }
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.sync(&mut log), IN_STEP);
        }
    }
    assert_eq!(clients.each_mut().map(|c| c.count()), [8, 8]);
    assert!(clients.iter_mut().all(|c| c.queue().is_empty()));
    assert!(one.sync(&mut log) == IN_STEP && one.count() == 8);
}

/// A client in step, and what a stream tells of three changes of another one that come next.
fn news_by_event() -> (Client, Log, wire::ChangesEvent) {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.sync(&mut log);
    let mut other = Client::joined(client.id);
    other.sync(&mut log);
    let after = log.rows.len();
    other.edit(3);
    other.sync(&mut log);
    let changes: Vec<u8> = log.rows[after..].iter().flat_map(|row| row.1.clone()).collect();
    let at = |place| log.cursor(place).map(|cursor| cursor.to_string());
    let event = wire::ChangesEvent {
        document: client.id.to_string(),
        after: at(after),
        cursor: at(log.rows.len()),
        heads: log.heads(),
        changes: Some(STANDARD.encode(changes)),
        deleted: false,
    };
    (client, log, event)
}

#[test]
fn a_live_event_that_was_cut_short_leaves_no_hole() {
    let (mut client, _, event) = news_by_event();
    let now = Now::at(client.now);
    let hint = client.core.take_event(&mut client.session, &event, now, &mut client.rng).unwrap();
    assert!(
        matches!(hint, Hint::Taken(progress) if progress.pulled == 3),
        "what is whole is taken: {hint:?}"
    );
    let (mut client, mut log, event) = news_by_event();
    let cut = wire::ChangesEvent { changes: Some(String::new()), ..event };
    let now = Now::at(client.now);
    let hint = client.core.take_event(&mut client.session, &cut, now, &mut client.rng).unwrap();
    assert_eq!((hint, client.count()), (Hint::Pull, 3));
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.count(), 6);
}

#[test]
fn an_empty_page_under_an_honest_cursor_is_mended_by_the_next_honest_reply() {
    let (mut client, mut log, _) = news_by_event();
    let end = client.sync_with(|request| {
        let mut reply = log.answer(request);
        (reply.body, reply.heads) = (Vec::new(), Vec::new());
        Ok(reply)
    });
    assert_eq!((end, client.count()), (IN_STEP, 3), "it cannot know");
    client.restart();
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.count(), 6);
}

#[test]
fn a_server_that_names_heads_that_it_never_sends_is_given_up() {
    let (mut client, mut log, _) = news_by_event();
    let end = client.sync_with(|request| {
        let mut reply = log.answer(request);
        reply.body = Vec::new();
        Ok(reply)
    });
    assert!(matches!(end, End::Trouble(_)), "{end:?}");
}
