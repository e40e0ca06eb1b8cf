//! Changes of another program, pushed without a store: good ones, bad ones, and ones that the library cannot
//! take.

use automerge::{
    ActorId, AutoCommit, Change, ROOT,
    transaction::{CommitOptions, Transactable},
};
use rand::RngExt;
use rejoin::{
    fence::{self, Limits},
    wire::Request,
};
use rejoin_server::respond;
use serde_json::json;

use super::{
    client::EPOCH,
    hostile,
    invariant::{Checked, Invariant},
    model::Effect,
    strikes::Fault,
    world::{Event, World},
};

impl World {
    /// Over something that is in the log of this document.
    fn over_unseen(&mut self, document: usize, actor: &[u8]) -> Option<Vec<u8>> {
        let log = self.ledger.log(self.documents[document]).entries.clone();
        let hash = log[self.rng.random_range(0..log.len())];
        let victim = Change::try_from(self.ledger.bytes.get(&hash)?.as_slice()).ok()?;
        hostile::over_unseen(&victim, actor)
    }

    pub(super) fn stranger(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        self.within(15_000, Event::Stranger);
        let document = self.rng.random_range(0..self.documents.len());
        // A stranger takes part in what is there: a document begins with its people's first push.
        if !self.server_up || self.ledger.log(self.documents[document]).entries.is_empty() {
            return Ok(());
        }
        let hostile = self.climate.has(Fault::HostileChange) && self.chance(50);
        let bad = self.climate.has(Fault::BadBatch) && self.chance(60);
        if hostile {
            let actor: [u8; 16] = self.rng.random();
            let unseen = if self.chance(50) { self.over_unseen(document, &actor) } else { None };
            let chunk = unseen.unwrap_or_else(|| hostile::panicking(&actor, &[]));
            self.model.hostile.insert(fence::check_bytes(&chunk, &Limits::default()).unwrap().hash);
            self.push_as_stranger(document, &chunk)?;
            self.strikes.strike(Fault::HostileChange);
        }
        if self.climate.has(Fault::Liar) && self.chance(60) {
            self.lie(document)?;
        }
        if self.climate.has(Fault::Numbers) && self.chance(60) {
            self.strange_numbers(document)?;
        }
        if bad {
            let (first, second): ([u8; 16], [u8; 16]) = (self.rng.random(), self.rng.random());
            let wrong = if self.chance(50) { hostile::out_of_turn(&first) } else { hostile::orphan(&second) };
            let good = self.good_change(document);
            let body = if self.chance(50) { [wrong, good].concat() } else { [good, wrong].concat() };
            self.push_as_stranger(document, &body)?;
            self.strikes.strike(Fault::BadBatch);
        }
        Ok(())
    }

    /// One `put` under a key of its own, known to the model.
    fn good_change(&mut self, document: usize) -> Vec<u8> {
        let token = self.model.reserve();
        let (path, value) = (format!("/s{token}"), json!(token));
        let mut doc = AutoCommit::new().with_actor(ActorId::from(self.rng.random::<[u8; 16]>()));
        doc.put(ROOT, format!("s{token}"), token as i64).unwrap();
        doc.commit_with(CommitOptions::default().with_time(0));
        let bytes = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
        let hash = fence::check_bytes(&bytes, &Limits::default()).unwrap().hash;
        self.model.add(document, hash, Effect::Put { path, value, over: Vec::new() });
        bytes
    }

    /// Invariant 6: the good part of a batch is stored, whatever stands beside it.
    pub(super) fn push_as_stranger(&mut self, document: usize, body: &[u8]) -> Checked {
        let id = self.documents[document];
        let request = Request::Push { document: id, after: None, limit: Some(1), body: body.to_vec().into() };
        let reply = respond(&mut self.server, &self.server_limits, &request, EPOCH + self.now);
        self.log(format!("a stranger pushes to d{document}: {}", reply.status));
        self.committed(document)?;
        let log = &self.ledger.log(id).entries;
        for frame in fence::frame(body).unwrap() {
            // What no fence lets through is good for nothing.
            let Ok(checked) = fence::check(&frame, &Limits::default()) else { continue };
            let hash = checked.hash;
            let good = self.model.by_hash.contains_key(&hash) || self.model.hostile.contains(&hash);
            if good && !log.contains(&hash) {
                let detail = format!("a stranger's good change {hash} was not stored: {}", reply.status);
                return Err(self.broken(Invariant::Isolation, detail));
            }
        }
        Ok(())
    }
}
