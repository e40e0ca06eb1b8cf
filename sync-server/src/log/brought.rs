//! How much of a document's log each pusher brought: actors, containers, bytes. It is counted from the log and from who
//! pushed it: nothing of it is stored, so it holds for what was pushed before anybody counted too.

use std::{
    collections::{HashMap, HashSet},
    ops::Add,
    sync::Arc,
};

use rejoin_protocol::{
    container::{ACTOR_BYTES, ACTOR_PREFIX, is_container_actor},
    fence::{self, CheckedChange},
};
use rusqlite::{OptionalExtension, named_params};

use super::{
    Appender, LogError, Mark, View,
    view::{position_of, row_key, unsigned},
};

/// A part of a log, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    /// Actors that are no containers'.
    pub(crate) actors: u64,
    /// Actors of containers.
    pub(crate) containers: u64,
    /// Plain bytes.
    pub(crate) bytes: u64,
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            actors: self.actors + other.actors,
            containers: self.containers + other.containers,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Who brought what of a log up to a mark. Counting goes on from there.
#[derive(Debug, Clone, Default)]
pub(super) struct Brought {
    upto: Mark,
    /// By the name of whoever pushed it, an actor by its first change; `None`: nobody is known.
    by: HashMap<Option<String>, Amount>,
}

/// What a document has, while changes are appended to it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What the log had before, once somebody asked.
    before: Option<Amount>,
    /// What of that whoever pushes brought, once somebody asked.
    brought: Option<Amount>,
    /// What was appended.
    fresh: Amount,
}

impl Tally {
    /// Notes a change that was appended. `first`: it is the first of its actor.
    pub(super) fn note(&mut self, change: &CheckedChange, first: bool) {
        let container = first && is_container_actor(&change.actor);
        self.fresh = self.fresh + added(change.bytes.len() as u64, first, container);
    }
}

impl Appender<'_> {
    /// The plain bytes of the log as it is now.
    pub(crate) fn bytes(&self) -> u64 {
        self.document.bytes
    }

    /// What the document has now.
    pub(crate) fn amount(&mut self) -> Result<Amount, LogError> {
        let before = match self.tally.before {
            Some(before) => before,
            None => {
                let (key, fresh) = (self.document.key, self.tally.fresh);
                let now = self.view.count_actors(key)?;
                Amount {
                    actors: now.actors.saturating_sub(fresh.actors),
                    containers: now.containers.saturating_sub(fresh.containers),
                    bytes: self.document.bytes.saturating_sub(fresh.bytes),
                }
            }
        };
        self.tally.before = Some(before);
        Ok(before + self.tally.fresh)
    }

    /// What of it whoever pushes this, called `by`, brought.
    pub(crate) fn brought(&mut self, by: Option<&str>) -> Result<Amount, LogError> {
        let before = match self.tally.brought {
            Some(before) => before,
            None => {
                let start = self.view.mark_at(self.document.key, self.document.end, self.start)?;
                self.view.brought(self.document.key, start, by)?
            }
        };
        self.tally.brought = Some(before);
        Ok(before + self.tally.fresh)
    }
}

impl Brought {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        128 + self.by.keys().map(|name| 112 + name.as_ref().map_or(0, String::len)).sum::<usize>()
    }
}

