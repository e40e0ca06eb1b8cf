//! What a server refuses, what is no answer of one, and when the session gives up.

use super::*;

fn html() -> Reply {
    let body = b"<html>log in first</html>".to_vec();
    Ok(Response { status: 200, media_type: "text/html".into(), body, ..Response::default() })
}

#[test]
fn a_single_change_that_is_too_large_for_the_server_is_parked_and_the_rest_goes_on() {
    let (mut client, mut log) = (Client::new(0), Log::new());
    client.set("/a");
    let large = client.set("/b");
    client.set("/c");
    let large_bytes = client.core.queued_bytes(&large.to_string()).unwrap();
    let end = client.sync_with(|request| match request {
        Request::Push { body, .. } if body.windows(large_bytes.len()).any(|w| w == large_bytes) => {
            Ok(Response { status: 413, ..Response::default() })
        }
        request => Ok(log.answer(request)),
    });
    assert_eq!(end, IN_STEP);
    // One actor: what came after it depends on it.
    assert_eq!(client.queue(), [QueueState::Parked, QueueState::Parked]);
    assert_eq!(log.rows.len(), 1);
}

/// A limit of a proxy's, told as proxies tell it: in HTML, for a body that the server would have taken. OPERATIONS says
/// that pushes are made smaller.
#[test]
fn a_proxys_413_makes_pushes_smaller_until_they_pass_and_parks_nothing() {
    let (mut client, mut log) = (Client::new(64), Log::new());
    let (mut refused, mut largest) = (0, 0);
    let limit = client.core.queued_bytes("1").unwrap().len() * 9;
    let end = client.sync_with(|request| match request {
        Request::Push { body, .. } if body.len() > limit => {
            refused += 1;
            let body = b"<html><h1>413 Request Entity Too Large</h1></html>".to_vec();
            Ok(Response { status: 413, media_type: "text/html".into(), body, ..Response::default() })
        }
        Request::Push { body, .. } => {
            largest = largest.max(body.len());
            Ok(log.answer(request))
        }
        request => Ok(log.answer(request)),
    });
    assert_eq!(end, IN_STEP);
    assert_eq!((client.queue(), log.rows.len()), (vec![], 65), "64 edits and the counter's own change");
    assert!(refused > 0 && largest > 0 && largest <= limit, "{refused} refused, the largest {largest}");
}

#[test]
fn a_change_refused_for_good_parks_with_what_depends_on_it() {
    let (mut client, mut log) = (Client::new(0), Log::new());
    client.set("/a");
    let bad = client.set("/b");
    client.set("/c");
    log.refuses.insert(bad, fence::RefusalCode::TooManyOperations);
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.queue(), [QueueState::Parked, QueueState::Parked]);
    assert_eq!(log.rows.len(), 1);
    assert!(!client.asked.iter().any(|r| matches!(r, Request::Missing { .. })), "nothing was lost");
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.pushes(), 0, "what is parked is not sent");
}

#[test]
fn refused_credentials_stop_the_run_and_count_no_attempt() {
    let mut client = Client::new(3);
    let end = client.sync_with(|_| Ok(problem(401, "unauthorized")));
    assert!(matches!(end, End::Done(Outcome::Unauthorized(_))));
    assert_eq!(client.asked.len(), 1);
    let queue = client.core.queue(None).unwrap();
    assert!(queue.iter().all(|q| q.attempts == 0 && q.state == QueueState::Waiting));
    assert_eq!(client.sync(&mut Log::new()), IN_STEP);
}

/// FAULTS 23: what the first batch brought is brought, and the rest waits for another token.
#[test]
fn credentials_refused_after_the_first_batch_lose_nothing_and_count_no_attempt() {
    let mut client = Client::new(7);
    let batch = BatchBounds { count: 3, bytes: usize::MAX };
    client.session = Session::new(client.id, SessionLimits { batch, ..SessionLimits::default() });
    let (mut log, mut pushes) = (Log::new(), 0);
    let end = client.sync_with(|request| {
        pushes += usize::from(matches!(request, Request::Push { .. }));
        Ok(if pushes < 2 { log.answer(request) } else { problem(401, "unauthorized") })
    });
    assert!(matches!(end, End::Done(Outcome::Unauthorized(_))), "{end:?}");
    let queue = client.core.queue(None).unwrap();
    assert!((1..7).contains(&queue.len()), "{queue:?}");
    assert!(queue.iter().all(|q| q.attempts == 0 && q.state == QueueState::Waiting), "{queue:?}");
    client.edit(1);
    assert_eq!(client.core.state(client.id, "/n", None).unwrap(), 8);
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.core.queue(None).unwrap().len(), 0);
    let hashes: HashSet<ChangeHash> = log.rows.iter().map(|row| row.0).collect();
    assert_eq!(hashes.len(), log.rows.len(), "nothing is there twice");
}

