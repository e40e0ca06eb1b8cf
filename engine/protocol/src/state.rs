//! A document, or a part of it, as JSON.

use automerge::{
    Automerge, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, ScalarValueRef, ValueRef,
};
use serde_json::{Map, Number, Value};

use crate::{
    pointer::{ActionError, Place, find, parse_pointer_to_read},
    untrusted::guarded,
};

/// The most levels of a document that are read; deeper ones are an error. Actions make at most 120.
pub const MAX_READ_DEPTH: usize = 512;

/// Reads what is at a JSON Pointer: now, or at these heads. It costs what is read, not the whole document.
///
/// Text reads as a string, a counter as a number, bytes as a list of numbers from 0 to 255, a time as the
/// milliseconds since 1970, and a number that JSON cannot hold (infinite, or none) as `null`.
///
/// The caller must have checked that the heads are in the document: the library takes unknown ones for none.
///
/// # Errors
/// `BadPointer`, `NotFound`, `WrongType`, `NotAnIndex`, `PastEnd`; `TooDeep` for a document nested deeper than
/// [`MAX_READ_DEPTH`].
pub fn to_json(doc: &Automerge, pointer: &str, at: Option<&[ChangeHash]>) -> Result<Value, ActionError> {
    read_json(doc, pointer, at)
}

/// [`to_json`], also inside a transaction.
pub fn read_json<R: ReadDoc>(
    doc: &R,
    pointer: &str,
    at: Option<&[ChangeHash]>,
) -> Result<Value, ActionError> {
    let parts = parse_pointer_to_read(pointer)?;
    let reader = Reader { doc, at, pointer };
    match find(doc, &parts, at)? {
        Place::Root => reader.object(&ROOT, ObjType::Map, 0),
        Place::There { value: automerge::Value::Object(kind), id, .. } => {
            reader.object(&id, kind, parts.len())
        }
        Place::There { value: automerge::Value::Scalar(value), .. } => {
            Ok(scalar(&ScalarValueRef::from(value.into_owned())))
        }
        Place::Missing { depth, .. } => {
            Err(ActionError::NotFound { path: crate::pointer::prefix(&parts, depth + 1) })
        }
    }
}

/// Reads one value, wherever it is in the document: also one that is hidden by another. `pointer` is for the error.
///
/// # Errors
/// `TooDeep`.
pub fn value_to_json(
    doc: &Automerge,
    value: &automerge::Value<'_>,
    id: &ObjId,
    pointer: &str,
) -> Result<Value, ActionError> {
    match value {
        automerge::Value::Object(kind) => Reader { doc, at: None, pointer }.object(id, *kind, 0),
        automerge::Value::Scalar(value) => Ok(scalar(&ScalarValueRef::from(value.as_ref().clone()))),
    }
}

/// [`value_to_json`], with what is in it as it was at these heads.
///
/// # Errors
/// `TooDeep`.
pub fn value_to_json_at(
    doc: &Automerge,
    (value, id): (&automerge::Value<'_>, &ObjId),
    heads: &[ChangeHash],
    pointer: &str,
) -> Result<Value, ActionError> {
    match value {
        automerge::Value::Object(kind) => Reader { doc, at: Some(heads), pointer }.object(id, *kind, 0),
        automerge::Value::Scalar(value) => Ok(scalar_to_json(value)),
    }
}

/// A scalar as JSON.
pub fn scalar_to_json(value: &ScalarValue) -> Value {
    scalar(&ScalarValueRef::from(value.clone()))
}

/// The JSON Pointer of these keys and indices.
pub fn pointer<'a>(props: impl Iterator<Item = &'a Prop>) -> String {
    let mut text = String::new();
    for prop in props {
        text.push('/');
        match prop {
            Prop::Map(key) => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Prop::Seq(index) => text.push_str(&index.to_string()),
        }
    }
    text
}

/// Where an object was at these heads. Where something on the way was hidden or gone then, of which the library knows no
/// place, it is where it is now.
pub fn path_at(am: &Automerge, object: &ObjId, heads: &[ChangeHash]) -> String {
    let then = guarded(|| am.parents_at(object, heads).map(automerge::Parents::path));
    let path = match then {
        Ok(Ok(path)) => path,
        _ => am.parents(object).map(automerge::Parents::path).unwrap_or_default(),
    };
    pointer(path.iter().map(|(_, prop)| prop))
}

struct Reader<'a, R> {
    doc: &'a R,
    at: Option<&'a [ChangeHash]>,
    pointer: &'a str,
}

