//! A store of many documents, most of them in step.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use rejoin::{
    DocumentId, SyncOptions, SyncReport, SyncState, Token,
    driver::{HttpTransport, Transport},
    wire::{Request, Response, TransportError},
};
use serde_json::json;

use crate::live::support::{Client, Server};

const MANY: usize = 40;

/// What was asked, in its order.
#[derive(Debug, Default)]
struct Asked {
    /// Since what lists were asked for.
    lists: Mutex<Vec<Option<String>>>,
    documents: Mutex<Vec<DocumentId>>,
    /// Requests of documents fail on their way.
    broken: AtomicBool,
}

struct Counted {
    inner: HttpTransport,
    asked: Arc<Asked>,
}

impl Transport for Counted {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.asked.documents.lock().unwrap().push(request.document());
        if self.asked.broken.load(Ordering::SeqCst) {
            let lost = TransportError::TimedOut("it was lost".into());
            return std::future::ready(Err(lost)).boxed();
        }
        self.inner.send(request)
    }

    fn list<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.asked.lists.lock().unwrap().push(since.map(str::to_owned));
        self.inner.list(since)
    }
}

/// What a sync asked: since what, and how often about which document.
struct Round {
    lists: Vec<Option<String>>,
    documents: Vec<DocumentId>,
    report: SyncReport,
}

async fn sync(client: &Client, asked: &Arc<Asked>, options: SyncOptions) -> Round {
    (*asked.lists.lock().unwrap(), *asked.documents.lock().unwrap()) = (Vec::new(), Vec::new());
    let kept = Arc::clone(asked);
    let connect = move |server: &str, token: Option<&Token>| {
        let inner = HttpTransport::new(server, token)?;
        Ok(Arc::new(Counted { inner, asked: Arc::clone(&kept) }) as Arc<dyn Transport>)
    };
    let report = client.store.sync_over(options, &connect).await.unwrap();
    let (lists, documents) = (asked.lists.lock().unwrap().clone(), asked.documents.lock().unwrap().clone());
    Round { lists, documents, report }
}

/// A server, a client with many documents in step, and another that has two of them.
async fn in_step() -> (Server, Client, Arc<Asked>, Vec<DocumentId>, Client, SyncOptions) {
    let server = Server::start().await;
    let (client, other) = (Client::new(&server).await, Client::new(&server).await);
    let mut ids = Vec::new();
    for nth in 0..MANY {
        let id = client.store.create(None, None).await.unwrap();
        client.set(id, "nth", i64::try_from(nth).unwrap()).await;
        ids.push(id);
    }
    let (asked, options) = (Arc::new(Asked::default()), SyncOptions::default().server(server.url()));
    let first = sync(&client, &asked, options.clone()).await;
    assert_eq!((first.lists.len(), first.report.pushed), (0, MANY as u64), "what is owed is brought");
    for id in &ids[..2] {
        other.store.join(*id, None, None).await.unwrap();
    }
    let _ = other.sync().await;
    (server, client, asked, ids, other, options)
}

#[tokio::test]
async fn many_documents_in_step_are_one_question_and_what_is_new_is_all_that_is_asked_for() {
    let (_server, client, asked, ids, other, options) = in_step().await;
    let whole = sync(&client, &asked, options.clone()).await;
    assert_eq!((whole.lists[0].is_none(), whole.documents.len()), (true, 0));
    let nothing = sync(&client, &asked, options.clone()).await;
    assert_eq!((nothing.lists.len(), nothing.lists[0].is_some(), nothing.documents.len()), (1, true, 0));
    assert_eq!(nothing.report.documents.len(), MANY);
    assert!(nothing.report.documents.iter().all(|document| document.state == SyncState::InStep));
    other.set(ids[1], "news", 1).await;
    let _ = other.sync().await;
    client.set(ids[5], "own", 1).await;
    let news = sync(&client, &asked, options).await;
    assert_eq!((news.report.pulled, news.report.pushed), (1, 1));
    assert!(news.documents.iter().all(|id| [ids[1], ids[5]].contains(id)), "{:?}", news.documents);
    assert_eq!(client.state(ids[1]).await["news"], 1);
}