#[test]
fn credentials_without_the_right_are_told_apart_from_bad_ones() {
    let mut client = Client::new(3);
    let end = client.sync_with(|_| Ok(problem(403, "forbidden")));
    assert!(matches!(end, End::Done(Outcome::Forbidden(_))));
    let queue = client.core.queue(None).unwrap();
    let noted = |q: &rejoin::store::QueueEntry| {
        q.attempts == 1 && q.waits_for_a_right() && q.state == QueueState::Waiting
    };
    assert!(!queue.is_empty() && queue.iter().all(noted), "{queue:?}");
    // Nothing shows that a server ever had it: a right to write in it would not help.
    assert!(
        queue.iter().all(|q| q.last_error.as_deref().is_some_and(|e| e.contains(rejoin::session::NOT_BEGUN)))
    );
    assert_eq!(client.sync(&mut Log::new()), IN_STEP);
}

#[test]
fn a_newer_protocol_stops_the_run_and_changes_nothing() {
    let mut client = Client::new(1);
    let end = client.sync_with(|_| Ok(problem(426, "upgrade-required")));
    assert!(matches!(end, End::Done(Outcome::UpgradeRequired(_))));
    assert_eq!(client.queue(), [QueueState::Waiting]);
}

#[test]
fn retry_after_is_obeyed() {
    let mut client = Client::new(1);
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    let busy = Response { retry_after: Some(Duration::from_secs(40)), ..problem(503, "unavailable") };
    client.take(ticket, Ok(busy));
    let Step::Wait { until } = client.step() else { panic!() };
    assert!((40_000..=40_500).contains(&until), "{until}");
    client.now = until - 1;
    assert!(matches!(client.step(), Step::Wait { .. }));
    client.now = until;
    assert!(matches!(client.step(), Step::Send { .. }));
}

#[test]
fn an_absurd_retry_after_is_capped() {
    let mut client = Client::new(1);
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    let busy = Response { retry_after: Some(Duration::from_secs(u64::MAX)), ..problem(429, "rate-limited") };
    client.take(ticket, Ok(busy));
    let Step::Wait { until } = client.step() else { panic!() };
    assert!(until <= 3_600_500, "{until}");
}

#[test]
fn what_failed_is_shown_in_the_queue() {
    let mut client = Client::new(1);
    let end = client.sync_with(|_| Err(TransportError::NoConnection("refused".into())));
    assert_eq!(end, End::Trouble(TroubleKind::NoConnection));
    let row = client.core.queue(None).unwrap().remove(0);
    assert_eq!(row.attempts, 4);
    assert!(row.last_error.unwrap().contains("no connection"));
    assert!(row.next_attempt_at.is_some());
}

/// Everything that says 200 (or less) and is no sync server's reply. Each is tried on a push.
fn not_acknowledgements(good: &Response) -> Vec<(&'static str, Response)> {
    let g = || good.clone();
    let json_reply = |body: serde_json::Value| json_of(body.to_string().into_bytes());
    let counts =
        |a: u64, d: u64| json!({"cursor": "1.1", "end": "1.1", "accepted": a, "duplicate": d, "heads": []});
    let with = |mut body: serde_json::Value, rejected: serde_json::Value| {
        body["rejected"] = rejected;
        json_reply(body)
    };
    let other = json!({"hash": "00".repeat(32), "code": "malformed", "detail": ""});
    let mut cut = g();
    cut.body = vec![0x85, 0x6f, 0x4a];
    vec![
        ("html", html().unwrap()),
        ("html that says JSON", Response { media_type: wire::JSON.into(), ..html().unwrap() }),
        ("html that says changes", Response { media_type: wire::CHANGES.into(), ..html().unwrap() }),
        ("no media type", Response { media_type: String::new(), ..g() }),
        ("another media type", Response { media_type: "text/plain".into(), ..g() }),
        ("a redirect", Response { status: 302, ..g() }),
        ("no content", Response { status: 204, ..Response::default() }),
        ("created", Response { status: 201, ..g() }),
        ("a body cut short", cut),
        ("no cursor", Response { cursor: None, ..g() }),
        ("no end", Response { end: None, ..g() }),
        ("no counts", Response { accepted: None, ..g() }),
        ("too few", Response { accepted: Some(0), ..g() }),
        ("too many", Response { accepted: Some(u64::MAX), duplicate: Some(u64::MAX), ..g() }),
        ("an empty object", json_reply(json!({}))),
        ("a JSON string", json_reply(json!("ok"))),
        ("too few in JSON", with(counts(0, 0), json!([]))),
        ("refused, and not sent", with(counts(0, 0), json!([other]))),
        ("refused twice", with(counts(0, 0), json!([other, other]))),
        ("404 of another server", Response { status: 404, ..html().unwrap() }),
        ("409 of another server", Response { status: 409, ..html().unwrap() }),
        ("410 of another server", Response { status: 410, ..html().unwrap() }),
        ("403 of a portal", Response { status: 403, ..html().unwrap() }),
    ]
}

