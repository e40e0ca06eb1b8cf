//! A server, or somebody in its name, that hands out pages which are cut short under its own honest cursors. Afterwards an
//! honest server mends it. FAULTS 3: "a hole never", and PROTOCOL, "Heads".

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use rejoin::{
    Action, DocumentId, Store, SyncOptions, SyncReport, Token,
    driver::{HttpTransport, Transport},
    fence,
    wire::{Request, Response, TransportError},
};
use rejoin_tests::harness::{Place, Server};
use serde_json::{Value, json};

/// What somebody between a client and its server does with what a page brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing of it comes.
    Empty,
    /// The first two changes of it come.
    Shortened,
    /// As `Empty`, but the heads of the log are told as they are.
    EmptyWithHeads,
    /// A push is swallowed, and acknowledged with the log's own cursor.
    Swallowed,
}

/// To a real server, through a liar.
struct Between {
    server: HttpTransport,
    lie: Lie,
}

impl Between {
    fn cut(&self, mut response: Response) -> Response {
        if response.media_type != rejoin::wire::CHANGES {
            return response;
        }
        response.body = match self.lie {
            Lie::Shortened => fence::frame(&response.body)
                .unwrap()
                .iter()
                .take(2)
                .flat_map(|frame| frame.bytes.to_vec())
                .collect(),
            Lie::Empty | Lie::EmptyWithHeads | Lie::Swallowed => Vec::new(),
        };
        if self.lie != Lie::EmptyWithHeads {
            response.heads.clear();
        }
        response
    }
}

impl Transport for Between {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        async move {
            match request {
                Request::Snapshot { .. } => Ok(Response {
                    status: 404,
                    media_type: rejoin::wire::PROBLEM.to_owned(),
                    body: br#"{"code":"not-found","status":404,"title":"none"}"#.to_vec(),
                    ..Response::default()
                }),
                Request::Push { document, after, body, .. } if self.lie == Lie::Swallowed => {
                    let pull = Request::Pull { document: *document, after: after.clone(), limit: None };
                    let accepted = fence::frame(body).unwrap().len() as u64;
                    let response = self.server.send(&pull).await?;
                    let response = Response { accepted: Some(accepted), duplicate: Some(0), ..response };
                    Ok(self.cut(response))
                }
                other => self.server.send(other).await.map(|response| self.cut(response)),
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.server.list(since)
    }
}

/// Ada, who has written, and Ben, who takes part; a server that both are set to.
struct Team {
    server: Server,
    ada: Store,
    ben: Store,
    documents: Vec<DocumentId>,
    _place: Place,
}

impl Team {
    async fn of(documents: usize) -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let ada = Store::open(place.path("ada.db")).await.unwrap();
        let ben = Store::open(place.path("ben.db")).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..documents {
            ids.push(ada.create(None, None).await.unwrap());
        }
        let team = Self { server, ada, ben, documents: ids, _place: place };
        team.write("begun").await;
        for id in &team.documents {
            team.ben.join(*id, None, None).await.unwrap();
        }
        team
    }

    /// Ada writes four changes in each document, and sends them.
    async fn write(&self, key: &str) {
        for id in &self.documents {
            for n in 0..4 {
                let action = Action::Set { path: format!("/{key}-{n}"), value: json!(n) };
                self.ada.dispatch(*id, action).await.unwrap();
            }
        }
        assert!(self.ada.sync(self.options()).await.unwrap().worst().is_none());
    }

    fn options(&self) -> SyncOptions {
        SyncOptions::default().server(&self.server.url)
    }

    /// Ben syncs through a liar.
    async fn lied_to(&self, lie: Lie) -> SyncReport {
        let url = self.server.url.clone();
        let connect = move |_: &str, token: Option<&Token>| {
            let server = HttpTransport::new(&url, token)?;
            Ok(Arc::new(Between { server, lie }) as Arc<dyn Transport>)
        };
        self.ben.sync_over(self.options().timeout(Duration::from_secs(3)), &connect).await.unwrap()
    }

    async fn is_whole_after_one_sync(&self, what: &str) {
        let report = self.ben.sync(self.options()).await.unwrap();
        assert!(report.worst().is_none(), "{what}: {report:?}");
        for id in &self.documents {
            let [here, there] = [state(&self.ben, *id).await, state(&self.ada, *id).await];
            assert_eq!(here, there, "{what}");
        }
    }
}

async fn state(store: &Store, id: DocumentId) -> Value {
    store.state(id, "").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_were_cut_short_under_honest_cursors_leave_no_hole() {
    for lie in [Lie::Empty, Lie::Shortened, Lie::EmptyWithHeads] {
        // A first copy, and news; few documents, and so many that their server is asked for its list.
        for documents in [1, 9] {
            let team = Team::of(documents).await;
            let _ = team.lied_to(lie).await;
            team.is_whole_after_one_sync(&format!("{lie:?}, first copy of {documents}")).await;
            team.write("news").await;
            let _ = team.lied_to(lie).await;
            team.is_whole_after_one_sync(&format!("{lie:?}, news of {documents}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_the_heads_that_it_names_is_not_taken_for_the_end() {
    let team = Team::of(1).await;
    let report = team.lied_to(Lie::EmptyWithHeads).await;
    assert!(report.worst().is_some(), "it is not in step: {report:?}");
    let facts = team.ben.document(team.documents[0]).await.unwrap();
    assert_eq!(facts.cursor, None, "a cursor that covers what did not come is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_swallowed_under_an_honest_cursor_is_offered_again() {
    for documents in [1, 9] {
        let team = Team::of(documents).await;
        team.is_whole_after_one_sync("first copy").await;
        for id in &team.documents {
            let action = Action::Set { path: "/of-ben".to_owned(), value: json!(1) };
            team.ben.dispatch(*id, action).await.unwrap();
        }
        let report = team.lied_to(Lie::Swallowed).await;
        assert!(report.worst().is_none(), "it cannot know: {report:?}");
        // Whole lists are asked for every five minutes; a document that is named is asked for by itself.
        let named = team.options().documents(team.documents.clone());
        assert!(team.ben.sync(named).await.unwrap().worst().is_none());
        assert!(team.ada.sync(team.options()).await.unwrap().worst().is_none());
        for id in &team.documents {
            assert_eq!(state(&team.ada, *id).await["of-ben"], json!(1), "of {documents}");
        }
    }
}
