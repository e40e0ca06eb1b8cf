//! Typed slices: a named part of a document with its state type, its actions and its reducer.
//!
//! A slice lives under its name at the root of a document, so several share one. Its actions are a serde-tagged
//! enum, and its reducer an exhaustive `match` on it, given a [`Draft`]: a transaction on the document with the
//! action's id and time, and no clock, no randomness and no I/O.
//!
//! ```
//! use rejoin::{Store, slice::{Draft, Rejection, Slice}};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", rename_all = "snake_case")]
//! enum CounterAction { Added { by: i64 }, Cleared }
//!
//! #[derive(Debug, Default, Deserialize, PartialEq)]
//! struct CounterState { #[serde(default)] value: i64 }
//!
//! struct Counter;
//! impl Slice for Counter {
//!     const NAME: &'static str = "counter";
//!     type State = CounterState;
//!     type Action = CounterAction;
//!     fn reduce(draft: &mut Draft<'_>, action: &CounterAction) -> Result<(), Rejection> {
//!         match action {
//!             CounterAction::Added { by } => draft.increment("/value", *by),
//!             CounterAction::Cleared => draft.set("/value", 0),
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! let store = Store::builder(dir.path().join("counter.db")).slice::<Counter>().open().await?;
//! let counter = store.slice::<Counter>(store.create(None, None).await?);
//! counter.dispatch(CounterAction::Added { by: 2 }).await?;
//! assert_eq!(counter.state().await?, CounterState { value: 2 });
//! # Ok::<(), rejoin::Error>(()) }).unwrap();
//! ```
//!
//! # Two ways to write a reducer
//! With the verbs of [`Draft`] (and [`Draft::automerge`] under them) an action costs what it writes, however large
//! the document is. With [`Draft::edit`] the slice's state is read into a typed value, edited
//! as any Rust value, and what differs is written: it costs the size of the slice, each time. Measured (`bench --only
//! reducers`): 0.25 ms an action on the transaction with 100 things and with 10,000; on a typed value 2 ms and 217 ms.
//!
//! # What merges
//! What two devices write at the same time, each not knowing of the other, comes to this:
//!
//! | both write | then |
//! |---|---|
//! | different fields of a struct, keys of a map | both are there |
//! | one field: plain numbers, strings, truth values | one of them reads, the same everywhere; the other is listed as a conflict |
//! | a counter: [`Draft::increment`], a [`Counter`] in [`Draft::edit`] | both are added, also where both made it |
//! | a text: [`Draft::splice`], [`Draft::update_text`], a [`Text`] in [`Draft::edit`] | what each wrote is there, also where both made it |
//! | a list: [`Draft::insert`], items in [`Draft::edit`] | what each inserted is there, also where both made the list |
//! | a map made as a parent, by [`Draft::object`], [`Draft::merge`], or that the state's default has | one map with both their entries |
//! | a list: one item *moved*, that is deleted here and inserted there | it is there twice, for each inserted one of its own: see below |
//! | a whole map or list by [`Draft::set`], or as a new entry of a map in [`Draft::edit`] | one of them reads, and hides the other: a conflict. New ids (`ActionInfo::id`) never meet |
//! | one deletes what the other writes in | it is gone with what was written in it; a field that the other *set* stays |
//!
//! So an id that two devices may choose alike (a date, a tag) wants `draft.object` or `draft.merge` first, and a random id
//! nothing.
//!
//! # Order
//! Automerge has no move: a list of ids beside the entities, as Redux Toolkit's `ids`, doubles an id that two devices move at
//! the same time, and no conflict tells of it. Keep the place in the entity, as a field, and sort by it
//! ([`EntityList`] keeps a sorted list): a rank between those of its neighbours
//! (a number between 1.0 and 2.0, say) moves an item by one `set`, and of two moves one reads.
//!
//! # What syncs
//! Operations, not actions. An action of another replica is in the document when it arrives; no reducer runs for it
//! here, so one of an unknown type or a newer version counts as well, and is shown by its name.

