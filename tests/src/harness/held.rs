use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::{BoxFuture, FutureExt};
use rejoin::{
    Cursor,
    driver::{HttpTransport, Transport},
    wire::{CHANGES, Request, Response, TransportError},
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

    async fn answer(&self, request: &Request) -> Result<Response, TransportError> {
        match request {
            Request::Push { document, after, body, .. } => {
                let push = Request::Push {
                    document: *document,
                    after: after.clone(),
                    limit: Some(1),
                    body: body.clone(),
                };
                let mut response = self.inner.send(&push).await?;
                if response.status == 200 && response.media_type == CHANGES {
                    // What the reply brought may be newer than what is to be seen: it is asked for again.
                    response.body.clear();
                    response.cursor.clone_from(after);
                    response.more = true;
                }
                Ok(response)
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
            // A snapshot would hold everything.
            Request::Snapshot { .. } => Ok(Response {
                status: 404,
                media_type: "application/problem+json".to_owned(),
                ..Response::default()
            }),
            other => self.inner.send(other).await,
        }
    }
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
