//! Whole rounds: which documents, which servers, and what came of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{
    DocumentReport, HttpOptions, HttpTransport, SyncOptions, SyncReport, SyncState, Token, Transport,
    lock::SyncLock,
    news::{self, News},
    pushers,
    run::{Clock, Ended, Job, Round},
};
use crate::{
    DeletedDocument, DocumentId, Error, Millis, Result, Store,
    session::{Backoff, Hint, Outcome, Progress, Session, SessionLimits, TroubleKind},
    store::{Core, DocumentInfo, SyncProblem, SyncProblemKind},
    wire::ChangesEvent,
};

/// Whether it is asked who pushed what a document's run brought.
#[derive(Debug, Clone, Copy)]
struct Asks {
    /// A token is shown: elsewhere the server knows nobody.
    token: bool,
    /// Events brought something since it was asked last.
    owed: bool,
}

impl Asks {
    fn after(self, ended: &Ended) -> bool {
        let in_step = matches!(ended.result, Ok(Some(Outcome::InStep)));
        self.token && in_step && (self.owed || ended.progress.pulled > 0)
    }
}

/// Makes the transport to a server, with the token that belongs to it.
pub type Connect = dyn Fn(&str, Option<&Token>) -> Result<Arc<dyn Transport>> + Send + Sync;

/// Over HTTP.
pub(super) fn over_http(
    http: HttpOptions,
) -> impl Fn(&str, Option<&Token>) -> Result<Arc<dyn Transport>> + Send + Sync {
    move |server, token| Ok(Arc::new(HttpTransport::with(server, token, &http)?))
}

/// The one asynchronous loop of the engine. It keeps sessions and connections from round to round.
pub(super) struct Driver<'a> {
    store: Store,
    options: SyncOptions,
    connect: &'a Connect,
    pub(super) clock: Clock,
    backoff: Backoff,
    sessions: HashMap<DocumentId, Session>,
    transports: HashMap<String, Arc<dyn Transport>>,
    /// Servers that no connection could be made to, and when to try again.
    down: HashMap<String, Millis>,
    /// Documents that a server refused to talk about, and when to ask again.
    resting: HashMap<DocumentId, Millis>,
    /// Documents of which events brought something: who pushed it is asked in the next round.
    unnamed: HashSet<DocumentId>,
}

/// How the documents of a round ended, by their place in it.
type Runs = BTreeMap<usize, (DocumentId, Progress, Result<Option<Outcome>>)>;

/// A document's run, at its place in a round.
type Placed = (usize, Job, Asks);

/// How long a document rests after refused credentials and the like, in milliseconds.
const REST: Millis = 30_000;

impl<'a> Driver<'a> {
    pub(super) fn new(store: &Store, options: SyncOptions, connect: &'a Connect, backoff: Backoff) -> Self {
        Self {
            store: store.clone(),
            options,
            connect,
            clock: Clock::start(),
            backoff,
            sessions: HashMap::new(),
            transports: HashMap::new(),
            down: HashMap::new(),
            resting: HashMap::new(),
            unnamed: HashSet::new(),
        }
    }

