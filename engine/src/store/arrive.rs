//! What a page brings: each change gets a place, then the library gets it, or it is quarantined.

use std::collections::{HashMap, HashSet};

use automerge::{ChangeHash, PatchLog};
use rusqlite::Connection;

use super::{
    Event, EventChange, Origin, Page, PageOutcome,
    claims::Proved,
    fork, reach,
    record::reacted,
    replica::{Held, Noted, Replica, apply_all, quarantine},
    rows::{self, NewChange},
    steps::is_merge,
};
use crate::{
    Actor, Error, Message, Result, container,
    fence::{CheckedChange, Placement, Reach, Refusal, RefusalCode, WalkBudget, place},
    quarantine::Reason,
    untrusted::{apply_untrusted, guarded, parse_untrusted},
};

/// A pulled change that was given a place.
pub(super) struct Arrived {
    change: CheckedChange,
    message: Message,
}

/// What came under this actor.
pub(super) fn under(arrived: &[Arrived], actor: &Actor) -> Option<ChangeHash> {
    arrived.iter().find(|one| one.change.actor == *actor).map(|one| one.change.hash)
}

/// Gives what is new a place. A change whose dependencies are not held is where the page ends: a phantom is
/// allowed, a hole never (invariant 4).
pub(super) fn arrive(
    connection: &Connection,
    replica: &mut Replica,
    (page, twins, proved): (&Page, &fork::Forks, &Proved),
    now: i64,
    outcome: &mut PageOutcome,
) -> Result<Vec<Arrived>> {
    let mut arrived = Vec::with_capacity(page.changes.len());
    let mut walk = WalkBudget::default();
    for change in &page.changes {
        let Some(index) = &replica.index else { break };
        if index.replaced.contains_key(&change.hash) {
            // It is here, in another spelling: only a server that hands out both comes here.
            continue;
        }
        let mut held = Held { connection, document: replica.row.id, index };
        let plain = Reach::plain(change.start_op, change.operations);
        let (deps, reason, counts) = match place(change, &mut held, &mut walk)? {
            Placement::Duplicate { .. } => continue,
            Placement::New { deps, reach } => {
                let blocked = deps.iter().find(|dep| index.quarantined.contains(dep)).copied();
                let reason = match blocked {
                    Some(dep) => {
                        rows::read_hash(connection, rows::row_id(replica.row.id, dep))?.map(Reason::DependsOn)
                    }
                    None => None,
                };
                (deps, reason, reach)
            }
            Placement::Refused(refusal) if refusal.code == RefusalCode::MissingDependency => {
                outcome.hole = true;
                break;
            }
            Placement::Refused(refusal) => {
                let found = change.deps.iter().filter_map(|dep| index.positions.get(dep).copied());
                // One that takes the place of another spelling may have its actor and number too.
                let refusal = (!twins.is_twin(&change.hash)).then(|| reason_of(&refusal));
                (found.collect(), refusal, plain)
            }
        };
        let message = Message::decode(change.message.as_deref());
        outcome.pulled += u64::from(!has_no_line(change, &message));
        keep(
            connection,
            replica,
            &Keep {
                change,
                deps: &deps,
                message: &message,
                was: proved.was(&change.hash),
                now,
                reason: reason.as_ref(),
            },
        )?;
        reach::note(connection, rows::row_id(replica.row.id, replica.row.last), counts, plain)?;
        match reason {
            Some(_) => outcome.quarantined += 1,
            None => arrived.push(Arrived { change: change.clone(), message }),
        }
    }
    Ok(arrived)
}

/// Which change has an actor's number is the log's to say, and another log may say otherwise; how far a walk comes depends
/// on its page. Both are no more than held.
fn reason_of(refusal: &Refusal) -> Reason {
    let detail = refusal.detail.clone();
    match refusal.code {
        RefusalCode::ActorFork | RefusalCode::TooLarge => Reason::Held(detail),
        _ => Reason::Refused(detail),
    }
}

/// What arrived and is no change to the library is quarantined.
pub(super) fn keep_unreadable(
    connection: &Connection,
    replica: &Replica,
    arrived: &[Arrived],
    outcome: &mut PageOutcome,
) -> Result<()> {
    for one in arrived {
        if let Err(reason) = parse_untrusted(&one.change) {
            quarantine(connection, replica.row.id, one.change.hash, &Reason::Refused(reason))?;
            outcome.quarantined += 1;
        }
    }
    Ok(())
}

struct Keep<'a> {
    change: &'a CheckedChange,
    deps: &'a [u64],
    message: &'a Message,
    /// What it was first made as, where that is proved.
    was: Option<ChangeHash>,
    now: i64,
    reason: Option<&'a Reason>,
}

/// Whether a change has no line in queue and history: it makes a container, or only merges heads.
pub(super) fn has_no_line(change: &CheckedChange, message: &Message) -> bool {
    container::is_container_actor(&change.actor) || is_merge(change.operations, message)
}

