//! Fields of a state that merge: text and counters.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

/// A whole number to which several devices add at once: all of it counts.
///
/// In JSON it is a number. As a field of a slice's state it is read as any number is; in [`Draft::edit`](super::Draft::edit)
/// what it grew by is added, where a plain number would be put in the place of what others put.
///
/// ```
/// use rejoin::slice::Counter;
/// let mut votes = Counter::from(2);
/// votes.add(3);
/// assert_eq!((votes.value(), serde_json::to_string(&votes)?), (5, "5".to_owned()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Counter(i64);

impl Counter {
    /// What it reads.
    pub fn value(self) -> i64 {
        self.0
    }

    /// Adds to it; at the ends of 64 bits it stays.
    pub fn add(&mut self, by: i64) {
        self.0 = self.0.saturating_add(by);
    }
}

impl From<i64> for Counter {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

/// Text in which several people write at once: what each wrote is there.
///
/// In JSON it is a string, and it is used as a [`String`]. As a field of a slice's state it is read as any string is; in
/// [`Draft::edit`](super::Draft::edit) the parts that differ are written, where a plain string would be put in the place of
/// what others put.
///
/// ```
/// use rejoin::slice::Text;
/// let mut note = Text::from("bread");
/// note.push_str(" and milk");
/// assert_eq!(&**note, "bread and milk");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Deref for Text {
    type Target = String;
    fn deref(&self) -> &String {
        &self.0
    }
}

impl DerefMut for Text {
    fn deref_mut(&mut self) -> &mut String {
        &mut self.0
    }
}

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// Under what key a value says that it is one of these, while a [`Shape`](super::shape::Shape) is made of it. Nobody else
/// can write such a key: it holds a number of this process.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) counter: String,
    pub(super) text: String,
}

pub(super) static MARKS: LazyLock<Marks> = LazyLock::new(|| {
    let nonce = RandomState::new().hash_one("shapes");
    Marks { counter: format!("\0counter {nonce:x}"), text: format!("\0text {nonce:x}") }
});

thread_local! {
    /// Whether values say what they are, and not only what they read.
    static MARKED: RefCell<bool> = const { RefCell::new(false) };
}

/// Has values that are serialised in `work` say what they are.
pub(super) fn marked<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            MARKED.replace(self.0);
        }
    }
    let _before = Before(MARKED.replace(true));
    work()
}

fn serialize_marked<S: Serializer>(
    serializer: S,
    mark: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    if !MARKED.with_borrow(|marked| *marked) {
        return value.serialize(serializer);
    }
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(mark, value)?;
    map.end()
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_marked(serializer, &MARKS.counter, &self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_marked(serializer, &MARKS.text, &self.0)
    }
}
