//! From an action to a change and its queue row.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Core, Receipt,
    core::Writing,
    make::{Made, Work, caught, commit_options, make, make_slice, message_of, reduce_all},
    record::Told,
    rows,
    steps::{Attempt, is_by_too_many},
    undo::{NewStep, Place},
};
use crate::{
    Action, DocumentId, Error, Message, Result, UndoStep,
    fence::{self, CheckedChange, Refusal, RefusalCode},
    slice::{ActionInfo, AnyExtra, Command, Scope},
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
        self.dispatch_commands(&commands(actions), false)
    }

    /// As [`Core::dispatch`], but none after the first that fails: what is returned ends with it.
    ///
    /// # Errors
    /// As [`Core::dispatch`].
    pub fn dispatch_in_turn(&mut self, actions: &[(DocumentId, Action)]) -> Result<Vec<Result<Receipt>>> {
        self.dispatch_commands(&commands(actions), true)
    }

    /// Does an action that is given as JSON, with its type: one of the built-in slice, or `slice/action` of one that
    /// is registered.
    ///
    /// # Errors
    /// As [`Core::dispatch`], and [`Error::BadAction`], [`Error::UnknownSlice`].
    pub fn dispatch_json(&mut self, id: DocumentId, action: &Value) -> Result<Receipt> {
        let command = self.registry.decode(action)?;
        let mut results = self.dispatch_commands(&[(id, command)], false)?;
        results.pop().unwrap_or_else(|| Err(Error::Bug("a dispatch gave no result".to_owned())))
    }

    /// Does an action that stands in undo as this says.
    ///
    /// # Errors
    /// As [`Core::dispatch`], and [`Error::BadAction`] for a label or group that is empty or too long.
    pub fn dispatch_step(&mut self, id: DocumentId, action: &Action, step: &UndoStep) -> Result<Receipt> {
        self.dispatch_command_step(id, &Command::Json(action.clone()), step)
    }

    pub(crate) fn dispatch_command_step(
        &mut self,
        id: DocumentId,
        command: &Command,
        step: &UndoStep,
    ) -> Result<Receipt> {
        if command.scope() == Scope::Memory {
            return self.dispatch_in_memory(&(id, command.clone()));
        }
        self.write(&[id], |w| {
            let done =
                w.dispatch_one(id, command, Asked { follows: false, step: Some(step), within: None })?;
            w.settle_document(id)?;
            Ok(done)
        })?
    }

    pub(crate) fn dispatch_commands(
        &mut self,
        commands: &[(DocumentId, Command)],
        in_turn: bool,
    ) -> Result<Vec<Result<Receipt>>> {
        let in_memory = |(_, command): &&(DocumentId, Command)| command.scope() == Scope::Memory;
        if !commands.iter().any(|c| in_memory(&c)) {
            return self.dispatch_group(&commands.iter().collect::<Vec<_>>(), in_turn);
        }
        let durable: Vec<_> = commands.iter().filter(|c| !in_memory(c)).collect();
        let stored = if durable.is_empty() { Vec::new() } else { self.dispatch_group(&durable, in_turn)? };
        let mut stored = stored.into_iter();
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            let result =
                if in_memory(&command) { Some(self.dispatch_in_memory(command)) } else { stored.next() };
            let Some(result) = result else { break };
            let failed = result.is_err();
            results.push(result);
            if in_turn && failed {
                break;
            }
        }
        Ok(results)
    }

    fn dispatch_group(
        &mut self,
        actions: &[&(DocumentId, Command)],
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
                results.push(w.dispatch_one(*id, action, Asked::default())?);
                if in_turn && results.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            for id in touched.iter().chain(&w.companions.clone()) {
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

/// How an action stands in undo; `None`: as usual.
fn step_of(command: &Command, asked: Asked<'_>) -> Result<Option<NewStep>> {
    let mut step = asked.step.cloned().unwrap_or_default();
    if let Command::Slice(intent) = command {
        step = step.or(caught(intent.kind(), || Ok(intent.undo_step()))?);
    }
    step.check(command.kind())?;
    Ok(match asked.within {
        // "One commit, one step of undo." A transaction that is of a group joins what came before it.
        Some(within) if asked.step.is_none_or(|step| step.group.is_none()) => {
            let place = match within {
                Within::First => Place::First,
                Within::After(first) => Place::After(first),
            };
            Some(NewStep::placed(step, place))
        }
        _ => NewStep::of(step, asked.follows),
    })
}

fn commands(actions: &[(DocumentId, Action)]) -> Vec<(DocumentId, Command)> {
    actions.iter().map(|(id, action)| (*id, Command::Json(action.clone()))).collect()
}

/// Why an action was not done.
pub(super) enum Failed {
    /// It alone: nothing of it was written.
    Action(Error),
    /// The transaction, and with it all that it was to do.
    Transaction(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if error.is_of_the_file() { Self::Transaction(error) } else { Self::Action(error) }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        let (Failed::Action(error) | Failed::Transaction(error)) = failed;
        error
    }
}

/// Who dispatches an action, as far as undo asks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// Nobody: it follows from something.
    pub(super) follows: bool,
    /// What is said of it beside what its slice says.
    pub(super) step: Option<&'a UndoStep>,
    /// Where it stands in the transaction of which it is a part.
    pub(super) within: Option<Within>,
}

/// Where an action stands among those of its transaction in one document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within {
    First,
    After(automerge::ChangeHash),
}

