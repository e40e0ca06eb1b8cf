//! Two syncs of one store, and watches.

use super::*;

#[tokio::test]
async fn two_syncs_of_one_store_do_not_push_twice() {
    let server = Server::start(|heard| match heard.line.starts_with("POST") {
        true => Say::Bytes(accepted(heard)),
        false => {
            let headers = [
                ("content-type", "application/vnd.automerge"),
                ("rejoin-cursor", "9.aa"),
                ("rejoin-end", "9.aa"),
            ];
            Say::Bytes(reply("200 OK", &headers, b""))
        }
    })
    .await;
    let (dir, store, _) = store_with(50).await;
    let other = Store::open(dir.path().join("a.db")).await.unwrap();
    let (one, two) = tokio::join!(store.sync(to(&server.url)), other.sync(to(&server.url)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.worst().is_none() && two.worst().is_none());
    assert_eq!(one.pushed + two.pushed, 50);
    assert_eq!(server.heard().iter().filter(|h| h.line.starts_with("POST")).count(), 1);
}

/// The next report's count, long before the next poll.
async fn told_soon(reports: &mut tokio::sync::mpsc::UnboundedReceiver<u64>) -> u64 {
    let soon = tokio::time::timeout(Duration::from_secs(30), reports.recv()).await;
    soon.expect("nothing was pushed").unwrap()
}

#[tokio::test]
async fn a_watch_pushes_an_edit_at_once_and_ends_when_told() {
    let server = Server::start(|heard| match heard.line.starts_with("POST") {
        true => Say::Bytes(accepted(heard)),
        false => {
            let headers = [
                ("content-type", "application/vnd.automerge"),
                ("rejoin-cursor", "9.aa"),
                ("rejoin-end", "9.aa"),
            ];
            Say::Bytes(reply("200 OK", &headers, b""))
        }
    })
    .await;
    let (_dir, store, id) = store_with(1).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (pushed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    // Far longer than the test: only the edit itself can wake it.
    let options = WatchOptions::default().sync(to(&server.url)).poll(Duration::from_secs(3_600));
    let watched = store.clone();
    let watch = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or_default() };
        watched.watch(options, |report| pushed.send(report.pushed).unwrap(), shutdown).await
    });
    assert_eq!(told_soon(&mut seen).await, 1);
    store.dispatch(id, Action::Set { path: "/b".into(), value: json!(2) }).await.unwrap();
    assert_eq!(told_soon(&mut seen).await, 1);
    assert_eq!(waiting(&store).await, 0);
    stop.send(()).unwrap();
    watch.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_edit_during_an_upload_of_a_watch_goes_in_another_round() {
    let (_dir, store, id) = store_with(1).await;
    let first = Arc::new(AtomicUsize::new(0));
    let editing = store.clone();
    let seen = Arc::clone(&first);
    let server = Server::start(move |heard| {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            let action = Action::Set { path: "/late".into(), value: json!(1) };
            let editing = editing.clone();
            let edit = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(editing.dispatch(id, action)).unwrap();
            };
            std::thread::spawn(edit).join().unwrap();
        }
        match heard.line.starts_with("POST") {
            true => Say::Bytes(accepted(heard)),
            false => {
                let headers = [
                    ("content-type", "application/vnd.automerge"),
                    ("rejoin-cursor", "9.aa"),
                    ("rejoin-end", "9.aa"),
                ];
                Say::Bytes(reply("200 OK", &headers, b""))
            }
        }
    })
    .await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (pushed, mut told) = tokio::sync::mpsc::unbounded_channel();
    // Far longer than the test: only the edit itself can wake it.
    let options = WatchOptions::default().sync(to(&server.url)).poll(Duration::from_secs(3_600));
    let watched = store.clone();
    let watch = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or_default() };
        watched.watch(options, |report| pushed.send(report.pushed).unwrap(), shutdown).await
    });
    let mut total = 0;
    while total < 2 {
        total += told_soon(&mut told).await;
    }
    stop.send(()).unwrap();
    watch.await.unwrap().unwrap();
}
