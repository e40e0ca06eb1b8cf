//! Whether a change is written as the library keeps it.

use automerge::{
    Change, ExpandedChange, ScalarValue,
    legacy::{Op, OpType},
};

use super::{Checked, Objection};
use crate::fence::{self, Parts, dissect};

/// The columns of values: what kind and how long each is, and their bytes.
const VALUES: [u32; 2] = [0x56, 0x57];

/// A copy of the document keeps operations and not bytes. Of a change in another form (a column more, a deletion with a
/// value, lists in another order) it makes another change, and cannot be loaded. A value beside an object that is made is
/// kept, although it says nothing.
pub(super) fn check_form(change: &Change, expanded: ExpandedChange) -> Checked<()> {
    let makes = |op: &Op| matches!(op.action, OpType::Make(_));
    let some_made = expanded.operations.iter().any(makes);
    let again = Change::from(expanded.clone());
    if again.hash() == change.hash() || (some_made && differs_in_made_values(change, &again, expanded)) {
        return Ok(());
    }
    Err(Objection::Refused("it is written in another form than Automerge keeps it in".to_owned()))
}

/// Whether all that differs are values beside objects that are made, and these are written as the library would.
fn differs_in_made_values(change: &Change, again: &Change, mut expanded: ExpandedChange) -> bool {
    let (given, plain) = (body(change), body(again));
    let (Some(given), Some(plain)) = (given, plain) else { return false };
    let [kinds, bytes] = VALUES.map(|kind| column(&given, kind));
    let Some(values) = fence::values(kinds, bytes, expanded.operations.len()) else { return false };
    for (op, (kind, bytes)) in expanded.operations.iter_mut().zip(values) {
        if matches!(op.action, OpType::Make(_)) {
            op.action = OpType::Put(ScalarValue::Unknown { type_code: kind, bytes: bytes.to_vec() });
        }
    }
    let valued = Change::from(expanded);
    let Some(valued) = body(&valued) else { return false };
    let same_values = VALUES.iter().all(|kind| column(&given, *kind) == column(&valued, *kind));
    same_values && others(&given) == others(&plain)
}

fn body(change: &Change) -> Option<Parts<'_>> {
    match fence::frame(change.raw_bytes()).ok()?.as_slice() {
        [only] => dissect(only.body).ok(),
        _ => None,
    }
}

fn column<'a>(parts: &Parts<'a>, kind: u32) -> &'a [u8] {
    parts.columns.iter().find(|(other, _)| *other == kind).map_or(&[], |(_, data)| data)
}

/// All but the values.
fn others<'a>(parts: &'a Parts<'a>) -> impl PartialEq + 'a {
    let columns: Vec<_> = parts.columns.iter().filter(|(kind, _)| !VALUES.contains(kind)).collect();
    let numbers = (parts.seq, parts.start_op, parts.time, parts.operations);
    (&parts.deps, parts.actor, numbers, parts.message, parts.others, columns, parts.tail)
}
