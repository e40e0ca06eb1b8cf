//! Listeners: what they hear, and what they do about it.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{EffectRequest, ThunkRequest};
use crate::{ChangeHash, DocumentId, Millis, Origin, untrusted::contained};

/// How long a handler may take for one action, where nothing else is said.
const DEADLINE: Duration = Duration::from_secs(60);

/// A listener is parked after so many failures on one action, where nothing else is said.
const ATTEMPTS: u32 = 10;

/// The longest name, in bytes.
const NAME_BYTES: usize = 200;

type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A listener: its name, what it wants to hear, and from where on. See [`crate::Builder::listener`].
///
/// The name is what its position is kept under. Without a filter it hears every action.
///
/// ```
/// use rejoin::work::Listener;
/// let listener = Listener::new("mail").slice("orders").local().from_start();
/// # let _ = listener;
/// ```
#[derive(Clone)]
pub struct Listener {
    pub(crate) name: String,
    slices: Vec<String>,
    types: Vec<String>,
    when: Option<Wanted>,
    origin: Option<Origin>,
    pub(crate) from_start: bool,
    pub(crate) deadline: Duration,
    pub(crate) attempts: u32,
    pub(crate) undoable: bool,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Listener {
    /// A listener that hears everything, from where the histories end when its name is first registered. A document
    /// that comes to the store later is heard from its first change.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            slices: Vec::new(),
            types: Vec::new(),
            when: None,
            origin: None,
            from_start: false,
            deadline: DEADLINE,
            attempts: ATTEMPTS,
            undoable: false,
        }
    }

    /// Hears the actions of this slice; called again, of another one too.
    #[must_use]
    pub fn slice(mut self, name: impl Into<String>) -> Self {
        self.slices.push(name.into());
        self
    }

    /// Hears the actions of these types (`"set"`, `"orders/placed"`); together with slices, those as well.
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Hears, of what it would hear, the types of which this says so. It is called on the store's thread and must be
    /// quick; where it panics the action is heard.
    #[must_use]
    pub fn when(mut self, wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(wanted));
        self
    }

    /// Hears only what was done on this store. Where several devices have this listener, each does its own part.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.origin = Some(Origin::Local);
        self
    }

    /// Hears only what other replicas did.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.origin = Some(Origin::Remote);
        self
    }

    /// Hears what was done from the end of the histories on, as they are when its name is first registered. The
    /// default.
    #[must_use]
    pub fn from_now(mut self) -> Self {
        self.from_start = false;
        self
    }

    /// Hears the whole history first. It says something only when the name is registered for the first time.
    #[must_use]
    pub fn from_start(mut self) -> Self {
        self.from_start = true;
        self
    }

    /// A handler that takes longer for one action is broken off, and has failed. 60 s by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// It is parked, on this document, after so many failures on one action. 10 by default.
    #[must_use]
    pub fn attempts(mut self, limit: u32) -> Self {
        self.attempts = limit.max(1);
        self
    }

    /// The actions of its reactions are steps of undo, as if a person had done them. Else undo passes them by.
    #[must_use]
    pub fn undoable(mut self) -> Self {
        self.undoable = true;
        self
    }

    pub(crate) fn problem(&self) -> Option<String> {
        let bytes = self.name.len();
        let wrong = bytes == 0 || bytes > NAME_BYTES;
        wrong.then(|| format!("its name has {bytes} bytes, and 1 to {NAME_BYTES} are possible"))
    }

    /// Whether it hears actions of this type; `None` is a change that another program made.
    pub(crate) fn wants(&self, kind: Option<&str>, origin: Origin) -> bool {
        if self.origin.is_some_and(|wanted| wanted != origin) {
            return false;
        }
        let name = kind.unwrap_or_default();
        let slice = name.split_once('/');
        let named = self.types.iter().any(|t| t == name);
        // What a slice does by itself (a migration) is nobody's action.
        if slice.is_some_and(|(_, own)| own.starts_with('@')) && !named {
            return false;
        }
        let of_slice = slice.is_some_and(|(slice, _)| self.slices.iter().any(|s| s == slice));
        let all = self.slices.is_empty() && self.types.is_empty();
        if !(all || named || of_slice) {
            return false;
        }
        let Some(when) = &self.when else { return true };
        // Invariant 8: nothing panics past its task; nothing is passed over for a panic either.
        contained(|| when(name)).unwrap_or_else(|why| {
            tracing::warn!(why, "the condition of a listener panicked; the action is heard");
            true
        })
    }
}

