//! Several actions in one transaction, all or none.

use std::collections::{BTreeMap, HashMap};

use automerge::ChangeHash;

use super::{
    Core, Receipt,
    core::Writing,
    dispatch::{Asked, Within},
    undo,
};
use crate::{
    DocumentId, Error, Result, UndoStep,
    job::EffectRequest,
    slice::{Command, Scope},
    transaction::{Deed, Transaction},
};

/// The action that was done last: what effects are asked for on behalf of.
struct Last {
    document: DocumentId,
    hash: ChangeHash,
    command: Command,
}

impl Core {
    /// Does all of a transaction, or nothing of it. Returns what each of its actions made, in their order.
    ///
    /// # Errors
    /// That of the first action that cannot be done, as [`Core::dispatch`]; [`Error::BadAction`] for one of a slice in
    /// memory; [`Error::InvalidEffect`], [`Error::InvalidThunk`]. Then nothing was changed.
    pub fn transact(&mut self, transaction: Transaction) -> Result<Vec<Receipt>> {
        let (deeds, step) = (transaction.deeds?, transaction.step);
        let mut touched: Vec<DocumentId> = deeds.iter().filter_map(document_of).collect();
        touched.sort_unstable();
        touched.dedup();
        // "All or none": whatever fails gives the transaction up.
        self.write(&touched, |w| {
            let (mut receipts, mut last, mut firsts) = (Vec::new(), None, HashMap::new());
            let mut made = Vec::new();
            for deed in &deeds {
                match deed {
                    Deed::Command(id, command) => {
                        last = Some(w.act(*id, command.clone(), (&step, &mut firsts))?);
                    }
                    Deed::Json(id, json) => {
                        let command = w.registry.decode(json)?;
                        last = Some(w.act(*id, command, (&step, &mut firsts))?);
                    }
                    Deed::Effect(effect) => w.ask_for(effect, last.as_ref().map(|(last, _)| last))?,
                    Deed::Thunk(request) => drop(w.start_thunk(request)?),
                }
                if let (Some((done, receipt)), Deed::Command(..) | Deed::Json(..)) = (&last, deed) {
                    made.push((done.document, done.hash));
                    receipts.push(receipt.clone());
                }
            }
            touched.iter().try_for_each(|id| w.settle_document(*id))?;
            w.join_steps(&made)?;
            Ok(receipts)
        })
    }
}

fn document_of(deed: &Deed) -> Option<DocumentId> {
    match deed {
        Deed::Command(id, _) | Deed::Json(id, _) => Some(*id),
        Deed::Effect(_) | Deed::Thunk(_) => None,
    }
}

impl Writing<'_> {
    /// One action of a transaction: in each document those after the first are parts of its step.
    fn act(
        &mut self,
        id: DocumentId,
        command: Command,
        (step, firsts): (&UndoStep, &mut HashMap<DocumentId, ChangeHash>),
    ) -> Result<(Last, Receipt)> {
        if command.scope() == Scope::Memory {
            let reason = "its slice is in memory only, and no part of a transaction".to_owned();
            return Err(Error::BadAction { action: command.kind().to_owned(), reason });
        }
        let within = firsts.get(&id).map_or(Within::First, |first| Within::After(*first));
        let asked = Asked { follows: false, step: Some(step), within: Some(within) };
        let receipt = self.dispatch_one(id, &command, asked)??;
        firsts.entry(id).or_insert(receipt.hash);
        Ok((Last { document: id, hash: receipt.hash, command }, receipt))
    }

    /// What was done in several documents is one step of undo.
    fn join_steps(&mut self, made: &[(DocumentId, ChangeHash)]) -> Result<()> {
        let mut changes: BTreeMap<_, Vec<ChangeHash>> = BTreeMap::new();
        for (id, hash) in made {
            let document = self.replicas.get(self.tx, *id, self.actor)?.row.id;
            changes.entry((*id, document)).or_default().push(*hash);
        }
        undo::join(self.tx, &changes)
    }

    fn ask_for(&mut self, effect: &EffectRequest, last: Option<&Last>) -> Result<()> {
        let invalid = |why: &str| Error::InvalidEffect(why.to_owned());
        let last = last.ok_or_else(|| invalid("no action comes before it in its transaction"))?;
        if last.command.scope() != Scope::Synced {
            let why = format!("the action {:?} is of a slice that is not synced", last.command.kind());
            return Err(Error::InvalidEffect(why));
        }
        let effects = std::slice::from_ref(effect);
        self.check_effects(effects)??;
        let json = last.command.to_json()?;
        self.enqueue_effects((last.document, last.hash), (last.command.kind(), &json), effects)
    }
}
