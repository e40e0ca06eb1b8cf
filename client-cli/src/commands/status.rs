//! `rejoin status`: show, for each document, whether it is in step or why not; and whether the server answers.

use std::time::Duration;

use clap::Args;
use rejoin::{ChangeHash, DocumentInfo, Store, store::SyncProblemKind};
use serde_json::{Value, json};

use super::{json_document, left_out, may_not_read, not_allowed, service, title, trash};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, now, printable, relative, short_hash, shorten};
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// Show, for each document, whether it is in step or why not; and whether the server answers
///
/// Being offline is no failure. Exit code 5: something is parked or not allowed, was left out or deleted by others and nobody has looked
/// at it yet, or is not served where it was looked for, and needs a person.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin status
  rejoin status --json")]
pub(crate) struct StatusArgs {}

/// How long a server may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run(context: &mut Context, _args: StatusArgs) -> Result<Exit> {
    let store = context.open().await?;
    let documents = store.documents().await?;
    let kept = store.list_deleted().await?;
    let main = context.server_of(&store, None).await?;
    let servers = ask(context, (&store, main.as_deref()), &documents).await?;
    if context.out.is_json() {
        let path = context.store_path()?;
        let author = store.settings().await?.author;
        let (own, others): (Vec<_>, Vec<_>) = servers.iter().partition(|s| Some(&s.url) == main.as_ref());
        context.out.json(&json!({
            "store": path,
            "author": author,
            "service": service::brief(context).map(|(_, value)| value),
            "server": own.first().map(|s| s.json()),
            "other_servers": others.iter().map(|s| s.json()).collect::<Vec<_>>(),
            "documents": documents.iter().map(json_with_reason).collect::<Vec<_>>(),
            "deleted": kept.iter().filter(|d| d.by_others).map(trash::json_brief).collect::<Vec<_>>(),
            "deletions_owed": kept.iter().filter(|d| trash::owed(d).is_some()).map(|d| d.id).collect::<Vec<_>>(),
        }))?;
    } else {
        print(context, &servers, &documents)?;
        for line in kept.iter().filter_map(trash::owed) {
            context.out.note(line);
        }
        if let Some(summary) = trash::summary(&kept) {
            context.out.line("")?;
            context.out.say(format_args!("trash   {summary}"))?;
        }
    }
    let person = documents.iter().any(needs_person)
        || documents.iter().any(|d| d.not_served_by.is_some())
        || kept.iter().any(rejoin::DeletedDocument::needs_person);
    let refused = servers.iter().any(|s| s.problem.as_ref().is_some_and(is_refusal));
    let exit = if person { Exit::NeedsPerson } else { Exit::Done };
    Ok(if refused { exit.and(Exit::Unauthorized) } else { exit })
}

/// Something is parked, may not be pushed by this token, or was left out and is not seen yet.
fn needs_person(document: &DocumentInfo) -> bool {
    let left_out = document.quarantined > document.quarantined_seen;
    document.parked > 0 || left_out || document.not_allowed.is_some() || document.problem.is_some()
}

fn is_refusal(error: &rejoin::Error) -> bool {
    matches!(error, rejoin::Error::Unauthorized(_) | rejoin::Error::Forbidden(_))
}

/// A server, and what came of asking it.
struct Server {
    url: String,
    problem: Option<rejoin::Error>,
}

impl Server {
    fn json(&self) -> Value {
        let error = self.problem.as_ref().map(ToString::to_string);
        json!({ "url": self.url, "answers": error.is_none(), "error": error })
    }
}

/// Asks the server of this run, and those that documents have of their own, all at once.
async fn ask(
    context: &Context,
    (store, main): (&Store, Option<&str>),
    documents: &[DocumentInfo],
) -> Result<Vec<Server>> {
    let http = context.http(store).await?;
    let own =
        documents.iter().filter_map(|d| d.server.as_deref().or(d.home.as_deref().filter(|_| main.is_none())));
    let own = own.filter(|_| context.globals.server().is_none());
    let mut urls: Vec<String> = Vec::new();
    for url in main.into_iter().chain(own) {
        if !urls.iter().any(|u| u == url) {
            urls.push(url.to_owned());
        }
    }
    let tokens = context.tokens(store).await?;
    let mut asked = Vec::new();
    for url in urls {
        // The one that a sync would show it.
        let token = tokens.iter().find(|(server, _)| *server == url).map(|(_, token)| token.clone());
        let http = http.clone();
        asked.push(tokio::spawn(async move {
            let problem = rejoin::probe(&url, token.as_ref(), (&http, PATIENCE)).await.err();
            Server { url, problem }
        }));
    }
    let mut servers = Vec::new();
    for one in asked {
        servers.push(one.await.map_err(|e| CliError::io("a server could not be asked", e.into()))?);
    }
    Ok(servers)
}

