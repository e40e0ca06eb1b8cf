//! What of documents is kept read, for those who look at it without asking the store.
//!
//! "A view never lags behind what a verb answered": views are read again on the store's thread after each verb and before
//! its answer is given, and whenever the store looks for what other processes wrote.

use automerge::ChangeHash;
use serde_json::Value;
use tokio::sync::watch;

use super::{Core, rows};
use crate::{DocumentId, Result, slice::Scope, untrusted::contained};

/// The parts of a slice that a view reads.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) document: DocumentId,
    pub(crate) slice: &'static str,
    pub(crate) scope: Scope,
    /// JSON Pointers from the slice's root.
    pub(crate) pointers: Vec<String>,
}

/// What was read at each pointer; `None` where nothing is.
pub(crate) type Parts = Vec<Option<Value>>;

/// A view, without its type.
trait View: Send {
    /// Takes what was read.
    fn show(&mut self, parts: Parts);
    /// Whether nobody looks at it any more.
    fn is_over(&self) -> bool;
}

/// A view of type `T`.
struct Typed<T> {
    sender: watch::Sender<T>,
    compute: Box<dyn Fn(Parts) -> Result<T, String> + Send>,
    same: fn(&T, &T) -> bool,
}

impl<T: Send + Sync> View for Typed<T> {
    fn show(&mut self, parts: Parts) {
        // A selector is the app's: "a panic or a verb inside the store ends alone".
        let shown = contained(|| {
            let (new, same) = ((self.compute)(parts)?, self.same);
            self.sender.send_if_modified(|last| {
                let differs = !same(last, &new);
                if differs {
                    *last = new;
                }
                differs
            });
            Ok(())
        });
        // Asked for the state, the store says the same.
        if let Err(why) = shown.and_then(|fits: Result<(), String>| fits) {
            tracing::debug!(why, "what is there does not fit who looks at it");
        }
    }

    fn is_over(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A view and how far it has read.
pub(super) struct Looking {
    seen: Seen,
    at: Option<At>,
    parts: Parts,
    view: Box<dyn View>,
}

/// Where a document stands: its heads, and how often it was made anew.
type At = (Vec<ChangeHash>, i64);

impl Core {
    /// Reads what a view is of.
    ///
    /// # Errors
    /// As [`Core::slice_state`].
    pub(crate) fn read_seen(&mut self, seen: &Seen) -> Result<Parts> {
        let read = |part: &String| self.slice_state(seen.document, (seen.slice, seen.scope, part), None);
        seen.pointers.iter().map(read).collect()
    }

    /// Reads what a view is of, and keeps it read from now on. The inner error: what is there does not fit.
    ///
    /// # Errors
    /// As [`Core::slice_state`].
    pub(crate) fn look<T: Send + Sync + 'static>(
        &mut self,
        seen: Seen,
        compute: impl Fn(Parts) -> Result<T, String> + Send + 'static,
        same: fn(&T, &T) -> bool,
    ) -> Result<Result<watch::Receiver<T>, String>> {
        // First: what another process writes while it is read is read again.
        let at = Some(self.standing_of(&seen)?);
        let parts = self.read_seen(&seen)?;
        let first = match compute(parts.clone()) {
            Ok(first) => first,
            Err(why) => return Ok(Err(why)),
        };
        let (sender, receiver) = watch::channel(first);
        let view = Box::new(Typed { sender, compute: Box::new(compute), same });
        self.views.push(Looking { seen, at, parts, view });
        Ok(Ok(receiver))
    }

    /// Reads again what has changed since the last time. It costs nothing while nobody looks.
    pub(crate) fn refresh_views(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let mut views = std::mem::take(&mut self.views);
        views.retain(|looking| !looking.view.is_over());
        for looking in &mut views {
            // What cannot be read now is read the next time.
            if let Err(error) = self.refresh(looking) {
                tracing::debug!(%error, "what somebody looks at could not be read");
            }
        }
        self.views = views;
    }

    fn refresh(&mut self, looking: &mut Looking) -> Result<()> {
        let at = self.standing_of(&looking.seen)?;
        if looking.at.as_ref() == Some(&at) {
            return Ok(());
        }
        let parts = self.read_seen(&looking.seen)?;
        looking.at = Some(at);
        if parts != looking.parts {
            looking.parts.clone_from(&parts);
            looking.view.show(parts);
        }
        Ok(())
    }

    fn standing_of(&mut self, seen: &Seen) -> Result<At> {
        if seen.scope == Scope::Memory {
            return Ok((self.memory.get(&seen.document).map(|am| am.get_heads()).unwrap_or_default(), 0));
        }
        let row = self.document_row(seen.document)?;
        let row = match seen.scope {
            Scope::Local => match rows::read_companion(&self.connection, row.id)? {
                Some(companion) => self.document_row(companion)?,
                None => return Ok((Vec::new(), 0)),
            },
            _ => row,
        };
        Ok((row.heads, row.epoch))
    }
}
