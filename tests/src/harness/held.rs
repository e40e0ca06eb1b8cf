//! A transport that shows the log as it was at an earlier place.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::{BoxFuture, FutureExt};
use rejoin::{
    Cursor,
    driver::{HttpTransport, Transport},
    wire::{CHANGES, JSON, PROBLEM, Problem, PushReply, Request, Response, TransportError},
};
use tokio::sync::Notify;

/// A transport to a real server that holds back what is newer: its client sees the log as it was when it ended
/// at a given place. A prefix of the log is a log that once was, and the cursors in it are the server's own.
#[derive(Debug)]
pub struct Held {
    inner: HttpTransport,
    /// Where the log ends for this client.
    end: AtomicU64,
    /// Something was asked that can only be answered with what is held back: the sync is to be given up.
    pub stuck: Arc<Notify>,
}

impl Held {
    /// To this server; for now its log is empty.
    pub fn to(server: &str) -> Self {
        let inner = HttpTransport::new(server, None).expect("the address is one");
        Self { inner, end: AtomicU64::new(0), stuck: Arc::new(Notify::new()) }
    }

    /// From now on the log ends here.
    pub fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::SeqCst);
    }

    /// An answer that brings nothing of others, up to the log's end, goes through: there is nothing newer.
    fn cut_push(&self, after: Option<&Cursor>, response: Response) -> Response {
        if response.status != 200 || response.media_type != CHANGES {
            return response;
        }
        if response.body.is_empty() && !response.more && response.cursor == response.end {
            self.end.fetch_max(place(response.end.as_ref()), Ordering::SeqCst);
            return response;
        }
        without_news(after, &response)
    }

    async fn answer(&self, request: &Request) -> Result<Response, TransportError> {
        match request {
            Request::Push { document, after, body, .. } => {
                let push = Request::Push {
                    document: *document,
                    after: after.clone(),
                    limit: Some(1),
                    body: body.clone(),
                };
                let response = self.inner.send(&push).await?;
                Ok(self.cut_push(after.as_ref(), response))
            }
            Request::Pull { document, after, .. } => {
                let end = self.end.load(Ordering::SeqCst);
                let at = place(after.as_ref());
                if at >= end {
                    self.stuck.notify_one();
                    return std::future::pending().await;
                }
                let limit = u32::try_from(end - at).ok();
                let mut response = self
                    .inner
                    .send(&Request::Pull { document: *document, after: after.clone(), limit })
                    .await?;
                if response.status == 200 && place(response.cursor.as_ref()) >= end {
                    response.end.clone_from(&response.cursor);
                    response.more = false;
                }
                Ok(response)
            }
            // It would hold everything.
            Request::Snapshot { .. } => Ok(no_snapshot()),
            other => self.inner.send(other).await,
        }
    }
}

/// The answer to a push without what it brought of others: that may be newer than what is to be seen. A server
/// answers so in JSON; its cursor has not moved, for what lies between is held back.
fn without_news(after: Option<&Cursor>, response: &Response) -> Response {
    let reply = PushReply {
        cursor: after.map(ToString::to_string),
        end: response.end.as_ref().map(ToString::to_string),
        accepted: response.accepted.unwrap_or_default(),
        duplicate: response.duplicate.unwrap_or_default(),
        heads: Vec::new(),
        rejected: Vec::new(),
    };
    in_json(200, JSON, &reply)
}

fn no_snapshot() -> Response {
    let title = "no snapshot".to_owned();
    in_json(404, PROBLEM, &Problem { code: "not-found".to_owned(), status: 404, title, detail: None })
}

fn in_json(status: u16, media_type: &str, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("a reply is JSON");
    Response { status, media_type: media_type.to_owned(), body, ..Response::default() }
}

impl Transport for Held {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.answer(request).boxed()
    }
}

/// The number in a cursor: how many changes of the log it covers.
pub fn place(cursor: Option<&Cursor>) -> u64 {
    let number = cursor.and_then(|c| c.as_str().split('.').next()).and_then(|n| n.parse().ok());
    number.unwrap_or(0)
}
