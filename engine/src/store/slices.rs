//! Where slices live, and what stands around their reducers.

use automerge::{ChangeHash, PatchLog};
use serde_json::Value;

use super::{
    Core, Event, EventChange, Origin, Receipt,
    core::Writing,
    make::{Work, caught, commit_options, message_of, reduce_all},
    read::check_heads,
    record::reacted,
    rows,
};
use crate::{
    DocumentId, Error, Result,
    container::ContainerSet,
    reducer::{ActionError, QueuedOps, parse_pointer},
    slice::BUILT_IN,
    slice::{ActionInfo, Before, Command, Committed, Draft, Ground, Newer, Scope, Verdict, payload_of},
    state,
    untrusted::{contained, guarded},
};

impl Core {
    /// Makes an empty document of a kind.
    ///
    /// # Errors
    /// As [`Core::create`], and [`Error::BadSlice`] for a kind that was not registered.
    pub fn create_kind(
        &mut self,
        kind: &str,
        id: Option<DocumentId>,
        name: Option<&str>,
    ) -> Result<DocumentId> {
        self.check_kind(kind)?;
        let id = self.create(id, name)?;
        self.set_kind(id, kind)?;
        Ok(id)
    }

    /// Says of which kind a document is: for one that was joined.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::BadSlice`] for a kind that was not registered.
    pub fn set_kind(&mut self, id: DocumentId, kind: &str) -> Result<()> {
        self.check_kind(kind)?;
        self.write(&[id], |w| {
            let replica = w.replicas.get(w.tx, id, w.actor)?;
            replica.row.kind = Some(kind.to_owned());
            rows::write_kind(w.tx, replica.row.id, kind)
        })
    }

    fn check_kind(&self, kind: &str) -> Result<()> {
        if self.registry.knows_kind(kind) {
            return Ok(());
        }
        Err(Error::BadSlice {
            slice: kind.to_owned(),
            reason: "no kind of this name is registered".to_owned(),
        })
    }

    /// A slice's state as JSON, or the part of it at a JSON Pointer, now or at the given heads; `None` where nothing of it was written. What older versions
    /// of the slice wrote is migrated first, by a change of its own, unless heads are given.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::UnknownSlice`], [`Error::UnknownChange`]; those of a migration.
    pub(crate) fn slice_state(
        &mut self,
        id: DocumentId,
        (slice, scope, part): (&'static str, Scope, &str),
        at: Option<&[ChangeHash]>,
    ) -> Result<Option<Value>> {
        let version = self.registry.slice(slice)?.version();
        // A part that does not begin with `/` would lead into another slice.
        parse_pointer(part)?;
        let row = self.document_row(id)?;
        let pointer = format!("/{slice}{part}");
        let home = match scope {
            Scope::Memory => {
                let Some(am) = self.memory.get(&id) else { return Ok(None) };
                return if_there(state::to_json(am, &pointer, None));
            }
            Scope::Local => match rows::read_companion(&self.connection, row.id)? {
                Some(companion) => companion,
                None => return Ok(None),
            },
            Scope::Synced => id,
        };
        if version > 1 && at.is_none() {
            let home_row = self.document_row(home)?;
            if rows::oldest_unmigrated(&self.connection, &home_row, slice, version)?.is_some() {
                self.write(&[home], |w| {
                    w.migrate_slice(home, slice)?;
                    let replica = w.replicas.get(w.tx, home, w.actor)?;
                    replica.settle_heads();
                    rows::write_document(w.tx, &replica.row)
                })?;
            }
        }
        let replica = self.replica(home)?;
        check_heads(replica, at.unwrap_or_default())?;
        let read = guarded(|| state::to_json(&replica.am, &pointer, at)).map_err(Error::Corrupt)?;
        if_there(read)
    }

    /// The version of a slice that has written to it, where that is newer than this.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub(crate) fn newer_version(
        &mut self,
        id: DocumentId,
        (slice, scope, version): (&str, Scope, u32),
    ) -> Result<Option<u32>> {
        let row = self.document_row(id)?;
        let home = match scope {
            Scope::Memory => None,
            Scope::Synced => Some(row.id),
            Scope::Local => match rows::read_companion(&self.connection, row.id)? {
                Some(companion) => Some(self.document_row(companion)?.id),
                None => None,
            },
        };
        home.map_or(Ok(None), |home| rows::newest_above(&self.connection, (home, 0), (slice, version)))
    }

