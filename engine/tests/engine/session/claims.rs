//! A server that lies about what changes were: it hands out forged claims, and one edit in two spellings, in whatever
//! order it likes.

use automerge::{ActorId, Automerge, Change, ROOT, transaction::Transactable};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use rejoin::rewrite;

/// A client with three edits at the server.
fn in_step() -> (Client, Log) {
    let (mut client, mut log) = (Client::new(3), Log::new());
    assert_eq!(client.sync(&mut log), IN_STEP);
    (client, log)
}

fn parse(bytes: &[u8]) -> Change {
    Change::try_from(bytes).unwrap()
}

fn append(log: &mut Log, change: &Change) {
    log.rows.push((change.hash(), change.raw_bytes().to_vec()));
}

/// The change before the last, written again as it is.
fn again(log: &Log) -> (Change, Change) {
    let original = parse(&log.rows[log.rows.len() - 1].1);
    let again = rewrite::rewrite(std::slice::from_ref(&original), &[original.hash()].into()).unwrap();
    (original, parse(&again[0].bytes))
}

#[test]
fn a_lying_server_replaces_nothing() {
    let (mut client, mut log) = in_step();
    let honest = log.clone();
    for (nth, (hash, bytes)) in honest.rows.iter().enumerate() {
        let victim = parse(bytes);
        for (more, fits) in [(0, true), (1, false)] {
            let mut lie = victim.decode();
            (lie.hash, lie.seq, lie.deps) = (None, 1, Vec::new());
            lie.actor_id = ActorId::from(format!("liar {nth} {fits}").into_bytes());
            lie.start_op = victim.start_op().saturating_add(more);
            for op in &mut lie.operations {
                op.obj = automerge::legacy::ObjectId::Root;
                op.key = automerge::legacy::Key::Map(format!("stolen {nth}").into());
                op.pred = Vec::<automerge::legacy::OpId>::new().into();
                op.action = automerge::legacy::OpType::Put("stolen".into());
            }
            lie.message = Some(json!({"a": "increment", "was": hash.to_string()}).to_string());
            append(&mut log, &Change::from(lie));
        }
    }
    client.edit(1);
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!((client.count(), client.queue().len()), (4, 0));
    client.restart();
    client.edit(1);
    assert_eq!(client.sync(&mut log), IN_STEP);
    let mut joiner = Client::joined(client.id);
    assert_eq!(joiner.sync(&mut log), IN_STEP);
    assert_eq!((client.count(), joiner.count()), (5, 5));
}

/// "A server that hands out both breaks the protocol": nothing is lost or doubled, whatever is in the page.
#[test]
fn one_edit_in_two_spellings_is_lost_and_doubled_in_no_order() {
    for before in [false, true] {
        for page in [1, 2, usize::MAX] {
            let (mut client, honest) = in_step();
            let (original, again) = again(&honest);
            // What somebody made on the other spelling.
            let mut doc = Automerge::new().with_actor(ActorId::from(b"on the other".to_vec()));
            let others = honest.rows.iter().filter(|row| row.0 != original.hash()).map(|row| parse(&row.1));
            doc.apply_changes(others.chain([again.clone()])).unwrap();
            let mut tx = doc.transaction();
            tx.put(ROOT, "after", 1).unwrap();
            tx.commit();
            let after = doc.get_last_local_change().unwrap();
            let mut lying = Log { page, epoch: 2, ..honest.clone() };
            let place = if before { lying.rows.len() - 1 } else { lying.rows.len() };
            lying.rows.insert(place, (again.hash(), again.raw_bytes().to_vec()));
            // Who holds neither, and is sent both.
            let mut joiner = Client::joined(client.id);
            joiner.sync(&mut lying.clone());
            joiner.edit(1);
            assert_eq!(joiner.count(), client.count() + 1, "{before} {page}");
            append(&mut lying, &after);
            client.edit(1);
            for _ in 0..2 {
                client.sync(&mut lying);
                assert_eq!(client.count(), 4, "before {before}, page {page}");
                client.restart();
            }
        }
    }
}

/// Who says of a change that it stands in another spelling, without that, keeps nobody: the edit waits and comes through.
#[test]
fn a_spelling_that_is_named_and_not_there_loses_nothing() {
    let (mut client, log) = in_step();
    client.edit(1);
    let mut lying = log.clone();
    let waiting = client.core.queue(Some(client.id)).unwrap()[0].change_hash;
    let lie = |request: &Request| {
        let Request::Push { .. } = request else { return Ok(lying.answer(request)) };
        let rejected = vec![Rejected {
            hash: waiting.to_string(),
            code: fence::RefusalCode::ActorFork,
            detail: "no".into(),
            missing: Vec::new(),
            stands: Some(ChangeHash([9; 32]).to_string()),
        }];
        let end = lying.cursor(lying.rows.len()).map(|cursor| cursor.to_string());
        let reply =
            PushReply { cursor: end.clone(), end, accepted: 0, duplicate: 0, heads: lying.heads(), rejected };
        Ok(json_of(serde_json::to_vec(&reply).unwrap()))
    };
    assert!(matches!(client.sync_with(lie), End::Trouble(_)));
    let mut honest = log;
    client.restart();
    assert_eq!(client.sync(&mut honest), IN_STEP);
    assert_eq!((client.count(), client.queue().len()), (4, 0));
}

/// Two clients in step, and an edit of another client in two spellings, in either order.
fn doubled(honest: &Log, reversed: bool) -> Vec<Change> {
    let mut other = Client::joined(DocumentId::random());
    let mut log = honest.clone();
    other.sync(&mut log);
    other.edit(1);
    other.sync(&mut log);
    let (original, again) = again(&log);
    if reversed { vec![again, original] } else { vec![original, again] }
}

fn body_of(changes: &[Change]) -> Vec<u8> {
    changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect()
}

#[test]
fn an_event_that_brings_one_edit_in_two_spellings_doubles_nothing() {
    for reversed in [false, true] {
        let (mut client, log) = in_step();
        let event = wire::ChangesEvent {
            document: client.id.to_string(),
            after: log.cursor(log.rows.len()).map(|cursor| cursor.to_string()),
            cursor: log.cursor(log.rows.len() + 2).map(|cursor| cursor.to_string()),
            heads: Vec::new(),
            changes: Some(STANDARD.encode(body_of(&doubled(&log, reversed)))),
            deleted: false,
        };
        let now = Now::at(client.now);
        client.core.take_event(&mut client.session, &event, now, &mut client.rng).unwrap();
        client.edit(1);
        assert_eq!(client.count(), 5, "reversed: {reversed}");
    }
}

#[test]
fn a_snapshot_or_file_that_holds_one_edit_in_two_spellings_is_not_taken() {
    let (client, mut log) = in_step();
    let mut doc = Automerge::new();
    doc.apply_changes(log.rows.iter().map(|row| parse(&row.1)).chain(doubled(&log, false))).unwrap();
    let file = doc.save();
    let mut joiner = Client::joined(client.id);
    let mut asked = false;
    let end = joiner.sync_with(|request| {
        let Request::Snapshot { .. } = request else { return Ok(log.answer(request)) };
        asked = true;
        let cursor = log.cursor(log.rows.len());
        Ok(Response {
            status: 200,
            media_type: wire::CHANGES.into(),
            cursor,
            body: file.clone(),
            ..Response::default()
        })
    });
    assert_eq!((end, asked, joiner.count()), (IN_STEP, true, 3), "it reads the changes instead");
    let refused = joiner.core.import(&file, None, None).unwrap_err().to_string();
    assert!(refused.contains("one change twice"), "{refused}");
}
