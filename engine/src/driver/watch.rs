//! Following: a local edit goes out at once, and what others did comes in by streams of events. Events are hints:
//! the log is looked at again and again beside them, and more often where streams do not pass.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    future::Future,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch::Receiver, time::Instant};

use super::{
    DocumentReport, SyncReport, SyncState, Transport, WatchOptions,
    listen::{Note, Patience, Said, Streams},
    route::Routes,
    sync::{Connect, Driver, Target, chosen, over_http},
};
use crate::{
    DocumentId, Error, Millis, Result, Store,
    planted::{self, Bug},
    session::{Backoff, Hint},
    store::Core,
};

/// How often a deletion that the server knows is told again: one that was restored to before it learns it so.
const TOMBSTONE_AGAIN: Duration = Duration::from_secs(600);
/// Edits hurry a server that cannot be reached at most so often.
const HURRY_AGAIN: Duration = Duration::from_secs(1);

impl Store {
    /// Stays in step until `shutdown` ends: pushes each edit at once, another process's within a tenth of a second, listens to the servers' events, and polls.
    /// After each round in which something happened or failed, `on_report` is told. While a server cannot be
    /// reached, waits grow up to a minute and are random, so that clients that lost it together come back one by
    /// one; an edit here, another process that gets through and a network that comes back cut such a wait short.
    ///
    /// # Errors
    /// Those of the store. An unreachable server, refused credentials and the like are in the reports.
    pub async fn watch(
        &self,
        options: WatchOptions,
        on_report: impl FnMut(&SyncReport),
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        crate::runtime::needs_network()?;
        let http = self.http_options(options.sync.http.clone()).await?;
        self.watch_over((options, &over_http(http)), on_report, shutdown).await
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
        crate::runtime::needs_timers()?;
        let patience = Patience { watchdog: options.watchdog, reconnect: options.reconnect };
        let mut watch = Watch {
            store: self.clone(),
            driver: Driver::new(self, options.sync.clone(), connect, Backoff::BACKGROUND),
            streams: Streams::new(patience),
            hinted: HashSet::new(),
            waits: Waits::default(),
            told: None,
            options,
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
    options: WatchOptions,
    streams: Streams,
    /// Documents that events say are to be pulled.
    hinted: HashSet<DocumentId>,
    waits: Waits,
    /// When known deletions were told last.
    told: Option<Instant>,
}

/// What may cut a wait after a failure short.
#[derive(Default)]
struct Waits {
    /// Some document waits.
    any: bool,
    /// There was an edit here since servers were hurried last, at `hurried`.
    edited: bool,
    hurried: Option<Instant>,
    /// When each document was synced last, by whichever process.
    synced: HashMap<DocumentId, Option<Millis>>,
    routes: Option<Routes>,
    /// A server answered in the last round that asked one.
    online: bool,
}

impl Watch<'_> {
    async fn follow(&mut self, mut on_report: impl FnMut(&SyncReport)) -> Result<()> {
        // While it is held the store looks for what other processes write: a program of one command, say, that makes an
        // edit and ends.
        let _others = self.store.write_signal();
        let mut signal = self.store.queue_signal();
        let mut everything = true;
        let mut last = HashMap::new();
        let mut next_poll = Instant::now();
        loop {
            // Seen before the round, not after it: an edit made during an upload wakes the next round.
            signal.borrow_and_update();
            if everything {
                next_poll = Instant::now() + self.options.live_poll.max(self.options.poll);
            }
            let documents = self.due(everything).await?;
            if !documents.is_empty() {
                let polled = self.polled(&documents, everything);
                let report = self.driver.round(documents, false).await?;
                self.judge_streams(&report, &polled);
                self.note_connection(&report).await;
                self.waits.synced.clear();
                let changed = note_states(&mut last, &report);
                if changed || moved(&report) {
                    on_report(&report);
                }
            }
            if planted::is_planted(Bug::LostWakeUp) {
                signal.borrow_and_update();
            }
            let Some(poll) = self.wait(&mut signal, &mut next_poll, &mut on_report).await? else {
                return Ok(());
            };
            everything = poll;
        }
    }

    /// Waits until there is something to do: whether it is time to poll; `None` when the store is closed.
    async fn wait(
        &mut self,
        signal: &mut Receiver<u64>,
        next_poll: &mut Instant,
        on_report: &mut impl FnMut(&SyncReport),
    ) -> Result<Option<bool>> {
        loop {
            *next_poll = (*next_poll).min(Instant::now() + self.pace());
            let note = tokio::select! {
                biased;
                changed = signal.changed() => {
                    self.waits.edited = true;
                    return Ok(changed.ok().map(|()| false));
                }
                () = tokio::time::sleep_until(*next_poll) => return Ok(Some(true)),
                note = self.streams.next() => note,
            };
            let mut note = Some(note);
            while let Some(heard) = note {
                self.hear(heard, on_report).await?;
                note = self.streams.waiting();
            }
            if !self.hinted.is_empty() {
                return Ok(Some(false));
            }
        }
    }

    fn pace(&self) -> Duration {
        let poll = self.options.poll.max(Duration::from_millis(10));
        if self.streams.suffice() && !self.waits.any { self.options.live_poll.max(poll) } else { poll }
    }

    /// Takes what a stream says. "Events are hints": whatever is lost of them is found by a poll.
    async fn hear(&mut self, note: Note, on_report: &mut impl FnMut(&SyncReport)) -> Result<()> {
        let event = match note.said {
            Said::Ended => return Ok(()),
            Said::Open => {
                // What happened before the stream was open was told to nobody.
                self.driver.reached(&note.server);
                self.hinted.extend(self.streams.documents(&note.server));
                return Ok(());
            }
            Said::Changes(event) => event,
        };
        let named = event.document.parse().ok();
        let Some(document) = named.filter(|id| self.streams.documents(&note.server).any(|of| of == *id))
        else {
            return Ok(());
        };
        match self.driver.take_event((&note.server, document), *event).await {
            Ok(Hint::Known) => return Ok(()),
            Ok(Hint::Taken(progress)) => {
                let report = self.driver.report_taken(document, progress).await?;
                if moved(&report) {
                    on_report(&report);
                }
            }
            Ok(Hint::Pull) => drop(self.hinted.insert(document)),
            // The round meets it again, where it is told; of a document that was left nothing is asked any more.
            Err(error) => {
                tracing::debug!(%document, %error, "an event was not taken");
                self.hinted.insert(document);
            }
        }
        self.streams.believe(&note.server);
        Ok(())
    }

    /// The documents of a round that only a poll asks for.
    fn polled(&mut self, targets: &[Target], everything: bool) -> HashSet<DocumentId> {
        let asked = |target: &&Target| target.info.queued == 0 && !self.hinted.contains(&target.info.id);
        let polled =
            targets.iter().filter(asked).filter(|_| everything).map(|target| target.info.id).collect();
        for target in targets {
            self.hinted.remove(&target.info.id);
        }
        polled
    }

    /// A poll that finds what no stream told casts doubt on it; a server that answers may be listened to again.
    fn judge_streams(&mut self, report: &SyncReport, polled: &HashSet<DocumentId>) {
        for document in report.documents.iter().filter(|d| d.pulled > 0 && polled.contains(&d.id)) {
            self.streams.doubt(document.id);
        }
        if report.documents.iter().any(|d| d.state == SyncState::InStep) {
            self.streams.hurry();
        }
    }

    /// A server answers, after none did: what is to be sent beside, and reached nobody, is sent now.
    async fn note_connection(&mut self, report: &SyncReport) {
        let answers = |d: &DocumentReport| {
            use SyncState::{Deleted, InStep, NotServed, NotThere};
            matches!(d.state, InStep | NotThere | Deleted | NotServed)
        };
        let is_cut = |d: &DocumentReport| matches!(d.error.as_deref(), Some(Error::Unreachable(_)));
        if !report.documents.iter().any(answers) {
            self.waits.online &= !report.documents.iter().any(is_cut);
        } else if !std::mem::replace(&mut self.waits.online, true)
            && let Err(error) = self.store.with_core(Core::hurry_unreached_effects).await
        {
            tracing::warn!(%error, "effects were not hurried; they are sent at their next time");
        }
    }

    /// The documents whose turn it is: all of them at a poll, else those with something to push or to pull; never
    /// one that waits after a failure.
    async fn due(&mut self, everything: bool) -> Result<Vec<Target>> {
        let all = chosen(&self.store, &self.options.sync).await?;
        let default = self.store.settings().await?.server;
        self.driver.keep_only(&all);
        self.hinted.retain(|id| all.iter().any(|target| target.info.id == *id));
        self.listen(&all, default.as_deref());
        self.hurry(&all, default.as_deref());
        let tell = self.told.is_none_or(|at| at.elapsed() >= TOMBSTONE_AGAIN);
        if everything && tell {
            self.told = Some(Instant::now());
        }
        let now: Millis = self.driver.clock.now().steady;
        let mut waits = false;
        let due = |target: &Target| {
            let info = &target.info;
            let hinted = self.hinted.contains(&info.id);
            let until = match hinted {
                true => self.driver.pull_waits_until(info, default.as_deref()),
                false => self.driver.waits_until(info, default.as_deref()),
            };
            let wait = until.is_some_and(|until| until > now);
            waits |= wait;
            let owes = info.queued > 0 || (info.deleted && !target.told) || hinted;
            let turn = if target.told { everything && tell } else { everything || owes };
            turn && !wait
        };
        let due = all.into_iter().filter(due).collect();
        self.waits.any = waits;
        Ok(due)
    }

    /// Follows the streams of the servers of these documents.
    fn listen(&mut self, all: &[Target], default: Option<&str>) {
        let mut wanted: BTreeMap<String, (Arc<dyn Transport>, BTreeSet<DocumentId>)> = BTreeMap::new();
        for target in all.iter().filter(|target| !target.told) {
            let Some(server) = self.driver.server_of(&target.info, default).map(str::to_owned) else {
                continue;
            };
            // A server of which no transport can be made fails in the round, where it is told.
            let Ok(transport) = self.driver.transport(&server) else { continue };
            wanted.entry(server).or_insert((transport, BTreeSet::new())).1.insert(target.info.id);
        }
        self.streams.follow(wanted);
    }

    /// Cuts waits short where there is reason to: an edit here, another process that got through, or another way
    /// into the network. What a server asked for by `Retry-After` is waited for all the same.
    fn hurry(&mut self, all: &[Target], default: Option<&str>) {
        let routes = Routes::now();
        let before = self.waits.routes.replace(routes);
        if before.is_some_and(|before| routes.opened_since(&before)) {
            self.driver.hurry_all();
        }
        let edited = self.waits.edited && self.waits.hurried.is_none_or(|at| at.elapsed() >= HURRY_AGAIN);
        if edited {
            (self.waits.edited, self.waits.hurried) = (false, Some(Instant::now()));
        }
        for target in all {
            let info = &target.info;
            let known = self.waits.synced.insert(info.id, info.last_sync_at);
            let got_through = known.is_some_and(|known| known < info.last_sync_at);
            if got_through || (edited && info.queued > 0) {
                self.driver.hurry(info, default);
            }
        }
    }
}

fn moved(report: &SyncReport) -> bool {
    report.pushed > 0 || report.pulled > 0 || report.rewritten > 0 || report.left_actor
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
