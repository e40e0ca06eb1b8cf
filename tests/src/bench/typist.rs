//! Edits of a text as a person makes them, the same in every run.

use rejoin::Action;

/// Someone who types: words at a place, some letters taken back, then another place. The same every time.
#[derive(Debug)]
pub(super) struct Typist {
    state: u64,
    length: u64,
    place: u64,
}

impl Typist {
    /// One with this number, on a text of this length.
    pub(super) fn new(number: u64, length: u64) -> Self {
        Self { state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, length, place: length }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % below.max(1)
    }

    /// The next edit of `/text`: position, how many to delete, what to insert.
    pub(super) fn next_edit(&mut self) -> (u64, u64, String) {
        if self.draw(24) == 0 {
            self.place = self.draw(self.length + 1);
        }
        if self.place > 0 && self.draw(10) == 0 {
            self.place -= 1;
            self.length -= 1;
            return (self.place, 1, String::new());
        }
        let letter = char::from(b'a' + u8::try_from(self.draw(26)).unwrap_or(0));
        self.place += 1;
        self.length += 1;
        (self.place - 1, 0, letter.to_string())
    }

    /// The next edit as an action.
    pub(super) fn next_action(&mut self) -> Action {
        let (pos, delete, insert) = self.next_edit();
        Action::Splice { path: "/text".to_owned(), pos, delete, insert }
    }
}