/// An action, as a listener hears it.
///
/// With it a handler reaches the store: [`Heard::dispatch`], [`Heard::state`], [`Heard::take`], [`Heard::fork`]. What is to be
/// done exactly once for an action belongs into the [`Reaction`]: what a handler dispatches by itself is done when it says
/// so, and again where the handler is run again. The listener hears that too, if it wants such actions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Heard {
    /// The listener.
    pub listener: String,
    /// The document that the action was dispatched to.
    pub document: DocumentId,
    /// Its change, as it is spelled now. A key for the handler's own I/O is better made of [`Heard::key`].
    pub hash: ChangeHash,
    /// The hash that the change was first heard of with: it stays the same when the change is written again after a
    /// fork, and in every attempt.
    pub key: ChangeHash,
    /// Its type; `None` for a change that another program made.
    pub action_type: Option<String>,
    /// The version of its slice.
    pub version: u32,
    /// Who did it, where that is told.
    pub author: Option<String>,
    /// Done on this store, or by another replica.
    pub origin: Origin,
    /// The action's fields without its type, where they are known: while it waits in this store's queue, and always
    /// where its slice puts them into the message ([`crate::Slice::PAYLOAD`]).
    pub payload: Option<Value>,
    /// When, by its author's clock, in milliseconds since 1970, to the second: changes have no finer time.
    pub made_at: Millis,
    /// 1 for the first attempt; counted from where the last one failed.
    pub attempt: u64,
    pub(crate) reach: Reach,
}

/// How a handler reaches the store that called it. The runner puts it there; nothing below the runner looks into it.
#[derive(Clone, Default)]
pub(crate) struct Reach(pub(crate) Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").finish_non_exhaustive()
    }
}

/// It says nothing of the action.
impl PartialEq for Reach {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a listener does about an action: recorded in one transaction with its new position, so exactly once for each
/// action and listener of this store.
///
/// The listener does not hear its own reactions; other listeners do, and the same listener on other devices.
///
/// ```
/// use rejoin::{Action, work::Reaction};
/// let reaction = Reaction::none().action(Action::Increment { path: "/heard".into(), by: 1 });
/// # let _ = reaction;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a reaction is recorded when the handler returns it"]
pub struct Reaction {
    pub(crate) actions: Vec<(Option<DocumentId>, Value)>,
    pub(crate) effects: Vec<EffectRequest>,
    pub(crate) thunks: Vec<ThunkRequest>,
    pub(crate) undoable: bool,
}

impl Reaction {
    /// Nothing: the position moves on.
    pub fn none() -> Self {
        Self::default()
    }

    /// Does this action of the built-in JSON slice, in the document of the action that was heard.
    pub fn action(self, action: crate::Action) -> Self {
        // An enum of strings, numbers and JSON values always serialises.
        self.json(serde_json::to_value(action).unwrap_or_default())
    }

    /// Does this action, given as JSON with its type, in the document of the action that was heard.
    pub fn json(mut self, action: Value) -> Self {
        self.actions.push((None, action));
        self
    }

    /// Does this action, given as JSON with its type, in another document.
    pub fn json_in(mut self, document: DocumentId, action: Value) -> Self {
        self.actions.push((Some(document), action));
        self
    }

    /// Its actions are steps of undo, as if a person had done them. Else undo passes them by, and a person who undoes
    /// goes back to what he did himself.
    pub fn undoable(mut self) -> Self {
        self.undoable = true;
        self
    }

    /// Asks for this effect, on behalf of the action that was heard.
    pub fn effect(mut self, effect: EffectRequest) -> Self {
        self.effects.push(effect);
        self
    }

    /// Starts this thunk, if its condition holds.
    pub fn thunk(mut self, thunk: ThunkRequest) -> Self {
        self.thunks.push(thunk);
        self
    }
}

/// How far a listener has heard one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// The listener.
    pub name: String,
    /// The document. Its local-only slices are counted by themselves: then the document is listed twice.
    pub document: DocumentId,
    /// Everything up to this position of the document was heard, or is not for this listener. It is written with what was
    /// heard, and now and then: what is not for this listener may lie above it. Whether all was heard,
    /// [`crate::Store::run_until_idle`] tells by returning.
    pub position: u64,
    /// The document's newest position.
    pub last: u64,
    /// It failed too often on the action after its position, and waits for [`crate::Store::resume_listener`] or
    /// [`crate::Store::skip_listener`].
    pub parked: bool,
    /// Some process hears it now, or died while it did.
    pub running: bool,
    /// How often it failed on the action after its position.
    pub attempts: u64,
    /// Why it last failed.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Millis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_slices_types_and_origins() {
        let wants = |l: &Listener, kind: &str| l.wants(Some(kind), Origin::Local);
        let all = Listener::new("a");
        assert!(wants(&all, "set") && wants(&all, "todos/added") && all.wants(None, Origin::Remote));
        assert!(!wants(&all, "todos/@migrate"));
        let some = Listener::new("a").slice("todos").types(["set", "x/@migrate"]);
        assert!(wants(&some, "todos/added") && wants(&some, "set") && wants(&some, "x/@migrate"));
        assert!(!wants(&some, "todosx/added") && !wants(&some, "delete") && !some.wants(None, Origin::Local));
        let local = Listener::new("a").local().when(|kind| kind.len() > 3);
        assert!(wants(&local, "todos/added") && !wants(&local, "set"));
        assert!(!local.wants(Some("todos/added"), Origin::Remote));
        assert!(wants(&Listener::new("a").when(|_| panic!("a bad day")), "set"));
    }
}
