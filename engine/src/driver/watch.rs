//! Following: a local edit goes out at once, and the log is looked at again and again.

use std::{collections::HashMap, future::Future, pin::pin, time::Duration};

use tokio::time::Instant;

use super::{
    SyncOptions, SyncReport, SyncState, WatchOptions,
    sync::{Connect, Driver, Target, chosen, over_http},
};
use crate::{
    DocumentId, Millis, Result, Store,
    planted::{self, Bug},
    session::Backoff,
};

/// How often a deletion that the server knows is told again: one that was restored to before it learns it so.
const TOMBSTONE_AGAIN: Duration = Duration::from_secs(600);

impl Store {
    /// Stays in step until `shutdown` ends: pushes each edit at once, and polls. After each round in which
    /// something happened or failed, `on_report` is told. While a server cannot be reached, waits grow up to a
    /// minute and are random, so that clients that lost it together come back one by one.
    ///
    /// # Errors
    /// Those of the store. An unreachable server, refused credentials and the like are in the reports.
    pub async fn watch(
        &self,
        options: WatchOptions,
        on_report: impl FnMut(&SyncReport),
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        self.watch_over((options, &over_http), on_report, shutdown).await
    }

    /// As [`Store::watch`], over transports of the caller's.
    ///
    /// # Errors
    /// As for [`Store::watch`].
    pub async fn watch_over(
        &self,
        (options, connect): (WatchOptions, &Connect),
        on_report: impl FnMut(&SyncReport),
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut watch = Watch {
            store: self.clone(),
            driver: Driver::new(self, options.sync.clone(), connect, Backoff::BACKGROUND),
            options: options.sync,
            poll: options.poll.max(Duration::from_millis(10)),
            told: None,
        };
        tokio::select! {
            biased;
            () = pin!(shutdown) => Ok(()),
            result = watch.follow(on_report) => result,
        }
    }
}

struct Watch<'a> {
    store: Store,
    driver: Driver<'a>,
    options: SyncOptions,
    poll: Duration,
    /// When known deletions were told last.
    told: Option<Instant>,
}

impl Watch<'_> {
    async fn follow(&mut self, mut on_report: impl FnMut(&SyncReport)) -> Result<()> {
        let mut signal = self.store.queue_signal();
        let mut everything = true;
        let mut last = HashMap::new();
        let mut next_poll = Instant::now();
        loop {
            // Seen before the round, not after it: an edit made during an upload wakes the next round.
            signal.borrow_and_update();
            if everything {
                next_poll = Instant::now() + self.poll;
            }
            let documents = self.due(everything).await?;
            if !documents.is_empty() {
                let report = self.driver.round(documents, false).await?;
                let changed = note_states(&mut last, &report);
                if changed || moved(&report) {
                    on_report(&report);
                }
            }
            if planted::is_planted(Bug::LostWakeUp) {
                signal.borrow_and_update();
            }
            everything = tokio::select! {
                changed = signal.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    false
                }
                () = tokio::time::sleep_until(next_poll) => true,
            };
        }
    }

    /// The documents whose turn it is: all of them at a poll, else those with something to push; never one that
    /// waits after a failure.
    async fn due(&mut self, everything: bool) -> Result<Vec<Target>> {
        let all = chosen(&self.store, &self.options).await?;
        let default = self.store.settings().await?.server;
        self.driver.keep_only(&all);
        let tell = self.told.is_none_or(|at| at.elapsed() >= TOMBSTONE_AGAIN);
        if everything && tell {
            self.told = Some(Instant::now());
        }
        let now: Millis = self.driver.clock.now().steady;
        let due = |target: &Target| {
            let info = &target.info;
            let owes = info.queued > 0 || (info.deleted && !target.told);
            let turn = if target.told { everything && tell } else { everything || owes };
            turn && self.driver.waits_until(info, default.as_deref()).is_none_or(|until| until <= now)
        };
        Ok(all.into_iter().filter(due).collect())
    }
}

fn moved(report: &SyncReport) -> bool {
    report.pushed > 0 || report.pulled > 0 || report.rewritten > 0
}

/// Whether a document ended otherwise than in the last round that it took part in.
fn note_states(last: &mut HashMap<DocumentId, (SyncState, Option<String>)>, report: &SyncReport) -> bool {
    let mut changed = false;
    for document in &report.documents {
        let state = (document.state, document.error.as_ref().map(|e| e.to_string()));
        changed |= last.insert(document.id, state.clone()) != Some(state);
    }
    changed
}