    /// An action of a slice that lives in memory only.
    pub(super) fn dispatch_in_memory(&mut self, (id, command): &(DocumentId, Command)) -> Result<Receipt> {
        let (row, now) = (self.document_row(*id)?, self.now());
        let registry = self.registry.clone();
        let Command::Slice(intent) = command else {
            return Err(Error::Bug("the built-in slice is durable".to_owned()));
        };
        let am = self.memory.entry(*id).or_default();
        check_takes(&registry, row.kind.as_deref(), command)?;
        let asked = {
            let read = |pointer: &str| Ok(state::to_json(am, pointer, None)?);
            ask(&registry, *id, command, &read)?
        };
        if asked.is_some() {
            let reason = "an action in memory cannot be replaced by another".to_owned();
            return Err(Error::Rejected { action: command.kind().to_owned(), reason });
        }
        let about = ActionInfo::new(intent.id(), now, self.author.as_deref(), *id);
        let extras = registry.extras(row.kind.as_deref(), command);
        let message = message_of(command, self.author.as_deref(), &extras);
        let options = commit_options(&message, about.made_at);
        let work = Work {
            slice: intent.slice(),
            about: &about,
            reduce: &|draft| reduce_all((intent.as_ref(), &extras), draft),
            writers: None,
        };
        let mut copy = am.clone();
        let patches = caught(command.kind(), || {
            let (base, held, queued) = (copy.get_heads(), ContainerSet::default(), QueuedOps::default());
            let tx =
                copy.transaction_log_patches(PatchLog::active()).map_err(|e| Error::Bug(e.to_string()))?;
            let ground = Ground {
                slice: work.slice,
                about: work.about,
                base: &base,
                held: &held,
                queued: &queued,
                writers: None,
            };
            let mut draft = Draft::new(tx, &ground);
            (work.reduce)(&mut draft).map_err(|reason| Error::Rejected {
                action: command.kind().to_owned(),
                reason: reason.to_string(),
            })?;
            // Nobody shares it: what is missing was made in the transaction itself.
            let (tx, ..) = draft.into_parts();
            let empty = automerge::transaction::CommitOptions {
                message: options.message.clone(),
                time: options.time,
            };
            let (hash, mut log) = tx.commit_with(options);
            if hash.is_none() {
                copy.empty_commit(empty);
            }
            Ok(copy.make_patches(&mut log))
        })?;
        let heads = copy.get_heads();
        self.memory.insert(*id, copy);
        let hash = heads.first().copied().ok_or_else(|| Error::Bug("a commit left no head".to_owned()))?;
        let json = intent.json();
        let change = EventChange {
            hash,
            action_type: message.action.clone(),
            action_version: intent.version(),
            reacted: reacted(&message),
            author: message.author,
            payload: payload_of(json),
        };
        let event = Event {
            document: *id,
            origin: Origin::Local,
            changes: vec![change],
            heads,
            patches,
            rebuilt: false,
        };
        // Nobody listens: nothing is lost.
        let _ = self.events.send(event);
        let kind = message.action.unwrap_or_default();
        self.tell_middleware(&[Committed { document: *id, hash, action_type: kind, action: json.clone() }]);
        Ok(Receipt { hash, id: about.action_id() })
    }

    pub(super) fn tell_middleware(&self, committed: &[Committed]) {
        for action in committed {
            for one in self.registry.middleware.iter().rev() {
                if contained(|| one.after(action)).is_err() {
                    tracing::error!(action = action.action_type, "middleware panicked after the commit");
                }
            }
        }
    }
}

