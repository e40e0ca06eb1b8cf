//! Reading the log: what follows from rows and packs, at every backend alike.

use std::collections::HashSet;

use automerge::Change;
use rejoin_protocol::{ChangeHash, DocumentId, fence::Reach, rewrite::Claim};

use super::{
    Digest, Document, LogError, Mark, Page, PageLimit, TokenKey,
    backend::{Rows, TokenRows},
    documents::Which,
    pack::PackView,
    pushers::PushedRun,
};

/// How many documents are looked at in one go where all are.
const AT_ONCE: usize = 1_024;

/// What the server asks of a log, with one state of it. What a backend does for that stands in [`Rows`].
pub(crate) trait View: Rows + TokenRows + Sized {
    /// The digest of the log at `position`.
    fn digest_at(&self, document: i64, position: u64) -> Result<Option<Digest>, LogError> {
        let Some(before) = position.checked_sub(1) else { return Ok(None) };
        let mut digest = None;
        self.lines(document, (before, position), |line| {
            digest = Some(line.digest);
            false
        })?;
        match digest {
            None => self.packed_digest_at(document, position),
            found => Ok(found),
        }
    }

    /// The mark at a position that the log has.
    fn mark_at(&self, document: i64, end: Mark, position: u64) -> Result<Mark, LogError> {
        if position == 0 || position == end.position {
            return Ok(if position == 0 { Mark::default() } else { end });
        }
        let digest = self.digest_at(document, position)?.ok_or_else(|| hole(position))?;
        Ok(Mark { position, digest })
    }

    /// Where the change with this hash is, in a log that ends at `end`.
    fn locate(&self, document: i64, end: u64, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        let packed = self.packed(document)?;
        match self.find(document, (packed, end), hash)? {
            None if packed > 0 => self.locate_packed(document, hash),
            found => Ok(found),
        }
    }

    /// The claim of a change, where it was proved when it was appended.
    fn proved_claim(
        &self,
        document: i64,
        (position, hash): (u64, &ChangeHash),
    ) -> Result<Option<Claim>, LogError> {
        if !self.is_rewritten(document, position, hash)? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.for_each(document, (position - 1, position), |_, found| {
            bytes.extend_from_slice(found);
            false
        })?;
        let change = Change::try_from(bytes.as_slice());
        let change = change.map_err(|_| LogError::Damaged(format!("change {hash} cannot be read")))?;
        Ok(Claim::of_proved(&change))
    }

    /// The heads, in the order of their hashes.
    fn heads(&self, document: i64) -> Result<Vec<ChangeHash>, LogError> {
        let mut heads: Vec<ChangeHash> =
            self.head_rows(document)?.into_iter().map(|head| head.hash).collect();
        heads.sort_unstable();
        Ok(heads)
    }

    /// The changes after `after` and up to `upto`, without those at the positions `skip` (ascending).
    fn page(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        skip: &[u64],
        limit: PageLimit,
    ) -> Result<Page, LogError> {
        let mut skip = skip.iter().copied().peekable();
        let mut page = Page { bytes: Vec::new(), covered: upto.max(after) };
        let mut taken = 0;
        self.for_each(document, (after, upto), |position, bytes| {
            while skip.next_if(|next| *next < position).is_some() {}
            if skip.next_if_eq(&position).is_some() {
                return true;
            }
            let full = taken > 0 && page.bytes.len() + bytes.len() > limit.bytes;
            if full || taken == limit.changes {
                page.covered = position - 1;
                return false;
            }
            page.bytes.extend_from_slice(bytes);
            taken += 1;
            true
        })?;
        Ok(page)
    }

    /// Gives out position and plain bytes of the changes after `after` and up to `upto`, until `take` says `false`.
    fn for_each(
        &self,
        document: i64,
        (mut after, upto): (u64, u64),
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        while after < upto
            && let Some(pack) = self.pack_at(document, after + 1)?
        {
            while after < upto
                && let Some(chunk) = pack.chunk(after + 1)
            {
                after += 1;
                if !take(after, chunk) {
                    return Ok(());
                }
            }
        }
        self.chunks(document, (after, upto), take)
    }

