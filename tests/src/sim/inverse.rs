//! What an undo must come to: told from what it takes back, from what stood, and from the state before and after.
//! Only what still wins is undone, and what others wrote stays.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
};

use rejoin::{ChangeHash, Undone};
use serde_json::Value;

use super::model::{Effect, Gone, Model, Token};

/// An undo, and what was there before and after it.
pub(super) struct Seen<'a> {
    pub(super) undone: &'a Undone,
    /// What stood before it, as first made.
    pub(super) standing: &'a HashSet<ChangeHash>,
    /// What this store made.
    pub(super) own: &'a [Token],
    pub(super) before: &'a Value,
    pub(super) after: &'a Value,
}

impl Model {
    /// What the taking back of `target` came to, where that is as it must be; else what is wrong.
    pub(super) fn inverse(&self, target: Token, seen: &Seen<'_>) -> Result<Effect, String> {
        let effect = match &self.made[target].effect {
            Effect::Add { path, by } => subtracted(path, *by, seen),
            Effect::Put { path, value, .. } => self.replaced(path, Some(value), seen),
            Effect::Remove { path, .. } => self.replaced(path, None, seen),
            Effect::Element { path, value } => self.element_gone(path, value, seen),
            Effect::RemoveElement { path, value, .. } => self.element_back(target, (path, value), seen),
            Effect::Splice { path, inserted, removed } => {
                self.unspliced(target, (path, inserted, removed), seen)
            }
            Effect::Nothing => self.of_family(target, seen),
            Effect::Wild => Ok(Effect::Wild),
        }?;
        let part = match &effect {
            Effect::Add { path, .. }
            | Effect::Put { path, .. }
            | Effect::Remove { path, .. }
            | Effect::Element { path, .. }
            | Effect::RemoveElement { path, .. }
            | Effect::Splice { path, .. } => Some(path.as_str()),
            Effect::Nothing => None,
            Effect::Wild => Some("/w"),
        };
        if without(seen.before, part) != without(seen.after, part) {
            return Err(format!("it touched more than {part:?}: {} became {}", seen.before, seen.after));
        }
        Ok(effect)
    }

    /// A key was set to `put`, or deleted.
    fn replaced(&self, path: &str, put: Option<&Value>, seen: &Seen<'_>) -> Result<Effect, String> {
        let (before, after) = (seen.before.pointer(path), seen.after.pointer(path));
        let live = self.live_puts_at(path, seen.standing);
        // What an undo put back stands for what it was: it has the same value, which nobody else has.
        let (ours, others): (Vec<&Value>, Vec<&Value>) =
            live.iter().filter_map(|token| self.put(*token)).partition(|value| Some(*value) == put);
        let touched = seen.undone.undone > 0;
        let fits = match put {
            _ if !touched => before == after && !(put.is_some() && others.is_empty() && !ours.is_empty()),
            Some(_) if ours.is_empty() => false,
            // Somebody wrote at the same time: theirs comes forward.
            Some(_) if !others.is_empty() => after.is_some_and(|after| others.contains(&after)),
            Some(_) => self.was_once(path, after, seen),
            None => live.is_empty() && after.is_some() && self.was_once(path, after, seen),
        };
        if !fits {
            return Err(format!(
                "{path} was {before:?} with {live:?} live, the change to be taken back wrote {put:?}, and now it is {after:?}"
            ));
        }
        let over = self.puts_at(path, seen.standing);
        let path = path.to_owned();
        Ok(match after {
            _ if !touched => Effect::Nothing,
            Some(value) => Effect::Put { path, value: value.clone(), over },
            None => Effect::Remove { path, over },
        })
    }