fn print(context: &mut Context, servers: &[Server], documents: &[DocumentInfo]) -> Result<()> {
    let path = context.store_path()?;
    let service = service::brief(context);
    let out = &mut context.out;
    out.line(format_args!("store   {}", printable(&path.display().to_string())))?;
    if let Some((service, _)) = service {
        out.say(format_args!("service {}", printable(&service)))?;
    }
    if servers.is_empty() {
        out.say("server  none set; `rejoin init --server URL` saves one")?;
    }
    for server in servers {
        let state = match &server.problem {
            None => out.paint(Paint::Green, "it answers"),
            Some(error) => out.paint(Paint::Yellow, printable(&error.to_string())),
        };
        out.say(format_args!("server  {}: {state}", printable(&server.url)))?;
        match server.problem {
            Some(rejoin::Error::Unauthorized(_)) => {
                out.note("Save a valid token with `rejoin init --token -`; the queue is kept until then.");
            }
            Some(rejoin::Error::Forbidden(_)) => out.note(
                "This token is valid, and may not ask this: whoever looks after the server gives it a right with \
                 `rejoin-server token grant`.",
            ),
            _ => {}
        }
    }
    if documents.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let columns = [
        ("document", Fit::Cut),
        ("heads", Fit::Whole),
        ("queued", Fit::Whole),
        ("parked", Fit::Whole),
        ("last sync", Fit::Whole),
        ("in step", Fit::Wrap),
    ];
    out.table(&columns, &documents.iter().map(row).collect::<Vec<_>>())?;
    for document in documents {
        if let Some(why) = &document.not_allowed {
            let why = printable(why.trim_end_matches('.'));
            out.note(format_args!("{}: {why}. {}.", title(document), not_allowed(document)));
        } else if let Some(problem) = &document.problem
            && problem.kind == SyncProblemKind::NotAllowed
        {
            let why = printable(problem.why.trim_end_matches('.'));
            out.note(format_args!("{}: {why}. {}.", title(document), may_not_read(document)));
        }
    }
    Ok(())
}

fn json_with_reason(document: &DocumentInfo) -> Value {
    let mut value = json_document(document);
    value["reason"] = reason(document).into();
    value
}

fn row(document: &DocumentInfo) -> Vec<Cell> {
    let last = document.last_sync_at.map_or_else(|| "never".to_owned(), |at| relative(at, now()));
    let step = match reason(document) {
        None => Cell::new("yes").paint(Paint::Green),
        Some(why) if needs_person(document) => Cell::new(why).paint(Paint::Red),
        Some(why) if document.in_step && document.not_served_by.is_none() => {
            Cell::new(format!("yes; {why}")).paint(Paint::Green)
        }
        Some(why) => Cell::new(why).paint(Paint::Yellow),
    };
    vec![
        Cell::new(shorten(&title(document), 40)),
        Cell::new(heads(&document.heads)),
        Cell::new(document.queued),
        Cell::new(document.parked),
        Cell::new(last),
        step,
    ]
}

/// The first digits of the first head, and how many more there are: a table has no room for all.
fn heads(heads: &[ChangeHash]) -> String {
    let first = heads.first().map_or_else(|| "none".to_owned(), short_hash);
    if heads.len() > 1 { format!("{first} +{}", heads.len() - 1) } else { first }
}

/// Why a document is not in step, and what was left out of it; `None` when it is and nothing was.
fn reason(document: &DocumentInfo) -> Option<String> {
    let d = document;
    let mut why = Vec::new();
    if d.deleted {
        why.push(if d.in_step { "deleted" } else { "deleted; the server is to be told" }.to_owned());
    }
    if let Some(server) = &d.not_served_by {
        let says = format!("{} says it was deleted", printable(server));
        why.push(match d.heads.is_empty() {
            true => format!("{says}; `rejoin leave` forgets it here"),
            false => format!("{says}, and it does not live there"),
        });
    }
    if d.parked > 0 {
        why.push(format!("{} parked: see `rejoin queue`", count(d.parked, "change")));
    }
    if d.queued > 0 {
        let refused = match d.not_allowed.as_deref() {
            Some(why) if why.contains(rejoin::session::NOT_BEGUN) => {
                ", not allowed: this token may not begin a document"
            }
            Some(_) => ", not allowed: this token may not write here",
            None => "",
        };
        why.push(format!("{} queued{refused}", count(d.queued, "change")));
    }
    match &d.problem {
        // What waits says the same.
        Some(problem) if problem.kind == SyncProblemKind::NotAllowed && d.not_allowed.is_none() => {
            why.push("not allowed: this token may not read here".to_owned());
        }
        Some(problem) if problem.kind != SyncProblemKind::NotAllowed => {
            why.push(format!("the last sync failed: {}", printable(&problem.why)));
        }
        _ => {}
    }
    if why.is_empty() && !d.in_step {
        let named = d.server.is_some() || d.home.is_some();
        let reason = match (d.last_sync_at, d.changes) {
            (None, 0) if named => "not fetched yet",
            (None, 0) => "nothing in it yet; never synced",
            (None, _) => "never synced",
            (Some(_), _) if d.behind => "the server has more",
            (Some(_), _) => "to be compared with its server at the next sync",
        };
        why.push(reason.to_owned());
    }
    if let Some(left_out) = left_out(d.quarantined, d.quarantined_seen) {
        let hint = if d.quarantined > d.quarantined_seen { ": see `rejoin quarantine`" } else { "" };
        why.push(format!("{left_out}{hint}"));
    }
    (!why.is_empty()).then(|| why.join("; "))
}