impl<R: ReadDoc> Reader<'_, R> {
    /// Reads one object. The recursion ends at [`MAX_READ_DEPTH`], so a hostile document cannot use up the
    /// stack, here or where the value is written out and dropped.
    fn object(&self, id: &ObjId, kind: ObjType, depth: usize) -> Result<Value, ActionError> {
        if depth > MAX_READ_DEPTH {
            return Err(ActionError::TooDeep { path: self.pointer.to_owned(), limit: MAX_READ_DEPTH });
        }
        match kind {
            ObjType::Map | ObjType::Table => self.map(id, depth),
            ObjType::List => self.list(id, depth),
            ObjType::Text => self.text(id),
        }
    }

    fn map(&self, id: &ObjId, depth: usize) -> Result<Value, ActionError> {
        let items = match self.at {
            None => self.doc.map_range(id, ..),
            Some(heads) => self.doc.map_range_at(id, .., heads),
        };
        let mut map = Map::new();
        for item in items {
            let value = self.value(&item.value, || item.id(), depth)?;
            map.insert(item.key.into_owned(), value);
        }
        Ok(Value::Object(map))
    }

    fn list(&self, id: &ObjId, depth: usize) -> Result<Value, ActionError> {
        let items = match self.at {
            None => self.doc.list_range(id, ..),
            Some(heads) => self.doc.list_range_at(id, .., heads),
        };
        items.map(|item| self.value(&item.value, || item.id(), depth)).collect()
    }

    fn text(&self, id: &ObjId) -> Result<Value, ActionError> {
        let text = match self.at {
            None => self.doc.text(id),
            Some(heads) => self.doc.text_at(id, heads),
        };
        text.map(Value::String).map_err(ActionError::library(self.pointer))
    }

    fn value(
        &self,
        value: &ValueRef<'_>,
        id: impl FnOnce() -> ObjId,
        depth: usize,
    ) -> Result<Value, ActionError> {
        match value {
            ValueRef::Object(kind) => self.object(&id(), *kind, depth + 1),
            ValueRef::Scalar(value) => Ok(scalar(value)),
        }
    }
}

fn scalar(value: &ScalarValueRef<'_>) -> Value {
    match value {
        ScalarValueRef::Str(text) => Value::String(text.clone().into_owned()),
        ScalarValueRef::Int(n) | ScalarValueRef::Counter(n) | ScalarValueRef::Timestamp(n) => {
            Value::Number((*n).into())
        }
        ScalarValueRef::Uint(n) => Value::Number((*n).into()),
        ScalarValueRef::F64(n) => Number::from_f64(*n).map_or(Value::Null, Value::Number),
        ScalarValueRef::Boolean(b) => Value::Bool(*b),
        ScalarValueRef::Bytes(bytes) | ScalarValueRef::Unknown { bytes, .. } => {
            bytes.iter().map(|b| Value::from(*b)).collect()
        }
        ScalarValueRef::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use automerge::transaction::Transactable;
    use serde_json::json;

    use super::*;

    fn doc() -> Automerge {
        let mut doc = Automerge::new();
        let mut tx = doc.transaction();
        tx.put(ROOT, "bytes", ScalarValue::Bytes(vec![0, 255])).unwrap();
        tx.put(ROOT, "time", ScalarValue::Timestamp(1_700_000_000_000)).unwrap();
        tx.put(ROOT, "nan", f64::NAN).unwrap();
        tx.put(ROOT, "inf", f64::INFINITY).unwrap();
        tx.put(ROOT, "counter", ScalarValue::counter(3)).unwrap();
        let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
        let text = tx.insert_object(&list, 0, ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "hi").unwrap();
        tx.commit();
        doc
    }

    #[test]
    fn what_json_lacks_has_a_form() {
        let state = to_json(&doc(), "", None).unwrap();
        let wanted = json!({"bytes":[0,255],"counter":3,"inf":null,"list":["hi"],"nan":null,
            "time":1_700_000_000_000_i64});
        assert_eq!(state, wanted);
        assert_eq!(to_json(&doc(), "/list/0", None).unwrap(), json!("hi"));
        assert_eq!(to_json(&doc(), "/counter", None).unwrap(), json!(3));
    }

    #[test]
    fn a_document_reads_as_it_was() {
        let mut doc = doc();
        let before = doc.get_heads();
        let mut tx = doc.transaction();
        let (_, list) = tx.get(ROOT, "list").unwrap().unwrap();
        let (_, text) = tx.get(&list, 0).unwrap().unwrap();
        tx.splice_text(&text, 2, 0, " there").unwrap();
        tx.increment(ROOT, "counter", 4).unwrap();
        tx.insert(&list, 0, 1).unwrap();
        tx.put(ROOT, "new", 1).unwrap();
        tx.delete(ROOT, "bytes").unwrap();
        tx.commit();
        assert_eq!(to_json(&doc, "/list", None).unwrap(), json!([1, "hi there"]));
        assert_eq!(to_json(&doc, "/list", Some(&before)).unwrap(), json!(["hi"]));
        assert_eq!(to_json(&doc, "/list/0", Some(&before)).unwrap(), json!("hi"));
        assert_eq!(to_json(&doc, "/counter", Some(&before)).unwrap(), json!(3));
        assert_eq!(to_json(&doc, "/bytes", Some(&before)).unwrap(), json!([0, 255]));
        assert!(matches!(to_json(&doc, "/new", Some(&before)), Err(ActionError::NotFound { .. })));
        assert!(matches!(to_json(&doc, "/list/1", Some(&before)), Err(ActionError::PastEnd { .. })));
        let was = to_json(&doc, "", Some(&before)).unwrap();
        assert_eq!(was["counter"], json!(3));
    }

    #[test]
    fn a_hostile_depth_is_an_error() {
        let mut doc = Automerge::new();
        let mut tx = doc.transaction();
        let mut object = ROOT;
        for _ in 0..20_000 {
            object = tx.put_object(&object, "x", ObjType::Map).unwrap();
        }
        tx.commit();
        assert!(matches!(to_json(&doc, "", None), Err(ActionError::TooDeep { .. })));
        assert!(matches!(to_json(&doc, "/x/x/x", None), Err(ActionError::TooDeep { .. })));
    }
}