impl Writing<'_> {
    /// The inner result is the action's, the outer one the transaction's.
    pub(super) fn dispatch_one(
        &mut self,
        id: DocumentId,
        command: &Command,
        asked: Asked<'_>,
    ) -> Result<Result<Receipt>> {
        match self.try_dispatch(id, command, asked) {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(Failed::Action(error)) => Ok(Err(error)),
            Err(Failed::Transaction(error)) => Err(error),
        }
    }

    /// Does an action that is given as JSON, and follows from something: undo passes it by unless it is `undoable`.
    pub(super) fn dispatch_value(
        &mut self,
        id: DocumentId,
        action: &Value,
        undoable: bool,
    ) -> Result<Result<Receipt>> {
        let always = undoable.then(|| UndoStep::new().always());
        let asked = Asked { follows: true, step: always.as_ref(), within: None };
        match self.registry.decode(action) {
            Ok(command) if command.scope() == Scope::Memory => {
                let reason = "its slice is in memory only, and no part of a transaction".to_owned();
                Ok(Err(Error::BadAction { action: command.kind().to_owned(), reason }))
            }
            Ok(command) => self.dispatch_one(id, &command, asked),
            Err(error) => Ok(Err(error)),
        }
    }

    fn try_dispatch(
        &mut self,
        id: DocumentId,
        command: &Command,
        asked: Asked<'_>,
    ) -> Result<Receipt, Failed> {
        command.check_depth()?;
        let replaced = self.ask_middleware(id, command)?;
        let command = replaced.as_ref().unwrap_or(command);
        let home = self.home(id, command)?;
        let extras = self.extras(id, command)?;
        if let Command::Slice(intent) = command {
            self.check_not_newer(home, (intent.slice(), intent.version(), intent.newer()))?;
            self.migrate_slice(home, intent.slice())?;
        }
        for extra in &extras {
            self.check_not_newer(home, (extra.slice(), extra.version(), extra.newer()))?;
            self.migrate_slice(home, extra.slice())?;
        }
        let json = command.to_json()?;
        let text = json.to_string();
        if text.len() > self.limits.change_bytes {
            return Err(Error::Refused(too_large(text.len(), self.limits.change_bytes)).into());
        }
        let step = step_of(command, asked)?;
        let message = self.first_bears_nonce(home, message_of(command, self.author, &extras))?;
        let told = Told {
            shown_as: id,
            message: &message,
            json: &json,
            text: &text,
            step: step.as_ref(),
            extras: &extras,
        };
        let about = self.about(id, command);
        let effects = match command {
            Command::Slice(intent) if intent.scope() == Scope::Synced => {
                caught(intent.kind(), || Ok(intent.effects(&about)))?
            }
            _ => Vec::new(),
        };
        self.check_effects(&effects).map_err(Failed::Transaction)??;
        let checked = self.commit_one(home, command, (&told, &about))?;
        self.enqueue_effects((id, checked.hash), (command.kind(), &json), &effects)
            .map_err(Failed::Transaction)?;
        Ok(Receipt { hash: checked.hash, id: about.action_id() })
    }

    /// The slices that react to an action.
    fn extras(&mut self, id: DocumentId, command: &Command) -> Result<Vec<Arc<dyn AnyExtra>>> {
        let kind = self.replicas.get(self.tx, id, self.actor)?.row.kind.as_deref();
        Ok(self.registry.extras(kind, command))
    }

    fn about(&self, id: DocumentId, command: &Command) -> ActionInfo {
        match command {
            Command::Slice(intent) => ActionInfo::new(intent.id(), self.now, self.author, id),
            Command::Json(_) => ActionInfo::new(uuid::Uuid::nil(), self.now, None, id),
        }
    }

    pub(super) fn commit_one(
        &mut self,
        home: DocumentId,
        command: &Command,
        about: (&Told<'_>, &ActionInfo),
    ) -> Result<CheckedChange, Failed> {
        let done = self.in_steps(home, |w| {
            let made = w.make_one(home, command, about)?;
            if let Some(refusal) = is_by_too_many(command, &made.change) {
                w.reopen(home)?;
                return Ok(Err(Box::new((made.change, refusal))));
            }
            w.store_made(home, made, about.0)
        });
        match done? {
            Ok(checked) => Ok(checked),
            Err(refused) => self.commit_parts(home, command, about, *refused),
        }
    }

    /// An action's change, in memory only.
    fn make_one(
        &mut self,
        home: DocumentId,
        command: &Command,
        (told, about): (&Told<'_>, &ActionInfo),
    ) -> Result<Made, Failed> {
        let options = commit_options(told.message, self.now);
        let connection = self.tx;
        let replica = self.replicas.get(connection, home, self.actor)?;
        let listening = self.listening;
        // Invariant 8 holds for what the library does with honest input too: a panic ends this action only.
        let made = caught(command.kind(), || match command {
            Command::Json(action) => make((connection, replica), action, options, listening),
            Command::Slice(intent) => {
                let work = Work {
                    slice: intent.slice(),
                    about,
                    reduce: &|draft| reduce_all((intent.as_ref(), told.extras), draft),
                    writers: None,
                };
                let made = make_slice((connection, replica), &work, options, listening)?;
                made.ok_or_else(|| Error::Bug("an action made no change".to_owned()))
            }
        });
        let error = match made {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        if matches!(error, Error::ReducerPanicked { .. } | Error::Library(_)) {
            self.reopen(home)?;
        }
        Err(match (error, command) {
            // The reducer is the library's and ours: others made the document what it is.
            (Error::ReducerPanicked { reason, .. }, Command::Json(_)) => {
                Error::Library(format!("it panicked: {reason}")).into()
            }
            (error, _) => error.into(),
        })
    }

    pub(super) fn store_made(
        &mut self,
        home: DocumentId,
        made: Made,
        told: &Told<'_>,
    ) -> Attempt<CheckedChange> {
        let checked = match fence::check_bytes(made.change.raw_bytes(), &self.limits.of_own()) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.reopen(home)?;
                return Ok(Err(Box::new((made.change, refusal))));
            }
        };
        self.record(home, &made, &checked, told).map_err(Failed::Transaction)?;
        Ok(Ok(checked))
    }

    /// The first change that a process makes in a document bears a random nonce: a store that was cloned with its
    /// machine makes another one, also where it does the same in the same second. Every later change of this process
    /// depends on it. What throws the document out of memory (a failure, a rebuilding, another actor) asks for the
    /// next nonce.
    pub(super) fn first_bears_nonce(&mut self, home: DocumentId, message: Message) -> Result<Message> {
        let written = self.replicas.get(self.tx, home, self.actor)?.written;
        Ok(if written { message } else { message.with_nonce((self.nonces)()) })
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
}

fn too_large(found: usize, most: usize) -> Refusal {
    Refusal {
        hash: None,
        code: RefusalCode::TooLarge,
        detail: format!(
            "the action has {found} bytes, and a change may have {most}: make several actions of it, or keep what is \
             large outside the document"
        ),
        missing: Vec::new(),
    }
}
