//! What a reducer writes on.

use automerge::{
    AutomergeError, ChangeHash, ObjId, ObjType, Value as Found,
    transaction::{Transactable, Transaction},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{Entities, Part, Writers, finite, writers::Write};
use crate::{
    Action, DocumentId, Millis,
    container::{ContainerKind, ContainerSet, ContainerSpec},
    message::Lost,
    reducer::{ActionError, Place, QueuedOps, find, parse_pointer, reduce_within},
    state,
};

/// Why a reducer did not do an action: shown to the caller as it is. The usual errors become one by `?`.
///
/// ```
/// use rejoin::slice::Rejection;
/// assert_eq!(Rejection::from("the list is full").to_string(), "the list is full");
/// fn count(text: &str) -> Result<u64, Rejection> {
///     Ok(text.parse::<u64>()?)
/// }
/// assert_eq!(count("many").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(String);

impl From<&str> for Rejection {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<String> for Rejection {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<ActionError> for Rejection {
    fn from(error: ActionError) -> Self {
        Self(error.to_string())
    }
}

/// What a reducer meets with `?`.
macro_rules! rejections {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Rejection {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}

rejections! {
    serde_json::Error, std::num::ParseIntError, std::num::ParseFloatError, std::num::TryFromIntError,
    std::str::ParseBoolError, std::str::Utf8Error, std::string::FromUtf8Error, std::char::ParseCharError,
    std::fmt::Error, std::borrow::Cow<'_, str>, uuid::Error, crate::InvalidDocumentId,
    Box<dyn std::error::Error>, Box<dyn std::error::Error + Send + Sync>,
}

impl From<AutomergeError> for Rejection {
    fn from(error: AutomergeError) -> Self {
        Self(error.to_string())
    }
}

/// What a reducer may know of its action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionInfo {
    /// A random UUID, made when the action was dispatched: for the ids of what the reducer makes. Elsewhere the action
    /// is known by its change's hash.
    pub id: Uuid,
    /// When it was dispatched, milliseconds since 1970, by this device's clock.
    pub made_at: Millis,
    /// Who dispatched it, where the store has an author.
    pub author: Option<String>,
    /// The document.
    pub document: DocumentId,
}

impl ActionInfo {
    pub(crate) fn new(id: Uuid, made_at: Millis, author: Option<&str>, document: DocumentId) -> Self {
        Self { id, made_at, author: author.map(str::to_owned), document }
    }

    /// The id; `None` where the action has none.
    pub(crate) fn action_id(&self) -> Option<Uuid> {
        (!self.id.is_nil()).then_some(self.id)
    }
}

/// A transaction on a slice's part of a document. Paths are JSON Pointers from the slice's root; `""` is all of it. One
/// that begins with no `/` is refused: it would lead into another slice. With keys that may hold `/` or `~`, make a path
/// with [`pointer()`], or write by keys with [`Draft::part`].
///
/// Missing parents become maps. Maps, lists, texts and counters that two devices make at one path at the same time
/// are one: what both put in merges.
pub struct Draft<'d> {
    tx: Transaction<'d>,
    slice: &'static str,
    about: &'d ActionInfo,
    base: &'d [ChangeHash],
    held: &'d ContainerSet,
    queued: &'d QueuedOps,
    writers: Option<&'d Writers>,
    missing: Vec<ContainerSpec>,
    /// What a migration finds that lost against another write.
    lost: Vec<Lost>,
    /// What this action writes whole: whatever it makes there is its own, and no other device's.
    whole: Vec<Vec<String>>,
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("slice", &self.slice)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// What the document knows, for a draft on it.
pub(crate) struct Ground<'d> {
    pub(crate) slice: &'static str,
    pub(crate) about: &'d ActionInfo,
    /// The heads before the transaction.
    pub(crate) base: &'d [ChangeHash],
    pub(crate) held: &'d ContainerSet,
    /// What waits, and may be dropped.
    pub(crate) queued: &'d QueuedOps,
    /// When the document's changes were made, for a migration.
    pub(crate) writers: Option<&'d Writers>,
}

impl<'d> Draft<'d> {
    pub(crate) fn new(tx: Transaction<'d>, ground: &Ground<'d>) -> Self {
        let Ground { slice, about, base, held, queued, writers } = *ground;
        Self {
            tx,
            slice,
            about,
            base,
            held,
            queued,
            writers,
            missing: Vec::new(),
            lost: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// The transaction, the containers that must be made first, and what a migration found that lost.
    pub(crate) fn into_parts(self) -> (Transaction<'d>, Vec<ContainerSpec>, Vec<Lost>) {
        (self.tx, self.missing, self.lost)
    }

    /// Does what another slice does about the same action, on a draft of that one.
    pub(super) fn within<T>(
        &mut self,
        slice: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        let own = std::mem::replace(&mut self.slice, slice);
        let done = work(self);
        self.slice = own;
        done
    }

    /// What is known of the action.
    pub fn info(&self) -> &ActionInfo {
        self.about
    }

    /// A path of the slice as one of the document. One that does not begin with `/` would lead into another slice.
    fn full(&self, path: &str) -> Result<String, Rejection> {
        parse_pointer(path)?;
        Ok(format!("/{}{path}", self.slice))
    }

    fn act(&mut self, action: &Action) -> Result<(), Rejection> {
        let missing = reduce_within(&mut self.tx, (self.base, self.queued), self.held, action)?;
        for spec in missing {
            let own = self.whole.iter().any(|path| spec.path().starts_with(path));
            if !own && !self.missing.contains(&spec) {
                self.missing.push(spec);
            }
        }
        Ok(())
    }

    /// Puts a map or list in the place of what is there, as this action's own: what the reducer goes on to make in it
    /// needs no changes of its own, which would be there before the map when the reducer runs again.
    pub(super) fn set_whole(&mut self, path: &str, value: impl Serialize) -> Result<(), Rejection> {
        let value = to_json(value)?;
        let full = self.full(path)?;
        self.whole.push(parse_pointer(&full)?);
        self.act(&Action::Set { path: full, value })
    }

    /// What is at a path, as JSON; `None` where nothing is.
    ///
    /// # Errors
    /// A bad pointer, or one through something that is neither map nor list.
    pub fn get(&self, path: &str) -> Result<Option<Value>, Rejection> {
        match state::read_json(&self.tx, &self.full(path)?, None) {
            Ok(value) => Ok(Some(value)),
            Err(ActionError::NotFound { .. } | ActionError::PastEnd { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is at a path, as a type; `None` where nothing is.
    ///
    /// # Errors
    /// As [`Draft::get`], and where the value does not fit the type.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Rejection> {
        let Some(value) = self.get(path)? else { return Ok(None) };
        let read = serde_json::from_value(value);
        read.map(Some).map_err(|error| format!("what is at {path:?} does not fit: {error}").into())
    }

    /// Puts a value at a path, in the place of what is there. A string is a plain value, not collaborative text.
    ///
    /// # Errors
    /// A value that JSON cannot hold; a path that leads nowhere.
    pub fn set(&mut self, path: &str, value: impl Serialize) -> Result<(), Rejection> {
        let value = to_json(value)?;
        match &value {
            Value::Object(entries) if !entries.is_empty() => self.set_whole(path, value),
            Value::Array(items) if !items.is_empty() => self.set_whole(path, value),
            _ => self.act(&Action::Set { path: self.full(path)?, value }),
        }
    }

    /// Puts what differs of a value at a path: maps are merged key by key, at every depth; anything else is put. So
    /// two devices that merge into one place at the same time change only the fields that they name.
    ///
    /// # Errors
    /// As [`Draft::set`].
    pub fn merge(&mut self, path: &str, value: impl Serialize) -> Result<(), Rejection> {
        let value = to_json(value)?;
        self.merge_value(path, value)
    }

    fn merge_value(&mut self, path: &str, value: Value) -> Result<(), Rejection> {
        let Value::Object(entries) = value else {
            return match self.get(path)? {
                Some(there) if there == value => self.put_again(path, value),
                _ => self.set(path, value),
            };
        };
        self.object(path, ContainerKind::Map)?;
        for (key, value) in entries {
            self.merge_value(&format!("{path}/{}", escape(&key)), value)?;
        }
        Ok(())
    }

    /// Sets what is there already: something is written only where a change that may be dropped wrote it. A text or a
    /// counter that reads alike stays what it is.
    fn put_again(&mut self, path: &str, value: Value) -> Result<(), Rejection> {
        if self.is_collaborative(path)? {
            return Ok(());
        }
        match &value {
            Value::Object(_) | Value::Array(_) => Ok(()),
            _ => self.act(&Action::Set { path: self.full(path)?, value }),
        }
    }

    /// Removes what is at a path. Where nothing is, nothing happens.
    ///
    /// # Errors
    /// The whole slice cannot be removed.
    pub fn delete(&mut self, path: &str) -> Result<(), Rejection> {
        if self.get(path)?.is_none() {
            return Ok(());
        }
        self.act(&Action::Delete { path: self.full(path)? })
    }

    /// Adds to a counter, made when missing; an integer becomes a counter of that value. Counters of two devices add.
    ///
    /// Automerge keeps each addition and goes through all of them for the next, so one to a counter costs more the more
    /// there were: about 1 ms after 5,000 and 5 ms after 20,000 (a third of it is the library's). What counts fast, views of a
    /// page say, is better added up and written now and then.
    ///
    /// # Errors
    /// What is there is no number; the sum passes 64 bits.
    pub fn increment(&mut self, path: &str, by: i64) -> Result<(), Rejection> {
        self.act(&Action::Increment { path: self.full(path)?, by })
    }

    /// Inserts into a list, made when missing: the path's last part is an index, or `-` for the end.
    ///
    /// # Errors
    /// No list there; an index past its end.
    pub fn insert(&mut self, path: &str, value: impl Serialize) -> Result<(), Rejection> {
        let value = to_json(value)?;
        self.act(&Action::Insert { path: self.full(path)?, value })
    }

    /// Splices collaborative text, made when missing. Positions are Unicode code points.
    ///
    /// # Errors
    /// No text there; a position past its end.
    pub fn splice(&mut self, path: &str, pos: u64, delete: u64, insert: &str) -> Result<(), Rejection> {
        let insert = insert.to_owned();
        self.act(&Action::Splice { path: self.full(path)?, pos, delete, insert })
    }

    /// Makes collaborative text read as `new`, by the fewest insertions and deletions: what others write in the rest
    /// stays. The text is made when missing.
    ///
    /// # Errors
    /// No text there.
    pub fn update_text(&mut self, path: &str, new: &str) -> Result<(), Rejection> {
        let text = self.object(path, ContainerKind::Text)?;
        Ok(self.tx.update_text(&text, new)?)
    }

    /// The map at these keys, from the slice's root, for writing in it by keys: see [`Part`].
    pub fn part<'e, K: AsRef<str>>(&'e mut self, keys: impl IntoIterator<Item = K>) -> Part<'e, 'd> {
        Part::new(self, pointer(keys))
    }

    /// A map of entities at a path: see [`Entities`].
    pub fn entities<'e>(&'e mut self, path: &str) -> Entities<'e, 'd> {
        Entities::new(self, path)
    }

    /// The map, list or text at a path, made when missing, for writing to it with [`Draft::automerge`].
    ///
    /// # Errors
    /// Something else is there; `kind` is a counter, which is no object.
    pub fn object(&mut self, path: &str, kind: ContainerKind) -> Result<ObjId, Rejection> {
        let wanted = match kind {
            ContainerKind::Map => ObjType::Map,
            ContainerKind::List => ObjType::List,
            ContainerKind::Text => ObjType::Text,
            ContainerKind::Counter => return Err("a counter is no object".into()),
        };
        if let Some((Found::Object(found), id)) = self.place(path)?
            && found == wanted
        {
            return Ok(id);
        }
        let path_here = self.full(path)?;
        match kind {
            ContainerKind::Text => {
                self.act(&Action::Splice { path: path_here, pos: 0, delete: 0, insert: String::new() })?;
            }
            ContainerKind::List => {
                self.act(&Action::Set { path: path_here, value: Value::Array(Vec::new()) })?
            }
            _ => self.act(&Action::Set { path: path_here, value: Value::Object(serde_json::Map::new()) })?,
        }
        match self.place(path)? {
            Some((Found::Object(found), id)) if found == wanted => Ok(id),
            _ => Err(format!("what was made at {path:?} is not there").into()),
        }
    }

    fn place(&self, path: &str) -> Result<Option<(Found<'static>, ObjId)>, Rejection> {
        let parts = parse_pointer(&self.full(path)?)?;
        Ok(match find(&self.tx, &parts, None)? {
            Place::There { value, id, .. } => Some((value.into_owned(), id)),
            Place::Root | Place::Missing { .. } => None,
        })
    }

    /// The slice's root, made when missing.
    ///
    /// # Errors
    /// The document has something else under the slice's name.
    pub fn root(&mut self) -> Result<ObjId, Rejection> {
        self.object("", ContainerKind::Map)
    }

    /// The library's transaction, for what has no verb here. Write below [`Draft::root`] only: what lies beside it
    /// belongs to other slices. A map or list that is made with it is this device's own: where two devices make one
    /// at the same key, one of them is hidden, so make shared ones with [`Draft::object`].
    pub fn automerge(&mut self) -> &mut Transaction<'d> {
        &mut self.tx
    }

    /// Whether a collaborative text, a counter or another thing that only operations can move is at this path.
    pub(super) fn is_collaborative(&self, path: &str) -> Result<bool, Rejection> {
        Ok(self.place(path)?.is_some_and(|(value, _)| match value {
            Found::Object(kind) => kind == ObjType::Text,
            Found::Scalar(scalar) => matches!(scalar.as_ref(), automerge::ScalarValue::Counter(_)),
        }))
    }

    /// The keys of the map at a path.
    pub(super) fn keys(&self, path: &str) -> Result<Vec<String>, Rejection> {
        use automerge::ReadDoc;
        Ok(match self.place(path)? {
            Some((Found::Object(ObjType::Map), id)) => self.tx.keys(&id).collect(),
            _ => Vec::new(),
        })
    }

    /// Which write is the last of what is at a path, or in it; `None` where only migrations wrote, or nothing is there.
    pub(super) fn last_write(&self, path: &str) -> Result<Option<Write>, Rejection> {
        Ok(self.place(path)?.and_then(|(_, id)| self.writers?.last_write(&self.tx, &id)))
    }

    /// Notes that of two writes that met here one lost: where it would be, and where it was.
    pub(super) fn note_lost(
        &mut self,
        at: &str,
        from: &str,
        (lost, won): (Write, Write),
    ) -> Result<(), Rejection> {
        let (at, from) = (self.full(at)?, self.full(from)?);
        if let Some(writers) = self.writers.filter(|writers| writers.are_concurrent(lost.hash, won.hash)) {
            self.lost.push(Lost { at, from, by: writers.first(lost.hash), over: writers.first(won.hash) });
        }
        Ok(())
    }

    pub(super) fn holds(&self, path: &str) -> Result<bool, Rejection> {
        Ok(self.place(path)?.is_some())
    }
}

/// The JSON Pointer to these keys, from a slice's root or a document's: each is escaped, so any text can be one. An index
/// into a list is a key too, and `-` is its end.
///
/// ```
/// use rejoin::slice::pointer;
/// assert_eq!(pointer(["items", "a/b~c", "title"]), "/items/a~1b~0c/title");
/// assert_eq!(pointer::<&str>([]), "");
/// ```
pub fn pointer<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> String {
    keys.into_iter().map(|key| format!("/{}", escape(key.as_ref()))).collect()
}

/// A key as a part of a JSON Pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn to_json(value: impl Serialize) -> Result<Value, Rejection> {
    finite::to_json(&value).map_err(|why| format!("JSON cannot hold this value: {why}").into())
}
