//! Which of the changes that come were written again, as far as that is proved: see [`Claim`].

use std::collections::{HashMap, HashSet};

use automerge::{Change, ChangeHash};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Page,
    replica::{Index, Replica, parse_stored},
    rows,
};
use crate::{Result, rewrite::Claim, untrusted::parse_untrusted};

/// The proved claims among changes that come together, dependencies first.
#[derive(Debug, Default)]
pub(super) struct Proved(HashMap<ChangeHash, Claim>);

impl Proved {
    /// Whether a change in the page says that it was written again.
    pub(super) fn may_hold_claims(page: &Page) -> bool {
        page.changes.iter().any(|change| change.message.as_deref().is_some_and(may_claim))
    }

    /// Those of a page.
    pub(super) fn of_page(connection: &Connection, replica: &Replica, page: &Page) -> Result<Self> {
        let mut proved = Self::default();
        let Some(index) = &replica.index else { return Ok(proved) };
        for checked in page.changes.iter().filter(|change| change.message.as_deref().is_some_and(may_claim)) {
            if let Ok(change) = parse_untrusted(checked) {
                proved.take(&change, |dep| read_claim(connection, (replica.row.id, index), dep))?;
            }
        }
        Ok(proved)
    }

    /// Notes what a change was first made as, if that is proved. `held` gives the proved claims of what came before.
    fn take(&mut self, change: &Change, held: impl Fn(&ChangeHash) -> Result<Option<Claim>>) -> Result<()> {
        let Some(claim) = Claim::of(change) else { return Ok(()) };
        let proved = |dep: &ChangeHash| match self.0.get(dep) {
            Some(claim) => Ok(Some(claim.clone())),
            None => held(dep),
        };
        if claim.holds(change, proved)? {
            self.0.insert(change.hash(), claim);
        }
        Ok(())
    }

    /// [`Proved::take`], for a document of which nothing is held yet.
    pub(super) fn take_first(&mut self, change: &Change) -> Result<()> {
        if change.message().is_some_and(may_claim) { self.take(change, |_| Ok(None)) } else { Ok(()) }
    }

    /// The first change of which another spelling comes before it. Nothing, where no claim is proved.
    pub(super) fn second_spelling(&self, changes: impl Iterator<Item = ChangeHash>) -> Option<usize> {
        let mut seen = HashSet::new();
        let mut changes = changes.map(|hash| self.was(&hash).unwrap_or(hash));
        if self.0.is_empty() { None } else { changes.position(|first| !seen.insert(first)) }
    }

    /// The hash with which the change was first made, where it is proved to be another one written again.
    pub(super) fn was(&self, hash: &ChangeHash) -> Option<ChangeHash> {
        self.0.get(hash).map(Claim::was)
    }
}

/// Nearly all messages claim nothing, and reading JSON costs more than looking for the word.
fn may_claim(message: &str) -> bool {
    message.contains("\"was\"")
}

/// The claim of a change that is held here, where it was proved.
fn read_claim(
    connection: &Connection,
    (document, index): (i64, &Index),
    hash: &ChangeHash,
) -> Result<Option<Claim>> {
    let position = index.positions.get(hash).or_else(|| index.replaced.get(hash));
    let Some(position) = position else { return Ok(None) };
    let sql = "SELECT bytes FROM change WHERE id = :id AND was IS NOT NULL";
    let params = named_params! {":id": rows::row_id(document, *position)};
    let bytes: Option<Vec<u8>> =
        connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(None) };
    Ok(Claim::of_proved(&parse_stored(*hash, &bytes)?))
}
