//! What happened in a run of the simulator.

use std::hash::{DefaultHasher, Hash, Hasher};

/// What happened: as a hash always, as lines on demand.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: DefaultHasher,
    keep: bool,
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        // `DefaultHasher::new` has fixed keys: the same in every process of this release.
        Self { hasher: DefaultHasher::new(), keep, lines: Vec::new() }
    }

    pub(super) fn line(&mut self, text: String) {
        text.hash(&mut self.hasher);
        if self.keep {
            self.lines.push(text);
        }
    }

    pub(super) fn finish(&mut self) -> (u64, Vec<String>) {
        (self.hasher.finish(), std::mem::take(&mut self.lines))
    }
}
