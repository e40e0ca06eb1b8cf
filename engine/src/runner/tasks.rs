//! What a process can run: its thunks and its listeners.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};

use super::thunk::{AnyThunk, Of, Thunk};
use crate::{
    Error, Result,
    job::{Heard, Listener, Reaction},
};

/// The thunks and listeners that a store was built with.
#[derive(Default, Clone)]
pub(crate) struct Tasks {
    thunks: BTreeMap<&'static str, Arc<dyn AnyThunk>>,
    listeners: BTreeMap<String, Hearing>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.thunks.keys()).entries(self.listeners.keys()).finish()
    }
}

impl Tasks {
    /// # Errors
    /// [`Error::InvalidThunk`] for a name that is taken.
    pub(crate) fn add_thunk<T: Thunk>(&mut self, thunk: T) -> Result<()> {
        match self.thunks.insert(T::NAME, Arc::new(Of::new(thunk))) {
            None => Ok(()),
            Some(_) => {
                Err(Error::InvalidThunk(format!("{:?}: a thunk of this name is registered already", T::NAME)))
            }
        }
    }

    /// # Errors
    /// [`Error::BadListener`] for a name that is taken or cannot be one.
    pub(crate) fn add_listener(&mut self, hearing: Hearing) -> Result<()> {
        let name = hearing.listener.name.clone();
        let bad = |reason: String| Err(Error::BadListener { name: name.clone(), reason });
        if let Some(problem) = hearing.listener.problem() {
            return bad(problem);
        }
        match self.listeners.insert(name.clone(), hearing) {
            None => Ok(()),
            Some(_) => bad("a listener of this name is registered already".to_owned()),
        }
    }

    pub(crate) fn thunk(&self, name: &str) -> Option<Arc<dyn AnyThunk>> {
        self.thunks.get(name).cloned()
    }

    pub(crate) fn hearing(&self, name: &str) -> Option<Hearing> {
        self.listeners.get(name).cloned()
    }

    pub(crate) fn thunk_names(&self) -> Vec<String> {
        self.thunks.keys().map(|name| (*name).to_owned()).collect()
    }

    pub(crate) fn listeners(&self) -> Vec<Arc<Listener>> {
        self.listeners.values().map(|hearing| Arc::clone(&hearing.listener)).collect()
    }
}

/// Why a handler could not deal with an action: any error, by `?`, or a text. It is kept as text beside the listener
/// ([`ListenerInfo::last_error`](crate::work::ListenerInfo::last_error)), and the action is heard again after a while.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

type Handle = dyn Fn(Heard) -> BoxFuture<'static, Result<Reaction, String>> + Send + Sync;

/// A listener with its handler.
#[derive(Clone)]
pub(crate) struct Hearing {
    pub(crate) listener: Arc<Listener>,
    pub(crate) handle: Arc<Handle>,
}

impl Hearing {
    pub(crate) fn new<F, Fut>(listener: Listener, handler: F) -> Self
    where
        F: Fn(Heard) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reaction, HandlerError>> + Send + 'static,
    {
        let handle = move |heard| handler(heard).map(|done| done.map_err(|error| error.to_string())).boxed();
        Self { listener: Arc::new(listener), handle: Arc::new(handle) }
    }
}
