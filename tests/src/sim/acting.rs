//! What people do, and what it must come to.

use std::collections::HashSet;

use rand::RngExt;
use rejoin::{Action, ChangeHash, DocumentId};
use serde_json::{Value, json};

use super::{
    invariant::{Checked, Invariant},
    model::{Effect, Gone},
    strikes::Fault,
    undoing::Place,
    world::{Event, World},
};

/// Characters that nobody else writes begin here.
const FIRST_CHARACTER: u32 = 0x1_0000;
/// Of a hundred things that people do, so many are undos and redos.
const UNDOES: u32 = 22;
/// Most characters in one splice.
const FRAGMENT: u32 = 6;

impl World {
    pub(super) fn act(&mut self, client: usize) -> Checked {
        if self.to_do == 0 {
            return Ok(());
        }
        self.within(6_000, Event::Act(client));
        let document = self.rng.random_range(0..self.documents.len());
        if !self.clients[client].is_up() {
            return Ok(());
        }
        if !self.clients[client].joined[document] {
            return if self.climate.armed[client] { Ok(()) } else { self.join(client, document) };
        }
        let id = self.documents[document];
        let elsewhere = self.hit(Fault::OtherProcess);
        self.clients[client].set_wall(self.now);
        if elsewhere && self.clients[client].other.is_none() {
            let other = self.clients[client].open();
            self.clients[client].other =
                Some(other.map_err(|e| self.broken(Invariant::NoError, format!("a second process: {e}")))?);
        }
        let place = Place { client, document, elsewhere };
        if self.chance(UNDOES) {
            return self.take_back(place);
        }
        let state = self.state(client, id, elsewhere)?;
        self.follow_line(place, &state)?;
        let count = if self.chance(25) { self.rng.random_range(2..=3) } else { 1 };
        let mut planned: Vec<(Action, Effect)> = Vec::new();
        for at in 0..count {
            let standing = self.standing(client, id);
            let one = if at == 0 && count == 1 {
                self.any_action(&state, &standing)
            } else {
                self.plain_action(&standing, &planned)
            };
            planned.extend(one);
        }
        self.dispatch(place, planned)
    }

    /// Reads never wait for the network, and never fail.
    pub(super) fn state(&mut self, client: usize, id: DocumentId, elsewhere: bool) -> Checked<Value> {
        let it = &mut self.clients[client];
        let core = if elsewhere { it.other.as_mut() } else { it.core.as_mut() };
        let state = core.unwrap().state(id, "", None);
        state.map_err(|e| self.broken(Invariant::LocalFirst, format!("c{client} cannot read: {e}")))
    }

    /// What stands in a store, as first made.
    pub(super) fn standing(&mut self, client: usize, id: DocumentId) -> HashSet<ChangeHash> {
        let rows = self.clients[client].rows(id);
        for row in &rows {
            if let Some(was) = row.was {
                self.ledger.was.insert(row.hash, was);
            }
        }
        rows.iter().filter(|row| row.stands()).map(|row| self.ledger.root(row.hash)).collect()
    }

