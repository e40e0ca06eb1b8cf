//! JSON in which no field is given twice, at any depth: two readers of such a body could disagree on what it says.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Reads a body. Unknown fields are ignored; nesting is bounded by serde_json (128).
///
/// # Errors
/// What is wrong with it, for the client.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let _: NoTwice = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Any JSON value without a repeated field.
struct NoTwice;

impl<'de> Deserialize<'de> for NoTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = NoTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoTwice, A::Error> {
        let mut seen = HashSet::new();
        while let Some(field) = map.next_key::<String>()? {
            if seen.contains(&field) {
                return Err(A::Error::custom(format_args!("the field {field:?} is given twice")));
            }
            map.next_value::<NoTwice>()?;
            seen.insert(field);
        }
        Ok(NoTwice)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NoTwice, A::Error> {
        while seq.next_element::<NoTwice>()?.is_some() {}
        Ok(NoTwice)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<NoTwice, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| NoTwice)
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }

    fn visit_unit<E>(self) -> Result<NoTwice, E> {
        Ok(NoTwice)
    }
}

#[cfg(test)]
mod tests {
    use rejoin::wire::MissingRequest;

    use super::read;

    #[test]
    fn duplicate_fields_are_refused_and_unknown_ones_ignored() {
        let read = |body: &str| read::<MissingRequest>(body.as_bytes());
        assert_eq!(read(r#"{"hashes":["a"],"more":{"x":[1,null,true,1.5,-1]}}"#).unwrap().hashes, ["a"]);
        for bad in [
            r#"{"hashes":[],"hashes":[]}"#,
            r#"{"hashes":[],"x":1,"x":1}"#,
            r#"{"hashes":[],"x":{"y":1,"y":2}}"#,
            r#"{"hashes":{}}"#,
            r#"{"hashes":[1]}"#,
            "{}",
            "",
            r#"{"hashes":[]} x"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&format!(r#"{{"hashes":[],"x":{}}}"#, "[".repeat(100_000))).is_err());
    }
}
