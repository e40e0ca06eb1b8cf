use clap::Args;
use rejoin::{DocumentId, UndoKind, Undone};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, place, printable, short_hash};
use crate::output::Paint;

/// Undo the last action made here, by a new change
///
/// Works before a sync and after it. Where others wrote at the same place since, theirs stays. Typed again, the
/// action before that is undone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin undo trip
  rejoin undo trip --json
  rejoin undo trip && rejoin undo trip         the last two")]
pub(crate) struct UndoArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
}

/// Do the last undone action again, by a new change
///
/// There is nothing to redo once another action was made after the undo.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin redo trip
  rejoin redo trip --json")]
pub(crate) struct RedoArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
}

pub(crate) async fn undo(context: &mut Context, args: UndoArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let nothing = || {
        CliError::failed(
            "there is nothing to undo: no action made here is left",
            "`rejoin log` shows the history; what others did is undone where they did it",
        )
    };
    tell(context, id, &store.undo(id).await?.ok_or_else(nothing)?)
}

pub(crate) async fn redo(context: &mut Context, args: RedoArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let nothing = || {
        CliError::failed(
            "there is nothing to redo: nothing was undone here, or an action came after it",
            "`rejoin log` shows the history",
        )
    };
    tell(context, id, &store.redo(id).await?.ok_or_else(nothing)?)
}

pub(super) fn tell(context: &mut Context, id: DocumentId, done: &Undone) -> Result<Exit> {
    if context.out.is_json() {
        context.out.json(&json!({
            "document": id,
            "hash": done.hash.to_string(),
            "kind": done.kind.name(),
            "of": done.of.to_string(),
            "action": done.action.to_string(),
            "action_type": done.action_type,
            "undone": done.undone,
            "skipped": done.skipped,
            "left": done.left,
        }))?;
        return Ok(Exit::Done);
    }
    let hash = context.out.paint(Paint::Yellow, short_hash(&done.hash));
    let verb = match done.kind {
        UndoKind::Redo => "redid",
        UndoKind::Revert => "reverted",
        _ => "undid",
    };
    let action = done.action_type.as_deref().map_or_else(|| "a change".to_owned(), printable);
    let what = format!("{hash} {verb} {action} {}", short_hash(&done.action));
    let left = match (done.undone, done.skipped) {
        (_, 0) => String::new(),
        (0, _) => ", but nothing of it was left: others wrote there since, or undid it".to_owned(),
        (_, n) => format!(", but for {} where others wrote since", count(n, "place")),
    };
    context.out.line(format_args!("{what}{left}"))?;
    for path in &done.left {
        let path = place(path);
        context.out.line(format_args!("  left as it is: {path}"))?;
    }
    Ok(Exit::Done)
}
