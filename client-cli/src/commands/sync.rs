//! `rejoin sync`: push what waits and pull what is new, until nothing that was there at the start is owed.

mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::{Pin, pin};
use std::time::Duration;

use clap::Args;
use rejoin::{
    DocumentId, DocumentInfo, Settings, Store, SyncOptions, SyncProgress, SyncReport, SyncState, WatchOptions,
};

use super::title;
use crate::context::{Context, check_server};
use crate::error::{CliError, Exit, Result};
use crate::format::{count, parse_duration, parse_size, printable, shorten};
use crate::token;
use report::{end, print_report, print_round};

/// Push what waits and pull what is new, until nothing that was there at the start is owed
///
/// Without a server nothing is lost: the queue is kept, and the exit code is 3. With `--watch` it stays, and
/// follows both sides until it is interrupted: what other commands write goes at once, and a token or an address that is
/// saved meanwhile is taken.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin sync
  rejoin sync trip                             this document alone
  rejoin sync --timeout 5s
  rejoin sync --watch                          until Ctrl-C
  rejoin sync --server http://127.0.0.1:4810")]
pub(crate) struct SyncArgs {
    /// Stay, and follow both sides
    #[arg(long)]
    watch: bool,
    /// Give up when no usable answer came for so long: 500ms, 30s, 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Take no more of a document from a server than this: 64MiB, 4GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    document_bytes: u64,
    /// Take no more of it than this many actors: devices, pages of a browser
    #[arg(long, value_name = "N", default_value_t = 8_192)]
    document_actors: u64,
    /// Do not ask before documents go to a server where they do not live
    #[arg(short, long)]
    yes: bool,
    /// The documents [default: all]
    #[arg(value_name = "DOC")]
    docs: Vec<String>,
}

pub(crate) async fn run(context: &mut Context, args: SyncArgs) -> Result<Exit> {
    let store = context.open().await?;
    let options = options(context, &store, &args).await?;
    name_strangers(context, &store, &args).await?;
    if args.watch {
        return watch(context, &store, options, &args).await;
    }
    let report = with_progress(context, &store, options).await?;
    print_report(&mut context.out, &report)?;
    end(report)
}

/// Documents that go to the server of this run, which is not where they live: what is once there nobody takes back. On a
/// terminal it is asked; other programs mean what they say.
async fn name_strangers(context: &mut Context, store: &Store, args: &SyncArgs) -> Result<()> {
    let Some(server) = context.globals.server().map(check_server).transpose()? else { return Ok(()) };
    let saved = store.settings().await?.server;
    let mut strangers = Vec::new();
    for document in chosen(store, &args.docs).await? {
        let lives = document.home.as_ref().or(document.server.as_ref()).or(saved.as_ref());
        if document.changes > 0 && lives.is_some_and(|lives| !rejoin::same_server(lives, &server)) {
            strangers.push(format!("{} ({})", title(&document), count(document.changes, "change")));
        }
    }
    if strangers.is_empty() {
        return Ok(());
    }
    let which = shorten(&strangers.join(", "), 200);
    let what = format!("{which} would go to {}, which is not where they live", printable(&server));
    if args.yes {
        return Ok(());
    }
    match context.out.ask(&format!("{what}. Go on?"))? {
        Some(true) => Ok(()),
        Some(false) => Err(CliError::failed("nothing was sent", "answer y, or say --yes, to go on")),
        None => {
            context.out.note(what.replacen(" would go to ", " go to ", 1) + ".");
            Ok(())
        }
    }
}

async fn chosen(store: &Store, docs: &[String]) -> Result<Vec<DocumentInfo>> {
    if docs.is_empty() {
        return Ok(store.documents().await?.into_iter().filter(|document| !document.deleted).collect());
    }
    let mut found = Vec::new();
    for doc in docs {
        found.push(store.document(store.find(doc).await?).await?);
    }
    Ok(found)
}

/// How often a sync that is under way says so where there is no terminal.
const STILL: Duration = Duration::from_secs(10);

/// Syncs, and tells meanwhile how far it is: a server whose log has no end must not look like one that is slow.
async fn with_progress(context: &Context, store: &Store, options: SyncOptions) -> Result<SyncReport> {
    let (told, mut progress) = tokio::sync::watch::channel(SyncProgress::default());
    let bar = context.out.progress(None, "syncing");
    let mut still = tokio::time::interval_at(tokio::time::Instant::now() + STILL, STILL);
    let mut synced = pin!(store.sync(options.progress(told)));
    let report = loop {
        tokio::select! {
            report = &mut synced => break report,
            Ok(()) = progress.changed() => bar.set_message(format!("syncing{}", so_far(*progress.borrow_and_update()))),
            _ = still.tick(), if bar.is_hidden() => {
                let so_far = so_far(*progress.borrow());
                context.out.remark_on_work(format!("Still syncing{so_far}"));
            }
        }
    };
    bar.finish_and_clear();
    Ok(report?)
}

fn so_far(progress: SyncProgress) -> String {
    match (progress.pulled, progress.pushed) {
        (0, 0) => String::new(),
        (pulled, pushed) => format!(": {} came, {pushed} went", count(pulled, "change")),
    }
}

