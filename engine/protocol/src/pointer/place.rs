//! Where a JSON Pointer leads in a document.

use automerge::{ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, Value};
use jsonptr::{Pointer, Token, index::Index};

use super::{ActionError, Kind, kind_of};

/// The most levels that an action may make or name: the parts of its path, and the nesting of its value.
/// serde_json reads 127 levels: what is written here can be read anywhere, with a few levels around it.
pub const MAX_DEPTH: usize = 120;

/// The decoded parts of a JSON Pointer, of a place to be written.
///
/// # Errors
/// `BadPointer` and `TooDeep`.
pub fn parse_pointer(path: &str) -> Result<Vec<String>, ActionError> {
    parse(path, MAX_DEPTH)
}

/// [`parse_pointer`], of a place to be read: as deep as documents are read, so that whatever is shown can be named.
///
/// # Errors
/// As there.
pub fn parse_pointer_to_read(path: &str) -> Result<Vec<String>, ActionError> {
    parse(path, crate::state::MAX_READ_DEPTH)
}

fn parse(path: &str, limit: usize) -> Result<Vec<String>, ActionError> {
    let bad = |reason| ActionError::BadPointer { path: path.to_owned(), reason };
    let pointer = Pointer::parse(path).map_err(|error| {
        bad(if error.is_no_leading_slash() {
            "it is neither empty nor begins with \"/\""
        } else {
            "\"~\" must be followed by 0 or 1"
        })
    })?;
    if pointer.tokens().take(limit + 1).count() > limit {
        return Err(ActionError::TooDeep { path: path.to_owned(), limit });
    }
    Ok(pointer.tokens().map(|token| token.decoded().into_owned()).collect())
}

/// What a path leads to.
#[derive(Debug)]
pub enum Place<'v> {
    /// The whole document.
    Root,
    /// A value that is there.
    There {
        /// The map or list that holds it.
        parent: ObjId,
        /// Its key or index.
        prop: Prop,
        /// What it is.
        value: Value<'v>,
        /// The object, or for a scalar the operation that put it.
        id: ObjId,
    },
    /// Nothing, from this depth on.
    Missing {
        /// The last map that is there.
        parent: ObjId,
        /// How many parts lead to it; the part after them is missing.
        depth: usize,
    },
}

/// Looks a path up: in the current state, or as it was at these heads. It touches nothing but what is on it.
///
/// # Errors
/// `WrongType` when something on the way cannot hold what follows; `NotAnIndex` and `PastEnd` in lists.
pub fn find<'d, R: ReadDoc>(
    doc: &'d R,
    parts: &[String],
    at: Option<&[ChangeHash]>,
) -> Result<Place<'d>, ActionError> {
    let mut place = Place::Root;
    let mut object = (ROOT, ObjType::Map);
    for (depth, part) in parts.iter().enumerate() {
        let prop = match object.1 {
            ObjType::Map => Prop::Map(part.clone()),
            ObjType::List => Prop::Seq(element(parts, depth)?),
            ObjType::Text => return Err(no_container(parts, depth, Kind::Text)),
            ObjType::Table => return Err(no_container(parts, depth, Kind::Table)),
        };
        let found = match at {
            None => doc.get(&object.0, prop.clone()),
            Some(heads) => doc.get_at(&object.0, prop.clone(), heads),
        };
        let Some((value, id)) = found.map_err(ActionError::library(&join(parts)))? else {
            if let Prop::Seq(index) = prop {
                // Asked only now: the library counts a list's elements one by one.
                let length = at.map_or_else(|| doc.length(&object.0), |h| doc.length_at(&object.0, h));
                return Err(past_end(&prefix(parts, depth), index as u64, length));
            }
            return Ok(Place::Missing { parent: object.0, depth });
        };
        let last = depth + 1 == parts.len();
        let parent = object.0;
        object = match value {
            Value::Object(kind) => (id.clone(), kind),
            Value::Scalar(_) if last => (ROOT, ObjType::Map),
            Value::Scalar(_) => return Err(no_container(parts, depth + 1, kind_of(&value))),
        };
        place = Place::There { parent, prop, value, id };
    }
    Ok(place)
}

/// What holds no parts is in the middle of a path.
fn no_container(parts: &[String], depth: usize, found: Kind) -> ActionError {
    ActionError::WrongType { path: prefix(parts, depth), found, wanted: Kind::MapOrList }
}

/// The part at `depth` as the index of an element.
fn element(parts: &[String], depth: usize) -> Result<usize, ActionError> {
    match index(parts, depth)? {
        Index::Num(at) => Ok(at),
        Index::Next => Err(not_an_index(parts, depth)),
    }
}

/// The part at `depth` as a place to insert before, in a list that nobody has made yet.
pub fn first_gap(parts: &[String], depth: usize) -> Result<usize, ActionError> {
    match index(parts, depth)? {
        Index::Num(0) | Index::Next => Ok(0),
        Index::Num(at) => Err(past_end(&prefix(parts, depth), at as u64, 0)),
    }
}

/// The part at `depth` as a place in a list to insert before, `-` being the end.
pub fn gap<R: ReadDoc>(doc: &R, list: &ObjId, parts: &[String], depth: usize) -> Result<usize, ActionError> {
    match index(parts, depth)? {
        Index::Num(at) if reaches(doc, list, at) => Ok(at),
        Index::Num(at) => Err(past_end(&prefix(parts, depth), at as u64, doc.length(list))),
        Index::Next => Ok(length(doc, list)),
    }
}

/// Whether a list has at least so many elements.
fn reaches<R: ReadDoc>(doc: &R, list: &ObjId, length: usize) -> bool {
    length.checked_sub(1).is_none_or(|last| doc.get(list, last).is_ok_and(|found| found.is_some()))
}

/// The length of a list, found by looking at a few of its places: what the library does for it is to count all elements,
/// and a list that is appended to would take the square of its length.
fn length<R: ReadDoc>(doc: &R, list: &ObjId) -> usize {
    let (mut there, mut beyond) = (0, 1);
    while reaches(doc, list, beyond) {
        (there, beyond) = (beyond, beyond.saturating_mul(2));
    }
    while beyond - there > 1 {
        let between = there + (beyond - there) / 2;
        if reaches(doc, list, between) { there = between } else { beyond = between }
    }
    there
}

/// The error of a position behind the end of a list or a text of this length.
pub fn past_end(path: &str, position: u64, length: usize) -> ActionError {
    ActionError::PastEnd { path: path.to_owned(), position, length: length as u64 }
}

fn index(parts: &[String], depth: usize) -> Result<Index, ActionError> {
    parts
        .get(depth)
        .and_then(|part| Token::new(part.as_str()).to_index().ok())
        .ok_or_else(|| not_an_index(parts, depth))
}

fn not_an_index(parts: &[String], depth: usize) -> ActionError {
    let part = parts.get(depth).cloned().unwrap_or_default();
    ActionError::NotAnIndex { path: prefix(parts, depth), part }
}

/// The pointer to the first `depth` parts.
pub fn prefix(parts: &[String], depth: usize) -> String {
    join(parts.get(..depth).unwrap_or(parts))
}

/// The pointer that these parts make.
pub fn join(parts: &[String]) -> String {
    jsonptr::PointerBuf::from_tokens(parts.iter().map(String::as_str)).to_string()
}
