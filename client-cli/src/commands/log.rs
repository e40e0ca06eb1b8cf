//! `rejoin log`: show a document's history, newest first: hash, time, author or actor, what was done and where.

use clap::Args;
use rejoin::{ChangeHash, DocumentId, Edits, HistoryEntry, Store};
use serde_json::{Value, json};

use super::queue::{LONGEST, describe};
use super::{Told, json_time, print_line, provenance};
use crate::context::Context;
use crate::differences;
use crate::edits::deed;
use crate::error::{Exit, Result};
use crate::format::{ahead, parse_pointer, place, printable, rfc3339, short_hash, short_hashes, shorten};

/// How many changes are read before the first is shown: a long history begins at once.
const PART: usize = 64;
/// By how much more each part is than the one before it. What changes did is told by a walk through the whole history, for
/// each part: so there are few of them.
const MORE: usize = 8;

/// Show a document's history, newest first: hash, time, author or actor, what was done and where
///
/// With a path, only what was done there, to what is in it, or to what holds it. On a terminal it is shown by
/// $REJOIN_PAGER, else $PAGER, else `less -FRX`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin log trip
  rejoin log trip -n 5
  rejoin log trip /title                       what was done at one place
  rejoin log trip /list/0 -p                   with what each made different
  rejoin log trip --json")]
pub(crate) struct LogArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Only what was done there, as a JSON Pointer [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
    /// At most this many, the newest
    #[arg(short = 'n', long = "newest", value_name = "N", allow_negative_numbers = true)]
    newest: Option<usize>,
    /// Show what each change made different
    #[arg(short = 'p', long)]
    patch: bool,
}

pub(crate) async fn run(context: &mut Context, args: LogArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let mut history = match args.pointer.as_str() {
        "" => store.history(id, args.newest).await?,
        pointer => store.history_of(id, pointer, args.newest).await?,
    };
    history.sort_by_key(|entry| std::cmp::Reverse(entry.position));
    if context.out.is_json() {
        let mut lines = Vec::with_capacity(history.len());
        for (entry, edits) in history.iter().zip(edits(&store, id, &history).await?) {
            lines.push(json_line((&store, id), (entry, &edits), args.patch).await?);
        }
        context.out.json(&lines)?;
        return Ok(Exit::Done);
    }
    if history.is_empty() && !args.pointer.is_empty() && args.newest != Some(0) {
        let place = place(&args.pointer);
        context.out.note(format_args!("Nothing was ever at {place}: no change wrote there."));
        return Ok(Exit::Done);
    }
    context.out.page();
    for part in parts(&history) {
        for (entry, edits) in part.iter().zip(edits(&store, id, part).await?) {
            print_entry(context, &store, (entry, &edits)).await?;
            if args.patch {
                print_differences(context, (&store, id), entry).await?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Each part larger than the one before it.
fn parts(history: &[HistoryEntry]) -> impl Iterator<Item = &[HistoryEntry]> {
    let (mut rest, mut size) = (history, PART);
    std::iter::from_fn(move || {
        let (part, more) = rest.split_at(size.min(rest.len()));
        (rest, size) = (more, size.saturating_mul(MORE));
        (!part.is_empty()).then_some(part)
    })
}

/// What these changes did, in the same order.
pub(super) async fn edits(store: &Store, id: DocumentId, history: &[HistoryEntry]) -> Result<Vec<Edits>> {
    let hashes: Vec<ChangeHash> = history.iter().map(|entry| entry.hash).collect();
    Ok(store.edits(id, &hashes).await?)
}

pub(super) async fn print_entry(
    context: &mut Context,
    store: &Store,
    (entry, edits): (&HistoryEntry, &Edits),
) -> Result<()> {
    let what = match queued_deed(store, entry, edits).await? {
        Some(what) => what,
        None => deed(entry, edits),
    };
    let told = Told { who: &who(entry), what: &what, beside: &beside(entry) };
    print_line(context, (&entry.hash, Some(entry.made_at)), &told)
}

/// What a change was to do that did nothing: the queue knows, as long as it waits there.
async fn queued_deed(store: &Store, entry: &HistoryEntry, edits: &Edits) -> Result<Option<String>> {
    if !edits.already_so || !entry.local || entry.acknowledged_at.is_some() {
        return Ok(None);
    }
    match store.find_queued(&entry.hash.to_string()).await {
        Ok(queued) => Ok(Some(describe(&queued, LONGEST))),
        // It left the queue meanwhile.
        Err(rejoin::Error::UnknownQueueRow(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the change made different, a line a place, and an empty line.
async fn print_differences(
    context: &mut Context,
    (store, id): (&Store, DocumentId),
    entry: &HistoryEntry,
) -> Result<()> {
    for difference in changed_by(store, id, entry).await? {
        let line = differences::line(&context.out, &difference, 4);
        context.out.line(line)?;
    }
    context.out.line("")
}

/// What differs between what the change was made on and what it left. Nothing where it is not in the document.
pub(super) async fn changed_by(
    store: &Store,
    id: DocumentId,
    entry: &HistoryEntry,
) -> Result<Vec<rejoin::Difference>> {
    if entry.quarantined.is_some() || entry.replaced_by.is_some() {
        return Ok(Vec::new());
    }
    Ok(store.diff(id, &entry.deps, Some(&[entry.hash])).await?)
}

/// The author, else the start of the actor's id.
pub(super) fn who(entry: &HistoryEntry) -> String {
    let actor = || entry.actor.to_hex_string().chars().take(12).collect();
    entry.author.as_deref().map_or_else(actor, |author| shorten(&printable(author), 24))
}

/// How the change stands, and what is to be known of whose it is.
pub(super) fn beside(entry: &HistoryEntry) -> String {
    let stands = match (&entry.quarantined, &entry.replaced_by, entry.acknowledged_at) {
        (Some(why), _, _) => format!("  left out: {}", short_hashes(&printable(why))),
        (_, Some(new), _) => format!("  written again as {}", short_hash(new)),
        (_, _, None) if entry.local => "  (queued)".to_owned(),
        _ => String::new(),
    };
    let elsewhere = entry.own_actor && !entry.local;
    let whose = provenance(entry.author.as_deref(), elsewhere, entry.pushed_by.as_deref());
    format!("{stands}{whose}{}", ahead(entry.made_at))
}

/// A line for programs, and with what it made different where that is asked for.
async fn json_line(
    (store, id): (&Store, DocumentId),
    (entry, edits): (&HistoryEntry, &Edits),
    patch: bool,
) -> Result<Value> {
    let mut line = json_entry(entry, edits);
    if patch && let Some(object) = line.as_object_mut() {
        object.insert("differences".to_owned(), json!(changed_by(store, id, entry).await?));
    }
    Ok(line)
}

pub(super) fn json_entry(entry: &HistoryEntry, edits: &Edits) -> Value {
    json!({
        "position": entry.position,
        "hash": entry.hash.to_string(),
        "deps": entry.deps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "actor": entry.actor.to_hex_string(),
        "author": entry.author,
        "action_type": entry.action_type,
        "message": edits.message,
        "of": edits.of.map(|of| of.to_string()),
        "edits": edits.edits,
        "already_so": edits.already_so,
        "made_at": rfc3339(entry.made_at),
        "origin": if entry.local { "local" } else { "remote" },
        "own_actor": entry.own_actor,
        "pushed_by": entry.pushed_by,
        "acknowledged_at": json_time(entry.acknowledged_at),
        "replaced_by": entry.replaced_by.as_ref().map(ToString::to_string),
        "quarantined": entry.quarantined,
    })
}
