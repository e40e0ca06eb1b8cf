//! A person who lies about what a change was: well-formed changes that name others, in whatever words.

use automerge::{ActorId, AutoCommit, Change, ROOT, legacy::OpId, transaction::Transactable};
use rand::RngExt;
use rejoin::{
    ChangeHash,
    container::{self, ContainerKind, ContainerSpec},
    fence::{self, Limits},
    rewrite,
};
use serde_json::json;

use super::{invariant::Checked, model::Effect, strikes::Fault, world::World};

/// The containers that people make here, and that can be named before anybody made them.
const CONTAINERS: [(&str, ContainerKind); 4] = [
    ("m", ContainerKind::Map),
    ("l", ContainerKind::List),
    ("t", ContainerKind::Text),
    ("deep", ContainerKind::Map),
];

impl World {
    /// Pushes one change that says that it is another.
    pub(super) fn lie(&mut self, document: usize) -> Checked {
        let victim = self.victim();
        // Of a lie nobody can say again what it was.
        let first =
            self.model.by_hash.contains_key(&victim.hash()) && !self.ledger.lies.contains(&victim.hash());
        if first && self.chance(15) {
            // No lie at all: whoever has a change can write it again.
            let Ok(again) = rewrite::rewrite(std::slice::from_ref(&victim), &[victim.hash()].into()) else {
                return Ok(());
            };
            self.strikes.strike(Fault::Liar);
            return self.push_as_stranger(document, &again[0].bytes);
        }
        let lie = self.lying_change(&victim);
        let token = self.model.reserve();
        let named = self.name_it(lie, token);
        let hash = fence::check_bytes(named.raw_bytes(), &Limits::default()).unwrap().hash;
        self.ledger.lies.insert(hash);
        let effect = Effect::Put { path: format!("/s{token}"), value: json!(token), over: Vec::new() };
        self.model.add(document, hash, effect);
        self.strikes.strike(Fault::Liar);
        self.push_as_stranger(document, named.raw_bytes())
    }

    /// Something that was in a log once, or a container that somebody may yet make.
    fn victim(&mut self) -> Change {
        let mut known: Vec<ChangeHash> = self.ledger.bytes.keys().copied().collect();
        known.sort_unstable();
        if known.is_empty() || self.chance(30) {
            let (path, kind) = CONTAINERS[self.rng.random_range(0..CONTAINERS.len())];
            let made = container::make(&ContainerSpec::new(vec![path.to_owned()], kind, vec![0]).unwrap());
            return Change::try_from(made.bytes.as_slice()).unwrap();
        }
        let hash = known[self.rng.random_range(0..known.len())];
        Change::try_from(self.ledger.bytes[&hash].as_slice()).unwrap_or_else(|_| put(&self.rng.random(), 0))
    }

    /// The lie, with a value that is still to be named.
    fn lying_change(&mut self, victim: &Change) -> automerge::ExpandedChange {
        let actor: [u8; 16] = self.rng.random();
        let mut lie = put(&actor, 0).decode();
        lie.hash = None;
        if self.chance(60) {
            // As many operations as the victim has, under the same counters: so it fits where that one stood.
            lie.start_op = victim.start_op();
            let first = lie.operations[0].clone();
            for nth in 1..victim.len().min(64) as u64 {
                let mut next = first.clone();
                let before = OpId(victim.start_op().get() + nth - 1, ActorId::from(actor.to_vec()));
                next.pred = [before].into_iter().collect();
                lie.operations.push(next);
            }
        }
        let was = victim.hash();
        let actor = hex(&actor);
        let theirs = victim.actor_id().to_hex_string();
        let deps: Vec<String> = victim.deps().iter().map(ToString::to_string).collect();
        let proofs = [
            json!(null),
            json!({}),
            json!({"s": victim.seq(), "d": deps, "l": [[actor, theirs, 1, 99]]}),
            json!({"s": u64::MAX, "d": [], "l": []}),
        ];
        let proof = &proofs[self.rng.random_range(0..proofs.len())];
        lie.message = Some(match self.rng.random_range(0..3) {
            0 => json!({"was": was.to_string()}).to_string(),
            1 => json!({"a": "set", "was": was.to_string(), "of": proof}).to_string(),
            _ => format!(r#"{{"of":{proof},"was":"{was}","a":"set"}}"#),
        });
        lie
    }

    /// Under a key of its own, as every change of a stranger.
    fn name_it(&self, mut lie: automerge::ExpandedChange, token: usize) -> Change {
        for op in &mut lie.operations {
            op.key = automerge::legacy::Key::Map(format!("s{token}").into());
            op.action = automerge::legacy::OpType::Put((token as i64).into());
        }
        Change::from(lie)
    }
}

fn put(actor: &[u8; 16], value: i64) -> Change {
    let mut doc = AutoCommit::new().with_actor(ActorId::from(actor.to_vec()));
    doc.put(ROOT, "s", value).unwrap();
    doc.commit();
    doc.get_last_local_change().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    ActorId::from(bytes.to_vec()).to_hex_string()
}
