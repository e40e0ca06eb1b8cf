//! Undo and redo. There is no stack beside the history: which action is next follows from the changes made here,
//! of which each undo names what it takes back. So it survives restarts, syncs, rewriting, and other processes.

mod beside;
mod facts;
mod reset;
mod stack;
mod step_rows;
mod steps;
mod types;
mod whole;

use automerge::{Automerge, ChangeHash, Patch, PatchLog, transaction::CommitOptions};
use rusqlite::named_params;
use serde_json::json;

use super::{
    Core,
    core::Writing,
    dispatch::Failed,
    make::{Made, library, seconds},
    record::Told,
    replica::parse_stored,
    rows,
    steps::Attempt,
};
use crate::{
    DocumentId, Error, Message, Result,
    undo::{self, Origins, Plan},
    untrusted::guarded,
};

pub use steps::NextStep;
pub use types::{UndoKind, Undone, UndoneBeside, UndonePart};

pub(super) use facts::read_all_standing;
pub(super) use stack::Names;
pub(super) use step_rows::{NewStep, Place, follow_step, insert as insert_step};
pub(super) use whole::join;

use facts::read_facts;
use stack::{ENTRY, Entry, Taken, entry, next};

use steps::label_of;

impl Core {
    /// Undoes the last action of this replica that is not undone, by a new change. `None`: there is none. Where the action
    /// is one of a group, the whole group is undone, by a change for each action in one transaction: see
    /// [`crate::UndoStep::group`]. What slices that stay on the device hold is in a document of its own, and is not undone
    /// by this. Where it is a part of a [`crate::Transaction`] over several documents, all of that is undone, in one commit.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Deleted`]; [`Error::Refused`] when what it would write is outside the
    /// limits: then nothing was changed.
    pub fn undo(&mut self, id: DocumentId) -> Result<Option<Undone>> {
        self.undo_next(id, UndoKind::Undo)
    }

    /// Does the last undone action of this replica again, by a new change, or the whole group that was undone together.
    /// `None`: there is none, or an action came after the undo.
    ///
    /// # Errors
    /// As [`Core::undo`].
    pub fn redo(&mut self, id: DocumentId) -> Result<Option<Undone>> {
        self.undo_next(id, UndoKind::Redo)
    }

    /// Undoes this change of this replica, whichever came after it. `None`: it is undone already.
    ///
    /// # Errors
    /// As [`Core::undo`]; [`Error::UnknownChange`], and [`Error::NotOwn`] for a change of another replica.
    pub fn undo_change(&mut self, id: DocumentId, change: ChangeHash) -> Result<Option<Undone>> {
        self.undoing(id, |w| w.undo_change(id, change, UndoKind::Undo))
    }

    /// Takes this change back, whoever made it and whatever came after it, by a new change: an action of this replica,
    /// which can be undone. Only what still wins is taken back; [`Undone::left`] says where others built on it. `None`:
    /// nothing of it is left to take back, and nothing was changed.
    ///
    /// # Errors
    /// As [`Core::undo`]; [`Error::UnknownChange`], also for a change that is nobody's action or not in the document.
    pub fn revert(&mut self, id: DocumentId, change: ChangeHash) -> Result<Option<Undone>> {
        let mut nothing_left = false;
        let done = self.undoing(id, |w| {
            let done = w.undo_change(id, change, UndoKind::Revert)?;
            if matches!(&done, Ok(Some(done)) if done.undone == 0) {
                nothing_left = true;
                // An undo that did nothing says how far undoing came; a revert says nothing by that: it is given up.
                return Err(Error::Bug("a revert of nothing is given up".to_owned()));
            }
            Ok(done)
        });
        if nothing_left { Ok(None) } else { done }
    }

