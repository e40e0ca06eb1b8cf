//! Thunks: named work with a serialisable argument.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    DocumentId, Error, Result, Store,
    job::{
        FollowUp, FollowUps, Orphan, Rollback, StartOptions, ThunkCause, ThunkFailure, ThunkGround, ThunkId,
        ThunkInfo, ThunkRequest, check_size,
    },
};

/// How long a thunk may run, where it says nothing else.
const DEADLINE: Duration = Duration::from_secs(600);

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
///     type Error = String;
///     async fn run(&self, _: ThunkContext, argument: i64) -> Result<i64, String> {
///         argument.checked_mul(2).ok_or_else(|| "too large".to_owned())
///     }
/// }
/// ```
///
/// # The actions that follow
/// A thunk can name an action for each thing that happens to it: [`Thunk::pending`] in the transaction that starts it,
/// and one of the others in the transaction that settles it, exactly once. They are kept in its row as data, so that any
/// process on the store in which their slices are registered can do them. They go to the document that the start names,
/// and to a slice that lives in the file: an action into one that lives in memory ([`crate::slice::Scope::Memory`])
/// would be lost when another process settles the thunk, so the start is refused. Undo passes them by, unless
/// [`FollowUp::undoable`] says otherwise.
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
    /// What it fails with: kept as JSON, and given back as it was by [`crate::work::ThunkHandle::wait`]. A `String` does.
    type Error: Serialize + DeserializeOwned + Send + 'static;

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
    /// What it returns as an error is final: what may succeed a moment later is tried again in here, in a loop with a wait,
    /// or is an effect, which has a schedule ([`crate::effects::Schedule`]).
    ///
    /// # Errors
    /// Why it is rejected.
    fn run(
        &self,
        cx: ThunkContext,
        argument: Self::Argument,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;

    /// The action that is recorded with its start, in the transaction that starts it: where it cannot be done, nothing
    /// is started. The reply to put into it is `{"id": "…"}`, the start's name.
    fn pending(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded with its fulfilment, in the transaction that settles it: exactly once. The reply
    /// to put into it is the output. It goes to the document that the start names.
    fn fulfilled(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded with its rejection. The reply is `{"error": …, "cause": "returned"}` with what it
    /// returned; after a panic or a deadline the error is a text, and the cause `panicked` or `timed_out`.
    fn rejected(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded when somebody aborts it. The reply is `{"error": "…", "cause": "aborted"}`.
    fn aborted(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded when a later start of its key takes its place ([`StartOptions::latest_only`]), before
    /// that one's [`Thunk::pending`]. The reply is `{"error": "…", "cause": "superseded", "by": "…"}` with that start's
    /// name.
    fn superseded(argument: &Self::Argument) -> Option<FollowUp> {
        let _ = argument;
        None
    }

    /// The action that is recorded when its process died, or stopped before it ended, and it is not run again: see
    /// [`Thunk::ON_DEATH`]. The reply is `{"error": "…", "cause": "orphaned"}`. Where nothing is said it is that of a
    /// rejection.
    fn orphaned(argument: &Self::Argument) -> Option<FollowUp> {
        Self::rejected(argument)
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

/// A thunk without its types.
pub(crate) trait AnyThunk: Send + Sync {
    fn deadline(&self) -> Duration;
    fn run(&self, cx: ThunkContext, info: ThunkInfo) -> BoxFuture<'static, Result<Value, ThunkFailure>>;
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

    fn run(&self, cx: ThunkContext, info: ThunkInfo) -> BoxFuture<'static, Result<Value, ThunkFailure>> {
        let thunk = Arc::clone(&self.thunk);
        async move {
            let unreadable = |why: String| ThunkFailure::new(ThunkCause::Unreadable, why);
            let argument = serde_json::from_value(info.argument);
            let argument =
                argument.map_err(|error| unreadable(format!("its argument cannot be read: {error}")))?;
            let (what, given) = match thunk.run(cx, argument).await {
                Ok(output) => ("result", Ok(serde_json::to_value(output))),
                Err(error) => ("error", Err(serde_json::to_value(error))),
            };
            let (Ok(value) | Err(value)) = &given;
            let value = value.as_ref().map_err(|error| unreadable(format!("its {what}: {error}")))?;
            check_size(value).map_err(|error| unreadable(format!("its {what} has {error}")))?;
            match given {
                Ok(output) => output.map_err(|error| unreadable(error.to_string())),
                Err(error) => Err(ThunkFailure::returned(error.map_err(|e| unreadable(e.to_string()))?)),
            }
        }
        .boxed()
    }
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
            follow: follow_ups_of::<T>(&argument),
            condition: check::<T>,
        }
    }
}

fn follow_ups_of<T: Thunk>(argument: &T::Argument) -> FollowUps {
    FollowUps {
        pending: T::pending(argument),
        done: T::fulfilled(argument),
        dead: T::rejected(argument).map(Rollback::Action),
        aborted: T::aborted(argument),
        superseded: T::superseded(argument),
        orphaned: T::orphaned(argument),
    }
}

fn check<T: Thunk>(argument: &Value, ground: &ThunkGround<'_>) -> Result<bool> {
    let argument = serde_json::from_value(argument.clone());
    let argument = argument.map_err(|error| {
        Error::InvalidThunk(format!("{:?}: its argument cannot be read back: {error}", T::NAME))
    })?;
    Ok(T::condition(&argument, ground))
}
