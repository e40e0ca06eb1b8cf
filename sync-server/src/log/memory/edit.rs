//! Writing.

use super::*;

impl EditRows for MemoryRows {
    fn attempt<T>(&self, work: impl FnOnce(&Self) -> Result<Attempt<T>, LogError>) -> Result<T, LogError> {
        let before = self.state().clone();
        let done = work(self);
        if !matches!(done, Ok(Attempt::Keep(_))) {
            *self.state.borrow_mut() = before;
        }
        done.map(|(Attempt::Keep(value) | Attempt::Undo(value))| value)
    }

    fn create(&self, id: &DocumentId, entry: u64, _: i64) -> Result<i64, LogError> {
        let documents = &mut self.state.borrow_mut().documents;
        let key = documents.len() as i64 + 1;
        let end = Mark::default();
        documents.push(Document { key, uuid: *id, end, rewritten: 0, bytes: 0, deleted: false, entry });
        Ok(key)
    }

    fn append(&self, document: i64, rows: &[NewRow<'_>]) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        for row in rows {
            let place = (document, row.position);
            let change = Change {
                hash: row.hash,
                digest: row.digest,
                actor: row.actor.clone(),
                seq: row.seq,
                deps: row.deps.into(),
                bytes: row.bytes.to_vec(),
                was: row.was,
            };
            state.changes.insert(place, change);
            let last = Last { seq: row.seq, position: row.position };
            state.actors.insert((document, row.actor.clone()), last);
            if let Some(reach) = row.reach {
                state.reaches.insert(place, reach);
            }
        }
        Ok(())
    }

    fn put(&self, document: &Document, heads: &MovedHeads, entry: Mark) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        for position in &heads.gone {
            state.heads.remove(&(document.key, *position));
        }
        for head in &heads.new {
            state.heads.insert((document.key, head.position), head.hash);
        }
        state.feed.push(entry.digest);
        let index = document.key as usize - 1;
        let deleted = state.documents[index].deleted;
        state.documents[index] = Document { entry: entry.position, deleted, ..document.clone() };
        Ok(())
    }

    fn bury(&self, document: i64, _: i64) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        state.documents[document as usize - 1].deleted = true;
        state.known.remove(&document);
        state.snapshots.remove(&document);
        Ok(())
    }

    fn begin_run(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError> {
        self.state.borrow_mut().runs.insert((document, first), by.map(str::to_owned));
        Ok(())
    }

    fn put_findings(&self, document: i64, new: &NewFindings<'_>, _: i64) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        let known = state.known.entry(document).or_default();
        known.verified = new.verified.or(known.verified);
        known.left_out.retain(|position, _| !new.released.contains(position));
        known.left_out.extend(new.left_out.iter().map(|(position, why)| (*position, (*why).clone())));
        Ok(())
    }

    fn put_snapshot(
        &self,
        document: i64,
        snapshot: StoredSnapshot,
        bytes: &[u8],
        _: i64,
    ) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        state.known.entry(document).or_default().snapshot = Some(snapshot);
        state.snapshots.insert(document, bytes.to_vec());
        Ok(())
    }

    fn put_pack(&self, packed: &Packed) -> Result<u64, LogError> {
        let mut state = self.state.borrow_mut();
        if let Some(replaced) = packed.replaced() {
            state.packs.remove(&(packed.document, replaced));
        }
        state.packs.insert((packed.document, packed.row.last), packed.clone());
        let gone: Vec<u64> = state
            .changes(packed.document, (packed.rows_after(), packed.row.last))
            .map(|(at, _)| at)
            .collect();
        for position in &gone {
            let change = state.changes.remove(&(packed.document, *position));
            if let Some(Change { hash, was: Some(was), .. }) = change {
                state.rewritten.insert((packed.document, was, hash));
            }
        }
        Ok(gone.len() as u64)
    }

    fn tidy(&self) -> Result<bool, LogError> {
        Ok(false)
    }
}
