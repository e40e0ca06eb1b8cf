//! One edit of a text, and where it belongs when somebody else has edited the text as well.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One edit. Positions are Unicode code points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) at: usize,
    pub(crate) delete: usize,
    pub(crate) insert: String,
}

impl Splice {
    /// The smallest single edit that makes `new` of `old`.
    pub(crate) fn between(old: &str, new: &str) -> Self {
        let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
        let at = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let (old, new) = (old.get(at..).unwrap_or_default(), new.get(at..).unwrap_or_default());
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let insert = new.iter().take(new.len() - end).collect();
        Self { at, delete: old.len() - end, insert }
    }

    /// The text after this edit.
    pub(crate) fn apply(&self, text: &str) -> String {
        let before = text.chars().take(self.at);
        before.chain(self.insert.chars()).chain(text.chars().skip(self.at + self.delete)).collect()
    }

    /// The same edit on the text after `other`, which was made on the same text as this one. Where both met, nothing
    /// that the other wrote is deleted.
    pub(crate) fn over(&self, other: &Self) -> Self {
        let moved = |at: usize| at - other.delete + other.insert.chars().count();
        let (end, other_end) = (self.at + self.delete, other.at + other.delete);
        let (at, delete) = if end <= other.at {
            (self.at, self.delete)
        } else if self.at >= other_end {
            (moved(self.at), self.delete)
        } else if self.at < other.at {
            (self.at, other.at - self.at)
        } else {
            (moved(other_end), end.saturating_sub(other_end))
        };
        Self { at, delete, insert: self.insert.clone() }
    }

    /// Where a caret at `at` is after this edit.
    pub(crate) fn carry(&self, at: usize) -> usize {
        if at <= self.at {
            at
        } else if at >= self.at + self.delete {
            at - self.delete + self.insert.chars().count()
        } else {
            self.at + self.insert.chars().count()
        }
    }
}

/// What tells two texts apart, in 53 bits: JSON holds it exactly. Compared on one device only, within a moment.
pub(crate) fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_found_and_done_again() {
        for (old, new) in
            [("", "a"), ("heron", "herons"), ("a grey heron", "a heron"), ("ää", "äbä"), ("x", "")]
        {
            assert_eq!(Splice::between(old, new).apply(old), new, "{old:?} {new:?}");
        }
        assert_eq!(Splice::between("same", "same").apply("other"), "other");
    }

    #[test]
    fn two_edits_of_one_text_both_stand() {
        let seen = "we met at the old weir";
        for (mine, theirs, both) in [
            ("we met at ten at the old weir", "we met at the new weir", "we met at ten at the new weir"),
            ("we met at the new weir", "yes: we met at the old weir", "yes: we met at the new weir"),
            ("we met", "we met at the old weir and saw", "we met and saw"),
            ("we met at the old weir!", "we met at the old weir?", "we met at the old weir!?"),
        ] {
            let (mine, theirs) = (Splice::between(seen, mine), Splice::between(seen, theirs));
            assert_eq!(mine.over(&theirs).apply(&theirs.apply(seen)), both);
        }
    }

    #[test]
    fn what_another_wrote_is_never_deleted() {
        let seen = "abcdef";
        let theirs = Splice::between(seen, "abXYef");
        for mine in ["", "a", "abc", "f", "abef", "aQf"] {
            let after = Splice::between(seen, mine).over(&theirs).apply("abXYef");
            assert!(after.contains("XY"), "{mine:?}: {after:?}");
        }
    }

    #[test]
    fn the_caret_stays_where_it_was_in_the_words() {
        let theirs = Splice::between("old weir", "the old weir");
        assert_eq!((theirs.carry(0), theirs.carry(3)), (0, 7));
    }
}
