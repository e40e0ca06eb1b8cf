//! How much of a document's log each pusher brought: actors, containers, bytes. It is counted from the log and from who
//! pushed it: nothing of it is stored, so it holds for what was pushed before anybody counted too.

use std::{collections::HashMap, ops::Add, sync::Arc};

use automerge::ActorId;
use rejoin_protocol::{
    container::is_container_actor,
    fence::{self, CheckedChange},
};

use super::{Appender, Edit, LogError, Mark, View, pack::PackView};

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
    /// What of that was handed to the backend.
    stored: Amount,
}

impl Tally {
    /// Notes a change that was appended. `first`: it is the first of its actor.
    pub(super) fn note(&mut self, change: &CheckedChange, first: bool) {
        let container = first && is_container_actor(&change.actor);
        self.fresh = self.fresh + added(change.bytes.len() as u64, first, container);
    }

    /// Notes that all that was appended was handed to the backend.
    pub(super) fn store(&mut self) {
        self.stored = self.fresh;
    }
}

impl<E: Edit> Appender<'_, E> {
    /// The plain bytes of the log as it is now.
    pub(crate) fn bytes(&self) -> u64 {
        self.document.bytes
    }

    /// What the document has now.
    pub(crate) fn amount(&mut self) -> Result<Amount, LogError> {
        let before = match self.tally.before {
            Some(before) => before,
            None => {
                let (all, containers) = self.edit.count_actors(self.document.key)?;
                let (stored, fresh) = (self.tally.stored, self.tally.fresh);
                Amount {
                    actors: all.saturating_sub(containers).saturating_sub(stored.actors),
                    containers: containers.saturating_sub(stored.containers),
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
                let start = self.edit.mark_at(self.document.key, self.document.end, self.start)?;
                brought_to(self.edit, self.document.key, start, by)?
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

/// What `by` brought to a log that ends at `end`. Of a log that was counted before only what is new is read.
fn brought_to(view: &impl View, document: i64, end: Mark, by: Option<&str>) -> Result<Amount, LogError> {
    let count = |brought: &Brought| {
        let mine = brought.by.iter().find(|(name, _)| name.as_deref() == by);
        mine.map_or_else(Amount::default, |(_, amount)| *amount)
    };
    let mut brought = match view.cache().brought(document) {
        // A push that was counted on may have been undone since: then other changes stand in its place.
        Some(known) if has_mark(view, document, end, known.upto)? => Brought::clone(&known),
        _ => Brought::default(),
    };
    if brought.upto != end {
        count_on(view, document, end, &mut brought)?;
        let brought = Arc::new(brought);
        view.cache().put_brought(document, &brought);
        return Ok(count(&brought));
    }
    Ok(count(&brought))
}

fn has_mark(view: &impl View, document: i64, end: Mark, mark: Mark) -> Result<bool, LogError> {
    Ok(mark.position <= end.position && view.mark_at(document, end, mark.position)? == mark)
}

fn count_on(view: &impl View, document: i64, end: Mark, brought: &mut Brought) -> Result<(), LogError> {
    let range = (brought.upto.position, end.position);
    let mut runs = view.pushed(document, range)?.into_iter().peekable();
    amounts(view, document, range, |position, amount| {
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
    view: &impl View,
    document: i64,
    (mut after, upto): (u64, u64),
    mut take: impl FnMut(u64, Amount),
) -> Result<(), LogError> {
    while after < upto
        && let Some(row) = view.pack_row_at(document, after + 1)?
    {
        // Not by way of the cache: what others read stays there.
        let pack = view.read_pack(document, row)?;
        while after < upto
            && let Some(chunk) = pack.chunk(after + 1)
        {
            after += 1;
            let author = fence::author_of(chunk);
            let (actor, number) =
                author.map_err(|why| LogError::Damaged(format!("the change at {after}: {why}")))?;
            take(after, added(chunk.len() as u64, number == 1, number == 1 && is_container_actor(&actor)));
        }
    }
    view.lines(document, (after, upto), |line| {
        let container = |name| is_container_actor(&ActorId::from(name));
        take(line.position, added(line.length, line.begins.is_some(), line.begins.is_some_and(container)));
        true
    })
}

/// What a change of so many bytes added.
fn added(bytes: u64, first: bool, container: bool) -> Amount {
    Amount { actors: u64::from(first && !container), containers: u64::from(container), bytes }
}
