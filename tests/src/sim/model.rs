//! What was done, and the state that it must come to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rejoin::ChangeHash;
use serde_json::Value;

/// A number for one action that was acknowledged: it stands in what the action wrote.
pub(super) type Token = usize;

/// What an action comes to, wherever and whenever it meets the others.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// A value under a key, over those that were seen there.
    Put { path: String, value: Value, over: Vec<Token> },
    /// A key removed: those that were seen there.
    Remove { over: Vec<Token> },
    /// Added to a counter.
    Add { path: String, by: i64 },
    /// An element of a list.
    Element { path: String, value: Value },
    /// Elements of a list removed.
    RemoveElement { target: Token },
    /// A splice: characters that nobody else writes, and those that went.
    Splice { path: String, inserted: Vec<char>, removed: Vec<char> },
    /// Something in a corner where all replicas must be equal, and nothing more is foretold.
    Wild,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) document: usize,
    pub(super) hash: ChangeHash,
    pub(super) effect: Effect,
    /// At some moment no store and no log held it any more.
    pub(super) lost: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) made: Vec<Made>,
    pub(super) by_hash: HashMap<ChangeHash, Token>,
    /// Changes that the library cannot take, pushed by strangers.
    pub(super) hostile: HashSet<ChangeHash>,
    reserved: Token,
}

impl Model {
    /// A number for an action that is about to be dispatched.
    pub(super) fn reserve(&mut self) -> Token {
        self.reserved += 1;
        self.reserved
    }

    pub(super) fn count(&self) -> u64 {
        self.made.len() as u64
    }

    /// An action was acknowledged. Two clones can make the very same change (a deletion, in the same second):
    /// that is one change.
    pub(super) fn add(&mut self, document: usize, hash: ChangeHash, effect: Effect) {
        if self.by_hash.contains_key(&hash) {
            return;
        }
        self.by_hash.insert(hash, self.made.len());
        self.made.push(Made { document, hash, effect, lost: false });
    }

    /// Those of `standing` that put something at `path`.
    pub(super) fn puts_at(&self, path: &str, standing: &HashSet<ChangeHash>) -> Vec<Token> {
        let puts = |made: &Made| matches!(&made.effect, Effect::Put { path: p, .. } if p == path);
        let at =
            |(token, made): (Token, &Made)| (puts(made) && standing.contains(&made.hash)).then_some(token);
        self.made.iter().enumerate().filter_map(at).collect()
    }

    /// The action that inserted this element.
    pub(super) fn element(&self, path: &str, value: &Value) -> Option<Token> {
        let is = |made: &Made| matches!(&made.effect, Effect::Element { path: p, value: v } if p == path && v == value);
        self.made.iter().position(is)
    }

    /// Compares a state with what these actions come to. Says what is wrong.
    pub(super) fn judge(&self, state: &Value, tokens: &BTreeSet<Token>) -> Result<(), String> {
        let mut expected = Expected::default();
        for token in tokens {
            if let Some(made) = self.made.get(*token) {
                expected.take(*token, &made.effect);
            }
        }
        expected.judge(state)
    }
}

/// What a set of actions comes to.
#[derive(Default)]
struct Expected<'a> {
    puts: BTreeMap<&'a str, BTreeMap<Token, &'a Value>>,
    covered: BTreeSet<Token>,
    counters: BTreeMap<&'a str, i64>,
    elements: BTreeMap<&'a str, BTreeMap<Token, &'a Value>>,
    texts: BTreeMap<&'a str, Vec<&'a [char]>>,
    removed: BTreeSet<char>,
}

impl<'a> Expected<'a> {
    fn take(&mut self, token: Token, effect: &'a Effect) {
        match effect {
            Effect::Put { path, value, over } => {
                self.puts.entry(path).or_default().insert(token, value);
                self.covered.extend(over);
            }
            Effect::Remove { over } => self.covered.extend(over),
            Effect::Add { path, by } => *self.counters.entry(path).or_default() += by,
            Effect::Element { path, value } => {
                self.elements.entry(path).or_default().insert(token, value);
            }
            Effect::RemoveElement { target } => {
                self.covered.insert(*target);
            }
            Effect::Splice { path, inserted, removed } => {
                self.texts.entry(path).or_default().push(inserted);
                self.removed.extend(removed);
            }
            Effect::Wild => {}
        }
    }

    fn judge(&self, state: &Value) -> Result<(), String> {
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
            wanted.sort_unstable();
            found.sort_unstable();
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

    fn judge_text(&self, state: &Value, path: &str, inserted: &[&[char]]) -> Result<(), String> {
        let text: Vec<char> = state.pointer(path).and_then(Value::as_str).unwrap_or("").chars().collect();
        let places: HashMap<char, usize> = text.iter().enumerate().map(|(at, c)| (*c, at)).collect();
        if places.len() != text.len() {
            return Err(format!("{path} has a character twice: {text:?}"));
        }
        let mut wanted = 0;
        for fragment in inserted {
            let mut last = None;
            for c in fragment.iter().filter(|c| !self.removed.contains(c)) {
                wanted += 1;
                let Some(place) = places.get(c) else {
                    return Err(format!("{path} lacks {:x}, which nobody removed", *c as u32));
                };
                if last.is_some_and(|last| last > *place) {
                    return Err(format!("{path} has {:x} before what was typed before it", *c as u32));
                }
                last = Some(*place);
            }
        }
        if wanted != text.len() {
            return Err(format!("{path} has {} characters, and should have {wanted}", text.len()));
        }
        Ok(())
    }
}
