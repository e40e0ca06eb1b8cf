//! Numbers that JSON cannot hold. The library of JSON writes NaN and infinity as null, and who reads the null where a number
//! belongs cannot read the slice any more: so they are found before.

use serde::ser::{self, Serialize};
use serde_json::Value;

/// Why a value cannot be written.
#[derive(Debug)]
struct Found;

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number in it is not finite")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The value as JSON.
///
/// # Errors
/// A text, for what JSON cannot hold: NaN and infinity, maps with keys that are no text, and what the value's own
/// `Serialize` refuses.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Value, String> {
    let json = serde_json::to_value(value).map_err(|error| error.to_string())?;
    // Only what became null can have been such a number.
    if has_null(&json) && value.serialize(Finite).is_err() {
        return Err(Found.to_string());
    }
    Ok(json)
}

fn has_null(value: &Value) -> bool {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Null => return true,
            Value::Array(items) => left.extend(items),
            Value::Object(entries) => left.extend(entries.values()),
            _ => {}
        }
    }
    false
}

/// Goes through a value, and fails at the first number that is not finite.
struct Finite;

macro_rules! passes {
    ($($verb:ident($type:ty))*) => {
        $(fn $verb(self, _: $type) -> Result<(), Found> {
            Ok(())
        })*
    };
}

impl ser::Serializer for Finite {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    passes! {
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_i128(i128) serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_u128(u128) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Found> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Found> {
        if value.is_finite() { Ok(()) } else { Err(Found) }
    }

    fn serialize_none(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        Ok(self)
    }
}

macro_rules! goes_through {
    ($($kind:ident::$verb:ident)*) => {
        $(impl ser::$kind for Finite {
            type Ok = ();
            type Error = Found;

            fn $verb<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
                value.serialize(Finite)
            }

            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        })*
    };
}

goes_through! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! goes_through_fields {
    ($($kind:ident)*) => {
        $(impl ser::$kind for Finite {
            type Ok = ();
            type Error = Found;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Found> {
                value.serialize(Finite)
            }

            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        })*
    };
}

goes_through_fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Finite {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        value.serialize(Finite)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[derive(serde::Serialize)]
    enum Shape {
        Unit,
        One(f64),
        Two(f64, f32),
        Named { x: Option<f64>, list: Vec<f32> },
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_wherever_it_is() {
        for bad in [
            Shape::One(f64::NAN),
            Shape::Two(1.0, f32::INFINITY),
            Shape::Named { x: Some(f64::NEG_INFINITY), list: vec![] },
            Shape::Named { x: None, list: vec![1.0, f32::NAN] },
        ] {
            assert!(to_json(&bad).is_err());
        }
        assert!(to_json(&BTreeMap::from([("a", vec![(1, f64::NAN)])])).is_err());
        assert!(to_json(&f64::NAN).is_err());
    }

    #[test]
    fn a_null_that_was_meant_stays_one() {
        assert_eq!(
            to_json(&Shape::Named { x: None, list: vec![1.5] }),
            Ok(json!({"Named": {"x": null, "list": [1.5]}}))
        );
        assert_eq!(to_json(&Shape::Unit), Ok(json!("Unit")));
        assert_eq!(to_json(&((), Option::<u8>::None)), Ok(json!([null, null])));
        assert_eq!(to_json(&Shape::One(2.0)), Ok(json!({"One": 2.0})));
        assert_eq!(to_json(&Shape::Two(1.0, 0.5)), Ok(json!({"Two": [1.0, 0.5]})));
    }
}
