//! JSON values into a document.

use automerge::{ObjId, ObjType, ScalarValue, transaction::Transactable};
use serde_json::Value;

use rejoin_protocol::pointer::{ActionError, MAX_DEPTH};

/// Where in a container a value goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slot<'a> {
    /// Under a key of a map.
    Key(&'a str),
    /// In the place of a list's element.
    At(usize),
    /// Before a list's element, or at its end.
    Before(usize),
}

/// Checks that the value can be written at a path of so many parts.
///
/// # Errors
/// `TooDeep`, and `OutOfRange` for a number that is none of `i64`, `u64` and `f64`.
pub(crate) fn check(value: &Value, path: &str, depth: usize) -> Result<(), ActionError> {
    let deeper = depth + 1;
    match value {
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => {
            Err(ActionError::TooDeep { path: path.to_owned(), limit: MAX_DEPTH })
        }
        Value::Array(items) => items.iter().try_for_each(|item| check(item, path, deeper)),
        Value::Object(entries) => entries.values().try_for_each(|item| check(item, path, deeper)),
        _ if scalar(value).is_none() => Err(ActionError::OutOfRange { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Whether a value has more than so many levels of objects and lists. It needs no stack for them.
pub(crate) fn is_deeper_than(value: &Value, limit: usize) -> bool {
    let mut left = vec![(value, 0)];
    while let Some((value, depth)) = left.pop() {
        let deeper = depth + 1;
        match value {
            Value::Array(_) | Value::Object(_) if depth >= limit => return true,
            Value::Array(items) => left.extend(items.iter().map(|item| (item, deeper))),
            Value::Object(entries) => left.extend(entries.values().map(|item| (item, deeper))),
            _ => {}
        }
    }
    false
}

/// Writes a value that was checked.
pub(crate) fn write<T: Transactable>(
    tx: &mut T,
    parent: &ObjId,
    slot: Slot<'_>,
    value: &Value,
) -> Result<(), automerge::AutomergeError> {
    match value {
        Value::Object(entries) => {
            let map = make(tx, parent, slot, ObjType::Map)?;
            for (key, item) in entries {
                write(tx, &map, Slot::Key(key), item)?;
            }
            Ok(())
        }
        Value::Array(items) => {
            let list = make(tx, parent, slot, ObjType::List)?;
            for (index, item) in items.iter().enumerate() {
                write(tx, &list, Slot::Before(index), item)?;
            }
            Ok(())
        }
        _ => put(tx, parent, slot, scalar(value).unwrap_or(ScalarValue::Null)),
    }
}

/// Makes a container in the action's own change.
pub(super) fn make<T: Transactable>(
    tx: &mut T,
    parent: &ObjId,
    slot: Slot<'_>,
    kind: ObjType,
) -> Result<ObjId, automerge::AutomergeError> {
    match slot {
        Slot::Key(key) => tx.put_object(parent, key, kind),
        Slot::At(index) => tx.put_object(parent, index, kind),
        Slot::Before(index) => tx.insert_object(parent, index, kind),
    }
}

/// Writes a scalar.
pub(super) fn put<T: Transactable>(
    tx: &mut T,
    parent: &ObjId,
    slot: Slot<'_>,
    value: ScalarValue,
) -> Result<(), automerge::AutomergeError> {
    match slot {
        Slot::Key(key) => tx.put(parent, key, value),
        Slot::At(index) => tx.put(parent, index, value),
        Slot::Before(index) => tx.insert(parent, index, value),
    }
}

/// What the value is where it holds nothing; `None` for a map, a list, or a number that fits nothing.
pub(super) fn scalar(value: &Value) -> Option<ScalarValue> {
    match value {
        Value::Null => Some(ScalarValue::Null),
        Value::Bool(value) => Some(ScalarValue::Boolean(*value)),
        Value::String(text) => Some(ScalarValue::Str(text.as_str().into())),
        Value::Number(number) => number
            .as_i64()
            .map(ScalarValue::Int)
            .or_else(|| number.as_u64().map(ScalarValue::Uint))
            .or_else(|| number.as_f64().filter(|f| f.is_finite()).map(ScalarValue::F64)),
        Value::Array(_) | Value::Object(_) => None,
    }
}
