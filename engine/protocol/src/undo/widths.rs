//! How many places the elements of a list or text take.
//!
//! The library lists the ends of marks among the elements of a text, with the mark's value, and nothing says which item is one:
//! a link's address looks like the characters of an element. It lists numbers, too, that another program put among the
//! characters, and reads a replacement character for each. So where the items do not read as the text does, each is looked for
//! at the place where it would be: an element is found there, the end of a mark is not.

use std::collections::HashMap;

use automerge::{Automerge, ChangeHash, ObjId, ObjType, ReadDoc, ScalarValueRef, ValueRef};

use super::{OpId, op_of};

/// So many items are looked for at once, by the last of them.
const RUN: usize = 64;

/// What the library reads for an element that is no text.
const REPLACEMENT: char = '\u{fffc}';

/// How many places the elements of a list or text take: in a text as many as they have code points.
#[derive(Debug)]
pub struct Widths {
    text: bool,
    /// Items of a text that take another number of places than their value has code points: ends of marks take none, and
    /// values that are no text take one.
    other: HashMap<OpId, usize>,
}

/// An item of a text as the library lists it.
struct Item {
    id: OpId,
    /// How many places it takes, if it is an element and a text or a block.
    width: usize,
    /// It is neither.
    odd: bool,
}

impl Widths {
    /// Of a list or text, as it is or as it was.
    pub fn read(am: &Automerge, object: &ObjId, at: Option<&[ChangeHash]>) -> Self {
        if !matches!(am.object_type(object), Ok(ObjType::Text)) {
            return Self { text: false, other: HashMap::new() };
        }
        let (listed, read) = match at {
            None => (am.list_range(object, ..), am.text(object)),
            Some(heads) => (am.list_range_at(object, .., heads), am.text_at(object, heads)),
        };
        let read = read.unwrap_or_default();
        let (mut rest, mut plain) = (read.as_str(), true);
        let items: Vec<Item> = listed
            .filter_map(|item| {
                let here = take(&mut rest, &item.value);
                plain &= here;
                Some(Item { id: op_of(&item.id())?, width: width(&item.value), odd: is_odd(&item.value) })
            })
            .collect();
        if plain && rest.is_empty() {
            return Self { text: true, other: HashMap::new() };
        }
        let found = |place: usize| {
            let found = match at {
                None => am.get(object, place),
                Some(heads) => am.get_at(object, place, heads),
            };
            op_of(&found.ok()??.1)
        };
        Self { text: true, other: others(&items, found) }
    }

    /// That of an element.
    pub fn of(&self, id: &OpId, value: &ValueRef<'_>) -> usize {
        if !self.text {
            return 1;
        }
        self.other.get(id).copied().unwrap_or_else(|| width(value))
    }
}

/// Whether a text goes on with what an item reads as, which is taken from it. What may read as something else never fits.
fn take(rest: &mut &str, value: &ValueRef<'_>) -> bool {
    let after = match value {
        ValueRef::Scalar(ScalarValueRef::Str(text)) if text.contains(REPLACEMENT) => None,
        ValueRef::Scalar(ScalarValueRef::Str(text)) => rest.strip_prefix(text.as_ref()),
        ValueRef::Object(_) => rest.strip_prefix(REPLACEMENT),
        // Most often the end of a mark, which is no part of the text; a number makes what comes after it not fit.
        ValueRef::Scalar(_) => Some(*rest),
    };
    if let Some(after) = after {
        *rest = after;
    }
    after.is_some()
}

fn is_odd(value: &ValueRef<'_>) -> bool {
    !matches!(value, ValueRef::Scalar(ScalarValueRef::Str(_)) | ValueRef::Object(_))
}

/// How many code points a value has as an element of a text: a block has one.
fn width(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Scalar(ScalarValueRef::Str(text)) => text.chars().count(),
        ValueRef::Object(_) => 1,
        ValueRef::Scalar(_) => 0,
    }
}

/// The items that take another number of places, by what is found at a place.
fn others(items: &[Item], found: impl Fn(usize) -> Option<OpId>) -> HashMap<OpId, usize> {
    let (mut others, mut place, mut rest) = (HashMap::new(), 0, items);
    while let [first, after @ ..] = rest {
        if first.odd || first.width == 0 {
            let takes = usize::from(first.odd && found(place).as_ref() == Some(&first.id));
            if takes > 0 {
                others.insert(first.id.clone(), takes);
            }
            (place, rest) = (place + takes, after);
            continue;
        }
        let run = rest.iter().take(RUN).take_while(|item| !item.odd && item.width > 0).count();
        let elements = elements_of(&rest[..run], place, &found);
        place += rest[..elements].iter().map(|item| item.width).sum::<usize>();
        rest = &rest[elements..];
        if let (true, [end, after @ ..]) = (elements < run, rest) {
            others.insert(end.id.clone(), 0);
            rest = after;
        }
    }
    others
}

/// How many items at the front of a run are elements. One that is found where it would be is one, and so are those before it:
/// the end of a mark among them would have moved it.
fn elements_of(run: &[Item], place: usize, found: &impl Fn(usize) -> Option<OpId>) -> usize {
    let begins = |nth: usize| {
        let at = place + run[..nth].iter().map(|item| item.width).sum::<usize>();
        let is_at = |place: usize| found(place).as_ref() == Some(&run[nth].id);
        // An element of several characters is found at each of them.
        is_at(at) && (run[nth].width == 1 || at == 0 || !is_at(at - 1))
    };
    if run.last().is_some_and(|_| begins(run.len() - 1)) {
        return run.len();
    }
    // All before `least` are elements; the one at `most` is none.
    let (mut least, mut most) = (0, run.len() - 1);
    while least < most {
        let middle = least + (most - least) / 2;
        if begins(middle) { least = middle + 1 } else { most = middle }
    }
    least
}
