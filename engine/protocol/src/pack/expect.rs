//! What a change is expected to say, given those before it in its pack. Both directions ask here.

/// What is remembered of the changes so far.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    /// The counter after the last operation of each change.
    next: Vec<u64>,
    /// The last sequence number of each actor in the table.
    last: Vec<u64>,
    time: i64,
}

impl Expectation {
    /// How many changes there were.
    pub(super) fn changes(&self) -> usize {
        self.next.len()
    }

    /// The counter to begin with after these changes of the pack.
    pub(super) fn start(&self, inside: impl Iterator<Item = usize>) -> u64 {
        let highest = inside.filter_map(|index| self.next.get(index)).max();
        highest.or(self.next.last()).copied().unwrap_or(1)
    }

    /// The next sequence number of the actor at this place in the table.
    pub(super) fn sequence(&self, actor: usize) -> u64 {
        self.last.get(actor).map_or(1, |last| last.wrapping_add(1))
    }

    pub(super) fn time(&self) -> i64 {
        self.time
    }

    /// Takes note of a change.
    pub(super) fn note(&mut self, actor: usize, seq: u64, time: i64, next: u64) {
        if self.last.len() <= actor {
            self.last.resize(actor + 1, 0);
        }
        if let Some(last) = self.last.get_mut(actor) {
            *last = seq;
        }
        self.time = time;
        self.next.push(next);
    }

    /// Takes note of a change of which nothing is known.
    pub(super) fn note_whole(&mut self) {
        self.next.push(self.next.last().copied().unwrap_or(1));
    }
}
