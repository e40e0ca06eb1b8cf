//! Questions in JSON, read as they are decoded: nothing of one is kept but what was asked for. No field is given twice, at
//! any depth, for two readers of such a body could disagree on what it says; and so that this can be known in little
//! memory, a body has few fields.

use std::{
    collections::HashSet,
    fmt,
    io::{self, Read},
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    ServerLimits,
    rules::{ApiError, Code},
};

/// A question that is a list of texts in one field of an object.
pub(super) struct Question<'q> {
    /// The field.
    pub(super) field: &'static str,
    /// How many entries it may have, and what that limit is called.
    pub(super) most: (usize, &'static str),
    pub(super) limits: &'q ServerLimits,
}

impl Question<'_> {
    /// Reads a body to its end, and each entry by `entry`. Other fields are ignored.
    ///
    /// # Errors
    /// `malformed`, or `too-large` with the limit; or what `entry` says.
    pub(super) fn read<T>(
        &self,
        body: impl Read,
        entry: impl FnMut(&str) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let mut state = State { question: self, entry, fields: 0, fault: None };
        let mut json = serde_json::Deserializer::from_reader(body);
        let read = Whole(&mut state).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
        let why = |error: serde_json::Error| match error.io_error_kind() {
            // What the body is decoded by has said why.
            Some(io::ErrorKind::FileTooLarge) => ApiError::because(Code::TooLarge, error.to_string()),
            Some(_) => ApiError::because(Code::Malformed, error.to_string()),
            None => {
                ApiError::because(Code::Malformed, format!("It is not the JSON that is asked for: {error}."))
            }
        };
        read.map_err(|error| state.fault.unwrap_or_else(|| why(error)))
    }
}

struct State<'q, F> {
    question: &'q Question<'q>,
    entry: F,
    /// How many fields the body has had, all depths together.
    fields: usize,
    /// Why the reading was ended, where it is not the JSON.
    fault: Option<ApiError>,
}

impl<F> State<'_, F> {
    fn end<E: Error>(&mut self, fault: ApiError) -> E {
        self.fault = Some(fault);
        E::custom("it is read no further")
    }

    fn too_many<E: Error>(&mut self, what: &str, (most, limit): (usize, &str)) -> E {
        let detail = format!("A body of JSON may have {most} {what} at most (limit {limit}).");
        self.end(ApiError::because(Code::TooLarge, detail))
    }

    /// The next field of an object.
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        seen: &mut HashSet<String>,
    ) -> Result<Option<String>, A::Error> {
        let Some(field) = map.next_key::<String>()? else { return Ok(None) };
        self.fields += 1;
        let most = self.question.limits.json_fields;
        if self.fields > most {
            return Err(self.too_many("fields", (most, "json_fields")));
        }
        if !seen.insert(field.clone()) {
            return Err(A::Error::custom(format_args!("the field {field:?} is given twice")));
        }
        Ok(Some(field))
    }
}

/// The object, of which one field counts.
struct Whole<'s, 'q, F>(&'s mut State<'q, F>);

impl<'de, T, F: FnMut(&str) -> Result<T, ApiError>> DeserializeSeed<'de> for Whole<'_, '_, F> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T, F: FnMut(&str) -> Result<T, ApiError>> Visitor<'de> for Whole<'_, '_, F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.0.question.field)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<T>, A::Error> {
        let Self(state) = self;
        let (wanted, mut seen, mut found) = (state.question.field, HashSet::new(), None);
        while let Some(field) = state.field(&mut map, &mut seen)? {
            if field == wanted {
                found = Some(map.next_value_seed(Entries(state))?);
            } else {
                map.next_value_seed(Ignored(state, 1))?;
            }
        }
        found.ok_or_else(|| A::Error::missing_field(wanted))
    }
}

/// The list that was asked for.
struct Entries<'s, 'q, F>(&'s mut State<'q, F>);