    /// One round over these documents. A patient one waits for servers that say "later"; the others leave that to
    /// the next round.
    pub(super) async fn round(&mut self, targets: Vec<Target>, patient: bool) -> Result<SyncReport> {
        let deadline = Instant::now() + self.options.timeout;
        let _lock = SyncLock::take(self.store.mark_path(), deadline).await?;
        let mut ended = Runs::new();
        let told: HashSet<_> = targets.iter().filter(|t| t.told).map(|t| t.info.id).collect();
        let mut jobs = Vec::new();
        let default = self.store.settings().await?.server;
        for (place, target) in targets.iter().enumerate() {
            let document = &target.info;
            match self.job(document, default.as_deref()) {
                Ok(job) => {
                    let asks = Asks {
                        token: self.options.token_for(&job.server).is_some(),
                        owed: self.unnamed.remove(&document.id),
                    };
                    jobs.push((place, job, asks));
                }
                Err(error) => {
                    ended.insert(place, (document.id, Progress::default(), Err(error)));
                }
            }
        }
        let news = self.left_alone(&mut jobs, &mut ended).await?;
        let round = Round::new(&self.store, self.clock, &self.options, patient);
        let runs = stream::iter(jobs).map(|(place, job, asks)| {
            let (round, id) = (&round, job.session.document());
            let (store, transport) = (&self.store, Arc::clone(&job.transport));
            async move {
                let ended = round.run(job).await;
                if asks.after(&ended) {
                    pushers::learn(store, transport.as_ref(), id).await;
                }
                (place, id, ended)
            }
        });
        let runs: Vec<(usize, DocumentId, Ended)> =
            runs.buffer_unordered(self.options.at_once.max(1)).collect().await;
        for (place, id, run) in runs {
            self.note_server(&run);
            self.note_rest(id, &run);
            self.note_problem(id, &run).await?;
            self.sessions.extend(run.session.map(|session| (id, session)));
            ended.insert(place, (id, run.progress, run.result));
        }
        self.settle_news(news, &ended).await;
        // A deletion that was known, and that the server still knows, is no news; nor that its server, which may be one of
        // long ago, cannot be told again.
        let news = |(id, _, result): &(_, _, Result<_>)| {
            !matches!(result, Ok(Some(Outcome::OwedElsewhere)))
                && (!told.contains(id)
                    || !matches!(result, Ok(Some(Outcome::Deleted)) | Err(Error::Unreachable(_))))
        };
        let mut report = self.report(ended.into_values().filter(news).collect()).await?;
        report.deleted = self.trash().await?;
        Ok(report)
    }

    /// Takes out of a round the documents of which their servers have nothing new, where many owe nothing: one question
    /// for all of them. Gives what each server listed.
    async fn left_alone(&self, jobs: &mut Vec<Placed>, ended: &mut Runs) -> Result<Vec<(String, News)>> {
        let mut by_server: HashMap<String, HashSet<DocumentId>> = HashMap::new();
        for (_, job, _) in jobs.iter() {
            by_server.entry(job.server.clone()).or_default().insert(job.session.document());
        }
        let mut all = Vec::new();
        for (server, documents) in by_server {
            let quiet = news::quiet(&self.store, documents, &server).await;
            let transport = jobs.iter().find(|(_, job, _)| job.server == server);
            let Some((_, Job { transport, .. }, _)) = transport.filter(|_| quiet.len() >= news::MANY) else {
                continue;
            };
            let asked = (server.as_str(), self.options.token_for(&server), transport.as_ref());
            let until = (self.clock.now().wall, self.options.timeout);
            let Some(news) = News::ask(&self.store, asked, until).await else { continue };
            let mut left = Vec::new();
            jobs.retain(|(place, job, asks)| {
                let id = job.session.document();
                let same = quiet.get(&id).is_some_and(|here| news.leaves(id, here));
                if job.server != server || asks.owed || !same {
                    return true;
                }
                left.push(id);
                ended.insert(*place, (id, Progress::default(), Ok(Some(Outcome::InStep))));
                false
            });
            self.store.with_core(move |core| core.note_in_step(&left)).await?;
            all.push((server, news));
        }
        Ok(all)
    }

    /// Notes how far the lists are known, where all that they named came into step.
    async fn settle_news(&self, news: Vec<(String, News)>, ended: &Runs) {
        let done: HashSet<DocumentId> = ended
            .values()
            .filter(|(_, _, result)| matches!(result, Ok(Some(Outcome::InStep | Outcome::Deleted))))
            .map(|(id, ..)| *id)
            .collect();
        for (server, news) in news {
            if news.came_into_step(&self.store, (&done, &server)).await {
                news.settle(&self.store).await;
            }
        }
    }

