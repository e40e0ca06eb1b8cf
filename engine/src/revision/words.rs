//! Two texts compared word by word: what a person changed in one is seldom half a word, and what two people change at
//! once merges best so.

use std::{
    hash::Hash,
    ops::Range,
    time::{Duration, Instant},
};

use similar::{
    Algorithm, DiffOp,
    algorithms::{Capture, Replace, diff_slices_deadline},
};

use super::TextSplice;

/// Longer is not looked for the fewest parts that differ; what is found then is right, and larger.
const LONGEST: Duration = Duration::from_millis(500);

/// A part in which two lists differ: from where to where in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// Where two lists of things differ, in their order.
pub(crate) fn differences<T: Eq + Hash + Ord>(before: &[T], after: &[T]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut old, mut new) = (0, 0);
    let mut capture = Replace::new(Capture::new());
    let deadline = Instant::now().checked_add(LONGEST);
    // A capture takes everything.
    let _ = diff_slices_deadline(Algorithm::Myers, &mut capture, before, after, deadline);
    for op in capture.into_inner().into_ops() {
        let (gone, come) = (op.old_range().len(), op.new_range().len());
        if !matches!(op, DiffOp::Equal { .. }) {
            match parts.last_mut() {
                Some(last) if last.old.end == old && last.new.end == new => {
                    (last.old.end, last.new.end) = (old + gone, new + come);
                }
                _ => parts.push(Part { old: old..old + gone, new: new..new + come }),
            }
        }
        (old, new) = (old + gone, new + come);
    }
    parts
}

/// The splices that make one text of the other.
pub(super) fn splices(before: &str, after: &str) -> Vec<TextSplice> {
    let (old, new) = (words(before), words(after));
    let starts: Vec<u64> = std::iter::once(0)
        .chain(old.iter().scan(0, |at, word| {
            *at += word.chars().count() as u64;
            Some(*at)
        }))
        .collect();
    let start = |nth: usize| starts.get(nth).copied().unwrap_or_default();
    let splice = |part: Part| {
        let pos = start(part.old.start);
        let insert = new.get(part.new).unwrap_or_default().concat();
        TextSplice { pos, delete: start(part.old.end) - pos, insert }
    };
    differences(&old, &new).into_iter().map(splice).collect()
}

/// Words, runs of blanks, and everything else character by character.
fn words(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        '\n' => 0,
        c if c.is_alphanumeric() || c == '_' => 1,
        c if c.is_whitespace() => 2,
        _ => 3,
    };
    let mut words = Vec::new();
    let (mut start, mut last) = (0, None);
    for (at, c) in text.char_indices() {
        let kind = kind(c);
        if last.is_some_and(|last| last != kind || matches!(kind, 0 | 3)) {
            words.extend(text.get(start..at));
            start = at;
        }
        last = Some(kind);
    }
    words.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_differ_by_words() {
        let splice = |pos, delete, insert: &str| TextSplice { pos, delete, insert: insert.to_owned() };
        assert_eq!(splices("We leave at nine, all.", "We leave at ten, all."), [splice(12, 4, "ten")]);
        assert_eq!(splices("a b", "a b c"), [splice(3, 0, " c")]);
        assert_eq!(splices("größe ist da", "größe war nicht da"), [splice(6, 3, "war nicht")]);
        assert_eq!(splices("", "x"), [splice(0, 0, "x")]);
        assert_eq!(splices("same", "same"), []);
        assert_eq!(words("a_1  b,,\n\n"), ["a_1", "  ", "b", ",", ",", "\n", "\n"]);
    }
}
