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
mod loopback;
mod missing;
mod paced;
mod packs;
mod paths;
mod reply;
mod serve;
mod snapshot;
mod strict_json;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use rejoin::wire::PACK;
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

/// Every resource of the server, for who brings a listener of their own. Where no token was ever
/// made it answers only requests whose `Host` names a loopback address; [`serve`] also sets the deadlines that hyper sets for a connection.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route(paths::HEALTH, get(health::alive))
        .route(paths::READY, get(health::ready))
        .route(paths::LIMITS, get(limits::get))
        .route(paths::EVENTS, get(events::get))
        .route(paths::DOCUMENTS, get(documents::get))
        .route(paths::DOCUMENT, get(document::get).delete(document::delete))
        .route(paths::CHANGES, get(changes::get).post(changes::post))
        .route(paths::SNAPSHOT, get(snapshot::get))
        .route(paths::MISSING, post(missing::post))
        .fallback(async || reply::Failed(Fault::because(Code::NotFound, "There is no such resource.")))
        .method_not_allowed_fallback(async || reply::Failed(Fault::new(Code::Method)))
        .layer(middleware::from_fn_with_state(state.clone(), guard::admit))
        .layer(CatchPanicLayer::custom(reply::of_panic))
        .layer(
            CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
                SizeAbove::new(COMPRESS_ABOVE)
                    .and(NotForContentType::SSE)
                    .and(NotForContentType::const_new(PACK)),
            ),
        )
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}
