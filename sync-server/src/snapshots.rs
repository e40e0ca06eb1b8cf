//! What is done behind the log: a document that was pushed to and then left alone for a moment is verified, and its
//! snapshot is made where that is due.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use rejoin_protocol::DocumentId;

use crate::{merge::Merger, rules::Code};

/// Most notes that wait; one that finds no room is left out, for a snapshot is also made when it is asked for, and
/// what was not verified is verified after the next start.
const WAITING: usize = 4_096;
/// A document that is never left alone gets its turn all the same.
const PATIENCE: u32 = 60;
/// How long a document is left alone after its turn, in multiples of the time that it took: so one that grows all
/// the time costs a twentieth of a processor, however large it is.
const REST: u32 = 20;

/// Says which documents were pushed to.
#[derive(Debug)]
pub(crate) struct Notes(SyncSender<DocumentId>);

impl Notes {
    pub(crate) fn pushed(&self, document: DocumentId) {
        if self.0.try_send(document).is_err() {
            tracing::debug!(%document, "a note for verification found no room");
        }
    }
}

/// Starts the thread; it ends when the notes are dropped.
pub(crate) fn start(merger: Merger, quiet: Duration) -> std::io::Result<Notes> {
    let (sender, notes) = sync_channel(WAITING);
    let work = move || Behind { merger, quiet, waiting: Waiting::default(), swept: Some(0) }.work(&notes);
    std::thread::Builder::new().name("behind".to_owned()).spawn(work)?;
    Ok(Notes(sender))
}

/// When a document's turn comes.
#[derive(Debug, Default)]
struct Waiting {
    /// When it was pushed to: first since its last turn, and last.
    pushed: HashMap<DocumentId, (Instant, Instant)>,
    /// Until when it is left alone after its last turn.
    resting: HashMap<DocumentId, Instant>,
}

impl Waiting {
    fn note(&mut self, document: DocumentId, at: Instant) {
        self.pushed.entry(document).or_insert((at, at)).1 = at;
    }

    fn due(&self, document: &DocumentId, (first, last): (Instant, Instant), quiet: Duration) -> Instant {
        let due = (last + quiet).min(first + quiet * PATIENCE);
        self.resting.get(document).map_or(due, |until| due.max(*until))
    }

    fn next_due(&self, quiet: Duration) -> Option<Instant> {
        self.pushed.iter().map(|(document, at)| self.due(document, *at, quiet)).min()
    }

    fn take_due(&mut self, quiet: Duration, now: Instant) -> Vec<DocumentId> {
        self.resting.retain(|_, until| *until > now);
        let is_due =
            |(document, at): &(&DocumentId, &(Instant, Instant))| self.due(document, **at, quiet) <= now;
        let due: Vec<_> = self.pushed.iter().filter(is_due).map(|(document, _)| *document).collect();
        self.pushed.retain(|document, _| !due.contains(document));
        due
    }

    fn rest(&mut self, document: DocumentId, took: Duration, now: Instant) {
        self.resting.insert(document, now + took * REST);
    }
}

/// The thread's work.
struct Behind {
    merger: Merger,
    quiet: Duration,
    waiting: Waiting,
    /// After which document the look goes on for those that nobody verified: those that this release meets for the
    /// first time, and those that were pushed to just before the last end. `None` once it is through.
    swept: Option<i64>,
}

impl Behind {
    fn work(mut self, notes: &Receiver<DocumentId>) {
        loop {
            let wait =
                self.waiting.next_due(self.quiet).map(|due| due.saturating_duration_since(Instant::now()));
            let wait = if self.swept.is_some() {
                Some(wait.map_or(self.quiet, |w| w.min(self.quiet)))
            } else {
                wait
            };
            let note = match wait {
                None => notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => notes.recv_timeout(wait),
            };
            match note {
                Ok(document) => self.waiting.note(document, Instant::now()),
                Err(RecvTimeoutError::Timeout) => self.take_turns(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take_turns(&mut self) {
        let due = self.waiting.take_due(self.quiet, Instant::now());
        if due.is_empty() {
            return self.sweep();
        }
        due.into_iter().for_each(|document| self.verify(document));
    }

    /// Nothing else is to be done: the next documents that were never verified.
    fn sweep(&mut self) {
        let started = Instant::now();
        while let Some(after) = self.swept
            && started.elapsed() < self.quiet
        {
            match self.merger.next_unverified(after) {
                Ok(Some((key, document))) => {
                    self.swept = Some(key);
                    self.verify(document);
                }
                Ok(None) => self.swept = None,
                Err(_) => return,
            }
        }
    }

    fn verify(&mut self, document: DocumentId) {
        match self.merger.verify_behind(document) {
            Ok(took) => self.waiting.rest(document, took, Instant::now()),
            // It did not come to an end: others go first.
            Err(fault) if fault.code == Code::Unavailable => {
                self.waiting.note(document, Instant::now());
                self.waiting.rest(document, self.quiet, Instant::now());
            }
            Err(fault) => tracing::debug!(%document, ?fault, "a document was not verified"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_due_when_it_was_left_alone_or_waited_long_enough() {
        let (start, quiet) = (Instant::now(), Duration::from_secs(1));
        let document = DocumentId::random();
        let mut waiting = Waiting::default();
        waiting.note(document, start);
        waiting.note(document, start + quiet * 5);
        assert!(waiting.take_due(quiet, start + quiet * 5).is_empty());
        assert_eq!(waiting.next_due(quiet), Some(start + quiet * 6));
        assert_eq!(waiting.take_due(quiet, start + quiet * 6), [document]);
        assert_eq!(waiting.next_due(quiet), None);
        assert_eq!(waiting.due(&document, (start, start + quiet * 500), quiet), start + quiet * 60);
    }

    #[test]
    fn a_document_that_takes_long_rests_longer() {
        let (start, quiet) = (Instant::now(), Duration::from_secs(1));
        let document = DocumentId::random();
        let mut waiting = Waiting::default();
        waiting.rest(document, quiet * 2, start);
        waiting.note(document, start);
        assert!(waiting.take_due(quiet, start + quiet * 39).is_empty());
        assert_eq!(waiting.take_due(quiet, start + quiet * 40), [document]);
        assert!(waiting.resting.is_empty());
    }
}