#[test]
fn nothing_but_a_sync_servers_reply_is_an_acknowledgement() {
    let mut client = Client::new(1);
    let good = {
        let mut log = Log::new();
        let Step::Send { request, .. } = client.step() else { panic!() };
        log.answer(&request)
    };
    for (name, reply) in not_acknowledgements(&good) {
        client.restart();
        let before = client.core.facts(client.id).unwrap();
        let end = client.sync_with(|_| Ok(reply.clone()));
        assert_eq!(end, End::Trouble(TroubleKind::NotASyncServer), "{name}");
        assert_eq!(client.core.facts(client.id).unwrap(), before, "{name}");
        assert_eq!(client.queue(), [QueueState::Waiting], "{name}");
    }
    client.restart();
    assert_eq!(client.sync(&mut Log::new()), IN_STEP);
}

#[test]
fn a_portal_between_a_reader_and_the_server_changes_nothing() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let before = one.core.facts(one.id).unwrap();
    assert_eq!(one.sync_with(|_| html()), End::Trouble(TroubleKind::NotASyncServer));
    assert_eq!(one.core.facts(one.id).unwrap(), before);
    one.core.delete(one.id).unwrap();
    assert_eq!(one.sync_with(|_| html()), End::Trouble(TroubleKind::NotASyncServer));
    assert!(one.core.facts(one.id).unwrap().tombstone_owed);
}

#[test]
fn a_pulled_change_that_the_fence_refuses_does_not_stop_the_document() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let mut bad = log.rows[0].1.clone();
    // A bundle chunk: framed, and never a change. (A wrong checksum is the network's fault, and asked for again.)
    bad[8] = 3;
    let hash = fence::check_bytes(&bad, &Limits::default()).unwrap_err().hash.unwrap();
    log.rows.insert(1, (hash, bad));
    let mut two = Client::joined(one.id);
    assert_eq!(two.sync_with(|request| Ok(log.answer(request))), IN_STEP);
    assert_eq!(two.count(), 3);
}

#[test]
fn a_log_that_does_not_end_is_a_failure_and_not_a_loop() {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.sync(&mut log);
    let end = client.sync_with(|request| {
        let end = Cursor::parse("99.1");
        Ok(Response { end, body: vec![], ..log.answer(request) })
    });
    assert_eq!(end, End::Trouble(TroubleKind::Protocol));
}

#[test]
fn a_server_that_forgets_what_it_acknowledges_is_a_failure_and_not_a_loop() {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.sync(&mut log);
    client.edit(1);
    // It never holds anything, and says so only when asked.
    let mut empty = Log { epoch: 2, ..Log::new() };
    let end = client.sync_with(|request| {
        let reply = empty.answer(request);
        empty.rows.clear();
        Ok(reply)
    });
    assert_eq!(end, End::Trouble(TroubleKind::Protocol));
    assert_eq!(client.queue().len(), 1);
}

#[test]
fn clocks_that_jump_do_not_stop_a_session() {
    let mut client = Client::new(1);
    let year = 365 * 86_400_000_i64;
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    client.take(ticket, Err(TransportError::NoConnection("x".into())));
    // The steady clock cannot go back; a caller that gives the wall clock instead still goes on.
    client.now = -10 * year;
    assert!(matches!(client.step(), Step::Send { .. }));
}