    fn put(&self, token: Token) -> Option<&Value> {
        match &self.made[token].effect {
            Effect::Put { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether it is nothing, or a value that somebody put there.
    fn was_once(&self, path: &str, value: Option<&Value>, seen: &Seen<'_>) -> bool {
        let puts = self.puts_at(path, seen.standing);
        value.is_none_or(|value| puts.iter().any(|token| self.put(*token) == Some(value)))
    }

    /// An element was inserted: it goes, where it is there.
    fn element_gone(&self, path: &str, value: &Value, seen: &Seen<'_>) -> Result<Effect, String> {
        let (before, after) = (list(seen.before, path), list(seen.after, path));
        let wanted: Vec<&Value> = before.iter().copied().filter(|element| *element != value).collect();
        let left: Vec<&Value> = after.iter().copied().filter(|element| *element != value).collect();
        // Where two copies of the store put it back, each takes away its own.
        let enough = before.len() == wanted.len() || after.len() < before.len();
        if left != wanted || !enough || (after.len() > wanted.len() && !self.is_ambiguous(value)) {
            return Err(format!(
                "the list {path} was {before:?}, {value} is taken back, and now it is {after:?}"
            ));
        }
        let (path, value) = (path.to_owned(), value.clone());
        let over = self.element(&path, &value, seen.standing);
        let gone = before.len() > after.len();
        Ok(if gone { Effect::RemoveElement { path, value, over } } else { Effect::Nothing })
    }

    /// An element was removed: it returns, unless it is there or somebody else removed it too.
    fn element_back(
        &self,
        target: Token,
        (path, value): (&str, &Value),
        seen: &Seen<'_>,
    ) -> Result<Effect, String> {
        let (before, after) = (list(seen.before, path), list(seen.after, path));
        let there = before.contains(&value);
        let back = !there && after.contains(&value);
        let without: Vec<&Value> =
            after.iter().copied().filter(|element| there || *element != value).collect();
        let removes = |effect: &Effect| matches!(effect, Effect::RemoveElement { path: p, value: v, .. } if p == path && v == value);
        let inserts = |effect: &Effect| matches!(effect, Effect::Element { path: p, value: v } if p == path && v == value);
        let excused =
            there || self.somebody_else(target, seen, removes) || self.is_undone(target, seen, inserts);
        if without != before || after.len() > before.len() + 1 || !(back || excused) {
            return Err(format!(
                "the list {path} was {before:?}, the removal of {value} is taken back, and now it is {after:?}"
            ));
        }
        let (path, value) = (path.to_owned(), value.clone());
        Ok(if back { Effect::Element { path, value } } else { Effect::Nothing })
    }

    /// A splice: what it typed goes, what it deleted returns, unless somebody else deleted it too.
    fn unspliced(
        &self,
        target: Token,
        (path, typed, erased): (&str, &[char], &Gone),
        seen: &Seen<'_>,
    ) -> Result<Effect, String> {
        let (mut before, mut after) = (text(seen.before, path), text(seen.after, path));
        before.retain(|c| !self.ambiguous.contains(&c.to_string()));
        after.retain(|c| !self.ambiguous.contains(&c.to_string()));
        let (was, is): (HashSet<char>, HashSet<char>) =
            (before.iter().copied().collect(), after.iter().copied().collect());
        let kept: Vec<char> = before.iter().copied().filter(|c| !typed.contains(c)).collect();
        let inserted: Vec<char> = after.iter().copied().filter(|c| !was.contains(c)).collect();
        let left: Vec<char> = after.iter().copied().filter(|c| was.contains(c)).collect();
        let wrong = |what: &str| {
            Err(format!(
                "{what}: {path} was {before:?}, {typed:?} for {erased:?} is taken back, and now it is {after:?}"
            ))
        };
        // What its action did, and this did not, because it was away.
        let (goes, comes) = self.family(target);
        let others = |list: &[char]| list.iter().copied().filter(|c| !goes.contains(c)).collect::<Vec<_>>();
        if others(&left) != others(&kept) || left.iter().any(|c| !kept.contains(c)) {
            return wrong("what was typed goes, and nothing else");
        }
        let foreign = inserted.iter().any(|c| !comes.contains(c) && !erased.iter().any(|(e, _)| e == c));
        if foreign || inserted.iter().collect::<HashSet<_>>().len() < inserted.len() {
            return wrong("what comes back is not what was deleted");
        }
        let missing = |c: &char| !is.contains(c) && !typed.contains(c);
        for (c, _) in erased.iter().filter(|(c, _)| missing(c) && !self.ambiguous.contains(&c.to_string())) {
            let removes = |effect: &Effect| matches!(effect, Effect::Splice { path: p, removed, .. } if p == path && removed.iter().any(|(r, _)| r == c));
            let types = |effect: &Effect| matches!(effect, Effect::Splice { path: p, inserted, .. } if p == path && inserted.contains(c));
            if !self.somebody_else(target, seen, removes) && !self.is_undone(target, seen, types) {
                return wrong("something does not come back");
            }
        }
        let gone = before.iter().filter(|c| !is.contains(c));
        let gone: BTreeSet<char> = gone.copied().collect();
        let over = |c: char| (c, self.character(path, c, seen.standing));
        let removed: Gone = gone.into_iter().map(over).collect();
        if inserted.is_empty() && removed.is_empty() {
            return Ok(Effect::Nothing);
        }
        Ok(Effect::Splice { path: path.to_owned(), inserted, removed })
    }

    /// An undo or redo that had found nothing is taken back: what was away then may come or go now.
    fn of_family(&self, target: Token, seen: &Seen<'_>) -> Result<Effect, String> {
        match &self.made[self.action(target)].effect {
            Effect::Splice { path, .. } => self.unspliced(target, (path, &[], &Gone::default()), seen),
            Effect::Element { path, value } | Effect::RemoveElement { path, value, .. } => {
                let (before, after) = (list(seen.before, path), list(seen.after, path));
                let others = |list: &[&Value]| list.iter().filter(|v| **v != value).count();
                if others(&before) != others(&after) {
                    return Err(format!(
                        "{path} was {before:?}, nothing is taken back, and now it is {after:?}"
                    ));
                }
                let over = self.element(path, value, seen.standing);
                let (path, value) = (path.clone(), value.clone());
                Ok(match before.len().cmp(&after.len()) {
                    Ordering::Less => Effect::Element { path, value },
                    Ordering::Equal => Effect::Nothing,
                    Ordering::Greater => Effect::RemoveElement { path, value, over },
                })
            }
            _ => Ok(Effect::Nothing),
        }
    }

    /// The characters that go, and those that come, when the action of this undo or redo is undone or done again.
    fn family(&self, target: Token) -> (Vec<char>, Vec<char>) {
        let action = self.action(target);
        let Effect::Splice { inserted, removed, .. } = &self.made[action].effect else {
            return Default::default();
        };
        let removed = removed.iter().map(|(c, _)| *c).collect();
        match (action == target, self.is_undo(target)) {
            (true, _) => Default::default(),
            (false, true) => (removed, inserted.clone()),
            (false, false) => (inserted.clone(), removed),
        }
    }

    /// Whether an action that does that is undone.
    fn is_undone(&self, target: Token, seen: &Seen<'_>, does: impl Fn(&Effect) -> bool) -> bool {
        let standing = self.tokens(seen.standing);
        let all: Vec<Token> = standing.iter().copied().collect();
        let taken = self.taken_back_with((&standing, &all), Some(target));
        taken.into_iter().any(|token| self.made[token].takes.is_none() && does(&self.made[token].effect))
    }

    /// What stands twice: two copies of a store put it back, each without knowing of the other. From then on nobody
    /// foretells which of them goes, and how many stay.
    pub(super) fn note_doubles(&mut self, state: &Value) {
        let mut seen = HashSet::new();
        for element in list(state, "/l").iter().map(ToString::to_string) {
            if !seen.insert(element.clone()) {
                self.ambiguous.insert(element);
            }
        }
        for c in text(state, "/t").iter().map(ToString::to_string) {
            if !seen.insert(c.clone()) {
                self.ambiguous.insert(c);
            }
        }
    }

    fn is_ambiguous(&self, value: &Value) -> bool {
        !self.ambiguous.is_empty() && self.ambiguous.contains(&value.to_string())
    }

    /// Whether something that stood does that, and has to do with another action; or with this one, and is in force
    /// still: another copy of the store took the action back as well, without knowing of this one.
    fn somebody_else(&self, target: Token, seen: &Seen<'_>, does: impl Fn(&Effect) -> bool) -> bool {
        let action = self.action(target);
        let taken = self.taken_back_with((&self.tokens(seen.standing), seen.own), Some(target));
        let mut all = self.made.iter().enumerate();
        all.any(|(token, made)| {
            seen.standing.contains(&made.hash)
                && does(&made.effect)
                && (self.action(token) != action || !taken.contains(&token))
        })
    }
}

/// An increment is taken back by its opposite, whatever others added.
fn subtracted(path: &str, by: i64, seen: &Seen<'_>) -> Result<Effect, String> {
    let number = |state: &Value| state.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let (before, after) = (number(seen.before), number(seen.after));
    if after != before - by || seen.undone.undone != 1 {
        return Err(format!("the counter {path} was {before}, {by} is taken back, and now it is {after}"));
    }
    Ok(Effect::Add { path: path.to_owned(), by: -by })
}

fn list<'a>(state: &'a Value, path: &str) -> Vec<&'a Value> {
    state.pointer(path).and_then(Value::as_array).into_iter().flatten().collect()
}

fn text(state: &Value, path: &str) -> Vec<char> {
    state.pointer(path).and_then(Value::as_str).unwrap_or("").chars().collect()
}

/// The state without this part. What is empty is as good as not there: containers have changes of their own, which
/// no undo takes back.
pub(super) fn without(state: &Value, part: Option<&str>) -> Value {
    let mut state = state.clone();
    if let Some((map, key)) = part.and_then(|path| path.rsplit_once('/'))
        && let Some(map) = state.pointer_mut(map).and_then(Value::as_object_mut)
    {
        map.remove(key);
    }
    prune(&mut state);
    state
}

fn prune(value: &mut Value) {
    if let Value::Object(entries) = value {
        entries.values_mut().for_each(prune);
        entries.retain(|_, value| match value {
            Value::Object(entries) => !entries.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Number(n) => n.as_i64() != Some(0),
            Value::Null | Value::Bool(_) => true,
        });
    }
}
