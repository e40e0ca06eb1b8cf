//! What a push costs, and that it costs the same in a long log. `--nocapture` shows the figures.

use std::time::{Duration, Instant};

use crate::support::{Running, Writer, post, push, send};
use rejoin::DocumentId;
use rejoin_server::{LogStore, ServerLimits, respond};

#[test]
fn a_push_costs_the_same_in_a_log_of_a_hundred_thousand() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(&directory.path().join("log.db")).unwrap();
    let (limits, document, mut ada) = (ServerLimits::default(), DocumentId::random(), Writer::new(1));
    let (mut cursor, mut figures) = (None, Vec::new());
    let mut bob = Writer::new(2);
    respond(&mut log, &limits, &push(document, None, &bob.set("bob", 1)), 0);
    for _ in 0..10 {
        let request = push(document, cursor.as_ref(), &ada.many(10_000));
        let start = Instant::now();
        let reply = respond(&mut log, &limits, &request, 0);
        let each = start.elapsed() / 10_000;
        assert_eq!((reply.status, reply.accepted), (200, Some(10_000)));
        println!("from {}: {each:?} a change", reply.end.as_ref().unwrap());
        cursor = reply.cursor;
        figures.push(each);
    }
    let early = figures[..3].iter().min().unwrap();
    let late = figures[7..].iter().min().unwrap();
    assert!(*late < *early * 3 + Duration::from_micros(10), "{early:?} a change at first, {late:?} at last");
    // Who comes back after a long time: the fence looks for the change before it, all the way back.
    bob.0.merge(&mut ada.0).unwrap();
    let back = push(document, None, &bob.set("bob", 2));
    let start = Instant::now();
    assert_eq!(respond(&mut log, &limits, &back, 0).accepted, Some(1));
    println!("a change whose actor was last seen 100,000 changes ago: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_thousand_changes_are_one_quick_push() {
    let server = Running::start().await;
    let url = server.url(DocumentId::random(), "/changes");
    let mut ada = Writer::new(1);
    let client = reqwest::Client::new();
    for (changes, rounds) in [(1_000, 10), (1, 20)] {
        let mut figures = Vec::new();
        for _ in 0..rounds {
            let request = post(url.clone(), ada.many(changes)).build().unwrap();
            let start = Instant::now();
            assert_eq!(client.execute(request).await.unwrap().status(), 200);
            figures.push(start.elapsed());
        }
        figures.sort_unstable();
        println!("a push of {changes} over HTTP: median {:?}, best {:?}", figures[rounds / 2], figures[0]);
    }
    let pushes = (0..64).map(|i| {
        let url = server.url(DocumentId::random(), "/changes");
        let body = Writer::new(i).many(1);
        async move { send(post(url, body)).await.status }
    });
    let (before, start) = (server.state.figures(), Instant::now());
    assert!(futures_util::future::join_all(pushes).await.iter().all(|status| *status == 200));
    let commits = server.state.figures().commits - before.commits;
    println!("64 pushes at once: {:?} in {commits} commits", start.elapsed());
}
