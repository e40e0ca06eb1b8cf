use std::collections::BTreeMap;
use std::path::Path;
use std::pin::{Pin, pin};
use std::time::Duration;

use clap::Args;
use rejoin::{
    DocumentId, DocumentInfo, DocumentReport, Settings, Store, SyncOptions, SyncProgress, SyncReport,
    SyncState, WatchOptions,
};

use super::{left_out, title, trash};
use crate::context::{Context, check_server};
use crate::error::{CliError, Exit, Result};
use crate::format::{count, parse_duration, parse_size, printable, shorten};
use crate::output::Output;
use crate::token;

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
        if document.changes > 0 && lives.is_some_and(|lives| !rejoin::store::same_server(lives, &server)) {
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

/// One line for a round of a watch, or one JSON value.
fn print_round(out: &mut Output, report: &SyncReport) -> Result<()> {
    if out.is_json() {
        return out.json(report);
    }
    let moved = report.pushed + report.pulled > 0;
    if moved {
        let names: Vec<_> = report.documents.iter().filter(|d| d.pushed + d.pulled > 0).map(name).collect();
        out.line(format_args!("{}  {}", shorten(&names.join(", "), 40), figures(report)))?;
    }
    explain(out, report);
    explain_errors(out, report, None);
    if matches!(report.worst(), Some(rejoin::Error::Unauthorized(_))) {
        out.note("Waiting for a valid token: save one with `rejoin init --token -`, and this goes on; Ctrl-C ends.");
    }
    Ok(())
}

fn print_report(out: &mut Output, report: &SyncReport) -> Result<()> {
    if out.is_json() {
        return out.json(report);
    }
    let line = match report.documents.len() {
        0 => "nothing to sync: there are no documents".to_owned(),
        _ => figures(report),
    };
    out.line(line)?;
    explain(out, report);
    // One error alone that all have is told at the end, with what to do.
    explain_errors(out, report, report.worst().map(ToString::to_string).as_deref());
    Ok(())
}

/// `pushed 5, pulled 3, in step`.
fn figures(report: &SyncReport) -> String {
    let mut text = format!("pushed {}, pulled {}", report.pushed, report.pulled);
    if report.queued > 0 {
        text.push_str(&format!(", {} queued", report.queued));
    }
    if report.parked > 0 {
        text.push_str(&format!(", {} parked", report.parked));
    }
    if let Some(left_out) = left_out(report.quarantined, report.quarantined_seen) {
        text.push_str(&format!(", {left_out}"));
    }
    let in_step =
        |d: &DocumentReport| matches!(d.state, SyncState::InStep | SyncState::Deleted | SyncState::NotThere);
    if report.queued + report.parked == 0 && report.documents.iter().all(in_step) {
        text.push_str(", in step");
    }
    text
}

/// What a person should know beside the figures.
fn explain(out: &Output, report: &SyncReport) {
    for document in &report.documents {
        match document.state {
            SyncState::NotThere => out.note(format_args!("{}: nobody has pushed it yet", name(document))),
            // What others deleted is told below.
            SyncState::Deleted if report.deleted.iter().any(|d| d.id == document.id) => {}
            SyncState::Deleted => out.note(format_args!("{}: deleted for everyone", name(document))),
            SyncState::NotServed => out.note(not_served(document)),
            _ => {}
        }
    }
    for document in &report.deleted {
        out.note(trash::warning(document));
    }
    if let Some(text) = another_writer(report) {
        out.note(text);
    }
    if report.parked > 0 {
        out.note(format_args!("{} parked: see `rejoin queue`.", count(report.parked, "change")));
    }
    if report.quarantined > report.quarantined_seen {
        let new = report.quarantined - report.quarantined_seen;
        out.note(format_args!(
            "{} left out, which would harm the document or were made on such: see `rejoin quarantine`.",
            count(new, "change")
        ));
    }
}

/// Somebody else wrote as this store: once for a sync, however often.
fn another_writer(report: &SyncReport) -> Option<String> {
    let goes_on = "this store goes on under another";
    if report.own_rewritten > 0 {
        let changes = count(report.own_rewritten, "change");
        if report.after_quarantine {
            return Some(format!(
                "{changes} of this store written again: others of this store, which they came after, were left out (see \
                 `rejoin quarantine`). Nothing is lost."
            ));
        }
        return Some(format!(
            "{changes} of this store written again: it was copied or put back, and both copies were used, or somebody \
             else wrote under its name. Nothing is lost; {goes_on}."
        ));
    }
    report.left_actor.then(|| {
        format!("Somebody else wrote under this store's name; {goes_on}. `rejoin log` says which were not made here.")
    })
}

/// Why documents are not in step; those that fail alike are told together. One error is told at the end, with what to do.
fn explain_errors(out: &Output, report: &SyncReport, at_the_end: Option<&str>) {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for document in &report.documents {
        let Some(error) = document.error.as_ref().map(ToString::to_string) else { continue };
        if at_the_end == Some(error.as_str()) {
            continue;
        }
        match told.iter_mut().find(|(text, _)| *text == error) {
            Some((_, names)) => names.push(name(document)),
            None => told.push((error, vec![name(document)])),
        }
    }
    for (error, names) in told {
        out.note(format_args!("{}: {}", shorten(&names.join(", "), 60), printable(&error)));
    }
}

/// A server where the document does not live says that it was deleted.
fn not_served(document: &DocumentReport) -> String {
    let (name, id) = (name(document), document.id);
    let server = document.not_served_by.as_deref().map_or_else(|| "the server".to_owned(), printable);
    if document.heads.is_empty() {
        return format!(
            "{name}: {server} says that it was deleted, and nothing of it is here: `rejoin leave {id}` forgets it"
        );
    }
    format!(
        "{name}: {server} says that it was deleted, and it does not live there: nothing was changed. If it was moved there, \
         say so: `rejoin join {server}/v1/documents/{id}`"
    )
}

fn name(document: &DocumentReport) -> String {
    document.name.as_deref().map_or_else(|| document.id.to_string(), printable)
}

/// Several, one after another.
fn names<'a>(documents: impl Iterator<Item = &'a DocumentReport>) -> String {
    documents.map(name).collect::<Vec<_>>().join(", ")
}

