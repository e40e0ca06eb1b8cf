//! Lists of entities, kept up to date by what changed.

use std::{
    collections::{BTreeSet, HashMap},
    marker::PhantomData,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;

use super::{
    Slice, SliceHandle,
    draft::escape,
    select::{is_under, place_of},
};
use crate::{Event, Result};

/// An entity with its id.
pub type Entity<T> = (Arc<str>, Arc<T>);

type Keep<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;
type Key<T, K> = Box<dyn Fn(&T) -> K + Send + Sync>;

/// Which entities of a map are listed, and in what order: made by [`SliceHandle::entities`].
pub struct EntityQuery<S: Slice, T, K = ()> {
    handle: SliceHandle<S>,
    pointer: String,
    keep: Keep<T>,
    key: Key<T, K>,
}

impl<S: Slice, T, K> std::fmt::Debug for EntityQuery<S, T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntityQuery").field("pointer", &self.pointer).finish_non_exhaustive()
    }
}

impl<S: Slice, T> EntityQuery<S, T> {
    pub(super) fn new(handle: SliceHandle<S>, pointer: &str) -> Self {
        Self { handle, pointer: pointer.to_owned(), keep: Box::new(|_| true), key: Box::new(|_| ()) }
    }
}

impl<S: Slice, T: DeserializeOwned + 'static, K: Ord + 'static> EntityQuery<S, T, K> {
    /// Those alone that fit, among those that fitted before.
    #[must_use]
    pub fn filter(self, fits: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        let before = self.keep;
        Self { keep: Box::new(move |entity| before(entity) && fits(entity)), ..self }
    }

    /// Sorted by a key, and by id where that is equal: the order is the same on every replica.
    #[must_use]
    pub fn sort_by<L: Ord>(self, key: impl Fn(&T) -> L + Send + Sync + 'static) -> EntityQuery<S, T, L> {
        EntityQuery { handle: self.handle, pointer: self.pointer, keep: self.keep, key: Box::new(key) }
    }

    /// The list, which follows the state from now on.
    pub fn list(self) -> EntityList<S, T, K> {
        let events = self.handle.store().subscribe();
        let kept = Kept { events, whole: false, changed: BTreeSet::new(), seen: 0, rows: Rows::default() };
        EntityList { query: self, kept: Mutex::new(kept), read: AtomicU64::new(0), of: PhantomData }
    }
}

/// A sorted and filtered list of the entities of a map.
///
/// What it costs to ask it again is what changed since: an entity that changed is read, filtered and put in its place, and
/// all others stay. What it gives is never older than what [`SliceHandle::state`] read before.
///
/// ```
/// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
/// # struct Todos;
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Put { id: String, due: u32 } }
/// # impl Slice for Todos {
/// #     const NAME: &'static str = "todos"; type State = serde_json::Value; type Action = Act;
/// #     fn reduce(draft: &mut Draft<'_>, Act::Put { id, due }: &Act) -> Result<(), Rejection> {
/// #         draft.entities("/items").upsert(id, serde_json::json!({"due": due})) }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = rejoin::Builder::in_memory().slice::<Todos>().open().await?;
/// # let todos = store.slice::<Todos>(store.create(None, None).await?);
/// #[derive(serde::Deserialize)]
/// struct Todo { due: u32 }
///
/// let soon = todos.entities::<Todo>("/items").filter(|todo| todo.due < 10).sort_by(|todo| todo.due).list();
/// for (id, due) in [("a", 5), ("b", 2), ("c", 90)] {
///     todos.dispatch(Act::Put { id: id.into(), due }).await?;
/// }
/// let ids = |list: &[rejoin::slice::Entity<Todo>]| list.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>();
/// assert_eq!(ids(&soon.get().await?), ["b", "a"]);
/// todos.dispatch(Act::Put { id: "b".into(), due: 7 }).await?;
/// assert_eq!(ids(&soon.get().await?), ["a", "b"]);
/// assert_eq!(soon.read(), 4, "three, and the one that changed");
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
pub struct EntityList<S: Slice, T, K = ()> {
    query: EntityQuery<S, T, K>,
    kept: Mutex<Kept<T, K>>,
    read: AtomicU64,
    of: PhantomData<fn() -> S>,
}

impl<S: Slice, T, K> std::fmt::Debug for EntityList<S, T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntityList").field("query", &self.query).finish_non_exhaustive()
    }
}

struct Kept<T, K> {
    events: broadcast::Receiver<Event>,
    /// The rows are those of the state, but for what changed.
    whole: bool,
    /// Ids that changed since they were read.
    changed: BTreeSet<String>,
    /// Counts what was heard, so that what was read before something else was heard is not taken for all.
    seen: u64,
    rows: Rows<T, K>,
}

/// The entities that are listed, in their order, and by id.
struct Rows<T, K> {
    listed: Arc<Vec<Entity<T>>>,
    /// The key of each that is listed.
    keys: HashMap<Arc<str>, Arc<K>>,
}

impl<T, K> Default for Rows<T, K> {
    fn default() -> Self {
        Self { listed: Arc::default(), keys: HashMap::new() }
    }
}

impl<T, K: Ord> Rows<T, K> {
    /// Where an entity with this key and id is, or belongs.
    fn place(&self, key: &K, id: &str) -> Result<usize, usize> {
        self.listed.binary_search_by(|(other, _)| {
            let order = self.keys.get(other).map(|other| other.as_ref().cmp(key));
            order.unwrap_or(std::cmp::Ordering::Less).then_with(|| other.as_ref().cmp(id))
        })
    }

