//! A text with a caret.

use crate::splice::Splice;

/// What is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Title,
    Body,
    Tags,
    Place,
}

impl Field {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Title => Self::Body,
            Self::Body => Self::Tags,
            Self::Tags => Self::Place,
            Self::Place => Self::Title,
        }
    }
}

/// The field of a note that is being edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Editor {
    /// The note.
    pub(crate) id: String,
    pub(crate) field: Field,
    pub(crate) text: String,
    /// In Unicode code points from the beginning.
    pub(crate) caret: usize,
    /// The text that the store had when it was last looked at: what differs is not yet kept.
    pub(crate) seen: String,
}

/// Where a caret goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
}

impl Editor {
    /// With the caret at the end.
    pub(crate) fn new(id: &str, field: Field, text: &str) -> Self {
        let caret = text.chars().count();
        Self { id: id.to_owned(), field, text: text.to_owned(), caret, seen: text.to_owned() }
    }

    /// What was typed since the store last had it.
    pub(crate) fn burst(&self) -> Splice {
        Splice::between(&self.seen, &self.text)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.text != self.seen
    }

    /// Inserts at the caret. Only a body has several lines.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = if self.field == Field::Body { text } else { text.replace('\n', " ") };
        let splice = Splice { at: self.caret, delete: 0, insert: text };
        self.caret += splice.insert.chars().count();
        self.text = splice.apply(&self.text);
    }

    pub(crate) fn backspace(&mut self) {
        if self.caret > 0 {
            self.caret -= 1;
            self.delete();
        }
    }

    pub(crate) fn delete(&mut self) {
        self.text = Splice { at: self.caret, delete: 1, insert: String::new() }.apply(&self.text);
    }

    pub(crate) fn go(&mut self, to: Move) {
        let (start, end) = self.line();
        let column = self.caret - start;
        self.caret = match to {
            Move::Left => self.caret.saturating_sub(1),
            Move::Right => (self.caret + 1).min(self.text.chars().count()),
            Move::Home => start,
            Move::End => end,
            Move::Up if start == 0 => 0,
            Move::Up => {
                self.caret = start - 1;
                let (above, above_end) = self.line();
                (above + column).min(above_end)
            }
            Move::Down if end == self.text.chars().count() => end,
            Move::Down => {
                self.caret = end + 1;
                let (below, below_end) = self.line();
                (below + column).min(below_end)
            }
        };
    }

    /// Where the caret's line begins and ends.
    fn line(&self) -> (usize, usize) {
        let (mut start, mut end) = (0, None);
        for (at, _) in self.text.chars().enumerate().filter(|(_, c)| *c == '\n') {
            if at < self.caret {
                start = at + 1;
            } else {
                end = Some(at);
                break;
            }
        }
        (start, end.unwrap_or_else(|| self.text.chars().count()))
    }

    /// The store has `now`: what was typed meanwhile is put where it belongs in it, and the caret stays at its words.
    pub(crate) fn meet(&mut self, now: &str) {
        let (mine, theirs) = (self.burst(), Splice::between(&self.seen, now));
        let (text, mine) = (self.text.clone(), mine.over(&theirs));
        now.clone_into(&mut self.seen);
        self.text = mine.apply(now);
        self.caret = Splice::between(&text, &self.text).carry(self.caret).min(self.text.chars().count());
    }

    /// What was typed is in the store, which has `now`.
    pub(crate) fn kept(&mut self, now: &str) {
        self.seen.clone_from(&self.text);
        self.meet(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Editor {
        Editor::new("n", Field::Body, text)
    }

    #[test]
    fn lines_are_walked_by_column() {
        let mut editor = body("grey heron\nby\nthe weir");
        editor.go(Move::Home);
        for _ in 0..5 {
            editor.go(Move::Right);
        }
        editor.go(Move::Up);
        assert_eq!(editor.caret, 13, "the end of a shorter line");
        editor.go(Move::Up);
        assert_eq!(editor.caret, 2);
        for (to, caret) in
            [(Move::Up, 0), (Move::End, 10), (Move::Down, 13), (Move::Down, 16), (Move::Down, 22)]
        {
            editor.go(to);
            assert_eq!(editor.caret, caret, "{to:?}");
        }
    }

    #[test]
    fn typing_at_the_edges_changes_nothing_beyond() {
        let mut editor = body("");
        editor.backspace();
        editor.delete();
        assert!(!editor.is_dirty());
        editor.insert("a\r\nb");
        assert_eq!((editor.text.as_str(), editor.caret), ("a\nb", 3));
        let mut title = Editor::new("n", Field::Title, "");
        title.insert("a\nb");
        assert_eq!(title.text, "a b");
    }

    #[test]
    fn what_others_write_meanwhile_leaves_the_unsaved_words_and_the_caret() {
        let mut editor = body("seen: heron");
        editor.insert(" and kingfisher");
        editor.meet("seen at dawn: heron");
        assert_eq!(editor.text, "seen at dawn: heron and kingfisher");
        assert_eq!(editor.caret, editor.text.chars().count());
        assert_eq!(editor.burst().apply(&editor.seen), editor.text);
        editor.kept("seen at dawn: heron and kingfisher.");
        assert!(!editor.is_dirty());
        assert!(editor.text.ends_with("kingfisher."));
    }
}