/// Which documents have nowhere to go, where others have.
fn no_server(report: &SyncReport) -> CliError {
    let error = CliError::of(&rejoin::Error::NoServer);
    let without = |d: &&DocumentReport| matches!(d.error.as_deref(), Some(rejoin::Error::NoServer));
    let names: Vec<String> = report.documents.iter().filter(without).map(name).collect();
    if names.len() == report.documents.len() {
        return error;
    }
    CliError::failed(
        format!("no server is set for {}", shorten(&names.join(", "), 60)),
        "the others were synced; name one for it with --server URL, or save one for all with `rejoin init --server URL`",
    )
}

/// The exit code, and for what failed the error that matters most: 4 before 3 before 5 before 1.
fn end(report: SyncReport) -> Result<Exit> {
    let person = if report.needs_person() { Exit::NeedsPerson } else { Exit::Done };
    match report.worst() {
        None => Ok(person),
        Some(rejoin::Error::NoServer) => Err(no_server(&report).at_least(person)),
        Some(error) => {
            let (told, text) = (CliError::of(error).at_least(person), error.to_string());
            let fails = |d: &DocumentReport| d.error.as_ref().is_some_and(|e| e.to_string() == text);
            let (with, without): (Vec<_>, Vec<_>) = report.documents.iter().partition(|d| fails(d));
            // Where others have none, or another one, it is told whose it is.
            Err(if without.is_empty() { told } else { told.prefixed(shorten(&names(with.into_iter()), 60)) })
        }
    }
}