    fn remove(&mut self, id: &str) {
        let Some((id, key)) = self.keys.get_key_value(id).map(|(id, key)| (Arc::clone(id), Arc::clone(key)))
        else {
            return;
        };
        if let Ok(at) = self.place(&key, &id) {
            self.list_mut().remove(at);
        }
        self.keys.remove(&id);
    }

    fn put(&mut self, id: &str, entity: T, key: K) {
        self.remove(id);
        let at = self.place(&key, id).unwrap_or_else(|at| at);
        let id: Arc<str> = id.into();
        self.keys.insert(Arc::clone(&id), Arc::new(key));
        self.list_mut().insert(at, (id, Arc::new(entity)));
    }

    /// Copied first where somebody holds what was given out: entities are shared, not copied.
    fn list_mut(&mut self) -> &mut Vec<Entity<T>> {
        Arc::make_mut(&mut self.listed)
    }
}

impl<S: Slice, T: DeserializeOwned, K: Ord> EntityList<S, T, K> {
    /// The entities that fit, in their order.
    ///
    /// # Errors
    /// As [`SliceHandle::state`]; an entity that does not fit the type is one.
    pub async fn get(&self) -> Result<Arc<Vec<Entity<T>>>> {
        let handle = &self.query.handle;
        // What others wrote is told now, and not only when the store looks around.
        handle.store().with_core(|core| core.hear_others()).await?;
        let (seen, ids) = match self.hear() {
            Wanted::Nothing(listed) => return Ok(listed),
            Wanted::All(seen) => (seen, None),
            Wanted::Some(seen, ids) => (seen, Some(ids)),
        };
        let found = match ids {
            None => self.read_all().await?,
            Some(ids) => self.read_some(ids).await?,
        };
        self.read.fetch_add(found.entities.len() as u64, Ordering::Relaxed);
        let mut kept = self.lock();
        if found.whole {
            kept.rows = Rows::default();
        }
        for (id, entity) in found.entities {
            kept.changed.remove(&id);
            match entity.filter(|entity| (self.query.keep)(entity)) {
                Some(entity) => {
                    let key = (self.query.key)(&entity);
                    kept.rows.put(&id, entity, key);
                }
                None => kept.rows.remove(&id),
            }
        }
        kept.whole |= found.whole;
        // What was heard meanwhile may be newer than what was read.
        if kept.seen != seen {
            kept.whole = false;
        }
        Ok(Arc::clone(&kept.rows.listed))
    }

    /// How many entities it has read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept<T, K>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happened, before the state is read: so a change in between is read once more, and none is missed.
    fn hear(&self) -> Wanted<T> {
        let mut kept = self.lock();
        let path = format!("/{}{}", S::NAME, self.query.pointer);
        loop {
            match kept.events.try_recv() {
                Ok(event) if event.document == self.query.handle.document() => kept.note(&event, &path),
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Lagged(_)) => {
                    kept.whole = false;
                    kept.seen += 1;
                }
                Err(_) => break,
            }
        }
        if !kept.whole {
            kept.changed.clear();
            Wanted::All(kept.seen)
        } else if kept.changed.is_empty() {
            Wanted::Nothing(Arc::clone(&kept.rows.listed))
        } else {
            Wanted::Some(kept.seen, kept.changed.iter().cloned().collect())
        }
    }

    async fn read_all(&self) -> Result<Found<T>> {
        let handle = &self.query.handle;
        let part = handle.store().with_core(handle.read(&self.query.pointer, None)).await?;
        let Some(Value::Object(entities)) = part else {
            return Ok(Found { whole: true, entities: Vec::new() });
        };
        let mut found = Vec::with_capacity(entities.len());
        for (id, value) in entities {
            let entity = self.typed(&id, value).await?;
            found.push((id, Some(entity)));
        }
        Ok(Found { whole: true, entities: found })
    }

    async fn read_some(&self, ids: Vec<String>) -> Result<Found<T>> {
        let handle = &self.query.handle;
        let mut reads = Vec::with_capacity(ids.len());
        for id in ids {
            let read = handle.read(&format!("{}/{}", self.query.pointer, escape(&id)), None);
            reads.push((id, read));
        }
        let parts = handle.store().with_core(move |core| {
            reads.into_iter().map(|(id, read)| Ok((id, read(core)?))).collect::<Result<Vec<_>>>()
        });
        let mut entities = Vec::new();
        for (id, value) in parts.await? {
            let entity = match value {
                Some(value) => Some(self.typed(&id, value).await?),
                None => None,
            };
            entities.push((id, entity));
        }
        Ok(Found { whole: false, entities })
    }

    async fn typed(&self, id: &str, value: Value) -> Result<T> {
        let fits = serde_json::from_value(value);
        let at = |error| format!("at \"{}/{}\": {error}", self.query.pointer, escape(id));
        self.query.handle.fit(fits.map_err(at)).await
    }
}

/// What is to be read of the state.
enum Wanted<T> {
    Nothing(Arc<Vec<Entity<T>>>),
    All(u64),
    Some(u64, Vec<String>),
}

/// What was read: entities that are gone among them.
struct Found<T> {
    whole: bool,
    entities: Vec<(String, Option<T>)>,
}

impl<T, K> Kept<T, K> {
    fn note(&mut self, event: &Event, path: &str) {
        if event.rebuilt {
            self.whole = false;
            self.seen += 1;
            return;
        }
        for place in event.patches.iter().map(place_of) {
            let below = place.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'));
            if let Some(below) = below {
                let id = below.split('/').next().unwrap_or_default();
                self.changed.insert(id.replace("~1", "/").replace("~0", "~"));
                self.seen += 1;
            } else if is_under(path, &place) {
                // The whole map, or something above it.
                self.whole = false;
                self.seen += 1;
            }
        }
    }
}