    /// Whether there is an action to undo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn can_undo(&mut self, id: DocumentId) -> Result<bool> {
        self.has_next(id, UndoKind::Undo)
    }

    /// Whether there is an action to redo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn can_redo(&mut self, id: DocumentId) -> Result<bool> {
        self.has_next(id, UndoKind::Redo)
    }

    fn has_next(&mut self, id: DocumentId, kind: UndoKind) -> Result<bool> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        Ok(!next(&self.connection, replica, kind)?.is_empty())
    }

    fn undo_next(&mut self, id: DocumentId, kind: UndoKind) -> Result<Option<Undone>> {
        self.undoing(id, |w| {
            let replica = w.replicas.get(w.tx, id, w.actor)?;
            let entries = next(w.tx, replica, kind)?;
            w.take_back_whole(id, &entries, kind)
        })
    }

    pub(super) fn undoing<T>(
        &mut self,
        id: DocumentId,
        work: impl FnOnce(&mut Writing<'_>) -> Result<Result<T>>,
    ) -> Result<T> {
        self.write(&[id], |w| {
            let result = work(w)?;
            if let Some(replica) = w.replicas.peek(id) {
                replica.settle_heads();
                rows::write_document(w.tx, &replica.row)?;
            }
            Ok(result)
        })?
    }
}

impl Writing<'_> {
    /// Takes back a change of this replica, or for a revert of anybody, in the open transaction; the caller writes the
    /// document's row. The inner result is the undo's, the outer one the transaction's. `None`: it is taken back already.
    pub(super) fn undo_change(
        &mut self,
        id: DocumentId,
        change: ChangeHash,
        kind: UndoKind,
    ) -> Result<Result<Option<Undone>>> {
        let replica = match self.replicas.get(self.tx, id, self.actor) {
            Ok(replica) => replica,
            Err(error @ (Error::UnknownDocument(_) | Error::Corrupt(_))) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        let document = replica.row.id;
        let names = Names::read(self.tx, document)?;
        let live = names.live(change);
        replica.build_index(self.tx)?;
        let position = replica.index.as_ref().and_then(|index| index.positions.get(&live).copied());
        let unknown = || Error::UnknownChange(change.to_string());
        let Some(position) = position else { return Ok(Err(unknown())) };
        let whose = if kind == UndoKind::Revert { "" } else { "AND local = 1" };
        let sql = format!("{ENTRY} {whose}");
        let row = rows::row_id(document, position);
        let found: Vec<Entry> = {
            let mut statement = self.tx.prepare_cached(&sql)?;
            let found = statement.query_map(named_params! {":from": row, ":to": row}, entry)?;
            found.collect::<rusqlite::Result<_>>()?
        };
        let Some(entry) = found.into_iter().next() else {
            let error = if kind == UndoKind::Revert { unknown() } else { Error::NotOwn(change.to_string()) };
            return Ok(Err(error));
        };
        if Taken::that_nothing_is_left_of(self.tx, replica, &names)?.changes.contains(&live) {
            return Ok(Ok(None));
        }
        Ok(self.take_back(id, &entry, (kind, Place::Alone))?.map(Some))
    }

    fn take_back(
        &mut self,
        id: DocumentId,
        entry: &Entry,
        (kind, place): (UndoKind, Place),
    ) -> Result<Result<Undone>> {
        let step = NewStep::of_undo(place);
        match self.try_take_back(id, entry, (kind, step.as_ref())) {
            Ok(undone) => Ok(Ok(undone)),
            Err(Failed::Action(error)) => Ok(Err(error)),
            Err(Failed::Transaction(error)) => Err(error),
        }
    }

    fn try_take_back(
        &mut self,
        id: DocumentId,
        entry: &Entry,
        how: (UndoKind, Option<&NewStep>),
    ) -> Result<Undone, Failed> {
        if self.replicas.get(self.tx, id, self.actor)?.row.tombstone.is_some() {
            return Err(Error::Deleted(id).into());
        }
        let done = self.in_steps(id, |w| w.take_back_once(id, entry, how))?;
        done.map_err(|refused| Error::Refused(refused.1).into())
    }

    fn take_back_once(
        &mut self,
        id: DocumentId,
        entry: &Entry,
        (kind, step): (UndoKind, Option<&NewStep>),
    ) -> Attempt<Undone> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let bytes = rows::read_bytes(self.tx, rows::row_id(replica.row.id, entry.position))?;
        let change = parse_stored(entry.hash, &bytes)?;
        let facts = read_facts(self.tx, replica, (entry, kind), &change)?;
        let mut message = self.first_bears_nonce(id, Message::of_action(kind.name()).by(self.author))?;
        message.undoes = Some(entry.key.to_string());
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let document = replica.row.id;
        let time = seconds(self.now);
        // Invariant 8 holds for what the library does with honest input too: a panic ends this undo only.
        let listening = self.listening;
        let made = guarded(|| {
            let root = facts.root.as_ref().map(|root| (&root.change, root.again));
            let plan = undo::plan_of(&replica.am, (&change, root), &facts).map_err(library)?;
            let made = commit(&mut replica.am, &plan, &mut message, (time, listening))?;
            Ok::<_, Error>((plan, made, root_action(&replica.am, entry, &facts.names)))
        });
        let (plan, made, (action, action_type)) = match made.map_err(Error::Library).and_then(|made| made) {
            Ok(done) => done,
            Err(error) => {
                self.reopen(id)?;
                return Err(error.into());
            }
        };
        let json = json!({"type": kind.name(), "of": entry.hash.to_string()});
        let text = json.to_string();
        let told = Told { shown_as: id, message: &message, json: &json, text: &text, step, extras: &[] };
        let label = label_of(self.tx, document, action)?;
        let stored = self.store_made(id, made, &told)?;
        let Plan { undone, skipped, left, .. } = plan;
        Ok(stored.map(|checked| Undone {
            hash: checked.hash,
            kind,
            of: entry.hash,
            action,
            action_type,
            label: label.clone(),
            undone,
            skipped,
            left: left.clone(),
            with: Vec::new(),
            beside: Vec::new(),
            gone: Vec::new(),
        }))
    }
}

