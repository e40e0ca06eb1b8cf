//! The paths of the resources, as the router and the guard know them.

pub(super) const HEALTH: &str = "/healthz";
pub(super) const READY: &str = "/readyz";
pub(super) const OPENAPI: &str = "/openapi.json";
pub(super) const METRICS: &str = "/metrics";
pub(super) const LIMITS: &str = "/v1/limits";
pub(super) const EVENTS: &str = "/v1/events";
pub(super) const DOCUMENTS: &str = "/v1/documents";
pub(super) const DOCUMENT: &str = "/v1/documents/{id}";
pub(super) const CHANGES: &str = "/v1/documents/{id}/changes";
pub(super) const SNAPSHOT: &str = "/v1/documents/{id}/snapshot";
pub(super) const MISSING: &str = "/v1/documents/{id}/missing";
pub(super) const PUSHERS: &str = "/v1/documents/{id}/pushers";

/// Each resource with the methods that it takes.
pub(crate) const RESOURCES: [(&str, &[&str]); 12] = [
    (HEALTH, &["GET"]),
    (READY, &["GET"]),
    (OPENAPI, &["GET"]),
    (METRICS, &["GET"]),
    (LIMITS, &["GET"]),
    (EVENTS, &["GET"]),
    (DOCUMENTS, &["GET"]),
    (DOCUMENT, &["GET", "DELETE"]),
    (CHANGES, &["GET", "POST"]),
    (SNAPSHOT, &["GET"]),
    (MISSING, &["POST"]),
    (PUSHERS, &["GET"]),
];
