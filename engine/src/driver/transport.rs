use futures_util::future::BoxFuture;

use crate::wire::{Request, Response, TransportError};

/// How requests of one server travel. The other one beside [`super::HttpTransport`] is a test harness that
/// holds changes back.
///
/// The future may be dropped at any time. Whatever then happens to the request is harmless: it is asked again.
pub trait Transport: Send + Sync {
    /// Sends one request and gives its reply, whatever the status. It ends in bounded time.
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>>;
}
