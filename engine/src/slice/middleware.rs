//! What stands before and after the reducers.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Command, Slice, typed_json};
use crate::{ChangeHash, DocumentId, Error, Result, WeakStore};

/// What middleware decides about an action.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It goes on: to the next middleware, and then to its reducer.
    Continue,
    /// It fails with this reason, and nothing is changed.
    Reject(String),
    /// This action goes on in its place: `{"type": "slice/action", …}`.
    Replace(Value),
}

impl Verdict {
    /// This action of a slice goes on in its place.
    pub fn replace<S: Slice>(action: S::Action) -> Self {
        Self::Replace(typed_json::<S>(action))
    }
}

/// Sees every action that is dispatched here: before its reducer, in the order in which middleware was given to the
/// builder, and after it is durable, in the opposite order. Actions of other replicas are not dispatched here: see
/// [`crate::Store::subscribe`] and listeners.
///
/// It runs on the store's own thread: what takes long belongs into an effect, a thunk or a listener. It does not call
/// the store; a verb that would wait for the store's thread is [`Error::InsideStore`] here. What it dispatches it dispatches
/// soon, on the store that it was given when that was opened:
///
/// ```
/// use std::sync::OnceLock;
/// use rejoin::{Action, Store, WeakStore, slice::{Committed, Middleware}};
///
/// #[derive(Default)]
/// struct Counts(OnceLock<WeakStore>);
///
/// impl Middleware for Counts {
///     fn opened(&self, store: &WeakStore) {
///         let _ = self.0.set(store.clone());
///     }
///     fn after(&self, action: &Committed) {
///         let store = self.0.get().and_then(WeakStore::upgrade);
///         if let (Some(store), "set") = (store, action.action_type.as_str()) {
///             store.dispatch_soon(action.document, Action::Increment { path: "/sets".into(), by: 1 });
///         }
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::builder(dir.path().join("a.db")).middleware(Counts::default()).open().await?;
/// let id = store.create(None, None).await?;
/// store.dispatch(id, Action::Set { path: "/title".into(), value: "Hello".into() }).await?;
/// assert_eq!(store.state(id, "/sets").await?, 1);
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// The store is open, and nothing was dispatched yet. The handle does not keep it open.
    fn opened(&self, store: &WeakStore) {
        let _ = store;
    }

    /// Before the reducer. A panic rejects the action.
    fn before(&self, action: &Before<'_>) -> Verdict {
        let _ = action;
        Verdict::Continue
    }

    /// After the commit. A panic is logged, and does no other harm.
    fn after(&self, action: &Committed) {
        let _ = action;
    }
}

/// An action that was not yet reduced.
pub struct Before<'a> {
    pub(crate) document: DocumentId,
    pub(crate) command: &'a Command,
    pub(crate) json: &'a Value,
    pub(crate) state: &'a dyn Fn(&str) -> Result<Value>,
}

impl std::fmt::Debug for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before")
            .field("document", &self.document)
            .field("action", self.json)
            .finish_non_exhaustive()
    }
}

impl Before<'_> {
    /// The document.
    pub fn document(&self) -> DocumentId {
        self.document
    }

    /// The action's type: `set`, or `slice/action`.
    pub fn action_type(&self) -> &str {
        self.command.kind()
    }

    /// The action as JSON, with its type.
    pub fn action(&self) -> &Value {
        self.json
    }

    /// The action, where it is one of this slice.
    pub fn action_of<S: Slice>(&self) -> Option<S::Action> {
        read_action::<S>(self.action_type(), self.json)
    }

    /// The state of the synced document before this action, with what was dispatched together with it before.
    ///
    /// # Errors
    /// As [`crate::Store::state`].
    pub fn state(&self, pointer: &str) -> Result<Value> {
        (self.state)(pointer)
    }
}

/// An action that is durable.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Committed {
    /// The document.
    pub document: DocumentId,
    /// The change that it made; its name from now on.
    pub hash: ChangeHash,
    /// The action's type.
    pub action_type: String,
    /// The action as JSON, with its type.
    pub action: Value,
}

impl Committed {
    /// The action, where it is one of this slice.
    pub fn action_of<S: Slice>(&self) -> Option<S::Action> {
        read_action::<S>(&self.action_type, &self.action)
    }
}

/// `{"type": "slice/action"}` as the slice's own enum.
pub(crate) fn read_action<S: Slice>(kind: &str, json: &Value) -> Option<S::Action> {
    parse_action(S::NAME, kind, json).ok()
}

pub(crate) fn parse_action<A: DeserializeOwned>(slice: &str, kind: &str, json: &Value) -> Result<A> {
    let bad = |reason: String| Error::BadAction { action: kind.to_owned(), reason };
    let own = kind.strip_prefix(slice).and_then(|rest| rest.strip_prefix('/'));
    let own = own.ok_or_else(|| bad(format!("it is not an action of the slice {slice:?}")))?;
    let mut json = json.clone();
    match json.as_object_mut() {
        Some(fields) => fields.insert("type".to_owned(), own.into()),
        None => return Err(bad("it is no object".to_owned())),
    };
    // An enum of plain names without a tag reads from its name alone.
    let named = (json.as_object().map(serde_json::Map::len) == Some(1)).then(|| Value::from(own));
    serde_json::from_value(json).or_else(|error| {
        let named = named.and_then(|name| serde_json::from_value(name).ok());
        named.ok_or_else(|| bad(error.to_string()))
    })
}
