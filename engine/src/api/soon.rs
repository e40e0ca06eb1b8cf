//! Dispatches that nobody waits for.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Job, Store};
use crate::{Action, DocumentId, Error, Receipt, Result, slice::Command, untrusted::contained};

/// A dispatch that nobody waited for, and that failed: see [`crate::Builder::on_failed_dispatch`].
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedDispatch {
    /// The document.
    pub document: DocumentId,
    /// The action's type; the slice's name where it has none.
    pub action_type: String,
    /// Why: nothing was changed.
    pub error: Error,
}

type Hook = dyn Fn(FailedDispatch) + Send + Sync;

/// Who is told of failures.
#[derive(Clone, Default)]
pub(crate) struct OnFailed(Option<Arc<Hook>>);

impl OnFailed {
    pub(crate) fn new(hook: impl Fn(FailedDispatch) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    fn tell(&self, failed: FailedDispatch) {
        let Some(hook) = &self.0 else {
            let FailedDispatch { document, action_type, error } = failed;
            return tracing::error!(%document, action = action_type, %error, "a dispatch failed");
        };
        if contained(|| hook(failed)).is_err() {
            tracing::error!("the hook for failed dispatches panicked");
        }
    }
}

/// Who is told how a dispatch ended.
pub(super) enum Answer {
    /// The one that waits.
    Told(oneshot::Sender<Result<Receipt>>),
    /// The hook, if it failed.
    Soon(Soon),
}

impl Answer {
    pub(super) fn give(self, result: Result<Receipt>) {
        match self {
            // A caller that went away needs no answer.
            Self::Told(answer) => drop(answer.send(result)),
            Self::Soon(soon) => soon.end(result),
        }
    }
}

/// A dispatch that nobody waits for. Dropped before it was done, it has failed: the store was closed.
pub(super) struct Soon(Option<(OnFailed, DocumentId, String)>);

impl Soon {
    fn end(mut self, result: Result<Receipt>) {
        let told = self.0.take();
        if let (Err(error), Some((hook, document, action_type))) = (result, told) {
            hook.tell(FailedDispatch { document, action_type, error });
        }
    }
}

impl Drop for Soon {
    fn drop(&mut self) {
        if let Some((hook, document, action_type)) = self.0.take() {
            hook.tell(FailedDispatch { document, action_type, error: Error::Closed });
        }
    }
}

impl Store {
    /// Does an action, and does not wait for it: see [`crate::slice::SliceHandle::dispatch_soon`].
    pub fn dispatch_soon(&self, id: DocumentId, action: Action) {
        self.submit_soon(id, action.kind(), Ok(action.clone().into()));
    }

    /// `name`: how an action is called that has no type.
    pub(crate) fn submit_soon(&self, id: DocumentId, name: &str, command: Result<Command>) {
        let failed = self.work.failed.clone();
        match command {
            Ok(command) => {
                let soon = Soon(Some((failed, id, command.kind().to_owned())));
                // Of a closed store the job comes back, and tells the hook when it is dropped.
                let _ = self.submit(Job::Dispatch(id, command, Answer::Soon(soon)));
            }
            Err(error) => failed.tell(FailedDispatch { document: id, action_type: name.to_owned(), error }),
        }
    }
}
