//! A part of a slice, for a reducer that writes in it by keys.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Draft, Entities, Rejection, draft::escape};

/// A map of a slice, or an entity, in a reducer. What is written is named by its key in that map, whatever the key holds:
/// no path can go wrong.
///
/// ```
/// use rejoin::{Slice, slice::{Draft, Rejection}};
/// use serde::{Deserialize, Serialize};
///
/// struct Todos;
/// #[derive(Serialize, Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Act { Done { id: String } }
///
/// impl Slice for Todos {
///     const NAME: &'static str = "todos";
///     type State = serde_json::Value;
///     type Action = Act;
///     fn reduce(draft: &mut Draft<'_>, Act::Done { id }: &Act) -> Result<(), Rejection> {
///         let mut item = draft.part(["items", id]);
///         item.set("done", true)?;
///         item.increment("times", 1)?;
///         item.part(["by"]).set("a/b", "ada")
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = rejoin::Store::builder(dir.path().join("todos.db")).slice::<Todos>().open().await?;
/// let todos = store.slice::<Todos>(store.create(None, None).await?);
/// todos.dispatch(Act::Done { id: "x~/y".into() }).await?;
/// let made = serde_json::json!({"items": {"x~/y": {"done": true, "times": 1, "by": {"a/b": "ada"}}}});
/// assert_eq!(todos.state().await?, made);
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Part<'e, 'd> {
    draft: &'e mut Draft<'d>,
    path: String,
}

impl<'e, 'd> Part<'e, 'd> {
    pub(super) fn new(draft: &'e mut Draft<'d>, path: String) -> Self {
        Self { draft, path }
    }

    fn at(&self, key: &str) -> String {
        format!("{}/{}", self.path, escape(key))
    }

    /// Where it is, as a JSON Pointer from the slice's root, for the verbs of [`Draft`].
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The map at these keys of this one.
    pub fn part<K: AsRef<str>>(&mut self, keys: impl IntoIterator<Item = K>) -> Part<'_, 'd> {
        let path = format!("{}{}", self.path, super::pointer(keys));
        Part::new(self.draft, path)
    }

    /// The map of entities under a key.
    pub fn entities(&mut self, key: &str) -> Entities<'_, 'd> {
        let path = self.at(key);
        self.draft.entities(&path)
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// Something on the way to it is neither map nor list.
    pub fn is_there(&self) -> Result<bool, Rejection> {
        Ok(self.draft.get(&self.path)?.is_some())
    }

    /// As [`Draft::get`].
    ///
    /// # Errors
    /// As [`Draft::get`].
    pub fn get(&self, key: &str) -> Result<Option<Value>, Rejection> {
        self.draft.get(&self.at(key))
    }

    /// As [`Draft::read`].
    ///
    /// # Errors
    /// As [`Draft::read`].
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Rejection> {
        self.draft.read(&self.at(key))
    }

    /// As [`Draft::set`].
    ///
    /// # Errors
    /// As [`Draft::set`].
    pub fn set(&mut self, key: &str, value: impl Serialize) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.set(&path, value)
    }

    /// As [`Draft::merge`].
    ///
    /// # Errors
    /// As [`Draft::merge`].
    pub fn merge(&mut self, key: &str, value: impl Serialize) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.merge(&path, value)
    }

    /// As [`Draft::delete`].
    ///
    /// # Errors
    /// As [`Draft::delete`].
    pub fn delete(&mut self, key: &str) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.delete(&path)
    }

    /// As [`Draft::increment`].
    ///
    /// # Errors
    /// As [`Draft::increment`].
    pub fn increment(&mut self, key: &str, by: i64) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.increment(&path, by)
    }

    /// Inserts at the end of the list under a key, made when missing.
    ///
    /// # Errors
    /// As [`Draft::insert`].
    pub fn push(&mut self, key: &str, value: impl Serialize) -> Result<(), Rejection> {
        let path = format!("{}/-", self.at(key));
        self.draft.insert(&path, value)
    }

    /// Inserts before an index of the list under a key, made when missing.
    ///
    /// # Errors
    /// As [`Draft::insert`].
    pub fn insert(&mut self, key: &str, index: usize, value: impl Serialize) -> Result<(), Rejection> {
        let path = format!("{}/{index}", self.at(key));
        self.draft.insert(&path, value)
    }

    /// As [`Draft::splice`].
    ///
    /// # Errors
    /// As [`Draft::splice`].
    pub fn splice(&mut self, key: &str, pos: u64, delete: u64, insert: &str) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.splice(&path, pos, delete, insert)
    }

    /// As [`Draft::update_text`].
    ///
    /// # Errors
    /// As [`Draft::update_text`].
    pub fn update_text(&mut self, key: &str, new: &str) -> Result<(), Rejection> {
        let path = self.at(key);
        self.draft.update_text(&path, new)
    }
}
