//! Pages in a browser that come from another origin.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use rejoin_protocol::wire::header as names;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Lets pages of these origins, and of no other, use every resource and read every answer, errors too. Credentials
/// that a browser sends by itself are not let through: a page shows its token. `None` where no origin is named.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let asked = [
        header::AUTHORIZATION,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CACHE_CONTROL,
        HeaderName::from_static("last-event-id"),
        HeaderName::from_static("x-request-id"),
    ];
    let told = [
        names::CURSOR,
        names::END,
        names::ACCEPTED,
        names::DUPLICATE,
        names::MORE,
        names::HEADS,
        names::QUARANTINED,
        names::VERIFIED,
    ];
    let told = told.into_iter().map(HeaderName::from_static);
    let also = [
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        header::ETAG,
        HeaderName::from_static("x-request-id"),
    ];
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(asked)
        .expose_headers(told.chain(also).collect::<Vec<_>>())
        .max_age(REMEMBERED);
    Some(layer)
}