mod collaborative;
mod draft;
mod edit;
mod entities;
mod extra;
mod finite;
mod handle;
mod latest;
mod list;
mod middleware;
mod migration;
mod part;
mod registry;
mod select;
mod shape;
mod writers;

pub use collaborative::{Counter, Text};
pub use draft::{ActionInfo, Draft, Rejection, pointer};
pub use entities::{Entities, EntityMap};
pub use extra::ExtraReducer;
pub use handle::{Changes, SliceChange, SliceHandle};
pub use latest::Results;
pub use list::{Entity, EntityList, EntityQuery};
pub use middleware::{Before, Committed, Middleware, Verdict};
pub use migration::Migration;
pub use part::Part;
pub(crate) use select::is_under;
pub use select::{Input, Selector};

pub(crate) use draft::Ground;
pub(crate) use extra::AnyExtra;
pub(crate) use middleware::read_action;
pub(crate) use registry::{BUILT_IN, Command, Intent, Registry, Typed, payload_of, typed_json};
pub(crate) use writers::Writers;

use serde::{Serialize, de::DeserializeOwned};

use crate::{UndoStep, job::EffectRequest};

/// Where a slice's state lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// In the document: durable, and synced.
    #[default]
    Synced,
    /// In a companion document beside it: durable, and nothing of it leaves the device.
    Local,
    /// In the memory of this process: for drafts and the state of requests. Gone when the store is closed.
    Memory,
}

/// What this version of a slice does where a newer one has written.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use rejoin::{Error, Slice, Store, slice::{Draft, Newer, Rejection}};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # #[serde(tag = "type")]
/// # enum Act { Put { value: serde_json::Value } }
/// # struct New;
/// # impl Slice for New {
/// #     const NAME: &'static str = "notes"; const VERSION: u32 = 2;
/// #     type State = serde_json::Value; type Action = Act;
/// #     fn reduce(draft: &mut Draft<'_>, Act::Put { value }: &Act) -> Result<(), Rejection> { draft.set("/pages", value) }
/// # }
/// #[derive(Debug, Default, serde::Deserialize)]
/// #[serde(default)]
/// struct Notes { pages: Vec<String> }
///
/// struct Old;
/// impl Slice for Old {
///     const NAME: &'static str = "notes";
///     const NEWER: Newer = Newer::ReadOnly;
///     type State = Notes;
///     // …
/// #   type Action = Act;
/// #   fn reduce(draft: &mut Draft<'_>, Act::Put { value }: &Act) -> Result<(), Rejection> { draft.set("/pages", value) }
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::builder(dir.path().join("a.db")).slice::<New>().open().await?;
/// # let id = store.create(None, None).await?;
/// # store.slice::<New>(id).dispatch(Act::Put { value: serde_json::json!({"one": true}) }).await?;
/// # store.close().await?;
/// # let store = Store::builder(dir.path().join("a.db")).slice::<Old>().open().await?;
/// // Where version 2 keeps a map of pages:
/// let notes = store.slice::<Old>(id);
/// let said = "slice notes was written by version 2; this is version 1";
/// assert_eq!(notes.state().await.unwrap_err().to_string(), said);
/// let written = notes.dispatch(Act::Put { value: serde_json::json!(["two"]) }).await;
/// assert!(matches!(written, Err(Error::NewerSlice { .. })));
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Newer {
    /// It goes on writing: its actions are migrated where the newer version runs. It reads what fits its type. For
    /// reducers that leave alone what they do not know.
    #[default]
    Write,
    /// It only reads, where what is there fits its type: its actions are refused with [`crate::Error::NewerSlice`]. For
    /// reducers that would spoil what they do not know.
    ReadOnly,
}

