//! A start of a thunk without its types, and the actions that follow it.

use serde_json::Value;

use super::{Orphan, StartOptions, Thunk, ThunkCause, ThunkGround, ThunkId};
use crate::{
    Error, Result,
    effects::FollowUp,
    slice::{Registry, Scope},
};

/// The longest name and key, in bytes.
const NAME_BYTES: usize = 200;

/// The largest argument, result, error and follow-up, in bytes of JSON.
const JSON_BYTES: usize = 1 << 20;

/// The actions that follow what happens to a thunk.
#[derive(Debug, Clone, Default)]
pub(crate) struct FollowUps {
    pub(crate) pending: Option<FollowUp>,
    pub(crate) fulfilled: Option<FollowUp>,
    pub(crate) rejected: Option<FollowUp>,
    pub(crate) aborted: Option<FollowUp>,
    pub(crate) superseded: Option<FollowUp>,
    pub(crate) orphaned: Option<FollowUp>,
}

impl FollowUps {
    fn of<T: Thunk>(argument: &T::Argument) -> Self {
        Self {
            pending: T::pending(argument),
            fulfilled: T::fulfilled(argument),
            rejected: T::rejected(argument),
            aborted: T::aborted(argument),
            superseded: T::superseded(argument),
            orphaned: T::orphaned(argument),
        }
    }

    /// Those that there are, by what they are for.
    fn all(&self) -> impl Iterator<Item = (&'static str, &FollowUp)> {
        let all = [
            ("pending", &self.pending),
            ("fulfilled", &self.fulfilled),
            ("rejected", &self.rejected),
            ("aborted", &self.aborted),
            ("superseded", &self.superseded),
            ("orphaned", &self.orphaned),
        ];
        all.into_iter().filter_map(|(what, follow)| Some((what, follow.as_ref()?)))
    }

    /// The one for a thunk that ended without an output.
    pub(crate) fn after(&self, cause: ThunkCause) -> Option<&FollowUp> {
        match cause {
            ThunkCause::Aborted => self.aborted.as_ref(),
            ThunkCause::Superseded => self.superseded.as_ref(),
            ThunkCause::Orphaned => self.orphaned.as_ref(),
            ThunkCause::Returned | ThunkCause::Panicked | ThunkCause::TimedOut | ThunkCause::Unreadable => {
                self.rejected.as_ref()
            }
        }
    }
}

type Condition = fn(&Value, &ThunkGround<'_>) -> Result<bool>;

/// A start of a thunk, without its types: for [`super::Reaction::thunk`].
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
    /// A start with this argument. What is wrong with it is told when it is started.
    pub fn new<T: Thunk>(argument: T::Argument, options: StartOptions) -> Self {
        Self {
            id: ThunkId::random(),
            name: T::NAME,
            argument: serde_json::to_value(&argument).map_err(|error| error.to_string()),
            options,
            on_death: T::ON_DEATH,
            follow: FollowUps::of::<T>(&argument),
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
        for (what, follow) in self.follow.all() {
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

impl ThunkRequest {
    /// "An action that follows never fails at the end for where its slice lives": one that is in memory, or is not
    /// registered here, is told at the start.
    pub(crate) fn check_slices(&self, registry: &Registry) -> Result<()> {
        for (what, follow) in self.follow.all() {
            let Some(slice) = follow.slice() else { continue };
            if registry.slice(slice)?.scope() == Scope::Memory {
                return Err(Error::InvalidThunk(format!(
                    "{:?}: its action for {what} is of the slice {slice:?}, which lives in memory, where another process \
                     that settles the thunk cannot reach it: make it of a slice that is synced or local",
                    self.name
                )));
            }
        }
        Ok(())
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
