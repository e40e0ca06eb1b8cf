//! `rejoin queue`: show what waits for the server, in order, and deal with what it refused.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rejoin::{DocumentInfo, DropPlan, QueueEntry, QueueState, Store};
use serde_json::{Value, json};

use super::export::{check_target, named, write};
use super::{ago, ago_or, json_time, not_allowed, print_card, title};
use crate::context::Context;
use crate::edits::nothing_done;
use crate::error::{Exit, Result};
use crate::format::{count, now, place, printable, relative, rfc3339, short_hash, short_hashes, shorten};
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// Show what waits for the server, in order, and deal with what it refused
///
/// ID is the number in the list, or the start of the change's hash.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin queue                                 what waits
  rejoin queue show 1
  rejoin queue retry 1                         offer a parked change again
  rejoin queue drop 1                          take it back here too; asks
  rejoin queue export 1 change.automerge       the raw change")]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: Option<QueueCommand>,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List what waits, in order (the same as no command)
    #[command(after_help = "\
Examples:
  rejoin queue ls trip                         of one document")]
    Ls {
        /// Only of this document
        doc: Option<String>,
    },
    /// Show one change in full
    #[command(after_help = "\
Examples:
  rejoin queue show 1
  rejoin queue show 4f1c09ab                   by the start of the hash")]
    Show {
        /// Its number, or the start of its hash
        id: String,
    },
    /// Offer a parked change, and those that wait for it, again at the next sync
    #[command(after_help = "\
