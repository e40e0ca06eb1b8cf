//! `rejoin undo`: undo the last action made here, by a new change.

use clap::Args;
use rejoin::{DocumentId, UndoKind, Undone, UndoneBeside, UndonePart};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, place, printable, short_hash};
use crate::output::Paint;

/// Undo the last action made here, by a new change
///
/// Works before a sync and after it. Where others wrote at the same place since, theirs stays. Typed again, the
/// action before that is undone. What an app made one step, as typing, is undone as one, and what followed by itself
/// from an action (the answer to a request, say) is passed by.
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

/// Another action of the same step.
fn part_json(part: &UndonePart) -> Value {
    json!({"hash": part.hash.to_string(), "of": part.of.to_string(), "action": part.action.to_string()})
}

pub(super) fn tell(context: &mut Context, id: DocumentId, done: &Undone) -> Result<Exit> {
    if context.out.is_json() {
        let mut told = json!({
            "document": id,
            "hash": done.hash.to_string(),
            "kind": done.kind.name(),
            "of": done.of.to_string(),
            "action": done.action.to_string(),
            "action_type": done.action_type,
            "undone": done.undone,
            "skipped": done.skipped,
            "left": done.left,
        });
        // Only apps name and group their actions.
        if let (Some(label), Some(told)) = (&done.label, told.as_object_mut()) {
            told.insert("label".to_owned(), json!(label));
        }
        if let (false, Some(told)) = (done.with.is_empty(), told.as_object_mut()) {
            told.insert("with".to_owned(), done.with.iter().map(part_json).collect());
        }
        if let (false, Some(told)) = (done.beside.is_empty(), told.as_object_mut()) {
            let there = |beside: &UndoneBeside| json!({"document": beside.document, "hash": beside.undone.hash.to_string()});
            told.insert("beside".to_owned(), done.beside.iter().map(there).collect());
        }
        if let (false, Some(told)) = (done.gone.is_empty(), told.as_object_mut()) {
            told.insert("gone".to_owned(), json!(done.gone));
        }
        context.out.json(&told)?;
        return Ok(Exit::Done);
    }
    let hash = context.out.paint(Paint::Yellow, short_hash(&done.hash));
    let verb = match done.kind {
        UndoKind::Redo => "redid",
        UndoKind::Revert => "reverted",
        _ => "undid",
    };
    let action = done.action_type.as_deref().map_or_else(|| "a change".to_owned(), printable);
    let action =
        done.label.as_deref().map_or(action.clone(), |label| format!("{:?} ({action})", printable(label)));
    let beside: usize = done.beside.iter().map(|beside| 1 + beside.undone.with.len()).sum();
    let with = match done.with.len() + beside {
        0 => String::new(),
        n => format!(" and {} of the same step", count(n as u64, "more action")),
    };
    let what = format!("{hash} {verb} {action} {}{with}", short_hash(&done.action));
    let left = match (done.undone, done.skipped) {
        (_, 0) => String::new(),
        // It took the value that read anyway.
        (0, _) if done.action_type.as_deref() == Some("take") => ", and what reads there stays".to_owned(),
        (0, _) => ", but nothing of it was left: others wrote there since, or undid it".to_owned(),
        (_, n) => format!(", but for {} where others wrote since", count(n, "place")),
    };
    context.out.line(format_args!("{what}{left}"))?;
    for id in &done.gone {
        context.out.line(format_args!("  not in {id}: that document is not here any more"))?;
    }
    if done.action_type.as_deref() == Some("take") && done.kind == UndoKind::Undo {
        context.out.note(
            "What a take removed does not come back beside what reads there: `rejoin log` shows each value, `rejoin set` \
             writes one again.",
        );
    }
    for path in &done.left {
        let path = place(path);
        context.out.line(format_args!("  left as it is: {path}"))?;
    }
    Ok(Exit::Done)
}
