//! Leasing: each effect is sent by one process at a time.

use std::time::Duration;

use super::{
    super::{Core, core::Writing},
    rows::{self, EffectRow},
    settle::Ending,
};
use crate::{
    Millis, Result,
    job::lease::{lease_millis, wait_until},
    job::{
        Effect, EffectId, EffectState, owner,
        plan::{Dependencies, Plan, Row, plan},
    },
    slice::Registry,
};

/// Under which terms effects are leased.
#[derive(Debug, Clone)]
pub struct LeaseTerms {
    /// Which kinds can be sent here.
    pub kinds: Vec<String>,
    /// At most so many at once.
    pub most: usize,
    /// For how long; renewed while the effect is being sent. At most ten minutes.
    pub lease: Duration,
}

/// What was leased.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Leased {
    /// To be sent now, each with the name of its lease.
    pub effects: Vec<(Effect, String)>,
    /// When there may be more, from now.
    pub wait: Option<Duration>,
}

impl Core {
    /// Takes what is due, and settles what died. Nothing is written where nothing is due.
    ///
    /// # Errors
    /// The file's.
    pub fn lease_effects(&mut self, terms: &LeaseTerms) -> Result<Leased> {
        let now = self.now();
        let (_, looked) = look(&self.connection, (terms, &self.registry), now)?;
        if looked.due.is_empty() && looked.dying.is_empty() {
            return Ok(Leased { effects: Vec::new(), wait: looked.wake_at.map(|at| wait_until(at, now)) });
        }
        self.write(&[], |w| w.lease(terms))
    }

    /// Holds a lease longer. `false`: it is another's by now.
    ///
    /// # Errors
    /// The file's.
    pub fn renew_effect(&mut self, id: EffectId, lease: &str, length: Duration) -> Result<bool> {
        self.write(&[], |w| {
            let Some(mut row) = held(w, id, lease)? else { return Ok(false) };
            row.lease_until = Some(w.now.saturating_add(lease_millis(length)));
            rows::update(w.tx, &row)?;
            Ok(true)
        })
    }

    /// Gives a lease back without an outcome: whoever comes next sends it again, at once and under the same key.
    ///
    /// # Errors
    /// The file's.
    pub fn give_back_effect(&mut self, id: EffectId, lease: &str) -> Result<()> {
        self.write(&[], |w| {
            if let Some(mut row) = held(w, id, lease)? {
                row.effect.state = EffectState::Waiting;
                (row.owner, row.lease_until) = (None, None);
                row.effect.last_error = Some("sending it was broken off before it ended".to_owned());
                rows::update(w.tx, &row)?;
                w.asked += 1;
            }
            Ok(())
        })
    }
}

/// The row, as long as this lease on it holds. A lease that ran out holds until somebody else takes it.
pub(super) fn held(w: &Writing<'_>, id: EffectId, lease: &str) -> Result<Option<EffectRow>> {
    let row = rows::read_one(w.tx, id)?;
    let mine =
        |row: &EffectRow| row.effect.state == EffectState::Running && row.owner.as_deref() == Some(lease);
    Ok(row.filter(mine))
}

impl Writing<'_> {
    fn lease(&mut self, terms: &LeaseTerms) -> Result<Leased> {
        loop {
            let (open, plan) = look(self.tx, (terms, self.registry), self.now)?;
            let mut dying = plan.dying.clone();
            dying.extend(open.iter().filter(|r| plan.due.contains(&r.ordinal)).filter_map(killed_too_many));
            if dying.is_empty() {
                return self.take_due(open, &plan, terms);
            }
            // What dies lets the next of its lane step forward.
            for (ordinal, why) in dying {
                if let Some(row) =
                    rows::read_ordinal(self.tx, ordinal)?.filter(|r| !r.effect.state.is_settled())
                {
                    self.settle_row(row, Ending::dead(why))?;
                }
            }
        }
    }

    fn take_due(&mut self, open: Vec<EffectRow>, plan: &Plan, terms: &LeaseTerms) -> Result<Leased> {
        let mut leased =
            Leased { effects: Vec::new(), wait: plan.wake_at.map(|at| wait_until(at, self.now)) };
        for mut row in open.into_iter().filter(|r| plan.due.contains(&r.ordinal)).take(terms.most) {
            if row.effect.state == EffectState::Running {
                row.effect.failures += 1;
                row.effect.charged += 1;
                row.effect.last_error = Some(SENDER_DIED.to_owned());
            }
            let lease = owner::new_lease();
            row.effect.state = EffectState::Running;
            row.effect.attempts += 1;
            row.effect.next_attempt_at = None;
            row.owner = Some(lease.clone());
            row.lease_until = Some(self.now.saturating_add(lease_millis(terms.lease)));
            rows::update(self.tx, &row)?;
            leased.effects.push((row.effect, lease));
        }
        Ok(leased)
    }
}

/// What is known of an attempt that nobody ended.
const SENDER_DIED: &str = "the process that sent it ended before it was recorded";

/// Whoever sent it is gone without a word: that counts against the limit, or a request that kills its sender would
/// kill senders for ever.
fn killed_too_many(row: &EffectRow) -> Option<(i64, String)> {
    let failed = row.effect.charged + 1;
    let over = row.effect.state == EffectState::Running && failed >= row.effect.attempt_limit;
    over.then(|| (row.ordinal, format!("given up after {failed} failed attempts: {SENDER_DIED}")))
}

/// The rows that matter, and what is to be done with them.
fn look(
    connection: &rusqlite::Connection,
    here: (&LeaseTerms, &Registry),
    now: Millis,
) -> Result<(Vec<EffectRow>, Plan)> {
    let open = rows::read_open(connection, now)?;
    let facts = open.iter().map(|row| facts(connection, row, here)).collect::<Result<Vec<_>>>()?;
    let mut plan = plan(&facts, now);
    let deadline = rows::next_deadline(connection)?.filter(|at| *at > now);
    plan.wake_at = [plan.wake_at, deadline].into_iter().flatten().min();
    Ok((open, plan))
}

fn facts(
    connection: &rusqlite::Connection,
    row: &EffectRow,
    (terms, registry): (&LeaseTerms, &Registry),
) -> Result<Row> {
    let mut dependencies = Dependencies::Done;
    for after in &row.effect.after {
        match rows::read_state_of(connection, *after)? {
            // Done so long ago that its row is gone.
            None | Some(EffectState::Done) => {}
            Some(EffectState::Dead | EffectState::Dropped) => {
                dependencies = Dependencies::Dead(after.to_string());
                break;
            }
            Some(_) => dependencies = Dependencies::Open,
        }
    }
    let running = row.effect.state == EffectState::Running;
    Ok(Row {
        ordinal: row.ordinal,
        lane: row.effect.lane.clone(),
        state: row.effect.state,
        next_attempt_at: row.effect.next_attempt_at,
        deadline_at: row.effect.deadline_at,
        lease_until: row.lease_until,
        owner_gone: running && row.owner.as_deref().is_some_and(owner::is_gone),
        dependencies,
        handled: terms.kinds.contains(&row.effect.kind),
        known: row.unknown_slice(registry).is_none(),
    })
}
