//! HTTP: handlers only translate; what is answered stands in the rules.

mod accept;
mod body;
mod changes;
mod connections;
mod cors;
mod document;
mod documents;
mod events;
mod guard;
mod health;
mod limits;
mod loopback;
mod metrics;
mod missing;
mod observe;
mod openapi;
mod paced;
mod packs;
mod pages;
mod paths;
mod pushers;
mod reply;
mod sending;
mod serve;
mod snapshot;
mod stored;
mod strict_json;

use axum::{Router, middleware};
use rejoin_protocol::wire::PACK;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    rules::{ApiError, Code},
};

pub(crate) use health::Readable;
pub(crate) use openapi::Described;
pub(crate) use paths::RESOURCES;
pub use serve::serve;

/// Replies below this size travel as they are.
const COMPRESS_ABOVE: u64 = 512;

/// Every resource of the server, for who brings a listener of their own. Where no token was ever
/// made it answers only requests whose `Host` names a loopback address; [`serve`] also sets the deadlines that hyper sets for a connection.
/// Addresses are told apart by axum's `ConnectInfo<SocketAddr>`: without it all who fail to show a token are one.
pub fn router(state: AppState) -> Router {
    let cors = cors::layer(&state.shared.config.cors_origins);
    let (router, api) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::get))
        .routes(routes!(openapi::get))
        .routes(routes!(limits::get))
        .routes(routes!(events::get))
        .routes(routes!(documents::get))
        .routes(routes!(document::get, document::delete))
        .routes(routes!(changes::get, changes::post))
        .routes(routes!(snapshot::get))
        .routes(routes!(missing::post))
        .routes(routes!(pushers::get))
        .split_for_parts();
    state.shared.described.set(&api);
    let router = router
        .fallback(async || reply::Failed(ApiError::because(Code::NotFound, "There is no such resource.")))
        .method_not_allowed_fallback(async || reply::Failed(ApiError::new(Code::Method)))
        .layer(middleware::from_fn_with_state(state.clone(), guard::admit))
        .layer(CatchPanicLayer::custom(reply::of_panic))
        .layer(
            CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
                SizeAbove::new(COMPRESS_ABOVE)
                    .and(NotForContentType::SSE)
                    .and(NotForContentType::const_new(PACK)),
            ),
        )
        .layer(middleware::map_request(accept::allow_plain))
        .layer(middleware::from_fn_with_state(state.clone(), observe::observe))
        .with_state(state);
    // Before everything else: a browser asks without a token, and must be able to read why it is refused.
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}
