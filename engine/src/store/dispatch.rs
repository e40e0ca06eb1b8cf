//! From an action to a change and its queue row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ChangeHash, Patch, PatchLog, transaction::CommitOptions};

use super::{
    Core, Event, EventChange, Origin, Receipt,
    core::Writing,
    replica::{Noted, Replica, container_position},
    rows::{self, NewChange, NewPending},
};
use crate::{
    Action, DocumentId, Error, Message, Result,
    container::{self, ContainerChange},
    fence::{self, CheckedChange, Refusal, RefusalCode},
    reducer,
};

impl Core {
    /// Does these actions in one commit; each succeeds or fails alone, and one that fails changes nothing.
    /// When this returns, what succeeded is as durable as the store was opened to be.
    ///
    /// # Errors
    /// The outer one is the file's: then nothing was done. The inner ones: [`Error::Action`] when the action
    /// does not fit the document, [`Error::Refused`] when its change is outside the limits,
    /// [`Error::UnknownDocument`], [`Error::Deleted`].
    pub fn dispatch(&mut self, actions: &[(DocumentId, Action)]) -> Result<Vec<Result<Receipt>>> {
        self.dispatch_group(actions, false)
    }

    /// As [`Core::dispatch`], but none after the first that fails: what is returned ends with it.
    ///
    /// # Errors
    /// As [`Core::dispatch`].
    pub fn dispatch_in_turn(&mut self, actions: &[(DocumentId, Action)]) -> Result<Vec<Result<Receipt>>> {
        self.dispatch_group(actions, true)
    }

    fn dispatch_group(
        &mut self,
        actions: &[(DocumentId, Action)],
        in_turn: bool,
    ) -> Result<Vec<Result<Receipt>>> {
        let mut touched: Vec<DocumentId> = actions.iter().map(|(id, _)| *id).collect();
        touched.sort_unstable();
        touched.dedup();
        #[cfg(feature = "planted-bugs")]
        self.flush_late_pending()?;
        let results = self.write(&touched, |w| {
            let mut results = Vec::with_capacity(actions.len());
            for (id, action) in actions {
                results.push(w.dispatch_one(*id, action)?);
                if in_turn && results.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            for id in &touched {
                if let Some(replica) = w.replicas.peek(*id) {
                    replica.settle_heads();
                    rows::write_document(w.tx, &replica.row)?;
                }
            }
            Ok(results)
        });
        #[cfg(feature = "planted-bugs")]
        self.take_late_pending();
        results
    }
}

/// A change that an action made, with what stands beside it.
pub(super) struct Made {
    pub(super) containers: Vec<ContainerChange>,
    pub(super) change: Change,
    pub(super) patches: Vec<Patch>,
}

impl Writing<'_> {
    /// The inner result is the action's, the outer one the transaction's.
    pub(super) fn dispatch_one(&mut self, id: DocumentId, action: &Action) -> Result<Result<Receipt>> {
        let replica = match self.replicas.get(self.tx, id, self.actor) {
            Ok(replica) => replica,
            Err(error @ (Error::UnknownDocument(_) | Error::Corrupt(_))) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        if replica.row.tombstone.is_some() {
            return Ok(Err(Error::Deleted(id)));
        }
        let text = serde_json::to_string(action).map_err(|e| Error::Bug(e.to_string()))?;
        if text.len() > self.limits.change_bytes {
            return Ok(Err(Error::Refused(too_large(text.len(), self.limits.change_bytes))));
        }
        let message = Message::of_action(action.kind()).by(self.author);
        let options =
            CommitOptions::default().with_message(message.encode()).with_time(self.now.div_euclid(1000));
        // Invariant 8 holds for what the library does with honest input too: a panic ends this action only.
        let made = catch_unwind(AssertUnwindSafe(|| make(replica, action, options, self.listening)));
        let made = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) => {
                self.reopen(id)?;
                return Ok(Err(Error::Bug(format!("the action {:?} made the library panic", action.kind()))));
            }
        };
        let checked = match fence::check_bytes(made.change.raw_bytes(), self.limits) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.reopen(id)?;
                return Ok(Err(Error::Refused(refusal)));
            }
        };
        self.record(id, &made, &checked, &message, &text)?;
        Ok(Ok(Receipt { hash: checked.hash }))
    }

    /// A commit cannot be undone in the library: the document is read again, with what this transaction has
    /// written of it so far.
    pub(super) fn reopen(&mut self, id: DocumentId) -> Result<()> {
        if let Some(replica) = self.replicas.peek(id) {
            replica.settle_heads();
            rows::write_document(self.tx, &replica.row)?;
        }
        self.replicas.forget(id);
        Ok(())
    }

    /// Invariant 1: "A change and its queue row are both there or both not."
    pub(super) fn record(
        &mut self,
        id: DocumentId,
        made: &Made,
        checked: &CheckedChange,
        message: &Message,
        action: &str,
    ) -> Result<()> {
        let empty = Message::default();
        for container in &made.containers {
            let replica =
                self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
            let bytes = fence::check_bytes(&container.bytes, self.limits).map_err(Error::Refused)?;
            let row = append(
                self.tx,
                replica,
                &bytes,
                &Appended { message: &empty, local: true, container: true, now: 0 },
            )?;
            self.enqueue(row, None)?;
        }
        let replica =
            self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
        let about = Appended { message, local: true, container: false, now: self.now };
        let row = append(self.tx, replica, checked, &about)?;
        self.enqueue(row, Some(action))?;
        if self.listening {
            let replica =
                self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
            let change = EventChange {
                hash: checked.hash,
                action_type: message.action.clone(),
                author: message.author.clone(),
            };
            self.events.push(Event {
                document: id,
                origin: Origin::Local,
                changes: vec![change],
                heads: replica.am.get_heads(),
                patches: made.patches.clone(),
                rebuilt: false,
            });
        }
        Ok(())
    }

    pub(super) fn enqueue(&mut self, id: i64, action: Option<&str>) -> Result<()> {
        self.enqueued += 1;
        let new = NewPending { id, ordinal: self.ordinal, action, enqueued_at: self.now };
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_planted(crate::planted::Bug::QueueRowApart) {
            return late::keep(&new);
        }
        rows::insert_pending(self.tx, &new)
    }
}

