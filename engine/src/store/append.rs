//! A new change gets its place: after all that the document holds.

use automerge::ChangeHash;

use super::{
    replica::{Noted, Replica, container_position},
    rows::{self, NewChange},
};
use crate::{Error, Message, Result, fence::CheckedChange};

/// What [`append`] writes beside the change.
pub(super) struct Appended<'a> {
    pub(super) message: &'a Message,
    pub(super) local: bool,
    pub(super) container: bool,
}

/// Gives a change, whose dependencies are all heads or containers, the next position. Returns its row id.
pub(super) fn append(
    connection: &rusqlite::Connection,
    replica: &mut Replica,
    checked: &CheckedChange,
    about: &Appended<'_>,
) -> Result<i64> {
    let deps = positions(connection, replica, &checked.deps)?;
    let position = replica.row.last + 1;
    let id = rows::row_id(replica.row.id, position);
    let actor = rows::actor_row(connection, &checked.actor)?;
    if about.local && !about.container {
        rows::note_own_actor(connection, actor)?;
    }
    rows::insert_change(
        connection,
        &NewChange {
            id,
            actor,
            change: checked,
            deps: &deps,
            message: about.message,
            container: about.container,
            local: about.local,
            // What the change itself says, in seconds: every replica shows the same.
            made_at: checked.time.saturating_mul(1000),
            acknowledged_at: None,
            was: None,
            quarantined: None,
        },
    )?;
    replica.note(&Noted {
        position,
        hash: checked.hash,
        actor: &checked.actor,
        seq: checked.seq,
        deps: &checked.deps,
        quarantined: false,
        local: about.local,
    });
    Ok(id)
}

/// Most dependencies are heads. The others are containers, and this replica's own last change, which the
/// library names too when others have gone on from it.
fn positions(
    connection: &rusqlite::Connection,
    replica: &mut Replica,
    deps: &[ChangeHash],
) -> Result<Vec<u64>> {
    let mut found = Vec::with_capacity(deps.len());
    for hash in deps {
        let mut position = replica.head_positions.get(hash).copied();
        if position.is_none() {
            position = container_position(connection, replica.row.id, *hash)?;
        }
        if position.is_none() {
            replica.build_index(connection)?;
            position = replica.index.as_ref().and_then(|index| index.positions.get(hash).copied());
        }
        found.push(position.ok_or_else(|| Error::Bug(format!("the dependency {hash} has no place")))?);
    }
    Ok(found)
}
