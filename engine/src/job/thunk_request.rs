//! A start of a thunk without its types, and the actions that follow it.

use serde_json::Value;

use super::{FollowUps, Job, Orphan, ThunkId};
use crate::{DocumentId, Error, Millis, Result};

/// The longest name and key, in bytes.
const NAME_BYTES: usize = 200;

/// The largest argument, result, error and follow-up, in bytes of JSON.
const JSON_BYTES: usize = 1 << 20;

/// What a condition can look at: the store as it is in the transaction that would start the thunk.
pub struct ThunkGround<'a> {
    pub(crate) document: Option<DocumentId>,
    pub(crate) state: &'a dyn Fn(&str) -> Result<Value>,
    pub(crate) pending: bool,
}

impl std::fmt::Debug for ThunkGround<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThunkGround").field("document", &self.document).finish_non_exhaustive()
    }
}

impl ThunkGround<'_> {
    /// The document that the start names.
    pub fn document(&self) -> Option<DocumentId> {
        self.document
    }

    /// The state at a JSON Pointer of that document.
    ///
    /// # Errors
    /// [`crate::Error::Action`] for a pointer that leads nowhere; [`crate::Error::InvalidThunk`] where no document is named.
    pub fn state(&self, pointer: &str) -> Result<Value> {
        (self.state)(pointer)
    }

    /// Whether one of the same name and key (or of the name, where there is no key) is pending, in any process.
    pub fn is_pending(&self) -> bool {
        self.pending
    }
}

/// How a thunk is started.
///
/// ```
/// use rejoin::work::StartOptions;
/// let options = StartOptions::new().latest_only("search");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    pub(crate) key: Option<String>,
    pub(crate) latest_only: bool,
    pub(crate) document: Option<DocumentId>,
}

impl StartOptions {
    /// Without key and document.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this key, for [`ThunkGround::is_pending`] and for lists.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this key, and in the place of all those that are pending under it with the same name: they are aborted
    /// in the transaction that starts this one, so that a late older reply never overwrites a newer one.
    #[must_use]
    pub fn latest_only(mut self, key: impl Into<String>) -> Self {
        self.latest_only = true;
        self.key(key)
    }

    /// Its condition reads this document, and its actions go there.
    #[must_use]
    pub fn document(mut self, document: DocumentId) -> Self {
        self.document = Some(document);
        self
    }
}

pub(crate) type Condition = fn(&Value, &ThunkGround<'_>) -> Result<bool>;

/// A start of a thunk, without its types: for [`crate::work::Reaction::thunk`].
///
/// ```
/// # use rejoin::work::{StartOptions, Thunk, ThunkContext, ThunkRequest};
/// # struct Double;
/// # impl Thunk for Double {
/// #     const NAME: &'static str = "double"; type Argument = i64; type Output = i64; type Error = String;
/// #     async fn run(&self, _: ThunkContext, n: i64) -> Result<i64, String> { Ok(n * 2) }
/// # }
/// let request = ThunkRequest::new::<Double>(21, StartOptions::new());
/// # let _ = request;
/// ```
#[derive(Debug, Clone)]
pub struct ThunkRequest {
    pub(crate) id: ThunkId,
    pub(crate) name: &'static str,
    pub(crate) argument: Result<Value, String>,
    pub(crate) options: StartOptions,
    pub(crate) on_death: Orphan,
    pub(crate) follow: FollowUps,
    pub(crate) condition: Condition,
}

impl ThunkRequest {
    /// The name that this start will have.
    pub fn id(&self) -> ThunkId {
        self.id
    }

    /// What can be checked without the store. Returns the argument.
    pub(crate) fn check(&self) -> Result<&Value> {
        let wrong = |what: String| Error::InvalidThunk(format!("{:?}: {what}", self.name));
        for (what, name) in [("name", Some(self.name)), ("key", self.options.key.as_deref())] {
            if let Some(name) = name.filter(|n| n.is_empty() || n.len() > NAME_BYTES) {
                let bytes = name.len();
                return Err(wrong(format!(
                    "its {what} has {bytes} bytes, and 1 to {NAME_BYTES} are possible"
                )));
            }
        }
        let argument = self.argument.as_ref().map_err(|error| wrong(format!("its argument: {error}")))?;
        for (what, follow) in self.follow.all() {
            if let Some(problem) = follow.problem() {
                return Err(wrong(format!("its action for {what} {problem}")));
            }
            if self.options.document.is_none() {
                return Err(wrong(format!("its action for {what} has no document to go to")));
            }
            check_size(&serde_json::to_value(follow).unwrap_or_default()).map_err(&wrong)?;
        }
        check_size(argument).map_err(wrong)?;
        Ok(argument)
    }

    /// The job that it is, with this argument.
    pub(crate) fn job(&self, argument: &Value, now: Millis) -> Job {
        let mut job = Job::new(self.id.into(), self.name, argument.clone(), now);
        job.key = self.options.key.clone();
        job.document = self.options.document;
        job.follow_ups = self.follow.clone();
        job.attempt_limit = self.on_death.attempt_limit();
        job
    }
}

/// # Errors
/// What is too large.
pub(crate) fn check_size(value: &Value) -> Result<(), String> {
    let bytes = value.to_string().len();
    if bytes > JSON_BYTES {
        return Err(format!("{bytes} bytes of JSON, and {JSON_BYTES} are possible"));
    }
    Ok(())
}
