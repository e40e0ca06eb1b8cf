//! `rejoin quarantine`: show the changes that were left out of documents, why, and whose they say they are.

use clap::Args;
use rejoin::{ChangeHash, DocumentId, DocumentInfo, QuarantinedChange, Store};
use serde_json::{Value, json};

use super::{ago, json_time, provenance, title};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{count, moment, printable, rfc3339, short_hash, short_hashes, shorten};
use crate::output::Paint;

/// Show the changes that were left out of documents, why, and whose they say they are
///
/// A change is left out when it would harm the document, or was made on one that does. The document goes on without it,
/// and so does everybody else's. Exit code 5: there are some that nobody has seen; with `--seen` they count as seen from
/// then on, and call nobody until another one comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin quarantine                            of all documents
  rejoin quarantine trip --seen                I looked at it
  rejoin quarantine --json")]
pub(crate) struct QuarantineArgs {
    /// Only of this document: name, UUID, start of a UUID, or automerge: URL
    doc: Option<String>,
    /// Those that are listed count as seen from now on
    #[arg(long)]
    seen: bool,
}

pub(crate) async fn run(context: &mut Context, args: QuarantineArgs) -> Result<Exit> {
    let store = context.open().await?;
    let id = match &args.doc {
        Some(doc) => Some(store.find(doc).await?),
        None => None,
    };
    let mut changes = store.quarantined(id).await?;
    if args.seen {
        note_seen(&store, &changes).await?;
        changes = store.quarantined(id).await?;
    }
    if context.out.is_json() {
        context.out.json(&changes.iter().map(json_change).collect::<Vec<_>>())?;
    } else if changes.is_empty() {
        context.out.note("No change is left out.");
    } else {
        print(context, &store.documents().await?, &changes)?;
    }
    if changes.iter().any(|change| change.local) {
        context.out.note(MADE_HERE);
    }
    let new = changes.iter().filter(|change| change.seen_at.is_none()).count();
    if new > 0 {
        context.out.note(format_args!(
            "{} not seen yet: `rejoin quarantine --seen` says that you looked.",
            count(new as u64, "change")
        ));
    }
    Ok(if new > 0 { Exit::NeedsPerson } else { Exit::Done })
}

/// What a person can do about changes of their own that were made on one that does harm.
const MADE_HERE: &str = "What was made here on one of the others is left out with it: `rejoin show` tells what it did, to be \
    done again.";

/// What was listed, and nothing that came meanwhile.
async fn note_seen(store: &Store, changes: &[QuarantinedChange]) -> Result<()> {
    let mut ids: Vec<DocumentId> = changes.iter().map(|change| change.document).collect();
    ids.dedup();
    for id in ids {
        let of = changes.iter().filter(|change| change.document == id);
        let hashes: Vec<ChangeHash> = of.map(|change| change.change_hash).collect();
        store.note_quarantine_seen(id, &hashes).await?;
    }
    Ok(())
}

/// Two lines a change: what it says of itself, and why it is left out.
fn print(context: &mut Context, documents: &[DocumentInfo], changes: &[QuarantinedChange]) -> Result<()> {
    for change in changes {
        let hash = context.out.paint(Paint::Yellow, short_hash(&change.change_hash));
        let document = documents.iter().find(|d| d.id == change.document);
        let name = document.map_or_else(|| change.document.to_string(), title);
        let seen = if change.seen_at.is_some() { "  (seen)" } else { "" };
        let elsewhere = change.own_actor && !change.local;
        let mut beside = provenance(change.author.as_deref(), elsewhere, change.pushed_by.as_deref());
        if change.local {
            beside.push_str("  (made here)");
        }
        let action = change.action_type.as_deref().map_or_else(|| "a change".to_owned(), printable);
        let author = change.author.as_deref().map_or_else(|| "nobody".to_owned(), printable);
        let came = change.arrived_at.map_or_else(|| moment(change.made_at), ago);
        context.out.say(format_args!(
            "{hash}  {}  {action} by {}, came {came}{beside}{seen}",
            shorten(&name, 36),
            shorten(&author, 24)
        ))?;
        let why = format!("    left out: {}", short_hashes(&printable(&change.why)));
        let why = context.out.wrapped(&why, 8);
        context.out.line(why)?;
    }
    Ok(())
}

/// With the names of the SQL view `history`.
fn json_change(change: &QuarantinedChange) -> Value {
    json!({
        "document": change.document,
        "change_hash": change.change_hash.to_string(),
        "why": change.why,
        "action_type": change.action_type,
        "author": change.author,
        "made_at": rfc3339(change.made_at),
        "pushed_by": change.pushed_by,
        "own_actor": change.own_actor,
        "local": change.local,
        "arrived_at": json_time(change.arrived_at),
        "seen_at": json_time(change.seen_at),
    })
}
