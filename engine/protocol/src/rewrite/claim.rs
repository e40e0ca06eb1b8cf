//! What a change that was written again says of the change it was: a claim, which is proved or ignored.
//!
//! `was` names a change that most replicas never get: it lost to another, and no log holds it. So the message bears
//! beside it what is needed to make that change again from this one ("of": its number, its dependencies, and which
//! actors stand for which). A claim counts only where both hold:
//!
//! 1. *The original comes out.* The change, with actor, number, dependencies and names of operations as they were,
//!    has the hash that `was` names ([`Claim::of`]). So it has the original's operations, time and message.
//! 2. *It fits what it builds on.* Its dependencies are those of the original, each the same change or one that is
//!    proved to be it; and its names of operations are those under which these were written again ([`Claim::holds`]).
//!
//! Both follow from the change and its ancestors alone, in every order of arrival, with or without the original. A
//! claim that is not proved says nothing: the change is one like any other.

use std::collections::{BTreeMap, HashMap};

use automerge::{ActorId, Change, ChangeHash, ExpandedChange, legacy::OpId};
use serde_json::{Map, Value, json};

use super::{
    Reason,
    spell::{map_operations, operations},
};
use crate::{
    container::is_container_actor,
    planted::{Bug, is_planted},
    untrusted::guarded,
};

/// Most bytes of a proof in a message. What needs more is written again without one, and is then a change like any
/// other to everybody else: a dispatch leaves so much room below the limit of a change.
pub(super) const MOST_PROOF_BYTES: usize = 8 * 1024;

/// Changes of one actor that were written again one after another, under one new actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The actor as it was.
    pub(super) was: ActorId,
    /// The counter of the first operation in the line.
    pub(super) from: u64,
    /// The counter after the last operation in the line, as far as the change that says so knows of it.
    pub(super) to: u64,
}

/// The lines that a change builds on, by the new actor.
pub(super) type Lines = BTreeMap<ActorId, Line>;

/// That a change is another one written again, with what proves it. One that [`Claim::of`] gave has the operations
/// of that other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    was: ChangeHash,
    proof: Proof,
}

/// What a message says beside `was`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// The original's sequence number.
    pub(super) seq: u64,
    /// Its dependencies.
    pub(super) deps: Vec<ChangeHash>,
    /// Which actors stand for which, of the change and of what it builds on.
    pub(super) lines: Lines,
}

impl Claim {
    /// The hash of the change that this one was.
    pub fn was(&self) -> ChangeHash {
        self.was
    }

    /// The claim that `change` makes, if the original comes out of it. `None`: it makes none, or one that is false
    /// whatever the change builds on. Costs about as much as parsing the change twice.
    pub fn of(change: &Change) -> Option<Self> {
        if is_planted(Bug::ClaimBelieved) {
            return Self::believed(change);
        }
        let claim = Self::read(change)?;
        claim.make_original(change).map(|_| claim)
    }

    /// The planted bug "a claim is believed".
    fn believed(change: &Change) -> Option<Self> {
        let was = crate::Message::decode(change.message()).was()?;
        let proof = Proof { seq: change.seq(), deps: change.deps().to_vec(), lines: Lines::new() };
        Some(Self::read(change).unwrap_or(Self { was, proof }))
    }

    /// The claim of a change of which it is known that it was proved: nothing is made again.
    pub fn of_proved(change: &Change) -> Option<Self> {
        Self::read(change)
    }

    /// The original, made again of a change of which it is known that its claim was proved.
    pub fn original(change: &Change) -> Option<Change> {
        Self::read(change)?.make_original(change)
    }

    pub(super) fn into_lines(self) -> Lines {
        self.proof.lines
    }

    fn read(change: &Change) -> Option<Self> {
        let text = change.message().filter(|text| text.contains("\"was\"") && text.contains("\"of\""))?;
        let message: Map<String, Value> = serde_json::from_str(text).ok()?;
        let was = message.get("was")?.as_str()?.parse().ok()?;
        Some(Self { was, proof: Proof::read(message.get("of")?)? })
    }

    /// Whether the claim fits what `change` builds on. `proved` gives the claim of a dependency, where it makes one
    /// that was proved.
    ///
    /// # Errors
    /// Those of `proved`.
    pub fn holds<E>(
        &self,
        change: &Change,
        mut proved: impl FnMut(&ChangeHash) -> Result<Option<Self>, E>,
    ) -> Result<bool, E> {
        if is_planted(Bug::ClaimBelieved) {
            return Ok(true);
        }
        let mut lines = Lines::new();
        let mut others: HashMap<ChangeHash, ()> = self.proof.deps.iter().map(|dep| (*dep, ())).collect();
        if others.len() != self.proof.deps.len() || others.len() != change.deps().len() {
            return Ok(false);
        }
        let (same, written_again): (Vec<_>, Vec<_>) =
            change.deps().iter().partition(|dep| others.contains_key(*dep));
        for dep in same {
            others.remove(dep);
        }
        for dep in written_again {
            let Some(claim) = proved(dep)? else { return Ok(false) };
            if others.remove(&claim.was).is_none() || !join(&mut lines, &claim.proof.lines) {
                return Ok(false);
            }
        }
        Ok(self.continue_line(change, &mut lines) && lines == self.proof.lines)
    }

