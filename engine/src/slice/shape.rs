//! What a typed value is, for finding out what an edit changed: JSON in which texts and counters are told apart.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    collaborative::{MARKS, marked},
    finite,
};

/// A value of a state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Null, a truth value, a number or a plain string.
    Plain(Value),
    /// A struct, or a map.
    Map(BTreeMap<String, Shape>),
    /// A list.
    List(Vec<Shape>),
    /// A [`Text`](super::Text).
    Text(String),
    /// A [`Counter`](super::Counter).
    Counter(i64),
}

impl Shape {
    /// That of a value.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, String> {
        marked(|| finite::to_json(value)).map(Self::read)
    }

    fn read(value: Value) -> Self {
        match value {
            Value::Object(mut entries) => {
                if let Some(Value::String(text)) = entries.get_mut(&MARKS.text) {
                    return Self::Text(std::mem::take(text));
                }
                if let Some(count) = entries.get(&MARKS.counter).and_then(Value::as_i64) {
                    return Self::Counter(count);
                }
                Self::Map(entries.into_iter().map(|(key, value)| (key, Self::read(value))).collect())
            }
            Value::Array(items) => Self::List(items.into_iter().map(Self::read).collect()),
            plain => Self::Plain(plain),
        }
    }

    /// What it reads, as JSON.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Text(text) => text.as_str().into(),
            Self::Counter(count) => (*count).into(),
        }
    }

    /// Whether there are texts or counters in it.
    pub(super) fn is_collaborative(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Map(entries) => entries.values().any(Self::is_collaborative),
            Self::List(items) => items.iter().any(Self::is_collaborative),
            Self::Text(_) | Self::Counter(_) => true,
        }
    }
}