#[tokio::test]
async fn what_was_listed_and_failed_is_listed_again() {
    let (_server, client, asked, ids, other, options) = in_step().await;
    let _ = sync(&client, &asked, options.clone()).await;
    other.set(ids[0], "news", 1).await;
    let _ = other.sync().await;
    asked.broken.store(true, Ordering::SeqCst);
    let short = options.clone().timeout(std::time::Duration::from_millis(200));
    let failed = sync(&client, &asked, short).await;
    assert!(failed.report.reached().is_err());
    asked.broken.store(false, Ordering::SeqCst);
    let again = sync(&client, &asked, options).await;
    assert_eq!((again.report.pulled, client.state(ids[0]).await["news"].clone()), (1, json!(1)));
}

#[tokio::test]
async fn a_sync_of_some_documents_leaves_the_news_of_others_for_the_next() {
    let (_server, client, asked, ids, other, options) = in_step().await;
    let _ = sync(&client, &asked, options.clone()).await;
    other.set(ids[0], "news", 1).await;
    let _ = other.sync().await;
    let some = sync(&client, &asked, options.clone().documents(ids[10..30].iter().copied())).await;
    assert_eq!((some.report.pulled, some.lists.is_empty()), (0, false));
    assert_eq!(sync(&client, &asked, options).await.report.pulled, 1);
}

/// A document that others deleted is listed as such for good, and is no reason to ask for everything each time.
#[tokio::test]
async fn a_deleted_document_among_many_does_not_have_the_whole_list_asked_for_each_time() {
    let (_server, client, asked, ids, other, options) = in_step().await;
    other.store.delete(ids[0]).await.unwrap();
    let _ = other.sync().await;
    let whole = sync(&client, &asked, options.clone()).await;
    assert_eq!((whole.lists.first(), whole.report.deleted.len()), (Some(&None), 1));
    let next = sync(&client, &asked, options).await;
    assert!(next.lists[0].is_some(), "{:?}", next.lists);
    assert!(next.documents.iter().all(|id| *id == ids[0]), "its tombstone alone is told again");
}

/// Its list of changes says nothing then: what it lacks is in documents that did not change there.
#[tokio::test]
async fn a_server_that_was_put_back_is_given_what_it_lost_of_many_documents() {
    let (mut server, client, asked, ids, other, options) = in_step().await;
    let copy = server.copy().await;
    for id in &ids {
        client.set(*id, "later", 1).await;
    }
    let _ = sync(&client, &asked, options.clone()).await;
    let _ = sync(&client, &asked, options.clone()).await;
    server.put_back(copy).await;
    // As long a list as before, of other changes.
    for nth in 0..2 * MANY {
        other.set(ids[nth % 2], "other", i64::try_from(nth).unwrap()).await;
        let _ = other.sync().await;
    }
    let healed = sync(&client, &asked, options.clone()).await;
    assert!(healed.report.reached().is_ok());
    let joiner = Client::new(&server).await;
    for id in &ids {
        joiner.store.join(*id, None, None).await.unwrap();
    }
    let _ = joiner.sync().await;
    for id in &ids {
        assert_eq!(joiner.state(*id).await["later"], 1);
    }
}

/// Another bearer may read other documents: what is not listed is asked for, and says so.
#[tokio::test]
async fn with_another_token_the_whole_list_is_asked_for() {
    let (server, client, asked, _ids, _other, options) = in_step().await;
    let _ = sync(&client, &asked, options.clone()).await;
    let other = options.token(server.url(), Token::new("another").unwrap());
    let whole = sync(&client, &asked, other.clone()).await;
    assert_eq!(whole.lists.first(), Some(&None));
    assert!(sync(&client, &asked, other).await.lists[0].is_some());
}
