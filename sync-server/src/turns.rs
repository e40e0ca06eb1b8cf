//! Turns at what few may do at once. Nobody has more than a part of them: so whoever comes waits for work that others
//! have begun, and never behind all that one of them asks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rules::{ApiError, Asker, Code};

/// How many askers are remembered before those are forgotten who have no turn.
const MANY: usize = 1_024;

#[derive(Debug, Clone)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    askers: Arc<Mutex<HashMap<Asker, Weak<Semaphore>>>>,
}

/// One's turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// So many at once, and so many of one asker.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all.max(1))), each: each.max(1), askers: Arc::default() }
    }

    /// Waits for a turn. `None`: the server itself, or whoever sits at this machine.
    pub(crate) async fn take(&self, who: Option<Asker>) -> Result<Turn, ApiError> {
        let own = match who {
            Some(who) => Some(acquire(self.own(who)).await?),
            None => None,
        };
        Ok(Turn { _all: acquire(Arc::clone(&self.all)).await?, _own: own })
    }

    fn own(&self, who: Asker) -> Arc<Semaphore> {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        if askers.len() >= MANY {
            askers.retain(|_, turns| turns.strong_count() > 0);
        }
        if let Some(turns) = askers.get(&who).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(self.each));
        askers.insert(who, Arc::downgrade(&turns));
        turns
    }
}

async fn acquire(turns: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    turns.acquire_owned().await.map_err(|_| ApiError::new(Code::Unavailable))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn asker(name: &str) -> Option<Asker> {
        Some(Asker::Subject(name.to_owned()))
    }

    #[test]
    fn one_who_asks_for_all_turns_leaves_some_to_others() {
        let turns = Turns::new(4, 2);
        let now = |who: &str| turns.take(asker(who)).now_or_never().map(Result::unwrap);
        let eves: Vec<Turn> = (0..2).map(|_| now("eve").unwrap()).collect();
        assert!(now("eve").is_none(), "a third");
        let adas = now("ada").unwrap();
        assert!(turns.take(None).now_or_never().is_some(), "the server itself");
        drop(eves);
        assert!(now("eve").is_some());
        drop(adas);
        for number in 0..10 * MANY {
            drop(now(&number.to_string()).unwrap());
        }
        assert!(turns.askers.lock().unwrap().len() <= MANY);
    }
}