    /// The change's own line: one that it begins, or that its dependencies are in.
    fn continue_line(&self, change: &Change, lines: &mut Lines) -> bool {
        let Some(own) = self.proof.lines.get(change.actor_id()) else { return false };
        let (from, to) = span(change);
        match lines.get_mut(change.actor_id()) {
            Some(line) => {
                line.to = to;
                true
            }
            None if change.seq() == 1 && *change.actor_id() == Reason::fork_actor(&own.was, &self.was) => {
                lines.insert(change.actor_id().clone(), Line { was: own.was.clone(), from, to });
                true
            }
            None => false,
        }
    }

    /// The change as it was, if it has the hash that is claimed.
    fn make_original(&self, change: &Change) -> Option<Change> {
        let actor = &self.proof.lines.get(change.actor_id())?.was;
        // A container change loses to nothing, whatever anybody says.
        if is_container_actor(actor) || self.proof.lines.values().any(|line| is_container_actor(&line.was)) {
            return None;
        }
        let operations = operations(change).ok()?;
        let made = originals_message(change.message()?, &self.was)?.into_iter().find_map(|message| {
            let mut expanded = ExpandedChange {
                operations: operations.clone(),
                actor_id: actor.clone(),
                hash: None,
                seq: self.proof.seq,
                start_op: change.start_op(),
                time: change.timestamp(),
                message,
                deps: self.proof.deps.clone(),
                extra_bytes: change.extra_bytes().to_vec(),
                author: None, // it is in the extra bytes
            };
            map_operations(&mut expanded.operations, |id| self.proof.as_it_was(id));
            let made = guarded(|| Change::from(expanded)).ok()?;
            (made.hash() == self.was).then_some(made)
        })?;
        // Claims lead to what somebody made, and not to other claims.
        let claims = made.message().is_some_and(super::spell::bears_was);
        (!claims).then_some(made)
    }
}

impl Proof {
    fn as_it_was(&self, id: &OpId) -> OpId {
        match self.lines.get(id.actor()) {
            Some(line) if (line.from..line.to).contains(&id.counter()) => {
                OpId(id.counter(), line.was.clone())
            }
            _ => id.clone(),
        }
    }

    /// As it stands in a message. `None`: it is too long for one.
    pub(super) fn encode(&self) -> Option<String> {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|(now, line)| json!([now.to_hex_string(), line.was.to_hex_string(), line.from, line.to]))
            .collect();
        let deps: Vec<Value> = self.deps.iter().map(|dep| dep.to_string().into()).collect();
        let text = json!({"s": self.seq, "d": deps, "l": lines}).to_string();
        (text.len() <= MOST_PROOF_BYTES).then_some(text)
    }

    fn read(value: &Value) -> Option<Self> {
        let deps = value.get("d")?.as_array()?.iter().map(|dep| dep.as_str()?.parse().ok());
        let lines = value.get("l")?.as_array()?.iter().map(|line| {
            let [now, was, from, to] = line.as_array()?.as_slice() else { return None };
            let line = Line { was: actor(was)?, from: from.as_u64()?, to: to.as_u64()? };
            Some((actor(now)?, line))
        });
        Some(Self {
            seq: value.get("s")?.as_u64()?,
            deps: deps.collect::<Option<_>>()?,
            lines: lines.collect::<Option<_>>()?,
        })
    }
}

fn actor(value: &Value) -> Option<ActorId> {
    ActorId::try_from(value.as_str()?).ok()
}

/// The counters of a change's operations: the first, and the one after the last.
pub(super) fn span(change: &Change) -> (u64, u64) {
    let from = change.start_op().get();
    (from, from.saturating_add(change.len() as u64))
}

/// Adds the lines of another change. `false`: they contradict each other.
pub(super) fn join(lines: &mut Lines, others: &Lines) -> bool {
    for (now, other) in others {
        match lines.get_mut(now) {
            Some(line) if line.was == other.was && line.from == other.from => line.to = line.to.max(other.to),
            Some(_) => return false,
            None => {
                lines.insert(now.clone(), other.clone());
            }
        }
    }
    true
}

/// What the message may have been before [`super::spell::message`] added to it.
fn originals_message(text: &str, was: &ChangeHash) -> Option<Vec<Option<String>>> {
    let (before, _) = text.rsplit_once(&format!(r#""was":"{was}","of":"#))?;
    if let Some(open) = before.strip_suffix(',') {
        let wrapped: Option<Map<String, Value>> = serde_json::from_str(text).ok();
        let wrapped = wrapped.and_then(|message| Some(message.get("message")?.as_str()?.to_owned()));
        let plain = Some(format!("{open}}}"));
        return Some([Some(plain), wrapped.map(Some)].into_iter().flatten().collect());
    }
    (before == "{").then(|| vec![None, Some("{}".to_owned())])
}
