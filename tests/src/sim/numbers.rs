//! A member whose numbers no honest program makes: times and counters at the end of what there is, and many changes beside
//! each other.

use automerge::{ActorId, AutoCommit, Change, ROOT, transaction::Transactable};
use rand::RngExt;
use rejoin::fence::{self, Limits};
use serde_json::json;

use super::{
    invariant::Checked,
    model::{Effect, Token},
    strikes::Fault,
    world::World,
};

/// How many begin beside each other.
const MANY: usize = 8;

impl World {
    pub(super) fn strange_numbers(&mut self, document: usize) -> Checked {
        self.strikes.strike(Fault::Numbers);
        let token = self.model.reserve();
        match self.rng.random_range(0..4) {
            0 => {
                let edge = self.rng.random_range(0..4_000_000_000);
                let time = if self.chance(50) { i64::MIN + edge } else { i64::MAX - edge };
                self.push_extreme(document, token, |change| change.time = time)
            }
            1 => {
                let start_op = self.rng.random_range(1_u64 << 25..4_000_000_000).try_into().unwrap();
                self.push_extreme(document, token, |change| change.start_op = start_op)
            }
            2 => self.push_many(document, &[token; MANY]),
            _ => {
                let tokens: Vec<Token> = (0..MANY).map(|_| self.model.reserve()).collect();
                self.push_many(document, &tokens)
            }
        }
    }

    /// No fence lets it through. Where one does, it is there, and nothing else is foretold to change.
    fn push_extreme(
        &mut self,
        document: usize,
        token: Token,
        extreme: impl FnOnce(&mut automerge::ExpandedChange),
    ) -> Checked {
        let mut change = self.root(token, token as i64).decode();
        change.hash = None;
        extreme(&mut change);
        let change = Change::from(change);
        if let Ok(let_through) = fence::check_bytes(change.raw_bytes(), &Limits::default())
            && rejoin::planted::is_planted(rejoin::planted::Bug::NumbersUnbounded)
        {
            self.model.add(document, let_through.hash, put(token, token as i64));
        }
        self.push_as_stranger(document, change.raw_bytes())
    }

    /// Honest in all but their number: under one key, or each under its own.
    fn push_many(&mut self, document: usize, tokens: &[Token]) -> Checked {
        let mut body = Vec::new();
        for (nth, token) in tokens.iter().enumerate() {
            let value = nth as i64;
            let change = self.root(*token, value);
            let hash = fence::check_bytes(change.raw_bytes(), &Limits::default()).unwrap().hash;
            self.model.add(document, hash, put(*token, value));
            body.extend_from_slice(change.raw_bytes());
        }
        self.push_as_stranger(document, &body)
    }

    fn root(&mut self, token: Token, value: i64) -> Change {
        let mut doc = AutoCommit::new().with_actor(ActorId::from(self.rng.random::<[u8; 16]>()));
        doc.put(ROOT, format!("s{token}"), value).unwrap();
        doc.commit();
        doc.get_last_local_change().unwrap()
    }
}

fn put(token: Token, value: i64) -> Effect {
    Effect::Put { path: format!("/s{token}"), value: json!(value), over: Vec::new() }
}
