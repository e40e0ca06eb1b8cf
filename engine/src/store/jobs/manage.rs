//! Looking at effects, sending them again, dropping them.

use super::{
    super::Core,
    rows::{self, EffectRow},
    settle::Ending,
};
use crate::{
    Error, Result,
    job::{Effect, EffectState},
};

/// The shortest prefix of an id that names an effect, in characters.
const SHORTEST_PREFIX: usize = 4;

/// What dropping an effect does.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct EffectDrop {
    /// The effect.
    pub dropped: Effect,
    /// Those that come after it: they become dead letters, and are rolled back.
    pub dependants: Vec<Effect>,
}

impl Core {
    /// All effects that are kept, in the order in which they were asked for: what waits and what is dead, and the
    /// newest thousand of those that are done and of those that were dropped.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn effects(&mut self) -> Result<Vec<Effect>> {
        Ok(rows::read_all(&self.connection)?.into_iter().map(|row| row.effect).collect())
    }

    /// One effect, by its position, its id or the beginning of it (4 characters or more).
    ///
    /// # Errors
    /// [`Error::UnknownEffect`] when none or several answer to it.
    pub fn effect(&mut self, id: &str) -> Result<Effect> {
        Ok(self.find_effect(id)?.effect)
    }

    fn find_effect(&self, id: &str) -> Result<EffectRow> {
        // A short number is a position; a prefix of digits alone would be longer than any list.
        if let Ok(position) = id.parse()
            && let Some(row) = rows::read_ordinal(&self.connection, position)?
        {
            return Ok(row);
        }
        let prefix = id.to_ascii_lowercase();
        let mut found = rows::read_prefix(&self.connection, &prefix)?;
        match (found.pop(), found.pop()) {
            (Some(row), None) if prefix.len() >= SHORTEST_PREFIX => Ok(row),
            _ => Err(Error::UnknownEffect(id.to_owned())),
        }
    }

    /// Sends an effect now: one that waits at once, one that is held or dead again, with those dead ones that it
    /// comes after, under the same keys. Returns how many that are. A dead letter has its attempts anew and no
    /// deadline; what its rollback took back stays taken back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done or was dropped.
    pub fn retry_effect(&mut self, id: &str) -> Result<u64> {
        let row = self.find_effect(id)?;
        self.write(&[], |w| {
            let mut again = vec![row.effect.id];
            let mut count = 0;
            while let Some(id) = again.pop() {
                let row = rows::read_one(w.tx, id)?.ok_or_else(|| Error::UnknownEffect(id.to_string()))?;
                match row.effect.state {
                    EffectState::Running => continue,
                    EffectState::Done | EffectState::Dropped => {
                        return Err(Error::EffectSettled { id: id.to_string(), state: row.effect.state });
                    }
                    _ => {}
                }
                for after in &row.effect.after {
                    if rows::read_state_of(w.tx, *after)?
                        .is_some_and(|s| matches!(s, EffectState::Dead | EffectState::Dropped))
                    {
                        again.push(*after);
                    }
                }
                count += 1;
                rows::update(w.tx, &made_anew(row))?;
            }
            w.asked += count;
            Ok(count)
        })
    }

    /// What dropping this effect would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Core::drop_effect`].
    pub fn plan_effect_drop(&mut self, id: &str) -> Result<EffectDrop> {
        let row = self.find_effect(id)?;
        droppable(&row)?;
        let mut dependants: Vec<Effect> = Vec::new();
        let mut stack = vec![row.effect.id];
        while let Some(id) = stack.pop() {
            for dependant in rows::read_dependants(&self.connection, id)? {
                let open =
                    rows::read_one(&self.connection, dependant)?.filter(|r| !r.effect.state.is_settled());
                if let Some(row) = open.filter(|r| dependants.iter().all(|d| d.id != r.effect.id)) {
                    stack.push(row.effect.id);
                    dependants.push(row.effect);
                }
            }
        }
        Ok(EffectDrop { dropped: row.effect, dependants })
    }

    /// Takes an effect off: it is not sent any more. What its action wrote stays, unless `roll_back`. Those that
    /// come after it become dead letters, and are rolled back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done, was dropped, or is being sent;
    /// [`Error::UnknownSlice`] when its rollback is an action of a slice that is not registered here.
    pub fn drop_effect(&mut self, id: &str, roll_back: bool) -> Result<EffectDrop> {
        let plan = self.plan_effect_drop(id)?;
        self.write(&[], |w| {
            let id = plan.dropped.id;
            let row = rows::read_one(w.tx, id)?.ok_or_else(|| Error::UnknownEffect(id.to_string()))?;
            droppable(&row)?;
            if let Some(slice) = row.unknown_slice(w.registry).filter(|_| roll_back) {
                return Err(Error::UnknownSlice(slice.to_owned()));
            }
            w.settle_row(row, Ending::dropped(roll_back))
        })?;
        Ok(plan)
    }

    /// Sends again what was held for want of credentials: to be called when there are new ones. Returns how many.
    ///
    /// # Errors
    /// The file's.
    pub fn release_held_effects(&mut self) -> Result<u64> {
        self.bring_forward(EffectState::Held)
    }

    /// Sends now what waits for its next time: to be called when there is a connection again. Returns how many. A watch
    /// does it by itself, for what reached nobody, when its server answers again.
    ///
    /// # Errors
    /// The file's.
    pub fn hurry_effects(&mut self) -> Result<u64> {
        self.bring_forward(EffectState::Waiting)
    }

    /// Sends now what waits because its last attempt reached nobody. What a receiver asked to wait for is waited for.
    /// Returns how many.
    ///
    /// # Errors
    /// The file's.
    pub fn hurry_unreached_effects(&mut self) -> Result<u64> {
        self.bring(EffectState::Waiting, rows::bring_unreached_forward)
    }

    fn bring_forward(&mut self, state: EffectState) -> Result<u64> {
        self.bring(state, |tx| rows::bring_forward(tx, state))
    }

    fn bring(
        &mut self,
        state: EffectState,
        forward: impl FnOnce(&rusqlite::Connection) -> Result<u64>,
    ) -> Result<u64> {
        if rows::count_state(&self.connection, state)? == 0 {
            return Ok(0);
        }
        self.write(&[], |w| {
            let count = forward(w.tx)?;
            w.asked += count;
            Ok(count)
        })
    }

    /// Woken when something about effects changed: asked for, settled, sent again.
    pub fn effect_signal(&self) -> tokio::sync::watch::Receiver<u64> {
        self.asked.subscribe()
    }
}

fn droppable(row: &EffectRow) -> Result<()> {
    match row.effect.state {
        EffectState::Waiting | EffectState::Held | EffectState::Dead => Ok(()),
        state => Err(Error::EffectSettled { id: row.effect.id.to_string(), state }),
    }
}

/// As it was when it was asked for, but for what is known of the attempts.
fn made_anew(mut row: EffectRow) -> EffectRow {
    let effect = &mut row.effect;
    if effect.state == EffectState::Dead {
        (effect.failures, effect.charged, effect.deadline_at) = (0, 0, None);
        (effect.settled_at, effect.outcome) = (None, None);
    }
    effect.state = EffectState::Waiting;
    effect.next_attempt_at = None;
    row
}
