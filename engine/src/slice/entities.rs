//! Maps of entities: many things of one kind, each under its id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Draft, Part, Rejection, draft::escape};

/// A map of entities in a reducer, each under its id.
///
/// [`Entities::upsert`] merges field by field, also across devices: two that upsert one new id at once make one entity
/// with the fields of both. [`Entities::add`] and [`Entities::set`] write an entity whole; text, counters and lists that
/// the same action then makes in it are part of it.
#[derive(Debug)]
pub struct Entities<'e, 'd> {
    draft: &'e mut Draft<'d>,
    path: String,
}

impl<'e, 'd> Entities<'e, 'd> {
    pub(super) fn new(draft: &'e mut Draft<'d>, path: &str) -> Self {
        Self { draft, path: path.to_owned() }
    }

    fn at(&self, id: &str) -> String {
        format!("{}/{}", self.path, escape(id))
    }

    /// The entity under an id, for writing in it by keys.
    pub fn part(&mut self, id: &str) -> Part<'_, 'd> {
        let path = self.at(id);
        Part::new(self.draft, path)
    }

    /// Whether this id is there.
    ///
    /// # Errors
    /// Something else than a map is at the path.
    pub fn contains(&self, id: &str) -> Result<bool, Rejection> {
        self.draft.holds(&self.at(id))
    }

    /// The entity under an id, as a type; `None` where there is none.
    ///
    /// # Errors
    /// As [`Entities::contains`], and where it does not fit the type.
    pub fn get<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Rejection> {
        self.draft.read(&self.at(id))
    }

    /// Every entity with its id, sorted by id. It costs the size of the map.
    ///
    /// # Errors
    /// As [`Entities::get`].
    pub fn values<T: DeserializeOwned>(&self) -> Result<EntityMap<T>, Rejection> {
        Ok(self.draft.read(&self.path)?.unwrap_or_default())
    }

    /// Every id, sorted.
    ///
    /// # Errors
    /// As [`Entities::contains`].
    pub fn ids(&self) -> Result<Vec<String>, Rejection> {
        self.draft.keys(&self.path)
    }

    /// Adds an entity; `false`, and nothing changes, where the id is there. For ids that no other device makes, such
    /// as a UUID: of two that add one id at once, one entity is hidden. Else use [`Entities::upsert`].
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn add(&mut self, id: &str, entity: impl Serialize) -> Result<bool, Rejection> {
        if self.contains(id)? {
            return Ok(false);
        }
        self.set(id, entity)?;
        Ok(true)
    }

