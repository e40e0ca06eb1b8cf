//! How long a sync waits, and what it gives up.

use super::*;

#[tokio::test]
async fn retry_after_is_obeyed_and_the_sync_goes_on() {
    let times = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&times);
    let server = Server::start(move |heard| {
        Say::Bytes(match seen.fetch_add(1, Ordering::SeqCst) {
            0 => reply("429 Too Many Requests", &[("retry-after", "1")], b""),
            _ => accepted(heard),
        })
    })
    .await;
    let (_dir, store, _) = store_with(2).await;
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((report.pushed, times.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_sync_tells_how_far_it_is_before_it_ends() {
    let times = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |heard| match times.fetch_add(1, Ordering::SeqCst) {
        0 => Say::Bytes(accepted(heard)),
        _ => Say::Hang(Vec::new()),
    })
    .await;
    let (_dir, store, _) = store_with(2).await;
    let id = store.create(None, None).await.unwrap();
    store.dispatch(id, Action::Set { path: "/a".into(), value: json!(1) }).await.unwrap();
    let (told, mut progress) = tokio::sync::watch::channel(SyncProgress::default());
    let options = SyncOptions { at_once: 1, ..to(&server.url) }.progress(told);
    tokio::select! {
        _ = store.sync(options) => panic!("the second document's server says nothing"),
        told = progress.wait_for(|progress| progress.pushed > 0) => assert_eq!(told.unwrap().pushed, 2),
    }
}

#[tokio::test]
async fn a_wait_longer_than_the_timeout_is_not_begun() {
    let server = Server::start(|_| Say::Bytes(reply("503 Busy", &[("retry-after", "3000")], b""))).await;
    let (_dir, store, _) = store_with(2).await;
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_timeout() {
    let server = Server::start(|_| Say::Hang(Vec::new())).await;
    let (_dir, store, _) = store_with(2).await;
    let options = to(&server.url).timeout(Duration::from_millis(300));
    let report = store.sync(options).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(waiting(&store).await, 2);
}

#[tokio::test]
async fn a_reply_of_a_byte_now_and_then_ends_at_the_timeout() {
    let server =
        Server::start(|_| Say::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec())).await;
    let (_dir, store, _) = store_with(2).await;
    let options = to(&server.url).timeout(Duration::from_millis(300));
    let report = store.sync(options).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_refused_connection_fails_fast_and_for_all_documents_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_dir, store, _) = store_with(2).await;
    for _ in 0..20 {
        store.create(None, None).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&url)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(report.documents.len(), 21);
    assert!(report.documents.iter().all(|d| d.state == SyncState::Failed));
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(report.queued, 2);
}

/// A thousand documents took a minute and a half, and an address was counted out that had only the wrong token.
#[tokio::test]
async fn a_token_that_a_server_does_not_know_is_not_shown_to_it_for_each_document() {
    let refusal = || reply("401 Unauthorized", &[("content-type", "application/problem+json")], b"{}");
    let server = Server::start(move |_| Say::Bytes(refusal())).await;
    let (_dir, store, _) = store_with(2).await;
    for _ in 0..20 {
        let id = store.create(None, None).await.unwrap();
        store.dispatch(id, Action::Set { path: "/a".into(), value: json!(1) }).await.unwrap();
    }
    let options = SyncOptions { at_once: 4, ..to(&server.url) };
    let report = store.sync(options).await.unwrap();
    assert!(server.heard().len() <= 4, "{}", server.heard().len());
    assert_eq!(report.documents.len(), 21);
    let refused = |d: &crate::DocumentReport| matches!(d.error.as_deref(), Some(Error::Unauthorized(_)));
    assert!(report.documents.iter().all(refused));
    assert_eq!(report.queued, 22);
}

#[tokio::test]
async fn refused_credentials_are_told_and_one_document_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).await.unwrap();
    let mut ids = Vec::new();
    for i in 0..3 {
        let id = store.create(None, None).await.unwrap();
        store.dispatch(id, Action::Set { path: "/a".into(), value: json!(i) }).await.unwrap();
        ids.push(id);
    }
    let forbidden = ids[1].to_string();
    let server = Server::start(move |heard| {
        Say::Bytes(match heard.line.contains(&forbidden) {
            true => reply("403 Forbidden", &[("content-type", "application/problem+json")], b"{}"),
            false => accepted(heard),
        })
    })
    .await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Forbidden(_))));
    assert_eq!((report.pushed, report.queued), (2, 1));
    // It was tried, and whoever looks is told so.
    let tried = store.queue(None).await.unwrap();
    assert!(tried.iter().all(|q| q.attempts == 1 && q.last_attempt_at.is_some()), "{tried:?}");
}

#[tokio::test]
async fn what_is_clearly_no_sync_server_is_given_up_after_two_tries() {
    for (status, media_type) in [
        ("501 Not Implemented", "text/html"),
        ("405 Method Not Allowed", "text/html"),
        ("404 Not Found", "text/plain"),
        ("200 OK", "text/html"),
    ] {
        let says = move || reply(status, &[("content-type", media_type)], b"<html>");
        let server = Server::start(move |_| Say::Bytes(says())).await;
        let (_dir, store, _) = store_with(1).await;
        let report = store.sync(to(&server.url)).await.unwrap();
        let why = report.worst().map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("is not a sync server") && why.contains(&server.url), "{status}: {why}");
        assert!(matches!(report.worst(), Some(Error::Unreachable(_))), "{status}");
        assert_eq!(server.heard().len(), 2, "{status}");
    }
}