/// The action at the end of undos and redos, and its type.
fn root_action(am: &Automerge, entry: &Entry, names: &Names) -> (ChangeHash, Option<String>) {
    let mut found = (entry.hash, entry.action_type.clone());
    let mut target = entry.target;
    for _ in 0..1_000 {
        // Other actions name a change too: what `take` took is not what it is.
        let kinds = [UndoKind::Undo, UndoKind::Redo, UndoKind::Rollback].map(UndoKind::name);
        if found.1.as_deref().is_none_or(|kind| !kinds.contains(&kind)) {
            break;
        }
        let Some(hash) = target.map(|target| names.live(target)) else { break };
        let Some(meta) = am.get_change_meta_by_hash(&hash) else { break };
        let message = Message::decode(meta.message.as_deref());
        target = message.undoes();
        found = (hash, message.action);
    }
    found
}

/// Does the plan in memory, and makes its change: an empty one where nothing is left to undo.
fn commit(
    am: &mut Automerge,
    plan: &Plan,
    message: &mut Message,
    (time, listening): (i64, bool),
) -> Result<Made> {
    let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let origins = Origins::of(am, plan);
    let mut tx = am.transaction_log_patches(log).map_err(library)?;
    let written = match undo::apply(&mut tx, plan) {
        Ok(written) => written,
        Err(error) => {
            tx.rollback();
            return Err(library(error));
        }
    };
    message.restored = undo::restored_json(&origins.encode(&written));
    let options = || CommitOptions::default().with_message(message.encode()).with_time(time);
    let (hash, mut log) = tx.commit_with(options());
    if hash.is_none() {
        am.empty_commit(options());
    }
    let patches: Vec<Patch> = if listening { am.make_patches(&mut log) } else { Vec::new() };
    let change = am.get_last_local_change();
    let change = change.ok_or_else(|| library("a commit left no change"))?;
    Ok(Made { containers: Vec::new(), change, patches })
}