    /// Puts an entity in the place of what is there.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn set(&mut self, id: &str, entity: impl Serialize) -> Result<(), Rejection> {
        self.draft.set_whole(&self.at(id), entity)
    }

    /// Merges fields into an entity that is there; `false`, and nothing changes, where it is not.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn update(&mut self, id: &str, fields: impl Serialize) -> Result<bool, Rejection> {
        if !self.contains(id)? {
            return Ok(false);
        }
        self.upsert(id, fields)?;
        Ok(true)
    }

    /// Merges fields into an entity, made when missing, at every depth.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn upsert(&mut self, id: &str, fields: impl Serialize) -> Result<(), Rejection> {
        self.draft.merge(&self.at(id), fields)
    }

    /// Removes an entity; `false` where there is none.
    ///
    /// # Errors
    /// As [`Entities::contains`].
    pub fn remove(&mut self, id: &str) -> Result<bool, Rejection> {
        let there = self.contains(id)?;
        if there {
            self.draft.delete(&self.at(id))?;
        }
        Ok(there)
    }

    /// [`Entities::add`] for many; gives how many were added.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn add_many<K: AsRef<str>, T: Serialize>(
        &mut self,
        entities: impl IntoIterator<Item = (K, T)>,
    ) -> Result<usize, Rejection> {
        let mut added = 0;
        for (id, entity) in entities {
            added += usize::from(self.add(id.as_ref(), entity)?);
        }
        Ok(added)
    }

    /// [`Entities::set`] for many.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn set_many<K: AsRef<str>, T: Serialize>(
        &mut self,
        entities: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(), Rejection> {
        entities.into_iter().try_for_each(|(id, entity)| self.set(id.as_ref(), entity))
    }

    /// [`Entities::update`] for many; gives how many were there.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn update_many<K: AsRef<str>, T: Serialize>(
        &mut self,
        fields: impl IntoIterator<Item = (K, T)>,
    ) -> Result<usize, Rejection> {
        let mut updated = 0;
        for (id, fields) in fields {
            updated += usize::from(self.update(id.as_ref(), fields)?);
        }
        Ok(updated)
    }

    /// [`Entities::upsert`] for many.
    ///
    /// # Errors
    /// As [`Entities::add`].
    pub fn upsert_many<K: AsRef<str>, T: Serialize>(
        &mut self,
        fields: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(), Rejection> {
        fields.into_iter().try_for_each(|(id, fields)| self.upsert(id.as_ref(), fields))
    }

    /// [`Entities::remove`] for many; gives how many were there.
    ///
    /// # Errors
    /// As [`Entities::contains`].
    pub fn remove_many<K: AsRef<str>>(
        &mut self,
        ids: impl IntoIterator<Item = K>,
    ) -> Result<usize, Rejection> {
        let mut removed = 0;
        for id in ids {
            removed += usize::from(self.remove(id.as_ref())?);
        }
        Ok(removed)
    }

    /// Removes those that are there now. What another device adds at the same time stays.
    ///
    /// # Errors
    /// As [`Entities::contains`].
    pub fn remove_all(&mut self) -> Result<usize, Rejection> {
        let ids = self.ids()?;
        self.remove_many(ids)
    }
}

/// A map of entities in a state, sorted by id.
///
/// ```
/// use rejoin::slice::EntityMap;
/// let tasks: EntityMap<u32> = serde_json::from_str(r#"{"b": 1, "a": 3, "c": 2}"#).unwrap();
/// assert_eq!(tasks.ids().collect::<Vec<_>>(), ["a", "b", "c"]);
/// assert_eq!(tasks.sorted_by(|task| *task), [("b", &1), ("c", &2), ("a", &3)]);
/// assert_eq!(tasks.filtered(|task| *task > 1).count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityMap<T>(BTreeMap<String, T>);

impl<T> Default for EntityMap<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> EntityMap<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.0.get(id)
    }

    /// Every id, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every id with its entity, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(id, entity)| (id.as_str(), entity))
    }

    /// Every entity, sorted by id.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// Those that fit, sorted by id.
    pub fn filtered(&self, fits: impl Fn(&T) -> bool) -> impl Iterator<Item = (&str, &T)> {
        self.iter().filter(move |(_, entity)| fits(entity))
    }

    /// All, sorted by a key, and by id where that is equal: the order is the same on every replica.
    pub fn sorted_by<K: Ord>(&self, key: impl Fn(&T) -> K) -> Vec<(&str, &T)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_by_cached_key(|(_, entity)| key(entity));
        all
    }
}

/// # Panics
/// Where there is none of this id, as a map's index does: see [`EntityMap::get`].
impl<T> std::ops::Index<&str> for EntityMap<T> {
    type Output = T;
    #[allow(clippy::indexing_slicing, reason = "that is what an index does")]
    fn index(&self, id: &str) -> &T {
        &self.0[id]
    }
}

impl<T> IntoIterator for EntityMap<T> {
    type Item = (String, T);
    type IntoIter = std::collections::btree_map::IntoIter<String, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a EntityMap<T> {
    type Item = (&'a String, &'a T);
    type IntoIter = std::collections::btree_map::Iter<'a, String, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> FromIterator<(String, T)> for EntityMap<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entities: I) -> Self {
        Self(entities.into_iter().collect())
    }
}
