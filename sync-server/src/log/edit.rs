//! Writing to the log what stands above rows: tombstones, who pushed, what verification found. Changes are appended by
//! [`super::Appender`].

use rejoin_protocol::DocumentId;

use super::{
    Document, Found, LogError, Mark, StoredSnapshot, View,
    backend::{EditRows, EditTokens},
    found::NewFindings,
    rows::MovedHeads,
};

/// What the server does to a log inside a transaction. What a backend does for that stands in [`EditRows`].
pub(crate) trait Edit: View + EditRows + EditTokens {
    /// Makes a document. To be undone where nothing is appended to it then.
    fn begin_document(&self, id: &DocumentId, now: i64) -> Result<Document, LogError> {
        let (entry, end) = (self.feed_end()?.position + 1, Mark::default());
        let key = self.create(id, entry, now)?;
        Ok(Document { key, uuid: *id, end, rewritten: 0, bytes: 0, deleted: false, entry })
    }

    /// Writes a document's row and its heads, with a new entry in the feed.
    fn tell(&self, document: &mut Document, heads: &MovedHeads) -> Result<(), LogError> {
        let last = self.feed_end()?;
        let parts: [&[u8]; 3] =
            [document.uuid.as_bytes(), &document.end.digest.0, &[u8::from(document.deleted)]];
        let entry = Mark { position: last.position + 1, digest: last.digest.then(&parts) };
        document.entry = entry.position;
        self.put(document, heads, entry)
    }

    /// Puts a tombstone on a document, made for it where the server never had it. Whether it had none.
    fn delete(&self, id: &DocumentId, now: i64) -> Result<bool, LogError> {
        let mut document = match self.document(id)? {
            Some(document) if document.deleted => return Ok(false),
            Some(document) => document,
            None => self.begin_document(id, now)?,
        };
        document.deleted = true;
        self.tell(&mut document, &MovedHeads::default())?;
        self.bury(document.key, now)?;
        Ok(true)
    }

    /// Notes who pushed what begins at `first`. To be called in the transaction that appends it. Whoever pushes again
    /// and again writes one row.
    fn note_pushed(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError> {
        let before = self.runs(document, (first.saturating_sub(1), first), 1)?.pop();
        if before.and_then(|run| run.by).as_deref() == by {
            return Ok(());
        }
        self.begin_run(document, first, by)
    }

    /// Keeps what verification found, in the place of what it found before, and the snapshot, unless one that covers more
    /// is there. Up to where it came to an end what is left out is replaced; where it came to none, what stands is only
    /// added to. Nothing is done where the document was deleted meanwhile.
    fn keep_found(&self, found: &Found, now: i64) -> Result<(), LogError> {
        let Some(document) = self.document(&found.document)?.filter(|document| !document.deleted) else {
            return Ok(());
        };
        let (key, end) = (document.key, document.end.position);
        let known = self.known(key)?;
        let verified = found.verified.map(|position| position.min(end));
        let is_released =
            |at: &&u64| verified.is_some_and(|upto| **at <= upto) && !found.left_out.contains_key(*at);
        let released = known.left_out.keys().filter(is_released).copied().collect();
        // There may be many, and each time most are known.
        let is_new = |(at, why): &(&u64, _)| **at <= end && known.left_out.get(at) != Some(*why);
        let left_out: Vec<_> = found.left_out.iter().filter(is_new).map(|(at, why)| (*at, why)).collect();
        let new = NewFindings { verified, released, left_out };
        self.put_findings(key, &new, now)?;
        if let Some((position, why)) = new.left_out.first() {
            let (document, changes) = (found.document, new.left_out.len());
            tracing::warn!(%document, changes, position, %why, "changes are quarantined, this one first");
        }
        let fits = |new: StoredSnapshot| {
            new.position <= end && known.snapshot.is_none_or(|stored| stored.position <= new.position)
        };
        match found.snapshot.as_ref().filter(|made| fits(made.snapshot)) {
            Some(made) => self.put_snapshot(key, made.snapshot, &made.bytes, now),
            None => Ok(()),
        }
    }
}

impl<E: View + EditRows + EditTokens> Edit for E {}
