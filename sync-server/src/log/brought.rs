//! How many of a document's actors and heads each pusher brought. It is counted from the log and from who pushed it:
//! nothing of it is stored, so it holds for what was pushed before anybody counted too.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rejoin::fence;
use rusqlite::{OptionalExtension, named_params};

use super::{
    LogError, Mark, View,
    view::{position_of, row_key},
};

/// Whose first changes are in a log up to a mark. Counting goes on from there.
#[derive(Debug, Clone, Default)]
pub(super) struct Brought {
    upto: Mark,
    /// By the name of whoever pushed the first change of an actor; `None`: nobody is known.
    actors: HashMap<Option<String>, u64>,
}

impl Brought {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        128 + self.actors.keys().map(|name| 96 + name.as_ref().map_or(0, String::len)).sum::<usize>()
    }
}

impl View<'_> {
    /// How many actors `by` brought to a log that ends at `end`: those whose first change they pushed. Of a log that was
    /// counted before only what is new is read.
    pub(crate) fn actors_brought(&self, document: i64, end: Mark, by: Option<&str>) -> Result<u64, LogError> {
        let count = |brought: &Brought| {
            let mine = brought.actors.iter().find(|(name, _)| name.as_deref() == by);
            mine.map_or(0, |(_, count)| *count)
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
        self.first_changes(document, range, |position| {
            while runs.next_if(|run| run.last < position).is_some() {}
            let run = runs.peek().filter(|run| run.first <= position);
            *brought.actors.entry(run.and_then(|run| run.by.clone())).or_default() += 1;
        })?;
        brought.upto = end;
        Ok(())
    }

    /// Where the first changes of actors are, after `after` and up to `upto`.
    fn first_changes(
        &self,
        document: i64,
        (mut after, upto): (u64, u64),
        mut take: impl FnMut(u64),
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
                let number = fence::sequence_of(chunk);
                if number.map_err(|why| LogError::Damaged(format!("the change at {after}: {why}")))? == 1 {
                    take(after);
                }
            }
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT id FROM change WHERE id > :after AND id <= :upto AND seq = 1 ORDER BY id",
        )?;
        let (after, upto) = (row_key(document, after), row_key(document, upto));
        let mut rows = statement.query(named_params! { ":after": after, ":upto": upto })?;
        while let Some(row) = rows.next()? {
            take(position_of(row.get(0)?));
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