    /// Empties the trash of what is over its limits, and tells what of it somebody has to look at.
    async fn trash(&self) -> Result<Vec<DeletedDocument>> {
        let work = |core: &mut Core| {
            if let Err(error) = core.empty_trash() {
                tracing::warn!(%error, "the trash was not emptied; it is tried again");
            }
            core.list_deleted()
        };
        let kept = self.store.with_core(work).await?;
        let asked = self.options.documents.as_deref();
        let asked = |d: &DeletedDocument| asked.is_none_or(|ids| ids.contains(&d.id));
        Ok(kept.into_iter().filter(|d| d.needs_person() && asked(d)).collect())
    }

    /// One failed connection stands for all documents of a server, until its wait is over.
    fn note_server(&mut self, run: &Ended) {
        let Some(session) = &run.session else { return };
        let no_connection = session.trouble().is_some_and(|t| t.kind == TroubleKind::NoConnection);
        match session.waits_until() {
            Some(until) if no_connection => self.down.insert(run.server.clone(), until),
            _ if run.progress.answered => {
                // One that gets through tells the others, which wait on their own.
                self.reached(&run.server);
                None
            }
            _ => None,
        };
    }

    /// A refusal is no failure of the network, and does not go away by asking again at once.
    fn note_rest(&mut self, id: DocumentId, run: &Ended) {
        let rests = matches!(
            run.result,
            Err(Error::Unauthorized(_)
                | Error::Forbidden(_)
                | Error::LogTooLarge { .. }
                | Error::Protocol(_))
        ) || matches!(run.result, Ok(Some(Outcome::NotServed)));
        if rests {
            self.resting.insert(id, self.clock.now().steady + REST);
        } else {
            self.resting.remove(&id);
        }
    }

    /// What only a person can help with is kept, so that lists say it too; a run that ends well takes it away.
    async fn note_problem(&self, id: DocumentId, run: &Ended) -> Result<()> {
        let problem = match &run.result {
            Ok(Some(_)) => None,
            Err(Error::Forbidden(why)) => Some((SyncProblemKind::NotAllowed, why.clone())),
            Err(error @ (Error::Protocol(_) | Error::LogTooLarge { .. })) => {
                Some((SyncProblemKind::Failed, error.to_string()))
            }
            // Nothing was learnt of the document.
            Ok(None) | Err(_) => return Ok(()),
        };
        let problem = problem.map(|(kind, why)| SyncProblem { kind, why });
        let server = run.server.clone();
        self.store.with_core(move |core| core.note_sync_problem(id, &server, problem)).await
    }