/// The containers and the change, in memory only. A failing action leaves the document as it was: containers
/// are made on a fork.
fn make(replica: &mut Replica, action: &Action, options: CommitOptions, listening: bool) -> Result<Made> {
    let prepared = reducer::prepare(&replica.am, &replica.containers, action)?;
    if prepared.containers().is_empty() {
        let (change, patches) = commit(&mut replica.am, prepared, options, listening)?;
        return Ok(Made { containers: Vec::new(), change, patches });
    }
    let containers: Vec<ContainerChange> = prepared.containers().iter().map(container::make).collect();
    let actor = replica.am.get_actor().clone();
    let mut fork = replica.am.fork().with_actor(actor);
    let mut log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let changes: Vec<Change> = containers.iter().map(parse_container).collect::<Result<_>>()?;
    fork.apply_changes_log_patches(changes, &mut log).map_err(|e| Error::Bug(e.to_string()))?;
    let mut patches = if listening { fork.make_patches(&mut log) } else { Vec::new() };
    let (change, more) = commit(&mut fork, prepared, options, listening)?;
    patches.extend(more);
    replica.am = fork;
    Ok(Made { containers, change, patches })
}

fn parse_container(container: &ContainerChange) -> Result<Change> {
    Change::try_from(container.bytes.as_slice()).map_err(|e| Error::Bug(e.to_string()))
}

