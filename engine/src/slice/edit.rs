//! [`Draft::edit`]: what differs between two values of one type, written.

use automerge::{ObjType, ScalarValue, transaction::Transactable};
use serde::{Serialize, de::DeserializeOwned};

use super::{Draft, Rejection, draft::escape, shape::Shape};
use crate::{container::ContainerKind, revision::differences};

impl Draft<'_> {
    /// Reads the slice into a typed value, lets it be edited, and writes what differs. It costs the size of the slice.
    /// Where nothing is yet the value begins as its default; fields that are not in the document need a default of
    /// their own (`#[serde(default)]`).
    ///
    /// What differs is written so that it merges with what others write at once, as far as the type says so: fields one by
    /// one; items of lists by what came and went; a [`Text`](super::Text) by the parts that differ; a
    /// [`Counter`](super::Counter) by what it grew. Maps and lists that the type's default has are the same on all devices. A
    /// map or list that comes as a new entry of a map is this device's own: see [the table](super#what-merges).
    ///
    /// # Errors
    /// What is there does not fit the type, or the type is no struct or map; what `edit` returns.
    ///
    /// ```
    /// use rejoin::{Slice, slice::{Counter, Draft, Rejection, Text}};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    /// #[serde(default)]
    /// struct Board { title: Text, votes: Counter, tags: Vec<String> }
    /// #[derive(Serialize, Deserialize)]
    /// #[serde(tag = "type")]
    /// enum Act { Voted { tag: String } }
    ///
    /// struct Boards;
    /// impl Slice for Boards {
    ///     const NAME: &'static str = "board";
    ///     type State = Board;
    ///     type Action = Act;
    ///     fn reduce(draft: &mut Draft<'_>, Act::Voted { tag }: &Act) -> Result<(), Rejection> {
    ///         draft.edit(|board: &mut Board| {
    ///             board.votes.add(1);
    ///             board.tags.push(tag.clone());
    ///             Ok(())
    ///         })
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = rejoin::Store::builder(dir.path().join("board.db")).slice::<Boards>().open().await?;
    /// let board = store.slice::<Boards>(store.create(None, None).await?);
    /// board.dispatch(Act::Voted { tag: "food".into() }).await?;
    /// assert_eq!(board.state().await?.votes.value(), 1);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    pub fn edit<T: Serialize + DeserializeOwned + Default>(
        &mut self,
        edit: impl FnOnce(&mut T) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        let mut value: T = self.read("")?.unwrap_or_default();
        let shape = |value: &T| Shape::of(value).map_err(|e| format!("the state cannot be written: {e}"));
        let before = shape(&value)?;
        edit(&mut value)?;
        let after = shape(&value)?;
        if !matches!(after, Shape::Map(_)) {
            return Err("the state of a slice is a struct or a map".into());
        }
        self.write_difference("", (&before, &after))
    }

    /// Writes what differs of a value that the type had before: where the document has none it is the default, so it is there
    /// on every device.
    fn write_difference(&mut self, path: &str, (before, after): (&Shape, &Shape)) -> Result<(), Rejection> {
        if before == after {
            return Ok(());
        }
        match (before, after) {
            (Shape::Map(old), Shape::Map(new)) => {
                self.object(path, ContainerKind::Map)?;
                for key in old.keys().filter(|key| !new.contains_key(*key)) {
                    self.delete(&below(path, key))?;
                }
                for (key, new) in new {
                    let path = below(path, key);
                    match old.get(key) {
                        Some(old) => self.write_difference(&path, (old, new))?,
                        None => self.write_whole(&path, new)?,
                    }
                }
                Ok(())
            }
            (Shape::List(_), Shape::List(new)) if !self.holds(path)? => self.write_items(path, &[], new),
            (Shape::List(old), Shape::List(new)) => self.write_items(path, old, new),
            (Shape::Text(_), Shape::Text(text)) => self.write_text(path, text),
            (Shape::Counter(old), Shape::Counter(new)) => {
                if *old != 0 && !self.holds(path)? {
                    return Err(
                        format!("the counter at {path:?} is not in the document, and begins at 0").into()
                    );
                }
                let by = new.checked_sub(*old).ok_or("a counter grows by a 64-bit number at most")?;
                self.increment(path, by)
            }
            _ => {
                self.delete(path)?;
                self.write_whole(path, after)
            }
        }
    }

    /// A value where none was.
    fn write_whole(&mut self, path: &str, value: &Shape) -> Result<(), Rejection> {
        match value {
            Shape::Counter(count) => self.increment(path, *count),
            Shape::Text(text) => self.write_text(path, text),
            Shape::Map(entries) if value.is_collaborative() => {
                self.set_whole(path, serde_json::Map::new())?;
                entries.iter().try_for_each(|(key, value)| self.write_whole(&below(path, key), value))
            }
            Shape::List(items) if value.is_collaborative() => {
                self.set_whole(path, Vec::<()>::new())?;
                self.write_items(path, &[], items)
            }
            Shape::Map(_) | Shape::List(_) => self.set_whole(path, value.to_json()),
            Shape::Plain(plain) => self.set(path, plain),
        }
    }

    fn write_text(&mut self, path: &str, text: &str) -> Result<(), Rejection> {
        if self.get(path)?.is_some() && !self.is_collaborative(path)? {
            // A plain string of before: only its device knows of it.
            self.delete(path)?;
        }
        self.update_text(path, text)
    }

    fn write_items(&mut self, path: &str, old: &[Shape], new: &[Shape]) -> Result<(), Rejection> {
        self.object(path, ContainerKind::List)?;
        let texts = |items: &[Shape]| items.iter().map(|item| item.to_json().to_string()).collect::<Vec<_>>();
        // From the end, so that what is before keeps its place.
        for part in differences(&texts(old), &texts(new)).into_iter().rev() {
            let both = part.old.len().min(part.new.len());
            for at in (part.old.start + both..part.old.end).rev() {
                self.delete(&below(path, &at.to_string()))?;
            }
            let at = part.old.start + both;
            for item in new.get(part.new.start + both..part.new.end).unwrap_or_default().iter().rev() {
                self.insert_item(path, at, item)?;
            }
            for (at, new) in (part.old.start..at).zip(new.get(part.new).unwrap_or_default()) {
                let Some(old) = old.get(at) else { continue };
                self.write_difference(&below(path, &at.to_string()), (old, new))?;
            }
        }
        Ok(())
    }

    fn insert_item(&mut self, path: &str, at: usize, item: &Shape) -> Result<(), Rejection> {
        if !item.is_collaborative() {
            return self.insert(&below(path, &at.to_string()), item.to_json());
        }
        let list = self.object(path, ContainerKind::List)?;
        let here = below(path, &at.to_string());
        match item {
            Shape::Counter(count) => Ok(self.automerge().insert(&list, at, ScalarValue::counter(*count))?),
            Shape::Text(text) => {
                self.automerge().insert_object(&list, at, ObjType::Text)?;
                self.update_text(&here, text)
            }
            Shape::Map(entries) => {
                self.automerge().insert_object(&list, at, ObjType::Map)?;
                entries.iter().try_for_each(|(key, value)| self.write_whole(&below(&here, key), value))
            }
            Shape::List(items) => {
                self.automerge().insert_object(&list, at, ObjType::List)?;
                self.write_items(&here, &[], items)
            }
            Shape::Plain(_) => Ok(()),
        }
    }
}

fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", escape(key))
}
