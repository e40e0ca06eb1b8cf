//! How an action stands in undo.

use crate::{Error, Result};

/// The longest label and group, in bytes.
const TEXT_BYTES: usize = 200;

/// How an action stands in undo: whether it can be undone, what a menu calls it, and what it is undone with. A slice says
/// it of its actions ([`crate::Slice::undo_step`]), and a dispatch of one ([`crate::Store::dispatch_step`]); what the
/// dispatch says goes before what the slice says.
///
/// It is kept in the store's file, beside the change: so it is the same in every process on the store and after a
/// restart, and nothing of it goes to others, who never undo what was done here.
///
/// ```
/// # fn main() -> rejoin::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use rejoin::{Action, UndoStep, blocking::Store};
/// let store = Store::open(dir.path().join("notes.db"))?;
/// let id = store.create(None, None)?;
/// let typed = |pos, insert: &str| Action::Splice { path: "/note".into(), pos, delete: 0, insert: insert.into() };
/// let typing = UndoStep::new().group("typing").label("Typing");
/// for (pos, letter) in ["a", "b", "c"].into_iter().enumerate() {
///     store.dispatch_step(id, typed(pos as u64, letter), &typing)?;
/// }
/// // The menu has "Undo Typing", for three actions.
/// let next = store.next_undo(id)?.expect("something was done");
/// assert_eq!((next.label.as_str(), next.actions), ("Typing", 3));
/// store.undo(id)?;
/// assert_eq!(store.state(id, "/note")?, "");
/// assert_eq!(store.next_redo(id)?.map(|next| next.label).as_deref(), Some("Typing"));
/// store.redo(id)?;
/// assert_eq!(store.state(id, "/note")?, "abc");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoStep {
    pub(crate) undoable: Option<bool>,
    pub(crate) label: Option<String>,
    pub(crate) group: Option<String>,
}

impl UndoStep {
    /// As usual: what a person dispatches is undone by itself, and is called by its type; what follows from it (the
    /// action after a thunk or an effect, a listener's reaction) is passed by.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a menu calls it ("Undo Rename"): 200 bytes at most. Its type, where nothing is said.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// It is one step with the action before it, where that has the same group, is less than a second old
    /// ([`crate::Builder::undo_window`]), and is the last that could be undone: typing, say. At most 100
    /// actions are one step, and what comes then begins the next: an undo makes a change for each, while a person waits.
    /// [`crate::NextStep::actions`] says how many it takes back. The key has 200 bytes at most.
    #[must_use]
    pub fn group(mut self, key: impl Into<String>) -> Self {
        self.group = Some(key.into());
        self
    }

    /// It is undone also where it follows from something: as a listener's reaction, or after a thunk or an effect.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.undoable = Some(true);
        self
    }

    /// Undo passes it by, and what was undone before it can still be redone: for what is no deed, as a selection or the
    /// time at which something was read. [`crate::Store::undo_change`] takes it back all the same.
    #[must_use]
    pub fn never(mut self) -> Self {
        self.undoable = Some(false);
        self
    }

    /// What is said here, and where nothing is, what is said there.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            undoable: self.undoable.or(other.undoable),
            label: self.label.or(other.label),
            group: self.group.or(other.group),
        }
    }

    /// # Errors
    /// [`Error::BadAction`] for a text that is empty or too long.
    pub(crate) fn check(&self, action: &str) -> Result<()> {
        for (what, text) in [("label", &self.label), ("group", &self.group)] {
            let bytes = text.as_ref().map_or(1, String::len);
            if bytes == 0 || bytes > TEXT_BYTES {
                let reason =
                    format!("its {what} for undo has {bytes} bytes, and 1 to {TEXT_BYTES} are possible");
                return Err(Error::BadAction { action: action.to_owned(), reason });
            }
        }
        Ok(())
    }
}
