//! Why a request is not answered: codes, statuses, and what is said.

use std::time::Duration;

use rejoin_protocol::{
    fence::{Refusal, RefusalCode},
    wire::{PROBLEM, Problem, Response},
};
use rejoin_verifier::Failed;

use crate::LogError;

/// What went wrong, in a word that stays (PROTOCOL.md: Requests).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Malformed,
    Checksum,
    MediaType,
    TooLarge,
    CursorUnknown,
    Unauthorized,
    Forbidden,
    NotFound,
    Method,
    Deleted,
    TimedOut,
    RateLimited,
    Unavailable,
    Internal,
}

impl Code {
    pub(crate) const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Checksum,
        Self::MediaType,
        Self::TooLarge,
        Self::CursorUnknown,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::Deleted,
        Self::TimedOut,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    pub(crate) const fn word(self) -> &'static str {
        self.parts().0
    }

    /// The word, the status and the title.
    const fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed => ("malformed", 422, "The request cannot be read"),
            Self::Checksum => ("checksum", 422, "A checksum does not fit"),
            Self::MediaType => ("malformed", 415, "This media type or encoding is not taken here"),
            Self::TooLarge => ("too-large", 413, "Larger than a limit"),
            Self::CursorUnknown => ("cursor-unknown", 409, "The cursor is not one of this log"),
            Self::Unauthorized => ("unauthorized", 401, "A valid token is needed"),
            Self::Forbidden => ("forbidden", 403, "Not allowed"),
            Self::NotFound => ("not-found", 404, "Not found"),
            Self::Method => ("method-not-allowed", 405, "This method is not taken here"),
            Self::Deleted => ("deleted", 410, "The document was deleted"),
            Self::TimedOut => ("timeout", 408, "The request took too long to arrive"),
            Self::RateLimited => ("rate-limited", 429, "Too many requests"),
            Self::Unavailable => ("unavailable", 503, "Not possible just now"),
            Self::Internal => ("internal", 500, "Something went wrong in the server"),
        }
    }
}

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    detail: Option<String>,
    retry_after: Option<Duration>,
}

/// When a client may ask again where the server does not know better.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl ApiError {
    pub(crate) fn new(code: Code) -> Self {
        let retry_after = (code == Code::Unavailable).then_some(RETRY_AFTER);
        Self { code, detail: None, retry_after }
    }

    /// With a sentence.
    pub(crate) fn because(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// More requests than it may make: it may come again in so long.
    pub(crate) fn too_many(after: Duration) -> Self {
        // Whole seconds go over HTTP: what is left of one is waited for too.
        let after = Duration::from_secs(after.as_secs() + u64::from(after.subsec_nanos() > 0));
        Self { retry_after: Some(after), ..Self::new(Code::RateLimited) }
    }

    /// No document of this name.
    pub(crate) fn no_document() -> Self {
        Self::because(Code::NotFound, "No change of this document was ever pushed here.")
    }

    pub(crate) fn status(&self) -> u16 {
        self.code.parts().1
    }

    /// The body (RFC 9457).
    pub(crate) fn to_problem(&self) -> Problem {
        let (code, status, title) = self.code.parts();
        Problem { code: code.to_owned(), status, title: title.to_owned(), detail: self.detail.clone() }
    }

    pub(crate) fn into_response(self) -> Response {
        Response {
            status: self.status(),
            media_type: PROBLEM.to_owned(),
            retry_after: self.retry_after,
            body: to_json(&self.to_problem()),
            ..Response::default()
        }
    }
}

/// A body that could not be framed or is too large as a whole.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RefusalCode::TooLarge => Code::TooLarge,
            RefusalCode::Checksum => Code::Checksum,
            _ => Code::Malformed,
        };
        Self::because(code, refusal.detail)
    }
}

/// "A 5xx never tells what is inside": it goes to the log of the server.
impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let code = if error.may_pass() { Code::Unavailable } else { Code::Internal };
        tracing::error!(error = &error as &dyn std::error::Error, "the database failed");
        Self::new(code)
    }
}

impl From<Failed<Self>> for ApiError {
    fn from(failed: Failed<Self>) -> Self {
        match failed {
            Failed::Source(fault) => fault,
            Failed::NotStarted(error) => {
                tracing::error!(%error, "the process that verifies cannot be started");
                Self::new(Code::Unavailable)
            }
        }
    }
}

/// A reply as JSON. Ours are structs of texts and numbers, which always serialise.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
