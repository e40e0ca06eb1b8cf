//! Thunks: named work with a serialisable argument.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Orphan, ThunkId, ThunkInfo};
use crate::{DocumentId, Error, Result, Store, effects::FollowUp};

/// How long a thunk may run, where it says nothing else.
const DEADLINE: Duration = Duration::from_secs(600);

/// The longest name and key, in bytes.
const NAME_BYTES: usize = 200;

/// The largest argument, result and follow-up, in bytes of JSON.
pub(crate) const JSON_BYTES: usize = 1 << 20;

/// Work that has a name and a serialisable argument, so that any process on the store where it is registered
/// ([`crate::Builder::thunk`]) can run it.
///
/// The value that implements it holds what a process needs for it: an HTTP client, say. What one start is about is
/// in the argument, which is kept in the file as JSON: secrets do not belong there.
///
/// ```
/// use rejoin::work::{Thunk, ThunkContext};
///
/// struct Double;
/// impl Thunk for Double {
///     const NAME: &'static str = "double";
///     type Argument = i64;
///     type Output = i64;
///     async fn run(&self, _: ThunkContext, argument: i64) -> Result<i64, String> {
///         argument.checked_mul(2).ok_or_else(|| "too large".to_owned())
///     }
/// }
/// ```
pub trait Thunk: Send + Sync + 'static {
    /// The name under which its rows are kept. It must not change while there are any.
    const NAME: &'static str;
    /// What becomes of it when its process dies while it runs.
    const ON_DEATH: Orphan = Orphan::Resume;
    /// A run that takes longer is dropped, and rejected.
    const DEADLINE: Duration = DEADLINE;
    /// What it is started with.
    type Argument: Serialize + DeserializeOwned + Send + 'static;
    /// What it gives.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Whether it is started at all. Asked in the transaction that would start it, so that of several processes one
    /// gets a yes; it must be quick.
    fn condition(argument: &Self::Argument, ground: &ThunkGround<'_>) -> bool {
        let _ = (argument, ground);
        true
    }

    /// The work. It may be dropped at any `await`: aborted, superseded, at its deadline, at the app's end. Then, or
    /// when its process dies, it may be run again from its beginning, unless [`Thunk::ON_DEATH`] forbids it. A panic
    /// rejects it. It should not block its thread: a blocked thread cannot be taken back, only given up.
    ///
    /// # Errors
    /// Why it is rejected.
    fn run(
        &self,
        cx: ThunkContext,
        argument: Self::Argument,
    ) -> impl Future<Output = Result<Self::Output, String>> + Send;

    /// The action that is recorded with its fulfilment, in the transaction that settles it: exactly once. The reply
    /// to put into it is the output. It goes to the document that the start names.
    fn fulfilled(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded with its rejection; the reply is `{"error": "…"}`. An abort records none.
    fn rejected(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }
}

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
    /// [`Error::Action`] for a pointer that leads nowhere; [`Error::InvalidThunk`] where no document is named.
    pub fn state(&self, pointer: &str) -> Result<Value> {
        (self.state)(pointer)
    }

    /// Whether one of the same name and key (or of the name, where there is no key) is pending, in any process.
    pub fn is_pending(&self) -> bool {
        self.pending
    }
}

/// What a running thunk knows of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ThunkContext {
    /// Which start this is: the same in every attempt, so that it serves as an `Idempotency-Key`.
    pub id: ThunkId,
    /// The document that the start names.
    pub document: Option<DocumentId>,
    /// 1 for the first attempt.
    pub attempt: u64,
    /// The store.
    pub store: Store,
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

type Condition = fn(&Value, &ThunkGround<'_>) -> Result<bool>;

/// A start of a thunk, without its types: for [`super::Reaction::thunk`].
///
/// ```
/// # use rejoin::work::{StartOptions, Thunk, ThunkContext, ThunkRequest};
/// # struct Double;
/// # impl Thunk for Double {
/// #     const NAME: &'static str = "double"; type Argument = i64; type Output = i64;
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
    pub(crate) fulfilled: Option<FollowUp>,
    pub(crate) rejected: Option<FollowUp>,
    pub(crate) condition: Condition,
}

impl ThunkRequest {
    /// A start with this argument. What is wrong with it is told when it is started.
    pub fn new<T: Thunk>(argument: T::Argument, options: StartOptions) -> Self {
        Self {
            id: ThunkId::random(),
            name: T::NAME,
            argument: serde_json::to_value(&argument).map_err(|error| error.to_string()),
            options,
            on_death: T::ON_DEATH,
            fulfilled: T::fulfilled(&argument),
            rejected: T::rejected(&argument),
            condition: check::<T>,
        }
    }

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
        let follow_ups = [("fulfilled", &self.fulfilled), ("rejected", &self.rejected)];
        for (what, follow) in follow_ups.into_iter().filter_map(|(what, f)| Some((what, f.as_ref()?))) {
            if !follow.is_valid() {
                return Err(wrong(format!(
                    "its action for {what} has no type, or puts the reply at what is no JSON Pointer"
                )));
            }
            if self.options.document.is_none() {
                return Err(wrong(format!("its action for {what} has no document to go to")));
            }
            check_size(&serde_json::to_value(follow).unwrap_or_default()).map_err(&wrong)?;
        }
        check_size(argument).map_err(wrong)?;
        Ok(argument)
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

fn check<T: Thunk>(argument: &Value, ground: &ThunkGround<'_>) -> Result<bool> {
    let argument = serde_json::from_value(argument.clone());
    let argument = argument.map_err(|error| {
        Error::InvalidThunk(format!("{:?}: its argument cannot be read back: {error}", T::NAME))
    })?;
    Ok(T::condition(&argument, ground))
}

/// A thunk without its types.
pub(crate) trait AnyThunk: Send + Sync {
    fn deadline(&self) -> Duration;
    fn run(&self, cx: ThunkContext, info: ThunkInfo) -> BoxFuture<'static, Result<Value, String>>;
}

pub(crate) struct Of<T> {
    thunk: Arc<T>,
    of: PhantomData<fn() -> T>,
}

impl<T: Thunk> Of<T> {
    pub(crate) fn new(thunk: T) -> Self {
        Self { thunk: Arc::new(thunk), of: PhantomData }
    }
}

impl<T: Thunk> AnyThunk for Of<T> {
    fn deadline(&self) -> Duration {
        T::DEADLINE
    }

    fn run(&self, cx: ThunkContext, info: ThunkInfo) -> BoxFuture<'static, Result<Value, String>> {
        let thunk = Arc::clone(&self.thunk);
        async move {
            let argument = serde_json::from_value(info.argument);
            let argument = argument.map_err(|error| format!("its argument cannot be read: {error}"))?;
            let output = thunk.run(cx, argument).await?;
            let output = serde_json::to_value(output).map_err(|error| format!("its result: {error}"))?;
            check_size(&output).map_err(|error| format!("its result has {error}"))?;
            Ok(output)
        }
        .boxed()
    }
}
