//! What of documents is kept read, for those who look at it without asking the store.
//!
//! "A view never lags behind what a verb answered": views are read again on the store's thread after each verb and before
//! its answer is given, and whenever the store looks for what other processes wrote.

use std::fmt::Display;

use automerge::ChangeHash;
use serde_json::Value;
use tokio::sync::watch;

use super::{Core, rows};
use crate::{DocumentId, Result, slice::Scope, untrusted::contained};

/// A part of a slice that a view reads.
#[derive(Debug, Clone)]
pub(crate) struct SeenPart {
    pub(crate) document: DocumentId,
    pub(crate) slice: &'static str,
    pub(crate) scope: Scope,
    /// The slice's version in this app.
    pub(crate) version: u32,
    /// From the slice's root, as a JSON Pointer.
    pub(crate) pointer: String,
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
    seen: Vec<SeenPart>,
    at: Option<Vec<At>>,
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
    pub(crate) fn read_seen(&mut self, seen: &[SeenPart]) -> Result<Parts> {
        let read =
            |part: &SeenPart| self.slice_state(part.document, (part.slice, part.scope, &part.pointer), None);
        seen.iter().map(read).collect()
    }

    /// Reads what a view is of, and keeps it read from now on. The inner error: what is there does not fit.
    ///
    /// # Errors
    /// As [`Core::slice_state`].
    pub(crate) fn look<T: Send + Sync + 'static, E: Display + 'static>(
        &mut self,
        seen: Vec<SeenPart>,
        compute: impl Fn(Parts) -> Result<T, E> + Send + 'static,
        same: fn(&T, &T) -> bool,
    ) -> Result<Result<watch::Receiver<T>, E>> {
        // First: what another process writes while it is read is read again.
        let at = Some(self.standings_of(&seen)?);
        let parts = self.read_seen(&seen)?;
        let first = match compute(parts.clone()) {
            Ok(first) => first,
            Err(why) => return Ok(Err(why)),
        };
        let (sender, receiver) = watch::channel(first);
        let compute = Box::new(move |parts| compute(parts).map_err(|why| why.to_string()));
        let view = Box::new(Typed { sender, compute, same });
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
        let at = self.standings_of(&looking.seen)?;
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

    fn standings_of(&mut self, seen: &[SeenPart]) -> Result<Vec<At>> {
        let mut places: Vec<_> = seen.iter().map(|part| (part.document, part.scope)).collect();
        places.dedup();
        places.into_iter().map(|place| self.standing_of(place)).collect()
    }

    fn standing_of(&mut self, (document, scope): (DocumentId, Scope)) -> Result<At> {
        if scope == Scope::Memory {
            return Ok((self.memory.get(&document).map(|am| am.get_heads()).unwrap_or_default(), 0));
        }
        let row = self.document_row(document)?;
        let row = match scope {
            Scope::Local => match rows::read_companion(&self.connection, row.id)? {
                Some(companion) => self.document_row(companion)?,
                None => return Ok((Vec::new(), 0)),
            },
            _ => row,
        };
        Ok((row.heads, row.epoch))
    }
}
