//! What a migration of a slice may do.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Draft, Rejection, draft::escape};

/// A slice's part of a document while it is brought to a newer form. Paths are as in [`Draft`].
///
/// It can read anything, put values at paths and remove them. It can neither insert into a list nor increment nor
/// splice, for what two devices insert at once is there twice.
///
/// ```
/// use rejoin::slice::{Draft, Migration, Rejection, Slice};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// #[serde(tag = "type")]
/// enum Act { Added { item: String } }
///
/// struct Shopping;
/// impl Slice for Shopping {
///     const NAME: &'static str = "shopping";
///     const VERSION: u32 = 2;
///     type State = serde_json::Value;
///     type Action = Act;
///     fn reduce(draft: &mut Draft<'_>, Act::Added { item }: &Act) -> Result<(), Rejection> {
///         draft.insert("/items/-", item)
///     }
///     // Version 1 called them things.
///     fn migrate(from: u32, slice: &mut Migration<'_, '_>) -> Result<(), Rejection> {
///         if from < 2 { slice.rename("/things", "/items") } else { Ok(()) }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Migration<'m, 'd> {
    draft: &'m mut Draft<'d>,
}

impl<'m, 'd> Migration<'m, 'd> {
    pub(crate) fn new(draft: &'m mut Draft<'d>) -> Self {
        Self { draft }
    }

    /// As [`Draft::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, path: &str) -> Result<Option<Value>, Rejection> {
        self.draft.get(path)
    }

    /// As [`Draft::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Rejection> {
        self.draft.read(path)
    }

    /// The keys of the map at a path; none where there is no map.
    ///
    /// # Errors
    /// A path that leads nowhere.
    pub fn keys(&self, path: &str) -> Result<Vec<String>, Rejection> {
        self.draft.keys(path)
    }

    /// Puts a value at a path; maps are merged key by key. What is there already is not written again.
    ///
    /// # Errors
    /// As [`Draft::set`].
    pub fn put(&mut self, path: &str, value: impl Serialize) -> Result<(), Rejection> {
        self.draft.merge(path, value)
    }

    /// Removes what is at a path, if anything is.
    ///
    /// # Errors
    /// As [`Draft::delete`].
    pub fn delete(&mut self, path: &str) -> Result<(), Rejection> {
        self.draft.delete(path)
    }

    /// Moves what is at `from` to `to`. Where nothing is, nothing happens. Maps are merged key by key.
    ///
    /// Where both are there an older version wrote `from` while a newer one wrote `to`: then the later one stays, by the
    /// time that each change bears, so that an older device's earlier edit does not go over a newer device's later
    /// one. Where neither knew of the other, the one that does not stay is listed by [`crate::Store::conflicts`] at `to`, and
    /// can be taken; else it is in the history. What only a migration put at `to` is nobody's edit, and gives way.
    ///
    /// # Errors
    /// Collaborative text and counters cannot be moved: what another device writes to them meanwhile would be lost.
    /// They stay where they are in every version.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Rejection> {
        if self.draft.is_collaborative(from)? {
            return Err(format!("{from:?} is collaborative text or a counter, which cannot be moved").into());
        }
        let Some(value) = self.draft.get(from)? else { return Ok(()) };
        self.move_later(from, to, value)?;
        self.draft.delete(from)
    }

    fn move_later(&mut self, from: &str, to: &str, value: Value) -> Result<(), Rejection> {
        if let Value::Object(fields) = value {
            if self.draft.get(to)?.is_some_and(|there| there.is_object()) {
                for (key, value) in fields {
                    let key = escape(&key);
                    self.move_later(&format!("{from}/{key}"), &format!("{to}/{key}"), value)?;
                }
                return Ok(());
            }
            return self.put_if_later(from, to, Value::Object(fields));
        }
        self.put_if_later(from, to, value)
    }

    fn put_if_later(&mut self, from: &str, to: &str, value: Value) -> Result<(), Rejection> {
        let (old, there) = (self.draft.last_write(from)?, self.draft.last_write(to)?);
        let stays = there.is_some_and(|there| old.is_none_or(|old| old.at <= there.at));
        if let (Some(old), Some(there)) = (old, there)
            && self.draft.get(to)?.as_ref() != Some(&value)
        {
            let (lost_at, which) = if stays { (from, (old, there)) } else { (to, (there, old)) };
            self.draft.note_lost(to, lost_at, which)?;
        }
        if stays { Ok(()) } else { self.draft.merge(to, value) }
    }
}
