//! Several actions, all or none.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    Action, DocumentId, Result, UndoStep,
    action::shallow,
    job::{EffectRequest, ThunkRequest},
    slice::{Command, Slice, Typed},
};

/// Several actions, of several slices and documents, that are done together or not at all: in one commit, and as one step
/// of undo. Undone in one of its documents, it is undone in all, in one commit ([`crate::Undone::beside`]); where one of them
/// was deleted or left meanwhile, what was done there stays, and [`crate::Undone::gone`] names it. See
/// [`crate::Store::transact`].
///
/// Each action is a change of its own, in the order in which it was added, and sees what those before it wrote. Slices in
/// memory ([`crate::Scope::Memory`]) take no part. An undo makes a change for each action, and costs the
/// square of their number in a document: a hundred take a tenth of a second, a thousand three seconds. What is more than that
/// for one document is better one action with a list in it.
///
/// ```
/// # use rejoin::{Error, Slice, Store, slice::{Draft, Rejection}};
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")]
/// # enum Act { Moved { by: i64 } }
/// # struct Purse;
/// # impl Slice for Purse {
/// #     const NAME: &'static str = "purse";
/// #     type State = serde_json::Value;
/// #     type Action = Act;
/// #     fn reduce(draft: &mut Draft<'_>, Act::Moved { by }: &Act) -> Result<(), Rejection> {
/// #         let has: i64 = draft.read("/coins")?.unwrap_or_default();
/// #         if has + by < 0 { return Err("there is not so much in it".into()); }
/// #         draft.increment("/coins", *by)
/// #     }
/// # }
/// # fn main() -> rejoin::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use rejoin::{Transaction, UndoStep};
/// # let store = Store::builder(dir.path().join("a.db")).slice::<Purse>().open_blocking()?;
/// # let (ada, bob) = (store.create(None, Some("ada"))?, store.create(None, Some("bob"))?);
/// let pay = |coins| {
///     Transaction::new()
///         .dispatch::<Purse>(bob, Act::Moved { by: coins })
///         .dispatch::<Purse>(ada, Act::Moved { by: -coins })
///         .undo_step(UndoStep::new().label("Pay"))
/// };
/// store.slice::<Purse>(ada).dispatch(Act::Moved { by: 5 })?;
/// assert!(matches!(store.transact(pay(9)), Err(Error::Rejected { .. })));
/// assert_eq!(store.state(bob, "")?, serde_json::json!({}));
/// assert_eq!(store.transact(pay(3))?.len(), 2);
/// assert_eq!((store.state(ada, "/purse/coins")?, store.state(bob, "/purse/coins")?), (2.into(), 3.into()));
/// store.undo(ada)?.expect("it was paid");
/// assert_eq!((store.state(ada, "/purse/coins")?, store.state(bob, "/purse/coins")?), (5.into(), 0.into()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "it is done by `Store::transact`"]
pub struct Transaction {
    pub(crate) deeds: Result<Vec<Deed>>,
    pub(crate) step: UndoStep,
}

/// One thing that a transaction does.
#[derive(Debug)]
pub(crate) enum Deed {
    Command(DocumentId, Command),
    Json(DocumentId, Value),
    Effect(Box<EffectRequest>),
    Thunk(Box<ThunkRequest>),
}

impl Default for Transaction {
    fn default() -> Self {
        Self { deeds: Ok(Vec::new()), step: UndoStep::new() }
    }
}

impl Transaction {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, deed: impl FnOnce() -> Result<Deed>) -> Self {
        self.deeds = self.deeds.and_then(|mut deeds| {
            deeds.push(deed()?);
            Ok(deeds)
        });
        self
    }

    /// Does an action of a slice.
    pub fn dispatch<S: Slice>(self, document: DocumentId, action: S::Action) -> Self {
        self.with(|| Ok(Deed::Command(document, Command::Slice(Arc::new(Typed::<S>::new(action)?)))))
    }

    /// Does an action of the built-in JSON slice.
    pub fn action(self, document: DocumentId, action: Action) -> Self {
        self.with(|| Ok(Deed::Command(document, action.into())))
    }

    /// Does an action that is given as JSON, with its type.
    pub fn json(self, document: DocumentId, action: Value) -> Self {
        self.with(|| Ok(Deed::Json(document, shallow(&action)?)))
    }

    /// Asks for this effect, on behalf of the action before it, beside those that its slice asks for.
    pub fn effect(self, effect: EffectRequest) -> Self {
        self.with(|| Ok(Deed::Effect(Box::new(effect))))
    }

    /// Starts this thunk, if its condition holds after the actions before it; where it does not, the rest is done all the
    /// same.
    pub fn thunk(self, thunk: ThunkRequest) -> Self {
        self.with(|| Ok(Deed::Thunk(Box::new(thunk))))
    }

    /// How it stands in undo: its label, its group, or that it cannot be undone. What is said here goes before what the
    /// slices say of their actions.
    pub fn undo_step(mut self, step: UndoStep) -> Self {
        self.step = step;
        self
    }
}