impl<'de, T, F: FnMut(&str) -> Result<T, ApiError>> DeserializeSeed<'de> for Entries<'_, '_, F> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F: FnMut(&str) -> Result<T, ApiError>> Visitor<'de> for Entries<'_, '_, F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element_seed(Entry(&mut *self.0))? {
            if entries.len() == self.0.question.most.0 {
                return Err(self.0.too_many("of these", self.0.question.most));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// One text of it.
struct Entry<'s, 'q, F>(&'s mut State<'q, F>);

impl<'de, T, F: FnMut(&str) -> Result<T, ApiError>> DeserializeSeed<'de> for Entry<'_, '_, F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnMut(&str) -> Result<T, ApiError>> Visitor<'_> for Entry<'_, '_, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let read = (self.0.entry)(text);
        read.map_err(|fault| self.0.end(fault))
    }
}

/// Any value, so deep inside, of which nothing is kept.
struct Ignored<'s, 'q, F>(&'s mut State<'q, F>, usize);

impl<F> Ignored<'_, '_, F> {
    fn deeper<E: Error>(&mut self) -> Result<usize, E> {
        let most = self.0.question.limits.json_nesting;
        if self.1 >= most {
            let why =
                format!("it has more than {most} objects and lists inside one another (limit json_nesting)");
            return Err(E::custom(why));
        }
        Ok(self.1 + 1)
    }
}

impl<'de, F> DeserializeSeed<'de> for Ignored<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F> Visitor<'de> for Ignored<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (depth, mut seen) = (self.deeper()?, HashSet::new());
        while self.0.field(&mut map, &mut seen)?.is_some() {
            map.next_value_seed(Ignored(&mut *self.0, depth))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while seq.next_element_seed(Ignored(&mut *self.0, depth))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<String>, ApiError> {
        let limits = ServerLimits { json_fields: 5, json_nesting: 3, ..ServerLimits::default() };
        let question = Question { field: "hashes", most: (3, "missing_hashes"), limits: &limits };
        question.read(body.as_bytes(), |text| match text {
            "bad" => Err(ApiError::because(Code::Malformed, "bad")),
            text => Ok(text.to_owned()),
        })
    }

    #[test]
    fn duplicate_fields_are_refused_and_unknown_ones_ignored() {
        assert_eq!(read(r#"{"hashes":["a"],"more":{"x":[1,null,true,1.5,-1,"s"]}}"#).unwrap(), ["a"]);
        for bad in [
            r#"{"hashes":[],"hashes":[]}"#,
            r#"{"hashes":[],"x":1,"x":1}"#,
            r#"{"hashes":[],"x":1,"\u0078":1}"#,
            r#"{"hashes":[],"x":{"y":1,"y":2}}"#,
            r#"{"hashes":[],"x":[{"y":1,"y":2}]}"#,
            r#"{"hashes":{}}"#,
            r#"{"hashes":[1]}"#,
            r#"{"hashes":["bad"]}"#,
            r#"{"hashes":["a""#,
            "[]",
            "{}",
            "",
            r#"{"hashes":[]} x"#,
        ] {
            assert_eq!(read(bad).unwrap_err().code, Code::Malformed, "{bad}");
        }
    }

    #[test]
    fn fields_nesting_and_entries_are_capped_and_the_limit_is_named() {
        let nested =
            |depth: usize| format!(r#"{{"hashes":[],"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let fields = |count: usize| {
            let more: String = (1..count).map(|n| format!(r#","{n}":{{}}"#)).collect();
            format!(r#"{{"hashes":[]{more}}}"#)
        };
        let inside = r#"{"hashes":[],"x":[{"a":1},{"a":1},{"a":1},{"a":1}]}"#;
        assert!(read(&nested(2)).is_ok() && read(&fields(5)).is_ok());
        assert!(read(r#"{"hashes":["a","b","c"]}"#).is_ok());
        for (body, code, limit) in [
            (nested(3), Code::Malformed, "json_nesting"),
            (nested(100_000), Code::Malformed, "json_nesting"),
            (fields(6), Code::TooLarge, "json_fields"),
            (inside.to_owned(), Code::TooLarge, "json_fields"),
            (r#"{"hashes":["a","b","c","d"]}"#.to_owned(), Code::TooLarge, "missing_hashes"),
        ] {
            let fault = read(&body).unwrap_err();
            assert_eq!(fault.code, code, "{limit}");
            assert!(format!("{fault:?}").contains(limit), "{fault:?}");
        }
    }
}
