//! How a request gets to a server: the trait that a transport has.

use std::time::Duration;

use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::BoxStream,
};

use crate::{
    DocumentId,
    wire::{Request, Response, TransportError},
};

/// The bytes of an event stream, in pieces of any size.
pub type EventStream = BoxStream<'static, Result<Vec<u8>, TransportError>>;

/// Why there is no event stream: polling has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoStream {
    /// One sentence, without secrets.
    pub why: String,
    /// Not to be asked for sooner than after this time.
    pub retry_after: Option<Duration>,
}

/// How requests of one server travel. The other one beside [`super::HttpTransport`] is a test harness that
/// holds changes back.
///
/// The future may be dropped at any time. Whatever then happens to the request is harmless: it is asked again.
pub trait Transport: Send + Sync {
    /// Sends one request and gives its reply, whatever the status. It ends in bounded time.
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>>;

    /// Asks for a page of the documents that changed since a token, or of all: `GET /v1/documents`. Without this each
    /// document is asked for by itself.
    fn list<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Response, TransportError>> {
        let _ = since;
        std::future::ready(Ok(Response { status: 404, ..Response::default() })).boxed()
    }

    /// Opens the server's stream of events about these documents; none named: about all that may be read. The
    /// caller gives up one that stays silent. Without this a watch polls.
    fn events<'a>(&'a self, documents: &'a [DocumentId]) -> BoxFuture<'a, Result<EventStream, NoStream>> {
        let _ = documents;
        let why = "this transport has no streams".to_owned();
        std::future::ready(Err(NoStream { why, retry_after: None })).boxed()
    }
}
