use clap::Args;
use rejoin::HistoryEntry;
use serde_json::{Value, json};

use super::{json_time, print_line, provenance};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{ahead, moment, printable, rfc3339, short_hash, shorten};
use crate::output::Paint;

/// Show a document's history, newest first: hash, time, author or actor, action
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin log trip
  rejoin log trip -n 5
  rejoin log trip --json")]
pub(crate) struct LogArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// At most this many, the newest
    #[arg(short = 'n', long = "newest", value_name = "N", allow_negative_numbers = true)]
    newest: Option<usize>,
}

pub(crate) async fn run(context: &mut Context, args: LogArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let mut history = store.history(id, args.newest).await?;
    history.sort_by_key(|entry| std::cmp::Reverse(entry.position));
    if context.out.is_json() {
        context.out.json(&history.iter().map(json_entry).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    for entry in &history {
        let hash = context.out.paint(Paint::Yellow, short_hash(&entry.hash));
        let time = context.out.paint(Paint::Dim, moment(entry.made_at));
        let beside =
            provenance(entry.author.as_deref(), entry.own_actor && !entry.local, entry.pushed_by.as_deref());
        let said = format!("{}{beside}{}", what(entry), ahead(entry.made_at));
        print_line(context, (&hash, &time), (&who(entry), &said))?;
    }
    Ok(Exit::Done)
}

/// The author, else the start of the actor's id.
fn who(entry: &HistoryEntry) -> String {
    let actor = || entry.actor.to_hex_string().chars().take(12).collect();
    entry.author.as_deref().map_or_else(actor, |author| shorten(&printable(author), 24))
}

fn what(entry: &HistoryEntry) -> String {
    let action = entry.action_type.as_deref().map_or_else(|| "(another program's)".to_owned(), printable);
    match (&entry.quarantined, &entry.replaced_by, entry.acknowledged_at) {
        (Some(why), _, _) => format!("{action}  left out: {}", printable(why)),
        (_, Some(new), _) => format!("{action}  written again as {}", short_hash(new)),
        (_, _, None) if entry.local => format!("{action}  (queued)"),
        _ => action,
    }
}

fn json_entry(entry: &HistoryEntry) -> Value {
    json!({
        "position": entry.position,
        "hash": entry.hash.to_string(),
        "deps": entry.deps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "actor": entry.actor.to_hex_string(),
        "author": entry.author,
        "action_type": entry.action_type,
        "made_at": rfc3339(entry.made_at),
        "origin": if entry.local { "local" } else { "remote" },
        "own_actor": entry.own_actor,
        "pushed_by": entry.pushed_by,
        "acknowledged_at": json_time(entry.acknowledged_at),
        "replaced_by": entry.replaced_by.as_ref().map(ToString::to_string),
        "quarantined": entry.quarantined,
    })
}