    /// The server of a document: the one of this run, else its own, else the store's, else the one where it lives.
    pub(super) fn server_of<'s>(
        &'s self,
        document: &'s DocumentInfo,
        default: Option<&'s str>,
    ) -> Option<&'s str> {
        let own = document.server.as_deref();
        self.options.server.as_deref().or(own).or(default).or(document.home.as_deref())
    }

    /// Until when a document waits, after a failure of its own or of its server.
    pub(super) fn waits_until(&self, document: &DocumentInfo, default: Option<&str>) -> Option<Millis> {
        let own = self.sessions.get(&document.id).and_then(Session::waits_until);
        let server = self.server_of(document, default).and_then(|server| self.down.get(server)).copied();
        own.max(server).max(self.resting.get(&document.id).copied())
    }

    /// Until when a document waits that an event named: who may only read reads at once, whatever rests of its own.
    pub(super) fn pull_waits_until(&self, document: &DocumentInfo, default: Option<&str>) -> Option<Millis> {
        let session = self.sessions.get(&document.id);
        if !session.is_some_and(Session::only_reads) {
            return self.waits_until(document, default);
        }
        let server = self.server_of(document, default).and_then(|server| self.down.get(server)).copied();
        session.and_then(Session::waits_until).max(server)
    }

    fn job(&mut self, document: &DocumentInfo, default: Option<&str>) -> Result<Job> {
        let server = self.server_of(document, default).ok_or(Error::NoServer)?.to_owned();
        let transport = self.transport(&server)?;
        let mut session = self.session(document.id);
        session.speak_to(&server);
        session.start_run();
        Ok(Job { session, server, transport })
    }

    fn session(&mut self, document: DocumentId) -> Session {
        let SyncOptions { document_bytes, document_actors, .. } = self.options;
        let (backoff, rest) = (self.backoff, SessionLimits::default());
        let limits = SessionLimits { backoff, document_bytes, document_actors, ..rest };
        self.sessions.remove(&document).unwrap_or_else(|| Session::new(document, limits))
    }

    /// The transport to a server, which is kept.
    pub(super) fn transport(&mut self, server: &str) -> Result<Arc<dyn Transport>> {
        if let Some(transport) = self.transports.get(server) {
            return Ok(Arc::clone(transport));
        }
        let transport = (self.connect)(server, self.options.token_for(server))?;
        self.transports.insert(server.to_owned(), Arc::clone(&transport));
        Ok(transport)
    }

    /// Gives an event of this server to the session of its document.
    pub(super) async fn take_event(
        &mut self,
        (server, document): (&str, DocumentId),
        event: ChangesEvent,
    ) -> Result<Hint> {
        let mut session = self.session(document);
        session.speak_to(server);
        let now = self.clock.now();
        let work = move |core: &mut Core| {
            let hint = core.take_event(&mut session, &event, now, &mut rand::rng());
            Ok((session, hint))
        };
        let (session, hint) = self.store.with_core(work).await?;
        self.sessions.insert(document, session);
        if matches!(&hint, Ok(Hint::Taken(progress)) if progress.pulled > 0) {
            self.unnamed.insert(document);
        }
        hint
    }

    /// What an event brought, as a round tells it.
    pub(super) async fn report_taken(&self, document: DocumentId, progress: Progress) -> Result<SyncReport> {
        self.report(vec![(document, progress, Ok(Some(Outcome::InStep)))]).await
    }

    /// A server is there again: nobody waits for it any longer.
    pub(super) fn reached(&mut self, server: &str) {
        self.down.remove(server);
        // Those of other servers that are down go on waiting for these. A connection that breaks may be the fault
        // of what its own document sends.
        let unconnected = |s: &&mut Session| s.trouble().is_some_and(|t| t.kind == TroubleKind::NoConnection);
        self.sessions.values_mut().filter(unconnected).for_each(Session::hurry);
    }

    /// Tries a document again at once.
    pub(super) fn hurry(&mut self, document: &DocumentInfo, default: Option<&str>) {
        if let Some(server) = self.server_of(document, default).map(str::to_owned) {
            self.down.remove(&server);
        }
        if let Some(session) = self.sessions.get_mut(&document.id) {
            session.hurry();
        }
    }

    /// Tries every server again at once.
    pub(super) fn hurry_all(&mut self) {
        self.down.clear();
        self.sessions.values_mut().for_each(Session::hurry);
    }

    /// Forgets what is known of documents that are not here any more.
    pub(super) fn keep_only(&mut self, targets: &[Target]) {
        let ids: HashSet<_> = targets.iter().map(|t| t.info.id).collect();
        self.sessions.retain(|id, _| ids.contains(id));
    }

    async fn report(
        &self,
        ended: Vec<(DocumentId, Progress, Result<Option<Outcome>>)>,
    ) -> Result<SyncReport> {
        let mut report = SyncReport::default();
        // What is deleted has given its name back: it is told by the one that it had.
        let kept = self.store.list_deleted().await?;
        let was_called = |id| kept.iter().find(|d| d.id == id).and_then(|d| d.name.clone());
        let infos = self.store.with_core(Core::documents_to_sync).await?;
        let mut infos: HashMap<DocumentId, DocumentInfo> =
            infos.into_iter().map(|info| (info.id, info)).collect();
        for (id, progress, result) in ended {
            // One that is not there was left while it was synced.
            let Some(info) = infos.remove(&id) else { continue };
            let (state, error) = match result {
                Ok(Some(Outcome::NotThere)) => (SyncState::NotThere, None),
                Ok(Some(Outcome::Deleted)) => (SyncState::Deleted, None),
                Ok(Some(Outcome::NotServed)) => (SyncState::NotServed, None),
                Ok(Some(_)) => (SyncState::InStep, None),
                Ok(None) => (SyncState::Waiting, None),
                Err(error) => (SyncState::Failed, Some(Arc::new(error))),
            };
            let document = DocumentReport {
                id,
                name: info.name.or_else(|| was_called(id)),
                heads: info.heads,
                cursor: info.cursor,
                state,
                pushed: progress.pushed,
                pulled: progress.pulled,
                queued: info.queued,
                parked: info.parked,
                quarantined: info.quarantined,
                quarantined_seen: info.quarantined_seen,
                not_served_by: info.not_served_by.filter(|_| state == SyncState::NotServed),
                returned: progress.returned,
                error,
            };
            report.add(document, &progress);
        }
        Ok(report)
    }
}