fn if_there(read: Result<Value, ActionError>) -> Result<Option<Value>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ActionError::NotFound { .. } | ActionError::PastEnd { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// "Documents of a kind take actions of its slices and no others": the built-in JSON slice is another one too.
fn check_takes(registry: &crate::slice::Registry, kind: Option<&str>, command: &Command) -> Result<()> {
    let slice = match command {
        Command::Slice(intent) => intent.slice(),
        Command::Json(_) => BUILT_IN,
    };
    if slice != BUILT_IN {
        registry.slice(slice)?;
    }
    if registry.takes(kind, slice) {
        return Ok(());
    }
    Err(Error::NotOfThisKind { kind: kind.unwrap_or_default().to_owned(), slice: slice.to_owned() })
}

/// Asks each middleware in turn. `Some`: another action takes this one's place.
fn ask(
    registry: &crate::slice::Registry,
    document: DocumentId,
    command: &Command,
    state: &dyn Fn(&str) -> Result<Value>,
) -> Result<Option<Command>> {
    let mut replaced: Option<Command> = None;
    for one in &registry.middleware {
        let current = replaced.as_ref().unwrap_or(command);
        let json = current.to_json()?;
        let before = Before { document, command: current, json: &json, state };
        let verdict = caught(current.kind(), || Ok(one.before(&before)))?;
        match verdict {
            Verdict::Continue => {}
            Verdict::Reject(reason) => {
                return Err(Error::Rejected { action: current.kind().to_owned(), reason });
            }
            Verdict::Replace(action) => replaced = Some(registry.decode(&action)?),
        }
    }
    Ok(replaced)
}

impl Writing<'_> {
    pub(super) fn ask_middleware(&mut self, id: DocumentId, command: &Command) -> Result<Option<Command>> {
        if self.registry.middleware.is_empty() {
            return Ok(None);
        }
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let read = |pointer: &str| Ok(state::to_json(&replica.am, pointer, None)?);
        let replaced = ask(self.registry, id, command, &read)?;
        if replaced.as_ref().is_some_and(|command| command.scope() == Scope::Memory) {
            let reason = "a durable action cannot be replaced by one in memory".to_owned();
            return Err(Error::Rejected { action: command.kind().to_owned(), reason });
        }
        Ok(replaced)
    }

    /// Refuses an action of a slice to which a newer version has written, where this one only reads it then.
    pub(super) fn check_not_newer(
        &mut self,
        home: DocumentId,
        (slice, version, newer): (&'static str, u32, Newer),
    ) -> Result<()> {
        if newer == Newer::Write {
            return Ok(());
        }
        let replica = self.replicas.get(self.tx, home, self.actor)?;
        let after = replica.not_newer.get(slice).copied().unwrap_or(0);
        if let Some(written) = rows::newest_above(self.tx, (replica.row.id, after), (slice, version))? {
            return Err(Error::NewerSlice { slice: slice.to_owned(), written, version });
        }
        replica.not_newer.insert(slice, replica.row.last);
        Ok(())
    }

    /// The document in which an action's slice lives.
    pub(super) fn home(&mut self, id: DocumentId, command: &Command) -> Result<DocumentId> {
        let row = &self.replicas.get(self.tx, id, self.actor)?.row;
        if row.tombstone.is_some() {
            return Err(Error::Deleted(id));
        }
        check_takes(self.registry, row.kind.as_deref(), command)?;
        if command.scope() != Scope::Local {
            return Ok(id);
        }
        let document = row.id;
        let companion = match rows::read_companion(self.tx, document)? {
            Some(companion) => companion,
            None => {
                let companion = DocumentId::random();
                rows::insert_companion(self.tx, document, companion)?;
                companion
            }
        };
        if !self.companions.contains(&companion) {
            self.companions.push(companion);
            self.also.push(companion);
        }
        Ok(companion)
    }
}
