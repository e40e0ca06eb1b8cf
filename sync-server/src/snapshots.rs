//! Snapshots made behind: a document that was pushed to and then left alone for a moment.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use rejoin::DocumentId;

use crate::merge::Merger;

/// Most notes that wait; one that finds no room is left out, for a snapshot is also made when it is asked for.
const WAITING: usize = 4_096;
/// A document that is never left alone gets its snapshot all the same.
const PATIENCE: u32 = 60;

/// Says which documents were pushed to.
#[derive(Debug)]
pub(crate) struct Notes(SyncSender<DocumentId>);

impl Notes {
    pub(crate) fn pushed(&self, document: DocumentId) {
        if self.0.try_send(document).is_err() {
            tracing::debug!(%document, "a note for the snapshots found no room");
        }
    }
}

/// Starts the thread; it ends when the notes are dropped.
pub(crate) fn start(merger: Merger, quiet: Duration) -> std::io::Result<Notes> {
    let (sender, notes) = sync_channel(WAITING);
    std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || work(&notes, &merger, quiet))?;
    Ok(Notes(sender))
}

/// When a document was pushed to: first since its last snapshot was looked at, and last.
type Pushed = HashMap<DocumentId, (Instant, Instant)>;

fn work(notes: &Receiver<DocumentId>, merger: &Merger, quiet: Duration) {
    let mut pushed = Pushed::new();
    loop {
        let note = match next_due(&pushed, quiet) {
            None => notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => notes.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match note {
            Ok(document) => {
                let at = Instant::now();
                pushed.entry(document).or_insert((at, at)).1 = at;
            }
            Err(RecvTimeoutError::Timeout) => {
                for document in take_due(&mut pushed, quiet, Instant::now()) {
                    make(document, merger);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn due((first, last): (Instant, Instant), quiet: Duration) -> Instant {
    (last + quiet).min(first + quiet * PATIENCE)
}

fn next_due(pushed: &Pushed, quiet: Duration) -> Option<Instant> {
    pushed.values().map(|at| due(*at, quiet)).min()
}

fn take_due(pushed: &mut Pushed, quiet: Duration, at: Instant) -> Vec<DocumentId> {
    pushed.extract_if(|_, pushed| due(*pushed, quiet) <= at).map(|(document, _)| document).collect()
}

fn make(document: DocumentId, merger: &Merger) {
    if let Err(fault) = merger.snapshot_if_due(document) {
        tracing::warn!(%document, ?fault, "a snapshot was not made");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_due_when_it_was_left_alone_or_waited_long_enough() {
        let (start, quiet) = (Instant::now(), Duration::from_secs(1));
        let document = DocumentId::random();
        let mut pushed = Pushed::from([(document, (start, start + quiet * 5))]);
        assert!(take_due(&mut pushed, quiet, start + quiet * 5).is_empty());
        assert_eq!(next_due(&pushed, quiet), Some(start + quiet * 6));
        assert_eq!(take_due(&mut pushed, quiet, start + quiet * 6), [document]);
        assert!(pushed.is_empty());
        assert_eq!(due((start, start + quiet * 500), quiet), start + quiet * 60);
    }
}