fn commit(
    am: &mut Automerge,
    prepared: reducer::Prepared<'_>,
    options: CommitOptions,
    listening: bool,
) -> Result<(Change, Vec<Patch>)> {
    let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let empty = CommitOptions { message: options.message.clone(), time: options.time };
    let mut tx = am.transaction_log_patches(log).map_err(|e| Error::Bug(e.to_string()))?;
    prepared.reduce(&mut tx)?;
    let (hash, mut log) = tx.commit_with(options);
    if hash.is_none() {
        am.empty_commit(empty);
    }
    let patches = if listening { am.make_patches(&mut log) } else { Vec::new() };
    let change = am.get_last_local_change();
    Ok((change.ok_or_else(|| Error::Bug("a commit left no change".to_owned()))?, patches))
}

/// What [`append`] writes beside the change.
pub(super) struct Appended<'a> {
    pub(super) message: &'a Message,
    pub(super) local: bool,
    pub(super) container: bool,
    pub(super) now: i64,
}

/// Gives a change, whose dependencies are all heads or containers, the next position. Returns its row id.
fn append(
    connection: &rusqlite::Connection,
    replica: &mut Replica,
    checked: &CheckedChange,
    about: &Appended<'_>,
) -> Result<i64> {
    let deps = positions(connection, replica, &checked.deps)?;
    let position = replica.row.last + 1;
    let id = rows::row_id(replica.row.id, position);
    let actor = rows::actor_row(connection, &checked.actor)?;
    rows::insert_change(
        connection,
        &NewChange {
            id,
            actor,
            change: checked,
            deps: &deps,
            message: about.message,
            container: about.container,
            local: about.local,
            made_at: about.now,
            acknowledged_at: None,
            quarantined: None,
        },
    )?;
    replica.note(&Noted {
        position,
        hash: checked.hash,
        actor: &checked.actor,
        seq: checked.seq,
        deps: &checked.deps,
        quarantined: false,
    });
    Ok(id)
}

/// Most dependencies are heads. The others are containers, and this replica's own last change, which the
/// library names too when others have gone on from it.
fn positions(
    connection: &rusqlite::Connection,
    replica: &mut Replica,
    deps: &[ChangeHash],
) -> Result<Vec<u64>> {
    let mut found = Vec::with_capacity(deps.len());
    for hash in deps {
        let mut position = replica.head_positions.get(hash).copied();
        if position.is_none() {
            position = container_position(connection, replica.row.id, *hash)?;
        }
        if position.is_none() {
            replica.build_index(connection)?;
            position = replica.index.as_ref().and_then(|index| index.positions.get(hash).copied());
        }
        found.push(position.ok_or_else(|| Error::Bug(format!("the dependency {hash} has no place")))?);
    }
    Ok(found)
}

fn too_large(found: usize, most: usize) -> Refusal {
    Refusal {
        hash: None,
        code: RefusalCode::TooLarge,
        detail: format!("the action has {found} bytes, and a change may have {most} (limit change_bytes)"),
        missing: Vec::new(),
    }
}

/// The planted bug "queue row in another transaction": rows wait here until the next verb.
#[cfg(feature = "planted-bugs")]
mod late {
    use super::{Core, NewPending, Result, rows};

    /// Id, ordinal, action, time.
    type Late = (i64, i64, Option<String>, i64);

    thread_local! {
        static LATE: std::cell::RefCell<Vec<Late>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands in the place of a write that can fail")]
    pub(super) fn keep(new: &NewPending<'_>) -> Result<()> {
        let row = (new.id, new.ordinal, new.action.map(str::to_owned), new.enqueued_at);
        LATE.with_borrow_mut(|rows| rows.push(row));
        Ok(())
    }

    impl Core {
        pub(in super::super) fn take_late_pending(&mut self) {
            self.late_pending.extend(LATE.take());
        }

        pub(in super::super) fn flush_late_pending(&mut self) -> Result<()> {
            for (id, ordinal, action, enqueued_at) in std::mem::take(&mut self.late_pending) {
                rows::insert_pending(
                    &self.connection,
                    &NewPending { id, ordinal, action: action.as_deref(), enqueued_at },
                )?;
            }
            Ok(())
        }
    }
}
