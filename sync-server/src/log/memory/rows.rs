//! Reading.

use super::*;

impl Rows for MemoryRows {
    fn cache(&self) -> &PackCache {
        &self.log.packs
    }

    fn document(&self, id: &DocumentId) -> Result<Option<Document>, LogError> {
        Ok(self.state().documents.iter().find(|document| document.uuid == *id).cloned())
    }

    fn documents(&self, which: &Which, limit: usize) -> Result<Vec<Document>, LogError> {
        let state = self.state();
        let all = state.documents.iter();
        let mut found: Vec<Document> = match which {
            Which::After(key) => all.filter(|d| d.key > *key).cloned().collect(),
            Which::Unverified(key) => all
                .filter(|d| d.key > *key && !d.deleted)
                .filter(|d| state.verified(d.key).is_none_or(|upto| upto < d.end.position))
                .cloned()
                .collect(),
            Which::Unowned(key) => {
                all.filter(|d| d.key > *key && !d.deleted && state.is_unowned(d)).cloned().collect()
            }
            Which::Changed(entry, listed) => {
                all.filter(|d| d.entry > *entry && state.is_listed(d, listed)).cloned().collect()
            }
        };
        if matches!(which, Which::Changed(..)) {
            found.sort_by_key(|document| document.entry);
        }
        found.truncate(limit);
        Ok(found)
    }

    fn feed(&self, entry: Option<u64>) -> Result<Option<Mark>, LogError> {
        let state = self.state();
        let position = entry.unwrap_or(state.feed.len() as u64);
        let digest = position.checked_sub(1).and_then(|index| state.feed.get(index as usize));
        Ok(digest.map(|digest| Mark { position, digest: *digest }))
    }

    fn counts(&self) -> Result<Counts, LogError> {
        let state = self.state();
        let left_out = || state.known.values().map(|known| known.left_out.len() as u64);
        let quarantined = Quarantined {
            changes: left_out().sum(),
            documents: left_out().filter(|count| *count > 0).count() as u64,
        };
        Ok(Counts { documents: state.documents.len() as u64, quarantined })
    }

    /// Nobody else writes.
    fn version(&self) -> Result<i64, LogError> {
        Ok(0)
    }

    fn chunks(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        let state = self.state();
        let _ended =
            state.changes(document, span).try_for_each(|(at, change)| take(at, &change.bytes).then_some(()));
        Ok(())
    }

    fn lines(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(Line<'_>) -> bool,
    ) -> Result<(), LogError> {
        let state = self.state();
        for (position, change) in state.changes(document, span) {
            let line = Line {
                position,
                hash: change.hash,
                digest: change.digest,
                begins: (change.seq == 1).then(|| change.actor.to_bytes()),
                length: change.bytes.len() as u64,
            };
            if !take(line) {
                break;
            }
        }
        Ok(())
    }

    fn dependencies(&self, document: i64, span: (u64, u64)) -> Result<Vec<Box<[u8]>>, LogError> {
        Ok(self.state().changes(document, span).map(|(_, change)| change.deps.clone()).collect())
    }

    fn find(&self, document: i64, span: (u64, u64), hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        let state = self.state();
        let found = state.changes(document, span).find(|(_, change)| change.hash == *hash);
        Ok(found.map(|(position, _)| position))
    }

    fn rewritten_as(&self, document: i64, was: &ChangeHash) -> Result<Option<ChangeHash>, LogError> {
        let state = self.state();
        let all = state.changes(document, (0, u64::MAX - 1));
        let row = all.into_iter().find(|(_, change)| change.was == Some(*was)).map(|(_, change)| change.hash);
        let packed = || state.rewritten.iter().find(|(of, before, _)| (*of, before) == (document, was));
        Ok(row.or_else(|| packed().map(|(_, _, hash)| *hash)))
    }

    fn is_rewritten(&self, document: i64, position: u64, hash: &ChangeHash) -> Result<bool, LogError> {
        let state = self.state();
        let row = state.changes.get(&(document, position)).is_some_and(|change| change.was.is_some());
        Ok(row || state.rewritten.iter().any(|(of, _, now)| (*of, now) == (document, hash)))
    }

    fn actor(&self, document: i64, actor: &ActorId) -> Result<Option<Last>, LogError> {
        Ok(self.state().actors.get(&(document, actor.clone())).copied())
    }

    fn count_actors(&self, document: i64) -> Result<(u64, u64), LogError> {
        let state = self.state();
        let all = || state.actors.keys().filter(|(of, _)| *of == document);
        let containers = all().filter(|(_, actor)| rejoin_protocol::container::is_container_actor(actor));
        Ok((all().count() as u64, containers.count() as u64))
    }

    fn head_rows(&self, document: i64) -> Result<Vec<Head>, LogError> {
        let state = self.state();
        let heads = state.heads.range((document, 0)..=(document, u64::MAX));
        Ok(heads.map(|((_, position), hash)| Head { position: *position, hash: *hash }).collect())
    }

    fn noted_reach(&self, document: i64, position: u64) -> Result<Option<Reach>, LogError> {
        Ok(self.state().reaches.get(&(document, position)).copied())
    }

    fn packs(&self, document: i64, which: Packs) -> Result<Vec<PackRow>, LogError> {
        let state = self.state();
        let from = if let Packs::EndingFrom(position) = which { position } else { 0 };
        let mut packs = state.packs.range((document, from)..=(document, u64::MAX)).map(|(_, pack)| pack.row);
        Ok(match which {
            Packs::All => packs.collect(),
            Packs::Newest => packs.next_back().into_iter().collect(),
            Packs::EndingFrom(_) => packs.next().into_iter().collect(),
        })
    }

    fn pack_part(&self, document: i64, last: u64, part: PackPart) -> Result<Option<Vec<u8>>, LogError> {
        let state = self.state();
        let part = |pack: &Packed| match part {
            PackPart::Outside => pack.outside.clone(),
            PackPart::Prefixes => pack.prefixes.clone(),
            PackPart::Bytes => pack.bytes.clone(),
        };
        Ok(state.packs.get(&(document, last)).map(part))
    }

    fn runs(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Result<Vec<PushedRun>, LogError> {
        let state = self.state();
        let mut next = upto + 1;
        let mut runs = Vec::new();
        for ((_, first), by) in state.runs.range((document, 0)..=(document, upto)).rev() {
            runs.insert(0, PushedRun { first: *first, last: next - 1, by: by.clone() });
            next = *first;
            if *first <= after + 1 {
                break;
            }
        }
        runs.truncate(most);
        Ok(runs)
    }

    fn known(&self, document: i64) -> Result<Known, LogError> {
        Ok(self.state().known.get(&document).cloned().unwrap_or_default())
    }

    fn snapshot(&self, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        let state = self.state();
        let position =
            state.known.get(&document).and_then(|known| known.snapshot).map(|stored| stored.position);
        Ok(position.zip(state.snapshots.get(&document).cloned()))
    }
}
