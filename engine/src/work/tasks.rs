//! What a process can run: its thunks and its listeners.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    Listener, Thunk,
    listener::Hearing,
    thunk::{AnyThunk, Of},
};
use crate::{Error, Result};

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