Examples:
  rejoin queue retry 1
  rejoin queue retry --all")]
    Retry {
        /// Its number, or the start of its hash
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Offer all again that are parked or put off, of every document
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Remove a change from the document here, with the later ones that touch what it made
    #[command(after_help = "\
Examples:
  rejoin queue drop 1                          names what goes, and asks
  rejoin queue drop 4f1c09ab --yes")]
    Drop {
        /// Its number, or the start of its hash
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Write the raw change, as Automerge has it
    #[command(after_help = "\
Examples:
  rejoin queue export 1 change.automerge")]
    Export {
        /// Its number, or the start of its hash
        id: String,
        /// The file to write [default: standard output]
        file: Option<PathBuf>,
    },
}

/// How much of an action is told where it is not in a table, in characters: a value may be a megabyte.
pub(super) const LONGEST: usize = 100;

pub(crate) async fn run(context: &mut Context, args: QueueArgs) -> Result<Exit> {
    match args.command.unwrap_or(QueueCommand::Ls { doc: None }) {
        QueueCommand::Ls { doc } => list(context, doc).await,
        QueueCommand::Show { id } => show(context, &id).await,
        QueueCommand::Retry { id, .. } => retry(context, id.as_deref()).await,
        QueueCommand::Drop { id, yes } => drop_row(context, &id, yes).await,
        QueueCommand::Export { id, file } => {
            let file = named(file);
            check_target(context, file.as_ref())?;
            let bytes = context.open().await?.queued_bytes(&id).await?;
            write(context, file, &bytes)?;
            Ok(Exit::Done)
        }
    }
}

async fn list(context: &mut Context, doc: Option<String>) -> Result<Exit> {
    let store = context.open().await?;
    let id = match doc {
        Some(doc) => Some(store.find(&doc).await?),
        None => None,
    };
    let entries = store.queue(id).await?;
    if context.out.is_json() {
        context.out.json(&entries.iter().map(json_entry).collect::<Vec<_>>())?;
    } else if entries.is_empty() {
        context.out.note("The queue is empty.");
    } else {
        let documents = store.documents().await?;
        // What is left for the action beside the other columns.
        let room = usize::from(context.out.width()).saturating_sub(44).clamp(20, LONGEST);
        let rows: Vec<_> = entries.iter().map(|entry| row(entry, &documents, room)).collect();
        context.out.table(
            &[
                ("#", Fit::Whole),
                ("document", Fit::Cut),
                ("action", Fit::Cut),
                ("change", Fit::Whole),
                ("state", Fit::Whole),
                ("tries", Fit::Whole),
            ],
            &rows,
        )?;
        explain(context, &entries);
        explain_rights(context, &entries, &documents);
    }
    let person = entries.iter().any(|e| e.state == QueueState::Parked || e.waits_for_a_right());
    Ok(if person { Exit::NeedsPerson } else { Exit::Done })
}

fn row(entry: &QueueEntry, documents: &[DocumentInfo], room: usize) -> Vec<Cell> {
    let document = documents.iter().find(|d| d.id == entry.document);
    let name = document.map_or_else(|| entry.document.to_string(), title);
    vec![
        Cell::new(entry.position),
        Cell::new(shorten(&name, 24)),
        Cell::new(describe(entry, room)),
        Cell::new(short_hash(&entry.change_hash).get(..8).unwrap_or_default()),
        state(entry),
        Cell::new(entry.attempts),
    ]
}

fn state(entry: &QueueEntry) -> Cell {
    match entry.state {
        _ if entry.waits_for_a_right() => Cell::new("not allowed").paint(Paint::Red),
        QueueState::Waiting => Cell::new("waiting"),
        QueueState::Sent => Cell::new("sent").paint(Paint::Green),
        QueueState::Parked => Cell::new("parked").paint(Paint::Red),
    }
}

/// The action as a person would say it, in so many characters: `insert /list/- "tent"`.
pub(crate) fn describe(entry: &QueueEntry, room: usize) -> String {
    let said = shorten(&printable(&say(entry)), room);
    if !entry.already_so {
        return said;
    }
    let note = nothing_done(entry.action_type.as_deref().unwrap_or_default());
    format!("{} {note}", shorten(&said, room.saturating_sub(note.len() + 1)))
}

fn say(entry: &QueueEntry) -> String {
    let Some(Value::Object(action)) = &entry.action else {
        return entry.action_type.clone().unwrap_or_else(|| "(another program's)".to_owned());
    };
    let mut words = vec![entry.action_type.clone().unwrap_or_default()];
    for (key, value) in action {
        match (key.as_str(), value) {
            ("type", _) => {}
            ("path", Value::String(path)) => words.push(place(path)),
            ("of", Value::String(hash)) => words.push(hash.chars().take(12).collect()),
            ("by", by) => words.push(format!("by {by}")),
            ("pos", pos) => words.push(format!("at {pos}")),
            ("delete", n) => words.push(if n == 0 { String::new() } else { format!("-{n}") }),
            ("insert", Value::String(text)) if text.is_empty() => {}
            ("insert", text) => words.push(format!("+{text}")),
            (_, value) => words.push(value.to_string()),
        }
    }
    words.retain(|w| !w.is_empty());
    words.join(" ")
}

/// What a person can do where the server had no room for a change.
const NO_ROOM: &str = "No room: nothing is lost, and each sync offers it again. Whoever runs the server can make room: \
    `rejoin-server --document-actors N`, `--document-heads N`, `--document-bytes N`; `rejoin-server doctor` names who took it.";

/// Why something is not on its way, below the table: the newest failure, and the parked.
fn explain(context: &Context, entries: &[QueueEntry]) {
    let failed = entries.iter().filter(|e| e.state != QueueState::Parked).max_by_key(|e| e.last_attempt_at);
    if let Some((entry, error)) = failed.and_then(|e| e.last_error.as_deref().map(|error| (e, error))) {
        let next = entry.next_attempt_at.map(|at| format!("; next try {}", relative(at, now())));
        let error = short_hashes(&printable(error));
        context.out.note(format_args!("Last error: {error}{}", next.unwrap_or_default()));
    }
    for entry in entries.iter().filter(|e| e.state == QueueState::Parked).take(5) {
        let why = entry
            .last_error
            .as_deref()
            .map_or_else(String::new, |e| format!(": {}", short_hashes(&printable(e))));
        context.out.note(format_args!("Parked {}{why}", entry.position));
    }
    if entries.iter().any(QueueEntry::waits_for_room) {
        context.out.note(NO_ROOM);
    }
    let for_good = |e: &&QueueEntry| e.state == QueueState::Parked && !e.waits_for_room();
    if entries.iter().find(for_good).is_some() {
        context.out.note("See `rejoin queue show ID`, then `retry` or `drop` it.");
    }
}

/// What to do about those that this token may not push, a document a line.
fn explain_rights(context: &Context, entries: &[QueueEntry], documents: &[DocumentInfo]) {
    let waits = |d: &&DocumentInfo| entries.iter().any(|e| e.document == d.id && e.waits_for_a_right());
    for document in documents.iter().filter(waits).take(5) {
        context.out.note(format_args!("{}: {}.", title(document), not_allowed(document)));
    }
}

async fn show(context: &mut Context, id: &str) -> Result<Exit> {
    let store = context.open().await?;
    let entry = store.find_queued(id).await?;
    if context.out.is_json() {
        context.out.json(&json_entry(&entry))?;
        return Ok(Exit::Done);
    }
    let action = entry.action.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let state = match entry.state {
        _ if entry.waits_for_a_right() => {
            "waiting: this token may not write there; each sync offers it again"
        }
        QueueState::Waiting => "waiting: it goes at the next sync",
        QueueState::Sent => "sent: the server has it, and it leaves the queue at the next sync",
        QueueState::Parked if entry.waits_for_room() => {
            "parked: no room at the server; each sync offers it again"
        }
        QueueState::Parked => "parked: the server refused it, or one that it builds on",
    };
    let lines = [
        ("position", entry.position.to_string()),
        ("document", entry.document.to_string()),
        ("change", entry.change_hash.to_string()),
        ("action", action),
        ("state", state.to_owned()),
        ("enqueued", ago(entry.enqueued_at)),
        ("tries", entry.attempts.to_string()),
        ("last try", ago_or(entry.last_attempt_at, "never")),
        ("last error", entry.last_error.as_deref().unwrap_or("none").to_owned()),
        ("next try", ago_or(entry.next_attempt_at, "at the next sync")),
    ];
    print_card(context, &lines)?;
    if entry.waits_for_room() {
        context.out.note(NO_ROOM);
    }
    Ok(Exit::Done)
}

async fn retry(context: &mut Context, id: Option<&str>) -> Result<Exit> {
    let store = context.open().await?;
    let again = match id {
        Some(id) => store.retry(id).await?,
        None => retry_all(&store).await?,
    };
    if context.out.is_json() {
        context.out.json(&json!({ "retried": again }))?;
    } else if again == 0 {
        context.out.note("Nothing was parked or put off: what waits goes at the next sync.");
    } else {
        context.out.line(format_args!("{} to be offered again at the next sync", count(again, "change")))?;
    }
    Ok(Exit::Done)
}

/// One of each document: those that wait there go with it.
async fn retry_all(store: &Store) -> Result<u64> {
    let (mut again, mut done) = (0, HashSet::new());
    for entry in store.queue(None).await? {
        if done.insert(entry.document) {
            again += store.retry(&entry.change_hash.to_string()).await?;
        }
    }
    Ok(again)
}

async fn drop_row(context: &mut Context, id: &str, yes: bool) -> Result<Exit> {
    let store = context.open().await?;
    // By its full hash: the list may change while the question is open, and the numbers with it.
    let id = store.find_queued(id).await?.change_hash.to_string();
    let plan = store.plan_drop(&id).await?;
    if !yes {
        name_what_goes(context, &store, &plan).await?;
        let what = format!(
            "{} would be taken out of the document here, for good",
            count(plan.dropped.len() as u64, "change")
        );
        context.confirm(yes, &what, "Drop?")?;
    }
    let done = store.drop_queued(&id).await?;
    if context.out.is_json() {
        let dropped: Vec<_> = done.dropped.iter().map(json_entry).collect();
        context.out.json(&json!({ "dropped": dropped, "rewritten": done.rewritten }))?;
        return Ok(Exit::Done);
    }
    for entry in &done.dropped {
        let with = if entry.change_hash.to_string() == id { "" } else { ", which touches what went" };
        let line = format!("dropped {} {}{with}", short_hash(&entry.change_hash), describe(entry, LONGEST));
        context.out.line(line)?;
    }
    if done.rewritten > 0 {
        context.out.note(format_args!("{} written again without it.", count(done.rewritten, "later change")));
    }
    Ok(Exit::Done)
}

/// Before the question, so that the answer is an informed one: on standard error, as the question is.
async fn name_what_goes(context: &Context, store: &Store, plan: &DropPlan) -> Result<()> {
    let documents = store.documents().await?;
    for entry in &plan.dropped {
        let document = documents.iter().find(|d| d.id == entry.document).map(title).unwrap_or_default();
        let hash = short_hash(&entry.change_hash);
        context.out.note(format_args!("  {} {document} {hash} {}", entry.position, describe(entry, LONGEST)));
    }
    if plan.rewritten > 0 {
        context
            .out
            .note(format_args!("  and {} written again without it", count(plan.rewritten, "later change")));
    }
    Ok(())
}

/// A row for programs, with the names of the SQL view `queue`.
fn json_entry(entry: &QueueEntry) -> Value {
    json!({
        "position": entry.position,
        "document": entry.document,
        "action_type": entry.action_type,
        "action": entry.action,
        "change_hash": entry.change_hash.to_string(),
        "enqueued_at": rfc3339(entry.enqueued_at),
        "attempts": entry.attempts,
        "last_attempt_at": json_time(entry.last_attempt_at),
        "last_error": entry.last_error,
        "next_attempt_at": json_time(entry.next_attempt_at),
        "state": entry.state,
        "already_so": entry.already_so,
    })
}
