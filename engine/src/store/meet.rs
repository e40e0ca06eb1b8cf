//! Where what a server sends meets what is held here: which of the two stands.

use std::collections::{HashMap, HashSet};

use automerge::ChangeHash;
use rusqlite::Connection;

use super::{Page, claims::Proved, fork, replica::Replica, rows};
use crate::{
    Actor, Result,
    fence::{CheckedChange, RefusalCode},
};

/// Which changes held here cannot stand beside what the server holds, and which stand again. "The server's
/// log decides."
pub(super) fn find_forks(
    connection: &Connection,
    replica: &Replica,
    (page, proved): (&Page, &Proved),
) -> Result<fork::Forks> {
    let mut forks = fork::Forks::default();
    let Some(index) = &replica.index else { return Ok(forks) };
    for (id, rejected) in page.rejected.iter().filter(|(_, r)| r.code == RefusalCode::ActorFork) {
        match rejected.stands.as_ref().and_then(|text| text.parse::<ChangeHash>().ok()) {
            Some(stands) if index.replaced.contains_key(&stands) => forks.stands.push(stands),
            // It stands already, or comes with the log: until then this change waits.
            Some(_) => {}
            None => {
                let refused = rows::read_hash(connection, *id)?;
                forks.refused.extend(refused.filter(|hash| index.positions.contains_key(hash)));
            }
        }
    }
    let second = second_of_a_number(page);
    let new: Vec<&CheckedChange> = page
        .changes
        .iter()
        .filter(|change| !index.positions.contains_key(&change.hash) && !second.contains(&change.hash))
        .collect();
    if new.is_empty() {
        return Ok(forks);
    }
    // It goes on where this store had read it to its end, and had nothing to heal.
    let row = &replica.row;
    let goes_on = page.asked.is_some()
        && row.cursor_at(&page.server) == page.asked.as_ref()
        && (row.at_end && !row.healing);
    let standing = fork::Standing::read(connection, replica.row.id, index)?;
    for change in new {
        if index.replaced.contains_key(&change.hash) {
            forks.stands.push(change.hash);
            continue;
        }
        let first = proved.was(&change.hash).unwrap_or(change.hash);
        let twin = standing.of(&first);
        forks.twins.extend(twin.map(|goes| (goes, change.hash)));
        if index.lasts.get(&change.actor).is_some_and(|last| change.seq <= last.seq) {
            let rival = rows::find_spelling(connection, replica.row.id, &change.actor, change.seq)?;
            let Some(rival) = rival.filter(|rival| Some(*rival) != twin) else { continue };
            // "Nothing acknowledged is lost or replaced": this log has that one already, and no log holds both.
            if !(goes_on && rows::is_acknowledged(connection, replica.row.id, rival)?) {
                forks.refused.push(rival);
            }
        }
    }
    Ok(forks)
}

/// Of the changes in a page those whose number another has that comes before it: only a server that breaks the protocol
/// sends both, and the first is taken at its word.
fn second_of_a_number(page: &Page) -> HashSet<ChangeHash> {
    let mut first: HashMap<(&Actor, u64), ChangeHash> = HashMap::new();
    let mut second = HashSet::new();
    for change in &page.changes {
        if *first.entry((&change.actor, change.seq)).or_insert(change.hash) != change.hash {
            second.insert(change.hash);
        }
    }
    second
}
