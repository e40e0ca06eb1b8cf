//! An event of a stream, and what it is good for: a hint, or a page that happens to fit.

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::Rng;

use crate::{
    Cursor,
    planted::{self, Bug},
    wire::ChangesEvent,
};

use super::{
    facts::Facts,
    plans::Plan,
    state::Session,
    types::{Now, Progress},
    verdict::{PageFigures, read_page},
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

/// What is to be done with an event.
#[derive(Debug)]
pub enum Heard {
    /// Nothing: it tells nothing new.
    Known,
    /// The store writes its page. What follows goes to [`Session::event_taken`].
    Take(Box<Plan>),
    /// It is for a client that stands elsewhere, or brings nothing: pull.
    Pull,
}

impl Session {
    /// Takes an event. Its changes pass through the same fence and the same transaction as those of a pulled page, and
    /// only where the stored cursor is the one that they come after. Lost, doubled, late and reordered events cost
    /// nothing: whatever does not fit is pulled, or known already.
    pub fn take_event(&mut self, facts: &Facts, event: &ChangesEvent, now: Now, rng: &mut impl Rng) -> Heard {
        let page = match weigh(facts, self.trouble.is_some(), event) {
            Weighed::Known => return Heard::Known,
            Weighed::Pull => return Heard::Pull,
            Weighed::Take { body, cursor } => {
                let heads = event.heads.iter().filter_map(|hash| hash.parse().ok()).collect();
                let figures = PageFigures { cursor: Some(cursor.clone()), end: Some(cursor), heads };
                read_page(facts.cursor.as_ref(), &body, figures, &self.limits)
            }
        };
        // Bytes that do not stand are asked for again, where the server answers for them.
        let Ok(page) = page else { return Heard::Pull };
        self.start_run();
        self.take_facts(facts);
        Heard::Take(Box::new(self.take_page(page, now, rng)))
    }

    /// The page of an event is stored, and this came of it.
    pub fn event_taken(&mut self, progress: Progress) -> Hint {
        let whole = self.learn().end_reached;
        self.start_run();
        if whole { Hint::Taken(progress) } else { Hint::Pull }
    }
}

enum Weighed {
    Known,
    Take { body: Vec<u8>, cursor: Cursor },
    Pull,
}

/// A total function of where this client stands and what the event says.
fn weigh(facts: &Facts, in_trouble: bool, event: &ChangesEvent) -> Weighed {
    if event.deleted {
        return if facts.tombstone_known { Weighed::Known } else { Weighed::Pull };
    }
    let cursor = event.cursor.as_deref().and_then(Cursor::parse);
    let Some(cursor) = cursor.filter(|_| !facts.tombstone_owed && !facts.tombstone_known) else {
        return Weighed::Pull;
    };
    if facts.cursor.as_ref() == Some(&cursor) {
        return Weighed::Known;
    }
    // Invariant 4: "A cursor moves in the transaction that stores what it counts." What comes after
    // another cursor is not ours to take. The first copy is pulled, for it may come as a snapshot.
    let after = event.after.as_deref().and_then(Cursor::parse);
    let fits =
        facts.cursor.is_some() && (facts.cursor == after || planted::is_planted(Bug::EventAtOtherCursor));
    let changes = event.changes.as_deref().and_then(|text| STANDARD.decode(text).ok());
    match changes {
        Some(body) if fits && !facts.healing && !in_trouble => Weighed::Take { body, cursor },
        _ => Weighed::Pull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cursor: &str) -> Facts {
        Facts { cursor: Cursor::parse(cursor), at_end: true, ..Facts::default() }
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
            matches!(weigh(&at("5.ab"), false, &event()), Weighed::Take { cursor, .. } if cursor.as_str() == "7.cd")
        );
        assert!(matches!(weigh(&at("7.cd"), false, &event()), Weighed::Known));
        // Another place, another log, nothing yet.
        for other in ["4.ab", "6.ab", "5.ef", "7.ef", "9.ab"] {
            assert!(matches!(weigh(&at(other), false, &event()), Weighed::Pull), "{other}");
        }
        let nothing = Facts { cursor: None, ..at("5.ab") };
        assert!(matches!(weigh(&nothing, false, &ChangesEvent { after: None, ..event() }), Weighed::Pull));
    }

    #[test]
    fn an_event_that_cannot_be_taken_as_it_is_is_pulled() {
        let healing = Facts { healing: true, ..at("5.ab") };
        assert!(matches!(weigh(&healing, false, &event()), Weighed::Pull));
        assert!(matches!(weigh(&at("5.ab"), true, &event()), Weighed::Pull));
        for odd in [
            ChangesEvent { changes: None, ..event() },
            ChangesEvent { changes: Some("no base64!".to_owned()), ..event() },
            ChangesEvent { cursor: None, ..event() },
            ChangesEvent { after: Some("x y".to_owned()), ..event() },
            ChangesEvent { deleted: true, ..event() },
        ] {
            assert!(matches!(weigh(&at("5.ab"), false, &odd), Weighed::Pull), "{odd:?}");
        }
        let deleted = Facts { tombstone_known: true, ..at("5.ab") };
        assert!(matches!(weigh(&deleted, false, &ChangesEvent { deleted: true, ..event() }), Weighed::Known));
    }
}