    fn dispatch(&mut self, place: Place, planned: Vec<(Action, Effect)>) -> Checked {
        let Place { client, document, elsewhere } = place;
        let id = self.documents[document];
        self.to_do = self.to_do.saturating_sub(planned.len() as u32);
        let (actions, effects): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|(action, effect)| ((id, action), effect)).unzip();
        let it = &mut self.clients[client];
        let before = core_rows(it, id);
        let results = match core_of(it, elsewhere).dispatch(&actions) {
            Ok(results) => results,
            Err(error) => return self.nothing_was_done(place, before, error),
        };
        let mut made = 0;
        for ((result, (_, action)), effect) in results.into_iter().zip(&actions).zip(effects) {
            match result {
                Ok(receipt) => {
                    let short = &receipt.hash.to_string()[..8];
                    self.log(format!("c{client} d{document} {short} {action:?}"));
                    self.model.add(document, receipt.hash, effect);
                    made += 1;
                }
                Err(rejoin::Error::Action(error)) => {
                    self.log(format!("c{client} d{document} refused {action:?}: {error}"));
                    if !matches!(effect, Effect::Wild) {
                        let detail = format!("c{client}: {action:?} was refused: {error}");
                        return Err(self.broken(Invariant::LocalFirst, detail));
                    }
                }
                Err(error) => {
                    let detail = format!("c{client}: {action:?} failed: {error}");
                    return Err(self.broken(Invariant::LocalFirst, detail));
                }
            }
        }
        if made > 0 {
            self.lengthen_line(place, made)?;
        }
        self.check_client(client)?;
        self.wake(client, document);
        Ok(())
    }

    /// The commit failed: then nothing of it is there.
    pub(super) fn nothing_was_done(
        &mut self,
        place: Place,
        before: Option<(i64, usize)>,
        error: rejoin::Error,
    ) -> Checked {
        let Place { client, document, .. } = place;
        if core_rows(&self.clients[client], self.documents[document]) != before {
            let detail = format!("c{client}: what failed left something: {error}");
            return Err(self.broken(Invariant::Atomic, detail));
        }
        self.verb_failed(client, document, error)
    }

    /// Something is to be sent.
    pub(super) fn wake(&mut self, client: usize, document: usize) {
        if self.clients[client].slots[document].idle {
            self.drive_within(client, document, 50, false);
        }
    }

    fn any_action(&mut self, state: &Value, standing: &HashSet<ChangeHash>) -> Option<(Action, Effect)> {
        match self.rng.random_range(0..100) {
            0..35 => self.plain_action(standing, &[]),
            35..47 => self.remove_key(state, standing),
            47..62 => Some(self.insert(state)),
            62..70 => self.remove_element(state, standing).or_else(|| self.plain_action(standing, &[])),
            70..94 => Some(self.splice(state, standing)),
            _ => Some(self.wild(state)),
        }
    }

    /// An action that fits any state.
    fn plain_action(
        &mut self,
        standing: &HashSet<ChangeHash>,
        earlier: &[(Action, Effect)],
    ) -> Option<(Action, Effect)> {
        let token = self.model.reserve();
        if self.chance(35) {
            let path = format!("/c/{}", self.rng.random_range(0..3));
            // No two are alike, so that no two clones make the same change.
            let by = token as i64 * if self.chance(25) { -1 } else { 1 };
            return Some((Action::Increment { path: path.clone(), by }, Effect::Add { path, by }));
        }
        let path = self.any_key();
        if earlier.iter().any(|(action, _)| action.path() == path) {
            return None;
        }
        let value = match self.rng.random_range(0..4) {
            0 => json!(token),
            1 => json!({"id": token, "list": [token]}),
            2 => json!([token]),
            _ => json!(format!("v{token}")),
        };
        let over = self.model.puts_at(&path, standing);
        let effect = Effect::Put { path: path.clone(), value: value.clone(), over };
        Some((Action::Set { path, value }, effect))
    }

    fn any_key(&mut self) -> String {
        let key = self.rng.random_range(0..5);
        if self.chance(35) { format!("/deep/x/y/k{key}") } else { format!("/m/k{key}") }
    }

    fn remove_key(&mut self, state: &Value, standing: &HashSet<ChangeHash>) -> Option<(Action, Effect)> {
        let path = self.any_key();
        state.pointer(&path)?;
        let over = self.model.puts_at(&path, standing);
        Some((Action::Delete { path: path.clone() }, Effect::Remove { path, over }))
    }

    fn insert(&mut self, state: &Value) -> (Action, Effect) {
        let token = self.model.reserve();
        let length = state.pointer("/l").and_then(Value::as_array).map_or(0, Vec::len);
        let at = self.rng.random_range(0..=length);
        let path = if at == length { "/l/-".to_owned() } else { format!("/l/{at}") };
        let value = if self.chance(70) { json!(token) } else { json!({"id": token}) };
        (Action::Insert { path, value: value.clone() }, Effect::Element { path: "/l".to_owned(), value })
    }

    fn remove_element(&mut self, state: &Value, standing: &HashSet<ChangeHash>) -> Option<(Action, Effect)> {
        let list = state.pointer("/l").and_then(Value::as_array)?;
        if list.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..list.len());
        let (path, value) = ("/l".to_owned(), list[at].clone());
        let over = self.model.element(&path, &value, standing);
        if over.len() > 1 {
            self.model.ambiguous.insert(value.to_string());
        }
        Some((Action::Delete { path: format!("/l/{at}") }, Effect::RemoveElement { path, value, over }))
    }

    fn splice(&mut self, state: &Value, standing: &HashSet<ChangeHash>) -> (Action, Effect) {
        let token = self.model.reserve() as u32;
        let path = "/t".to_owned();
        let text: Vec<char> = state.pointer(&path).and_then(Value::as_str).unwrap_or("").chars().collect();
        let pos = self.rng.random_range(0..=text.len());
        let most = (text.len() - pos).min(4);
        let delete = if self.chance(40) { self.rng.random_range(0..=most) } else { 0 };
        let count = self.rng.random_range(1..=FRAGMENT);
        let inserted: Vec<char> =
            (0..count).filter_map(|n| char::from_u32(FIRST_CHARACTER + token * FRAGMENT + n)).collect();
        let mut removed = Gone::new();
        for c in &text[pos..pos + delete] {
            let over = self.model.character(&path, *c, standing);
            if over.len() > 1 {
                self.model.ambiguous.insert(c.to_string());
            }
            removed.push((*c, over));
        }
        let insert = inserted.iter().collect();
        let action = Action::Splice { path: path.clone(), pos: pos as u64, delete: delete as u64, insert };
        (action, Effect::Splice { path, inserted, removed })
    }

    /// In a corner of its own, where containers come and go.
    fn wild(&mut self, state: &Value) -> (Action, Effect) {
        let token = self.model.reserve();
        let length = state.pointer("/w/l").and_then(Value::as_array).map_or(0, Vec::len);
        let action = match self.rng.random_range(0..9) {
            0 => Action::Delete { path: "/w".to_owned() },
            1 => Action::Delete { path: "/w/a".to_owned() },
            2 => Action::Set { path: "/w/a/b".to_owned(), value: json!({"t": token}) },
            3 => Action::Set { path: "/w/a".to_owned(), value: json!(token) },
            4 => Action::Increment { path: "/w/a/n".to_owned(), by: token as i64 },
            5 => Action::Splice { path: "/w/a/t".to_owned(), pos: 0, delete: 0, insert: format!("{token} ") },
            6 if length > 0 => Action::Set { path: "/w/l/0".to_owned(), value: json!([token]) },
            7 if length > 0 => Action::Delete { path: "/w/l/0".to_owned() },
            _ => Action::Insert { path: "/w/l/-".to_owned(), value: json!({"t": token}) },
        };
        (action, Effect::Wild)
    }
}

pub(super) fn core_of(client: &mut super::client::Client, elsewhere: bool) -> &mut rejoin::store::Core {
    let core = if elsewhere { client.other.as_mut() } else { client.core.as_mut() };
    core.unwrap()
}

/// How many changes a document has on the disk, and how many wait.
pub(super) fn core_rows(client: &super::client::Client, id: DocumentId) -> Option<(i64, usize)> {
    client.look(id).map(|seen| (seen.last, seen.pending.len()))
}
