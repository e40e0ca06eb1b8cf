//! HTTP: handlers only translate; what is answered stands in the rules.

mod accept;
mod body;
mod changes;
mod document;
mod documents;
mod events;
mod guard;
mod health;
mod limits;
mod missing;
mod paced;
mod reply;
mod serve;
mod snapshot;
mod strict_json;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    trace::TraceLayer,
};

use crate::{
    AppState,
    rules::{Code, Fault},
};

pub use serve::serve;

/// Replies below this size travel as they are.
const COMPRESS_ABOVE: u64 = 512;

/// Every resource of the server, for who brings a listener of their own. It answers only requests whose `Host`
/// names a loopback address; [`serve`] also sets the deadlines that hyper sets for a connection.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/limits", get(limits::get))
        .route("/v1/documents", get(documents::get))
        .route("/v1/events", get(events::get))
        .route("/v1/documents/{id}", get(document::get).delete(document::delete))
        .route("/v1/documents/{id}/changes", get(changes::get).post(changes::post))
        .route("/v1/documents/{id}/snapshot", get(snapshot::get))
        .route("/v1/documents/{id}/missing", post(missing::post))
        .fallback(async || reply::Failed(Fault::because(Code::NotFound, "There is no such resource.")))
        .method_not_allowed_fallback(async || reply::Failed(Fault::new(Code::Method)))
        .layer(middleware::from_fn(guard::loopback_only))
        .layer(CatchPanicLayer::custom(reply::of_panic))
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(SizeAbove::new(COMPRESS_ABOVE).and(NotForContentType::SSE)),
        )
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}