async fn options(context: &Context, store: &Store, args: &SyncArgs) -> Result<SyncOptions> {
    let http = context.http(store).await?;
    let mut options = SyncOptions::default()
        .timeout(args.timeout)
        .document_bytes(args.document_bytes)
        .document_actors(args.document_actors)
        .http(http);
    if !args.docs.is_empty() {
        let mut ids = Vec::new();
        for doc in &args.docs {
            ids.push(store.find(doc).await?);
        }
        options = options.documents(ids);
    }
    if context.globals.server().is_some()
        && let Some(server) = context.server_of(store, None).await?
    {
        options = options.server(server);
    }
    for (server, token) in context.tokens(store).await? {
        options = options.token(server, token);
    }
    Ok(options)
}

/// Follows until Ctrl-C or SIGTERM: to be told to stop is no failure. A server, a token or certificates that are saved
/// meanwhile are followed; it ends where only a person can help, and nothing that is saved would.
async fn watch(
    context: &mut Context,
    store: &Store,
    mut options: SyncOptions,
    args: &SyncArgs,
) -> Result<Exit> {
    if context.server_of(store, None).await?.is_none()
        && store.documents().await?.iter().all(|d| d.server.is_none() && d.home.is_none())
    {
        return Err(rejoin::Error::NoServer.into());
    }
    context.out.note("Following both sides; Ctrl-C ends.");
    let mut interrupted = pin!(interrupted());
    loop {
        match watch_with(context, store, options, interrupted.as_mut()).await? {
            Ended::Told => return Ok(Exit::Done),
            Ended::Failed(error) => return Err(error),
            Ended::Changed => options = self::options(context, store, args).await?,
        }
    }
}

/// How one stretch of a watch ended.
enum Ended {
    /// By a signal.
    Told,
    /// The reader is gone, or only a person can help, and nothing that is saved meanwhile would.
    Failed(CliError),
    /// The server, the token or the certificates are others now: it goes on with these.
    Changed,
}

/// Follows with these options as long as they are what is saved.
async fn watch_with(
    context: &mut Context,
    store: &Store,
    options: SyncOptions,
    interrupted: Pin<&mut impl Future<Output = ()>>,
) -> Result<Ended> {
    let saved = Saved::now(context, store).await?;
    let typed = Typed::of(context);
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let path = context.store_path()?;
    let out = &mut context.out;
    let mut hopeless = BTreeMap::new();
    let on_report = |report: &SyncReport| {
        let printed = print_round(out, report).and_then(|()| out.flush());
        let error = printed.err().or_else(|| only_a_person_helps(&mut hopeless, report, typed));
        if let Some(error) = error {
            // Nobody waits for the end of a watch that is over already.
            let _ = ends.send(error);
        }
    };
    let mut how = Ended::Told;
    let shutdown = async {
        tokio::select! {
            () = interrupted => {}
            Some(error) = ended.recv() => how = Ended::Failed(error),
            () = saved.changed(&path, store) => how = Ended::Changed,
        }
    };
    store.watch(WatchOptions::default().sync(options), on_report, shutdown).await?;
    Ok(how)
}

/// What was typed for this run: it stays as it is, whatever is saved meanwhile.
#[derive(Clone, Copy)]
struct Typed {
    server: bool,
    token: bool,
}

impl Typed {
    fn of(context: &Context) -> Self {
        let globals = &context.globals;
        Self { server: globals.server().is_some(), token: globals.token().is_some() }
    }

    /// Whether this goes on for ever, and nothing that a person saves would be read.
    fn is_hopeless(self, error: &rejoin::Error) -> bool {
        match error {
            rejoin::Error::Unauthorized(_) => self.token,
            rejoin::Error::PlainHttp(_) | rejoin::Error::InvalidServer(_) => self.server,
            rejoin::Error::Protocol(why) => why.contains(rejoin::driver::NEWER_RELEASE),
            _ => false,
        }
    }
}

/// The error to end with, where no document can be synced any more until a person does something that a watch would not
/// notice.
fn only_a_person_helps(
    hopeless: &mut BTreeMap<DocumentId, bool>,
    report: &SyncReport,
    typed: Typed,
) -> Option<CliError> {
    for document in &report.documents {
        match document.state {
            SyncState::Deleted | SyncState::NotServed => drop(hopeless.remove(&document.id)),
            _ => {
                let error = document.error.as_deref();
                hopeless.insert(document.id, error.is_some_and(|error| typed.is_hopeless(error)));
            }
        }
    }
    let all = !hopeless.is_empty() && hopeless.values().all(|is| *is);
    report.worst().filter(|_| all).map(CliError::of)
}

/// What a watch depends on and another command may change.
#[derive(PartialEq, Eq)]
struct Saved {
    settings: Settings,
    token: Option<token::Mark>,
}

/// How often the file of the token is looked at. What is saved in the store wakes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Saved {
    async fn now(context: &Context, store: &Store) -> Result<Self> {
        Ok(Self { settings: store.settings().await?, token: token::mark(&context.store_path()?) })
    }

    /// Ends when something of it is another.
    async fn changed(&self, path: &Path, store: &Store) {
        let mut written = store.write_signal();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            if token::mark(path) != self.token {
                return;
            }
            let wrote = written.has_changed().unwrap_or(false);
            if wrote {
                written.borrow_and_update();
                // One that cannot be read is told by the watch itself.
                if store.settings().await.is_ok_and(|now| now != self.settings) {
                    return;
                }
            }
        }
    }
}

#[cfg(unix)]
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without a handler the signal ends the process, which is as good: what was synced is durable.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
pub(super) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