    /// The hashes at these positions, both ends included.
    fn hashes(&self, document: i64, (first, last): (u64, u64)) -> Result<Vec<ChangeHash>, LogError> {
        let mut found = Vec::new();
        let mut at = first;
        while at <= last
            && let Some(pack) = self.pack_at(document, at)?
        {
            while at <= last
                && let Some(hash) = pack.hash(at)
            {
                found.push(*hash);
                at += 1;
            }
        }
        self.lines(document, (at.saturating_sub(1), last), |line| {
            let next = line.position == at;
            if next {
                found.push(line.hash);
                at += 1;
            }
            next
        })?;
        if at <= last { Err(hole(at)) } else { Ok(found) }
    }

    /// How far the change at a position and its ancestors count. Of nearly all that is what their own bytes say.
    fn reach(&self, document: i64, position: u64) -> Result<Reach, LogError> {
        if let Some(noted) = self.noted_reach(document, position)? {
            return Ok(noted);
        }
        let mut reach = None;
        // What is asked for is most often new.
        self.chunks(document, (position.saturating_sub(1), position), |_, bytes| {
            reach = Reach::of_chunk(bytes).ok();
            false
        })?;
        if reach.is_none()
            && let Some(pack) = self.pack_at(document, position)?
        {
            reach = pack.chunk(position).and_then(|bytes| Reach::of_chunk(bytes).ok());
        }
        reach.ok_or_else(|| hole(position))
    }

    /// Who pushed the changes after `after` and up to `upto`.
    fn pushed(&self, document: i64, span: (u64, u64)) -> Result<Vec<PushedRun>, LogError> {
        self.some_pushed(document, span, usize::MAX)
    }

    /// The first runs of [`View::pushed`], at most so many.
    fn some_pushed(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Result<Vec<PushedRun>, LogError> {
        let mut runs = self.runs(document, (after, upto), most)?;
        if let Some(run) = runs.first_mut() {
            run.first = run.first.max(after + 1);
        }
        Ok(runs)
    }

    /// The first position after `after` of which somebody is known to have pushed it, in a log that ends at `end`.
    fn first_pushed(&self, document: i64, mut after: u64, end: u64) -> Result<Option<u64>, LogError> {
        while after < end {
            // Of two neighbours one has a name.
            let runs = self.some_pushed(document, (after, end), 2)?;
            if let Some(known) = runs.iter().find(|run| run.by.is_some()) {
                return Ok(Some(known.first));
            }
            let Some(last) = runs.last() else { return Ok(None) };
            after = last.last;
        }
        Ok(None)
    }

    /// Those of these positions that `by` pushed.
    fn pushed_by(
        &self,
        document: i64,
        positions: &HashSet<u64>,
        by: Option<&str>,
    ) -> Result<HashSet<u64>, LogError> {
        let mut found = HashSet::new();
        for position in positions {
            let run = self.runs(document, (position.saturating_sub(1), *position), 1)?.pop();
            if run.and_then(|run| run.by).as_deref() == by {
                found.insert(*position);
            }
        }
        Ok(found)
    }

    /// The newest entry of the feed.
    fn feed_end(&self) -> Result<Mark, LogError> {
        Ok(self.feed(None)?.unwrap_or_default())
    }

    /// The digest of the feed at an entry.
    fn feed_digest_at(&self, entry: u64) -> Result<Option<Digest>, LogError> {
        Ok(self.feed(Some(entry))?.map(|mark| mark.digest))
    }

    /// Whether a token was ever made here, a revoked one too.
    fn has_tokens(&self) -> Result<bool, LogError> {
        Ok(self.token(TokenKey::Any)?.is_some())
    }

    /// Documents that no token and no subject of a JWT began or was granted, deleted ones left out: how many, and the
    /// first of them.
    fn unowned(&self, most: usize) -> Result<(u64, Vec<DocumentId>), LogError> {
        let (mut count, mut first, mut key) = (0, Vec::new(), 0);
        loop {
            let some: Vec<Document> = self.documents(&Which::Unowned(key), AT_ONCE)?;
            let Some(last) = some.last() else { return Ok((count, first)) };
            (key, count) = (last.key, count + some.len() as u64);
            let left = most.saturating_sub(first.len());
            first.extend(some.iter().take(left).map(|document| document.uuid));
        }
    }
}

impl<V: Rows + TokenRows> View for V {}

pub(super) fn hole(position: u64) -> LogError {
    LogError::Damaged(format!("the row at position {position} of a log is missing or cannot be read"))
}
