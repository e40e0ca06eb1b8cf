//! `/openapi.json`: what this server answers, from the code that answers it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use axum::{extract::State, response::IntoResponse};
use bytes::Bytes;
use http::header;
use rejoin_protocol::wire::{JSON, PROBLEM, Problem};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Ref, RefOr, Response, ResponseBuilder,
        content::ContentBuilder,
        header::HeaderBuilder,
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::AppState;

/// What the description begins with; each handler adds its own part.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "rejoin-server",
        description = "A log of Automerge changes for each document. PROTOCOL.md says how a client uses it, and \
                       what may be assumed.",
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let token = token.description(Some("Not wanted where no token was ever made.")).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let none = SecurityRequirement::default();
        api.security = Some(vec![none, SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// Automerge's bytes: change chunks one after another, or a file.
pub(super) struct Chunks;

impl utoipa::PartialSchema for Chunks {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl utoipa::ToSchema for Chunks {}

/// What any request may be refused with.
pub(super) struct Refusals;

/// And one that brings a body.
pub(super) struct BodyRefusals;

impl utoipa::IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (401, "`unauthorized`: a valid token is needed"),
            (403, "`forbidden`: not with this token, or not from this origin"),
            (405, "`method-not-allowed`"),
            (429, "`rate-limited`: come again after `Retry-After`"),
            (503, "`unavailable`: not just now; come again after `Retry-After`"),
        ])
    }
}

impl utoipa::IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = Refusals::responses();
        all.extend(problems(&[
            (408, "`timeout`: the body came too slowly"),
            (413, "`too-large`: a limit is named"),
            (415, "`malformed`: another media type or encoding than is taken here"),
            (422, "`malformed` or `checksum`: the body cannot be read; nothing of it was stored"),
        ]));
        all
    }
}

fn problems(all: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let problem = |status: u16, why: &str| {
        let schema = Ref::from_schema_name("Problem");
        let mut response = ResponseBuilder::new()
            .description(why)
            .content(PROBLEM, ContentBuilder::new().schema(Some(schema)).build());
        if matches!(status, 429 | 503) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds.")).build();
            response = response.header("Retry-After", header);
        }
        RefOr::T(response.build())
    };
    all.iter().map(|(status, why)| (status.to_string(), problem(*status, why))).collect()
}

/// The description, once the router was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Described(Arc<OnceLock<Bytes>>);

impl Described {
    pub(super) fn set(&self, api: &openapi::OpenApi) {
        // A second router of the same state has the same routes.
        let _ = self.0.set(serde_json::to_vec_pretty(api).unwrap_or_default().into());
    }
}

/// This description
#[utoipa::path(get,
    operation_id = "openapi", path = super::paths::OPENAPI, tag = "server", responses(
    Refusals,
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value),
))]
pub(super) async fn get(State(state): State<AppState>) -> impl IntoResponse {
    let text = state.shared.described.0.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, JSON)], text)
}
