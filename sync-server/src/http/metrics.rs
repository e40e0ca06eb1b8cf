//! `/metrics`.

use super::openapi::Refusals;
use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, header};

use super::reply::Failed;
use crate::{
    AppState, VerifyCommand,
    clock::now,
    log::Rows,
    metrics::{self, Format, Now},
};

/// Figures for Prometheus
///
/// Where there are tokens, for who is admin of everything: the names of clients are in it.
#[utoipa::path(get,
    operation_id = "metrics", path = super::paths::METRICS, tag = "server", responses(
    Refusals,
    (status = 200, description = "The figures", content((String = "text/plain"), (String = "application/openmetrics-text"))),
))]
pub(super) async fn get(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failed> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let open = accept.contains("application/openmetrics-text");
    let format = if open { Format::OpenMetrics } else { Format::Prometheus };
    let shared = &state.shared;
    let inner = state.clone();
    let reading = shared.readers.read(None, move |view| {
        let lags = inner.shared.metrics.clients.lags(view, now())?;
        Ok((view.counts()?, lags))
    });
    let (counts, clients) = state.in_time(reading).await?;
    let verifying = shared.config.verify_command.as_ref();
    let now = Now {
        waiting: shared.committer.waiting(),
        streams: shared.hub.streams(),
        documents: counts.documents,
        cache_bytes: shared.merger.cached_bytes(),
        body_bytes: shared.body_memory.taken(),
        reply_bytes: shared.reply_memory.taken(),
        database_bytes: database_bytes(&shared.config.database),
        quarantined: counts.quarantined,
        process_failures: verifying.map(VerifyCommand::failures).unwrap_or_default(),
        clients,
    };
    let text = metrics::write(&shared.metrics, &now, format);
    Ok(([(header::CONTENT_TYPE, format.media_type()), (header::CACHE_CONTROL, "no-store")], text))
}

fn database_bytes(path: &std::path::Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(std::path::Path::new(&log))
}
