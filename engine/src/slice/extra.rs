//! Slices that react to the actions of others.

use std::{any::Any, marker::PhantomData};

use super::{Draft, Newer, Rejection, Slice};

/// A slice that reacts to the actions of another one in the same document: registered by
/// [`crate::Builder::extra_reducer`].
///
/// What it writes is in the change of the action itself: one change, two slices. So both are there or neither is, also on
/// other devices; an undo takes both back, and so does the rollback of an effect. A rejection here rejects the action. What
/// it writes is no action: no slice reacts to it in turn, and its [`Slice::effects`] and [`Slice::undo_step`] are not asked.
///
/// The change bears this slice's version too, so its migrations find what it wrote. Where a newer version has written to it
/// and it only reads then ([`Slice::NEWER`]), the action is refused.
///
/// ```
/// # use rejoin::{Slice, Store, slice::{Draft, Rejection}};
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum TodoAction { Added { title: String } }
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum StatsAction { Cleared }
/// # struct Todos; struct Stats;
/// # impl Slice for Todos {
/// #     const NAME: &'static str = "todos"; type State = serde_json::Value; type Action = TodoAction;
/// #     fn reduce(draft: &mut Draft<'_>, TodoAction::Added { title }: &TodoAction) -> Result<(), Rejection> {
/// #         draft.insert("/titles/-", title) }
/// # }
/// # impl Slice for Stats {
/// #     const NAME: &'static str = "stats"; type State = serde_json::Value; type Action = StatsAction;
/// #     fn reduce(draft: &mut Draft<'_>, _: &StatsAction) -> Result<(), Rejection> { draft.set("/added", 0) }
/// # }
/// use rejoin::slice::ExtraReducer;
///
/// impl ExtraReducer<Todos> for Stats {
///     fn react(draft: &mut Draft<'_>, action: &TodoAction) -> Result<(), Rejection> {
///         match action {
///             TodoAction::Added { .. } => draft.increment("/added", 1),
///         }
///     }
/// }
///
/// # fn main() -> rejoin::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::builder(dir.path().join("app.db"))
///     .slice::<Todos>()
///     .slice::<Stats>()
///     .extra_reducer::<Stats, Todos>()
///     .open_blocking()?;
/// let id = store.create(None, None)?;
/// store.slice::<Todos>(id).dispatch(TodoAction::Added { title: "Milk".into() })?;
/// assert_eq!(store.slice::<Stats>(id).state()?["added"], 1);
/// store.undo(id)?;
/// assert_eq!(store.slice::<Stats>(id).state()?["added"], 0);
/// # Ok(()) }
/// ```
pub trait ExtraReducer<Other: Slice>: Slice {
    /// Does what follows from the other slice's action, after that slice's own reducer, on a draft of this slice. Pure, as
    /// [`Slice::reduce`] is.
    ///
    /// # Errors
    /// Why the action cannot be done. Then nothing is changed, in neither slice.
    fn react(draft: &mut Draft<'_>, action: &Other::Action) -> Result<(), Rejection>;
}

/// An [`ExtraReducer`], without its types.
pub(crate) trait AnyExtra: Send + Sync {
    fn slice(&self) -> &'static str;
    fn version(&self) -> u32;
    fn newer(&self) -> Newer;
    fn react(&self, draft: &mut Draft<'_>, action: &dyn Any) -> Result<(), Rejection>;
}

/// That `S` reacts to `Other`.
pub(super) struct Extra<S, Other>(PhantomData<fn() -> (S, Other)>);

impl<S, Other> Extra<S, Other> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<Other: Slice, S: ExtraReducer<Other>> AnyExtra for Extra<S, Other> {
    fn slice(&self) -> &'static str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn newer(&self) -> Newer {
        S::NEWER
    }

    fn react(&self, draft: &mut Draft<'_>, action: &dyn Any) -> Result<(), Rejection> {
        let action = action.downcast_ref::<Other::Action>();
        let action =
            action.ok_or_else(|| format!("it is not of the slice that was registered as {}", Other::NAME))?;
        draft.within(S::NAME, |draft| S::react(draft, action))
    }
}
