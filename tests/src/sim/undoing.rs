//! Undo and redo, and what they must come to.

use std::collections::HashSet;

use rand::RngExt;
use rejoin::{ChangeHash, DocumentId, Error, Undone};
use serde_json::Value;

use super::{
    acting::{core_of, core_rows},
    invariant::{Checked, Invariant},
    inverse::{Seen, without},
    model::{Made, Token},
    stack::Stack,
    world::World,
};

/// Most undos and redos one after the other.
const MOST_IN_A_ROW: u32 = 3;

/// What was done at a store since something last came from elsewhere: there an undo restores the state before, and
/// a redo the state after.
#[derive(Debug, Default, Clone)]
pub(super) struct Line {
    heads: Vec<ChangeHash>,
    /// The state before the first action, and after each; `None` where nobody looked between two that share a commit.
    states: Vec<Option<Value>>,
    /// Which of them is there now.
    at: usize,
}

impl Line {
    fn new(heads: Vec<ChangeHash>, state: &Value) -> Self {
        Self { heads, states: vec![Some(state.clone())], at: 0 }
    }
}

/// Who asks for it: a client, through which of its processes, in which document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) client: usize,
    pub(super) document: usize,
    pub(super) elsewhere: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Undo,
    Redo,
    Change(ChangeHash),
}

/// What stood somewhere, as first made, and what was made there.
type Stood<'a> = (&'a HashSet<ChangeHash>, &'a [Token]);

impl World {
    /// A person takes something back, or does it again: a few times, one after the other.
    pub(super) fn take_back(&mut self, place: Place) -> Checked {
        let life = self.clients[place.client].life;
        for _ in 0..self.rng.random_range(1..=MOST_IN_A_ROW) {
            if self.clients[place.client].life == life {
                self.take_one_back(place)?;
            }
        }
        Ok(())
    }

    fn take_one_back(&mut self, place: Place) -> Checked {
        self.to_do = self.to_do.saturating_sub(1);
        let id = self.documents[place.document];
        let before = self.state(place.client, id, place.elsewhere)?;
        let standing = self.standing(place.client, id);
        let own = self.own_of(place.client, id);
        let tokens = self.model.tokens(&standing);
        let stack = self.model.stack(&own, &tokens);
        let contested = self.model.is_contested(&tokens, &own);
        if !contested {
            self.check_can(place, &stack)?;
        }
        let (asked, expected) = self.ask(place.client, id, (&stack, &standing, &own));
        self.follow_line(place, &before)?;
        let rows = core_rows(&self.clients[place.client], id);
        let core = core_of(&mut self.clients[place.client], place.elsewhere);
        let result = match asked {
            Asked::Undo => core.undo(id),
            Asked::Redo => core.redo(id),
            Asked::Change(hash) => core.undo_change(id, hash),
        };
        self.log(format!("c{} d{} {asked:?}: {result:?}", place.client, place.document));
        let expected = match (&result, expected) {
            (Ok(found), Ok(_)) if contested => {
                Ok(found.as_ref().and_then(|undone| self.own_target(undone, &own)))
            }
            (_, expected) => expected,
        };
        match (result, expected) {
            (Ok(None), Ok(None)) => {}
            (Err(Error::NotOwn(_)), Err(())) => {}
            (Ok(Some(undone)), Ok(Some(target))) => {
                self.check_undone(place, (asked, target, &undone), (&before, (&standing, &own), rows))?;
            }
            (Err(error), _) if !matches!(error, Error::NotOwn(_)) => {
                return self.nothing_was_done(place, rows, error);
            }
            (found, expected) => {
                let c = place.client;
                return Err(self.broken(
                    Invariant::Undo,
                    format!("c{c}: {asked:?} gave {found:?}, and {expected:?} was next"),
                ));
            }
        }
        self.check_client(place.client)?;
        self.wake(place.client, place.document);
        Ok(())
    }

    /// What is asked for, and the change that it must take back: none, or `Err` where it is not this replica's.
    fn ask(
        &mut self,
        client: usize,
        id: DocumentId,
        (stack, standing, own): (&Stack, &HashSet<ChangeHash>, &[Token]),
    ) -> (Asked, Result<Option<Token>, ()>) {
        let redoes = if stack.undone.is_empty() { 5 } else { 45 };
        match self.rng.random_range(0..100) {
            n if n < redoes => (Asked::Redo, Ok(stack.undone.last().copied())),
            0..85 => (Asked::Undo, Ok(stack.done.last().copied())),
            _ => {
                let rows: Vec<_> = self.clients[client].rows(id).into_iter().filter(|r| r.stands()).collect();
                let known = rows.iter().filter_map(|row| {
                    let token = self.model.by_hash.get(&self.ledger.root(row.hash))?;
                    (self.model.made[*token].takes.is_none()).then_some((row, *token))
                });
                let known: Vec<_> = known.collect();
                if known.is_empty() {
                    return (Asked::Undo, Ok(None));
                }
                let (row, token) = known[self.rng.random_range(0..known.len())];
                let taken = self.model.taken_back(&self.model.tokens(standing), own).contains(&token);
                let expected = if !row.local { Err(()) } else { Ok((!taken).then_some(token)) };
                (Asked::Change(row.hash), expected)
            }
        }
    }