impl Store {
    /// Pushes and pulls until nothing that was there at the start is owed.
    ///
    /// A document that fails stops no other: its error is in the report. One process at a time syncs a store;
    /// this waits for another one, and then has little left to do. Dropping the future is harmless.
    ///
    /// # Errors
    /// Those of the store, [`Error::UnknownDocument`] for a document that is not here, [`Error::Io`] when
    /// another process syncs for longer than the timeout, and [`Error::NoRuntime`]. A server that cannot be reached is none:
    /// see [`SyncReport::reached`].
    pub async fn sync(&self, options: SyncOptions) -> Result<SyncReport> {
        crate::runtime::needs_network()?;
        let http = self.http_options(options.http.clone()).await?;
        self.sync_over(options, &over_http(http)).await
    }

    /// These options, with what the store remembers: the server that plain HTTP may be spoken to, and the file of
    /// certificates that are trusted.
    ///
    /// # Errors
    /// Those of the store; [`Error::Io`] and [`Error::InvalidCertificates`] for the file.
    pub async fn http_options(&self, options: HttpOptions) -> Result<HttpOptions> {
        options.remembering(&self.settings().await?)
    }

    /// As [`Store::sync`], over transports of the caller's.
    ///
    /// # Errors
    /// As for [`Store::sync`].
    pub async fn sync_over(&self, options: SyncOptions, connect: &Connect) -> Result<SyncReport> {
        crate::runtime::needs_timers()?;
        let documents = chosen(self, &options).await?;
        Driver::new(self, options, connect, Backoff::PERSON).round(documents, true).await
    }
}

/// A document that a round is about.
pub(super) struct Target {
    pub(super) info: DocumentInfo,
    /// It is deleted, and a server was told so before.
    pub(super) told: bool,
}

/// The documents that are to be synced.
pub(super) async fn chosen(store: &Store, options: &SyncOptions) -> Result<Vec<Target>> {
    let all = store.with_core(|core| {
        let mut targets = Vec::new();
        for info in core.documents_to_sync()? {
            let told = info.deleted && core.facts(info.id)?.tombstone_known;
            targets.push(Target { info, told });
        }
        Ok(targets)
    });
    let all = all.await?;
    let Some(ids) = &options.documents else { return Ok(all) };
    if let Some(unknown) = ids.iter().find(|id| !all.iter().any(|t| t.info.id == **id)) {
        return Err(Error::UnknownDocument(unknown.to_string()));
    }
    Ok(all.into_iter().filter(|t| ids.contains(&t.info.id)).collect())
}
