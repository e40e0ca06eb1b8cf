//! An event of a stream, and what it is good for: a hint, or a page that happens to fit.

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::Rng;

use crate::{
    Cursor, Result,
    planted::{self, Bug},
    store::{Core, Facts},
    wire::{self, ChangesEvent, Response},
};

use super::{
    next::send,
    settle::settle,
    state::Session,
    types::{Now, Progress, Sent, Step},
    verdict::{Meaning, judge},
};

/// What an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It tells nothing new: it came late, or twice, or tells of what was pushed from here.
    Known,
    /// Its changes are stored.
    Taken(Progress),
    /// It is for a client that stands elsewhere, or brings nothing: pull.
    Pull,
}

/// Takes an event. Its changes pass through the same judge, the same fence and the same transaction as those of a
/// pulled page, and only where the stored cursor is the one that they come after. Lost, doubled, late and reordered
/// events cost nothing: whatever does not fit is pulled, or known already.
///
/// # Errors
/// Those of the store. Nothing of the event was taken.
pub fn take_event(
    core: &mut Core,
    session: &mut Session,
    event: &ChangesEvent,
    (now, rng): (Now, &mut impl Rng),
) -> Result<Hint> {
    let facts = core.facts_at(session.document, &session.server)?;
    let response = match plan(&facts, session.trouble.is_some(), event) {
        Plan::Known => return Ok(Hint::Known),
        Plan::Pull => return Ok(Hint::Pull),
        Plan::Take(response) => response,
    };
    session.start_run();
    let Step::Send { ticket, .. } = send(session, Sent::Pull { after: facts.cursor }) else {
        return Ok(Hint::Pull);
    };
    let verdict = judge(&ticket, Ok(response), &session.limits);
    // Bytes that do not stand are asked for again, where the server answers for them.
    let hint = if matches!(verdict.0, Meaning::Pulled(_)) {
        let progress = settle(core, session, ticket, verdict, (now, rng))?;
        let whole = session.learn().end_reached;
        if whole { Hint::Taken(progress) } else { Hint::Pull }
    } else {
        Hint::Pull
    };
    session.start_run();
    Ok(hint)
}

enum Plan {
    Known,
    Take(Response),
    Pull,
}

/// A total function of where this client stands and what the event says.
fn plan(facts: &Facts, in_trouble: bool, event: &ChangesEvent) -> Plan {
    if event.deleted {
        return if facts.tombstone_known { Plan::Known } else { Plan::Pull };
    }
    let cursor = event.cursor.as_deref().and_then(Cursor::parse);
    if cursor.is_none() || facts.tombstone_owed || facts.tombstone_known {
        return Plan::Pull;
    }
    if facts.cursor == cursor {
        return Plan::Known;
    }
    // Invariant 4: "A cursor moves in the transaction that stores what it counts." What comes after
    // another cursor is not ours to take. The first copy is pulled, for it may come as a snapshot.
    let after = event.after.as_deref().and_then(Cursor::parse);
    let fits =
        facts.cursor.is_some() && (facts.cursor == after || planted::is_planted(Bug::EventAtOtherCursor));
    let changes = event.changes.as_deref().and_then(|text| STANDARD.decode(text).ok());
    match changes {
        Some(body) if fits && !facts.healing && !in_trouble => Plan::Take(Response {
            status: 200,
            media_type: wire::CHANGES.to_owned(),
            end: cursor.clone(),
            cursor,
            heads: event.heads.iter().filter_map(|hash| hash.parse().ok()).collect(),
            body,
            ..Response::default()
        }),
        _ => Plan::Pull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cursor: &str) -> Facts {
        Facts {
            cursor: Cursor::parse(cursor),
            healing: false,
            waiting: 0,
            sent: 0,
            parked: 0,
            changes: 0,
            unqueued: 0,
            at_end: true,
            tombstone_owed: false,
            tombstone_known: false,
            tombstone_here: false,
            tombstone_sure: false,
            enqueued: 0,
        }
    }

    fn event() -> ChangesEvent {
        ChangesEvent {
            document: String::new(),
            after: Some("5.ab".to_owned()),
            cursor: Some("7.cd".to_owned()),
            heads: Vec::new(),
            changes: Some("AAAA".to_owned()),
            deleted: false,
        }
    }

    #[test]
    fn an_event_is_taken_only_at_the_cursor_that_it_comes_after() {
        assert!(
            matches!(plan(&at("5.ab"), false, &event()), Plan::Take(r) if r.cursor == Cursor::parse("7.cd"))
        );
        assert!(matches!(plan(&at("7.cd"), false, &event()), Plan::Known));
        // Another place, another log, nothing yet.
        for other in ["4.ab", "6.ab", "5.ef", "7.ef", "9.ab"] {
            assert!(matches!(plan(&at(other), false, &event()), Plan::Pull), "{other}");
        }
        let nothing = Facts { cursor: None, ..at("5.ab") };
        assert!(matches!(plan(&nothing, false, &ChangesEvent { after: None, ..event() }), Plan::Pull));
    }

    #[test]
    fn an_event_that_cannot_be_taken_as_it_is_is_pulled() {
        let healing = Facts { healing: true, ..at("5.ab") };
        assert!(matches!(plan(&healing, false, &event()), Plan::Pull));
        assert!(matches!(plan(&at("5.ab"), true, &event()), Plan::Pull));
        for odd in [
            ChangesEvent { changes: None, ..event() },
            ChangesEvent { changes: Some("no base64!".to_owned()), ..event() },
            ChangesEvent { cursor: None, ..event() },
            ChangesEvent { after: Some("x y".to_owned()), ..event() },
            ChangesEvent { deleted: true, ..event() },
        ] {
            assert!(matches!(plan(&at("5.ab"), false, &odd), Plan::Pull), "{odd:?}");
        }
        let deleted = Facts { tombstone_known: true, ..at("5.ab") };
        assert!(matches!(plan(&deleted, false, &ChangesEvent { deleted: true, ..event() }), Plan::Known));
    }
}