    /// What this store made, in this order.
    fn own_of(&mut self, client: usize, id: DocumentId) -> Vec<Token> {
        let rows = self.clients[client].rows(id);
        let own = rows.iter().filter(|row| row.local && row.stands());
        own.filter_map(|row| self.model.by_hash.get(&self.ledger.root(row.hash)).copied()).collect()
    }

    /// What was taken back, where it is this store's own.
    fn own_target(&self, undone: &Undone, own: &[Token]) -> Option<Token> {
        self.model.by_hash.get(&self.ledger.root(undone.of)).copied().filter(|token| own.contains(token))
    }

    fn check_can(&mut self, place: Place, stack: &Stack) -> Checked {
        let id = self.documents[place.document];
        let core = core_of(&mut self.clients[place.client], place.elsewhere);
        let found = (core.can_undo(id), core.can_redo(id));
        let (Ok(undo), Ok(redo)) = found else {
            return Err(self.broken(Invariant::NoError, format!("c{}: {found:?}", place.client)));
        };
        if (undo, redo) == (!stack.done.is_empty(), !stack.undone.is_empty()) {
            return Ok(());
        }
        let c = place.client;
        let detail = format!("c{c}: undo is possible {undo}, redo {redo}, and what it holds says {stack:?}");
        Err(self.broken(Invariant::Undo, detail))
    }

    /// One new change, in the queue, which takes back what was next and nothing else.
    fn check_undone(
        &mut self,
        place: Place,
        (asked, target, undone): (Asked, Token, &Undone),
        (before, (standing, own), rows): (&Value, Stood<'_>, Option<(i64, usize)>),
    ) -> Checked {
        let id = self.documents[place.document];
        let broken = |world: &Self, detail: String| {
            let c = place.client;
            Err(world.broken(Invariant::Undo, format!("c{c}, {asked:?} by {}: {detail}", undone.hash)))
        };
        let (of, action) = (self.ledger.root(undone.of), self.ledger.root(undone.action));
        let (next, first) = (self.model.made[target].hash, self.model.made[self.model.action(target)].hash);
        if (of, action) != (next, first) {
            return broken(self, format!("it took back {of} of {action}, and {next} of {first} was next"));
        }
        let now = self.clients[place.client].look(id);
        let waits = now.as_ref().is_some_and(|now| now.pending.contains_key(&undone.hash));
        if !waits || core_rows(&self.clients[place.client], id) != rows.map(|(last, n)| (last + 1, n + 1)) {
            return broken(self, "it is not one change that waits in the queue".to_owned());
        }
        let after = self.state(place.client, id, place.elsewhere)?;
        self.model.note_doubles(before);
        let seen = Seen { undone, standing, own, before, after: &after };
        let effect = match self.model.inverse(target, &seen) {
            Ok(effect) => effect,
            Err(detail) => return broken(self, detail),
        };
        if let Err(detail) = self.check_line(place, asked, &after) {
            return broken(self, detail);
        }
        let (document, hash) = (place.document, undone.hash);
        let empty = undone.undone == 0;
        self.model.add_made(Made { document, hash, effect, takes: Some(target), empty, lost: false });
        Ok(())
    }

    /// Begins the line again, where something came since.
    pub(super) fn follow_line(&mut self, place: Place, state: &Value) -> Checked {
        let heads = self.heads(place)?;
        let line = &mut self.clients[place.client].lines[place.document];
        if line.heads != heads || line.states.is_empty() {
            *line = Line::new(heads, state);
        }
        Ok(())
    }

    /// These many actions came onto the line.
    pub(super) fn lengthen_line(&mut self, place: Place, actions: usize) -> Checked {
        let heads = self.heads(place)?;
        let id = self.documents[place.document];
        let state = self.state(place.client, id, place.elsewhere)?;
        let line = &mut self.clients[place.client].lines[place.document];
        line.heads = heads;
        line.states.truncate(line.at + 1);
        line.states.extend((1..actions).map(|_| None));
        line.states.push(Some(state));
        line.at += actions;
        Ok(())
    }

    fn heads(&mut self, place: Place) -> Checked<Vec<ChangeHash>> {
        let id = self.documents[place.document];
        let info = core_of(&mut self.clients[place.client], place.elsewhere).document(id);
        info.map(|info| info.heads)
            .map_err(|e| self.broken(Invariant::NoError, format!("c{}: {e}", place.client)))
    }

    /// With nothing from elsewhere since, an undo restores the state before, and a redo the state after.
    fn check_line(&mut self, place: Place, asked: Asked, after: &Value) -> Result<(), String> {
        let heads = self.heads(place).map_err(|violation| violation.detail)?;
        let line = &mut self.clients[place.client].lines[place.document];
        let at = match asked {
            Asked::Undo => line.at.checked_sub(1),
            Asked::Redo => Some(line.at + 1).filter(|at| *at < line.states.len()),
            Asked::Change(_) => None,
        };
        let Some(at) = at else {
            *line = Line::new(heads, after);
            return Ok(());
        };
        (line.at, line.heads) = (at, heads);
        // In the corner of the wild, containers made since stand where something was.
        match line.states[at].replace(after.clone()) {
            Some(wanted) if without(&wanted, Some("/w")) != without(after, Some("/w")) => {
                Err(format!("nothing came since, the state was {wanted}, and now it is {after}"))
            }
            _ => Ok(()),
        }
    }
}