impl View<'_> {
    /// The actors of a document.
    fn count_actors(&self, document: i64) -> Result<Amount, LogError> {
        let count = |row: &rusqlite::Row<'_>| unsigned(row, 0);
        let sql = "SELECT count(*) FROM actor WHERE document = :document";
        let mut all = self.connection.prepare_cached(sql)?;
        let all = all.query_row(named_params! { ":document": document }, count)?;
        let sql = "SELECT count(*) FROM actor WHERE document = :document AND bytes >= :from AND bytes < :to
                    AND length(bytes) = :length";
        let mut to = *ACTOR_PREFIX;
        to[3] += 1;
        let mut containers = self.connection.prepare_cached(sql)?;
        let containers = containers.query_row(
            named_params! {
                ":document": document, ":from": ACTOR_PREFIX, ":to": to, ":length": ACTOR_BYTES as i64,
            },
            count,
        )?;
        Ok(Amount { actors: all - containers, containers, bytes: 0 })
    }

    /// What `by` brought to a log that ends at `end`. Of a log that was counted before only what is new is read.
    fn brought(&self, document: i64, end: Mark, by: Option<&str>) -> Result<Amount, LogError> {
        let count = |brought: &Brought| {
            let mine = brought.by.iter().find(|(name, _)| name.as_deref() == by);
            mine.map_or_else(Amount::default, |(_, amount)| *amount)
        };
        let mut brought = match self.packs.brought(document) {
            // A push that was counted on may have been undone since: then other changes stand in its place.
            Some(known) if self.has_mark(document, end, known.upto)? => Brought::clone(&known),
            _ => Brought::default(),
        };
        if brought.upto != end {
            self.count_on(document, end, &mut brought)?;
            let brought = Arc::new(brought);
            self.packs.put_brought(document, &brought);
            return Ok(count(&brought));
        }
        Ok(count(&brought))
    }

    fn has_mark(&self, document: i64, end: Mark, mark: Mark) -> Result<bool, LogError> {
        Ok(mark.position <= end.position && self.mark_at(document, end, mark.position)? == mark)
    }

    fn count_on(&self, document: i64, end: Mark, brought: &mut Brought) -> Result<(), LogError> {
        let range = (brought.upto.position, end.position);
        let mut runs = self.pushed(document, range)?.into_iter().peekable();
        self.amounts(document, range, |position, amount| {
            while runs.next_if(|run| run.last < position).is_some() {}
            let by = runs.peek().filter(|run| run.first <= position).and_then(|run| run.by.as_ref());
            match brought.by.iter_mut().find(|(name, _)| name.as_ref() == by) {
                Some((_, sum)) => *sum = *sum + amount,
                None => {
                    brought.by.insert(by.cloned(), amount);
                }
            }
        })?;
        brought.upto = end;
        Ok(())
    }

    /// What each change after `after` and up to `upto` added.
    fn amounts(
        &self,
        document: i64,
        (mut after, upto): (u64, u64),
        mut take: impl FnMut(u64, Amount),
    ) -> Result<(), LogError> {
        while after < upto
            && let Some(row) = self.pack_row_at(document, after + 1)?
        {
            // Not by way of the cache: what others read stays there.
            let pack = self.read_pack(document, row)?;
            while after < upto
                && let Some(chunk) = pack.chunk(after + 1)
            {
                after += 1;
                let author = fence::author_of(chunk);
                let (actor, number) =
                    author.map_err(|why| LogError::Damaged(format!("the change at {after}: {why}")))?;
                take(
                    after,
                    added(chunk.len() as u64, number == 1, number == 1 && is_container_actor(&actor)),
                );
            }
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT change.id, length(change.bytes), change.seq = 1,
                    change.seq = 1 AND length(actor.bytes) = :length AND substr(actor.bytes, 1, 4) = :prefix
               FROM change LEFT JOIN actor ON actor.id = change.actor
              WHERE change.id > :after AND change.id <= :upto ORDER BY change.id",
        )?;
        let (after, upto) = (row_key(document, after), row_key(document, upto));
        let mut rows = statement.query(named_params! {
            ":after": after, ":upto": upto, ":length": ACTOR_BYTES as i64, ":prefix": ACTOR_PREFIX,
        })?;
        while let Some(row) = rows.next()? {
            take(position_of(row.get(0)?), added(unsigned(row, 1)?, row.get(2)?, row.get(3)?));
        }
        Ok(())
    }

    /// Those of these positions that `by` pushed.
    pub(super) fn pushed_by(
        &self,
        document: i64,
        positions: &HashSet<u64>,
        by: Option<&str>,
    ) -> Result<HashSet<u64>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT pusher.name FROM pushed LEFT JOIN pusher ON pusher.id = pushed.pusher
             WHERE pushed.id BETWEEN :first AND :at ORDER BY pushed.id DESC LIMIT 1",
        )?;
        let mut found = HashSet::new();
        for position in positions {
            let params =
                named_params! { ":first": row_key(document, 0), ":at": row_key(document, *position) };
            let name: Option<String> = statement.query_row(params, |row| row.get(0)).optional()?.flatten();
            if name.as_deref() == by {
                found.insert(*position);
            }
        }
        Ok(found)
    }
}

/// What a change of so many bytes added.
fn added(bytes: u64, first: bool, container: bool) -> Amount {
    Amount { actors: u64::from(first && !container), containers: u64::from(container), bytes }
}
