//! The state that a set of actions must come to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::model::{Effect, Token};

/// What a set of actions comes to.
pub(super) struct Expected<'a> {
    puts: BTreeMap<&'a str, BTreeMap<Token, &'a Value>>,
    covered: BTreeSet<Token>,
    counters: BTreeMap<&'a str, i64>,
    elements: BTreeMap<&'a str, BTreeMap<Token, &'a Value>>,
    texts: BTreeMap<&'a str, Vec<(Token, &'a [char])>>,
    removed: HashSet<(Token, char)>,
    ambiguous: &'a HashSet<String>,
}

impl<'a> Expected<'a> {
    pub(super) fn new(ambiguous: &'a HashSet<String>) -> Self {
        Self {
            puts: BTreeMap::new(),
            covered: BTreeSet::new(),
            counters: BTreeMap::new(),
            elements: BTreeMap::new(),
            texts: BTreeMap::new(),
            removed: HashSet::new(),
            ambiguous,
        }
    }

    pub(super) fn take(&mut self, token: Token, effect: &'a Effect) {
        match effect {
            Effect::Put { path, value, over } => {
                self.puts.entry(path).or_default().insert(token, value);
                self.covered.extend(over);
            }
            Effect::Remove { over, .. } | Effect::RemoveElement { over, .. } => self.covered.extend(over),
            Effect::Add { path, by } => *self.counters.entry(path).or_default() += by,
            Effect::Element { path, value } => {
                self.elements.entry(path).or_default().insert(token, value);
            }
            Effect::Splice { path, inserted, removed } => {
                self.texts.entry(path).or_default().push((token, inserted));
                let each = |(c, over): &'a (char, Vec<Token>)| over.iter().map(|token| (*token, *c));
                self.removed.extend(removed.iter().flat_map(each));
            }
            Effect::Nothing | Effect::Wild => {}
        }
    }

    pub(super) fn judge(&self, state: &Value) -> Result<(), String> {
        self.judge_puts(state)?;
        for (path, sum) in &self.counters {
            let found = state.pointer(path).and_then(Value::as_i64);
            if found != Some(*sum) {
                return Err(format!("the counter {path} reads {found:?}, and its increments come to {sum}"));
            }
        }
        for (path, elements) in &self.elements {
            let wanted = elements.iter().filter(|(token, _)| !self.covered.contains(token));
            let mut wanted: Vec<String> = wanted.map(|(_, value)| value.to_string()).collect();
            let found = state.pointer(path).and_then(Value::as_array);
            let mut found: Vec<String> = found.into_iter().flatten().map(ToString::to_string).collect();
            for list in [&mut wanted, &mut found] {
                list.retain(|value| !self.ambiguous.contains(value));
                list.sort_unstable();
            }
            if wanted != found {
                return Err(format!("the list {path} holds {found:?}, and should hold {wanted:?}"));
            }
        }
        self.texts.iter().try_for_each(|(path, inserted)| self.judge_text(state, path, inserted))
    }

    fn judge_puts(&self, state: &Value) -> Result<(), String> {
        for (path, puts) in &self.puts {
            let live: Vec<_> = puts.iter().filter(|(token, _)| !self.covered.contains(token)).collect();
            let found = state.pointer(path);
            let fits = match found {
                None => live.is_empty(),
                Some(found) => live.iter().any(|(_, value)| **value == found),
            };
            if !fits {
                return Err(format!("{path} reads {found:?}, and the last writes there are {live:?}"));
            }
        }
        for map in ["/m", "/deep/x/y"] {
            let keys = state.pointer(map).and_then(Value::as_object);
            for key in keys.into_iter().flatten().map(|(key, _)| format!("{map}/{key}")) {
                if !self.puts.contains_key(key.as_str()) {
                    return Err(format!("{key} is there, and nobody set it"));
                }
            }
        }
        Ok(())
    }

    fn judge_text(&self, state: &Value, path: &str, inserted: &[(Token, &[char])]) -> Result<(), String> {
        let text = state.pointer(path).and_then(Value::as_str).unwrap_or("");
        let mut found: HashMap<char, Vec<usize>> = HashMap::new();
        for (at, c) in text.chars().enumerate().filter(|(_, c)| !self.is_ambiguous(*c)) {
            found.entry(c).or_default().push(at);
        }
        let mut wanted: HashMap<char, usize> = HashMap::new();
        for c in inserted.iter().flat_map(|(token, fragment)| self.left_of(*token, fragment)) {
            *wanted.entry(c).or_default() += 1;
        }
        for (c, places) in &found {
            if wanted.get(c) != Some(&places.len()) {
                let wanted = wanted.get(c).unwrap_or(&0);
                let here = places.len();
                return Err(format!("{path} has {:x} {here} times, and should {wanted} times", *c as u32));
            }
        }
        for (token, fragment) in inserted {
            let mut last = None;
            for c in self.left_of(*token, fragment) {
                let Some(places) = found.get(&c) else {
                    return Err(format!("{path} lacks {:x}, which nobody removed", c as u32));
                };
                // Which of two is this one's, nobody knows.
                let [place] = places.as_slice() else { continue };
                if last.is_some_and(|last| last > *place) {
                    return Err(format!("{path} has {:x} before what was typed before it", c as u32));
                }
                last = Some(*place);
            }
        }
        Ok(())
    }

    /// What nobody removed of a fragment.
    fn left_of(&self, token: Token, fragment: &'a [char]) -> impl Iterator<Item = char> {
        let left = move |c: &char| !self.removed.contains(&(token, *c)) && !self.is_ambiguous(*c);
        fragment.iter().copied().filter(left)
    }

    fn is_ambiguous(&self, c: char) -> bool {
        !self.ambiguous.is_empty() && self.ambiguous.contains(&c.to_string())
    }
}