/// A named part of a document.
///
/// The type that implements it is a name for the compiler and holds nothing. See the [module](self) for an example.
pub trait Slice: Send + Sync + 'static {
    /// The key at the document's root under which it lives, and the first part of its actions' types: letters, digits,
    /// `_`, `-` and `.`, 64 at most. It must never change.
    const NAME: &'static str;
    /// The version of its state and actions. Raise it when the state's form changes, and say in [`Slice::migrate`] how
    /// what was written before becomes what is read now.
    const VERSION: u32 = 1;
    /// Where it lives.
    const SCOPE: Scope = Scope::Synced;
    /// What this version does where a newer one has written: here, or on another device. Either way a state that does not
    /// fit its type is [`crate::Error::NewerSlice`], which says what to do: update the app.
    const NEWER: Newer = Newer::Write;
    /// Whether actions bear their payload to other replicas, where subscribers and listeners can read it. It costs its
    /// own size in every replica and at the server, for ever.
    const PAYLOAD: bool = false;
    /// What is read. A field that is not in the document must have a default (`#[serde(default)]`): it may come later.
    type State: DeserializeOwned + Default + Send + Sync + 'static;
    /// What can be done: an enum with `#[serde(tag = "type")]`.
    type Action: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Does an action.
    ///
    /// It must be pure: the same document and action give the same writes. It may be run several times for one action,
    /// each time from the same state, while containers are made that two devices can share.
    ///
    /// # Errors
    /// Why it cannot be done. Then nothing is changed, and the dispatch fails with this reason.
    fn reduce(draft: &mut Draft<'_>, action: &Self::Action) -> Result<(), Rejection>;

    /// What the action asks of the outside, once it is durable: recorded in the same transaction, and sent by
    /// [`Store::run_effects`](crate::Store::run_effects), of this store only. Pure, as the reducer is; asked of synced
    /// slices only.
    fn effects(action: &Self::Action, info: &ActionInfo) -> Vec<EffectRequest> {
        let _ = (action, info);
        Vec::new()
    }

    /// How the action stands in undo: what a menu calls it, what it is undone with, whether it is undone at all. Asked
    /// when it is dispatched, of synced slices only; what [`SliceHandle::dispatch_step`] says goes before it.
    ///
    /// ```
    /// # use rejoin::{Slice, UndoStep, slice::{Draft, Rejection}};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # #[serde(tag = "type")]
    /// # enum CardAction { Renamed { to: String }, Typed { text: String }, Opened }
    /// # struct Card;
    /// impl Slice for Card {
    /// #   const NAME: &'static str = "card";
    /// #   type State = serde_json::Value;
    /// #   type Action = CardAction;
    /// #   fn reduce(_: &mut Draft<'_>, _: &CardAction) -> Result<(), Rejection> { Ok(()) }
    ///     fn undo_step(action: &CardAction) -> UndoStep {
    ///         match action {
    ///             CardAction::Renamed { .. } => UndoStep::new().label("Rename"),
    ///             CardAction::Typed { .. } => UndoStep::new().label("Typing").group("typing"),
    ///             CardAction::Opened => UndoStep::new().never(),
    ///         }
    ///     }
    /// #   // The rest as ever.
    /// }
    /// # assert_eq!(Card::undo_step(&CardAction::Opened), UndoStep::new().never());
    /// ```
    fn undo_step(action: &Self::Action) -> UndoStep {
        let _ = action;
        UndoStep::new()
    }

    /// Brings what actions of version `from` wrote to the form of `from + 1`; called for each version in turn, before
    /// the slice is read or written where older actions have come since the last time. So it must be safe to repeat,
    /// and leave alone what has the new form already.
    ///
    /// Two devices that migrate at once converge without doubling: a [`Migration`] puts values at keys that are
    /// derived from what it reads, and can neither insert nor increment.
    ///
    /// # Errors
    /// Why it cannot be done. Then nothing is changed, and reading or writing the slice fails with this reason.
    fn migrate(from: u32, migration: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        let _ = (from, migration);
        Ok(())
    }
}
