//! Pages of a log: which is asked for, and reading it.

use axum::extract::Query;
use http::Uri;
use rejoin_protocol::{Cursor, wire::Response};
use serde::Deserialize;

use super::reply::room;
use crate::{
    AppState,
    log::BackendView,
    rules::{ApiError, Asker, Code, Principal},
    shares::Share,
};

/// The page after a cursor, of at most so many changes.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) after: Option<Cursor>,
    pub(super) limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    after: Option<String>,
    limit: Option<u32>,
}

impl Asked {
    /// Of a request that may ask for none at all.
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let Query(Parameters { after, limit }) = Query::try_from_uri(uri).map_err(|_| {
            ApiError::because(
                Code::Malformed,
                "`after` is a cursor and `limit` a number, each given at most once.",
            )
        })?;
        let after = match after.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(Cursor::parse(&text).ok_or_else(|| ApiError::new(Code::CursorUnknown))?),
        };
        Ok(Self { after, limit })
    }

    /// Of a request for nothing but a page: one of no changes would be told to go on from where it is, for ever.
    pub(super) fn some(uri: &Uri) -> Result<Self, ApiError> {
        match Self::of(uri)? {
            Self { limit: Some(0), .. } => Err(ApiError::because(
                Code::Malformed,
                "A page has at least one change: `limit` is 1 or more.",
            )),
            asked => Ok(asked),
        }
    }

    /// Reads the page, once there is memory for the largest.
    pub(super) async fn read(
        self,
        (state, by): (&AppState, &Principal),
        work: impl FnOnce(&BackendView<'_>, (Option<&Cursor>, Option<u32>)) -> Result<Response, ApiError>
        + Send
        + 'static,
    ) -> Result<(Response, Share<Asker>), ApiError> {
        let reading = async {
            let share = room(state, by.asker(), state.shared.config.limits.page_bytes).await?;
            let work = move |view: &BackendView<'_>| work(view, (self.after.as_ref(), self.limit));
            Ok((state.shared.readers.read(by.asker(), work).await?, share))
        };
        state.in_time(reading).await
    }
}