/// Writes a pulled change at the next position.
fn keep(connection: &Connection, replica: &mut Replica, new: &Keep<'_>) -> Result<()> {
    let change = new.change;
    let position = replica.row.last + 1;
    rows::insert_change(
        connection,
        &NewChange {
            id: rows::row_id(replica.row.id, position),
            actor: rows::actor_row(connection, &change.actor)?,
            change,
            deps: new.deps,
            message: new.message,
            container: has_no_line(change, new.message),
            // Whatever actor it names: only what was dispatched here is this store's own. A change of a day that was
            // lost with a backup and one that was forged cannot be told apart.
            local: false,
            made_at: change.time.saturating_mul(1000),
            acknowledged_at: Some(new.now),
            was: new.was,
            quarantined: new.reason,
        },
    )?;
    replica.note(&Noted {
        position,
        hash: change.hash,
        actor: &change.actor,
        seq: change.seq,
        deps: &change.deps,
        quarantined: new.reason.is_some(),
        local: false,
    });
    Ok(())
}

/// What the fence refused itself is kept as far as it can be shown: as a quarantined row.
pub(super) fn keep_refused(
    connection: &Connection,
    replica: &mut Replica,
    page: &Page,
    now: i64,
    outcome: &mut PageOutcome,
) -> Result<()> {
    for (refusal, bytes) in &page.refused {
        let Some(hash) = refusal.hash else { continue };
        let known = replica.index.as_ref().is_some_and(|index| index.positions.contains_key(&hash));
        if known {
            continue;
        }
        let change = CheckedChange {
            hash,
            actor: Actor::from(&b"refused"[..]),
            seq: 0,
            start_op: 0,
            operations: 0,
            deps: Vec::new(),
            time: now.div_euclid(1000),
            message: None,
            bytes: bytes.clone(),
        };
        let message = Message::default();
        keep(
            connection,
            replica,
            &Keep {
                change: &change,
                deps: &[],
                message: &message,
                was: None,
                now,
                reason: Some(&Reason::Refused(refusal.detail.clone())),
            },
        )?;
        outcome.quarantined += 1;
    }
    Ok(())
}

/// One batch for the library. What it cannot take is quarantined: "kept as a row, shown, never given to the
/// library".
pub(super) fn give_to_library(
    connection: &Connection,
    replica: &mut Replica,
    arrived: Vec<Arrived>,
    listening: bool,
    outcome: &mut PageOutcome,
) -> Result<Option<Event>> {
    if arrived.is_empty() {
        replica.settle_heads();
        return Ok(None);
    }
    let mut log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let mut changes = Vec::with_capacity(arrived.len());
    let mut refused = Vec::new();
    for one in &arrived {
        match parse_untrusted(&one.change) {
            Ok(change) => changes.push(change),
            Err(reason) => refused.push((one.change.hash, Reason::Refused(reason))),
        }
    }
    let (applied, repeated) =
        apply_all(apply_untrusted, &mut replica.am, changes, listening.then_some(&mut log));
    refused.extend(applied.quarantined);
    for (hash, reason) in &refused {
        quarantine(connection, replica.row.id, *hash, reason)?;
        replica.row.changes = replica.row.changes.saturating_sub(1);
        outcome.quarantined += 1;
        if let Some(index) = &mut replica.index
            && let Some(position) = index.positions.get(hash)
        {
            index.quarantined.insert(*position);
        }
    }
    take_heads(replica)?;
    let gone: HashSet<ChangeHash> = refused.into_iter().map(|(hash, _)| hash).collect();
    Ok(listening.then(|| Event {
        document: replica.row.uuid,
        origin: Origin::Remote,
        changes: event_changes(&arrived, &gone),
        heads: replica.am.get_heads(),
        patches: guarded(|| replica.am.make_patches(&mut log)).unwrap_or_default(),
        rebuilt: repeated,
    }))
}

fn event_changes(arrived: &[Arrived], gone: &HashSet<ChangeHash>) -> Vec<EventChange> {
    let shown = arrived.iter().filter(|a| !gone.contains(&a.change.hash));
    shown
        .filter(|a| !has_no_line(&a.change, &a.message))
        .map(|a| EventChange {
            hash: a.change.hash,
            action_type: a.message.action.clone(),
            action_version: a.message.version.unwrap_or(1),
            author: a.message.author.clone(),
            payload: a.message.payload.clone(),
            reacted: reacted(&a.message),
        })
        .collect()
}

/// Takes the heads from the library: what was quarantined is none.
fn take_heads(replica: &mut Replica) -> Result<()> {
    let index = replica.index.as_ref().ok_or_else(|| Error::Bug("the index is gone".to_owned()))?;
    let mut heads = HashMap::new();
    for hash in replica.am.get_heads() {
        let position = index.positions.get(&hash);
        heads.insert(hash, *position.ok_or_else(|| Error::Bug(format!("the head {hash} has no place")))?);
    }
    replica.head_positions = heads;
    replica.settle_heads();
    Ok(())
}
