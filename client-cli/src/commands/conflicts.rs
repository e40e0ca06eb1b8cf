//! `rejoin conflicts`: list the places where concurrent writes met: every value, who wrote it and when.

use clap::Args;
use rejoin::{Choice, Conflict, ConflictValue, DocumentId, Store};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::blame::{beside, json_writer, who};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{parse_pointer, place, printable, short_hash, shorten};
use crate::output::Paint;

/// List the places where concurrent writes met: every value, who wrote it and when
///
/// Nothing has to be done about them: every device shows the same value, the one marked with *. With `--take`, one
/// of the values is taken by a new action, and the place is listed no more. Writing there settles it as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin conflicts trip
  rejoin conflicts trip /people
  rejoin conflicts trip /title --take 2        the second value of those listed
  rejoin conflicts trip /title --take 4f1c09ab the one that this change wrote")]
pub(crate) struct ConflictsArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Only at this place and under it, as a JSON Pointer [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
    /// Take the value with this number, or of this change, at exactly this place
    #[arg(long, value_name = "N|HASH")]
    take: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: ConflictsArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    if let Some(choice) = &args.take {
        return take(context, (&store, id), &args.pointer, choice).await;
    }
    let conflicts = store.conflicts(id, &args.pointer).await?;
    if context.out.is_json() {
        context.out.json(&conflicts.iter().map(json_conflict).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if conflicts.is_empty() {
        context.out.note("No writes met: there is no place with several values.");
    }
    for conflict in &conflicts {
        let path = context.out.cut(&place(&conflict.path), 0);
        context.out.line(path)?;
        for (nth, value) in (1..).zip(&conflict.values) {
            print_value(context, nth, value)?;
        }
    }
    Ok(Exit::Done)
}

async fn take(
    context: &mut Context,
    (store, id): (&Store, DocumentId),
    pointer: &str,
    choice: &str,
) -> Result<Exit> {
    let choice = match choice.parse::<usize>() {
        // A short number is a place in the list; a hash of digits alone would be longer than any list.
        Ok(nth) if choice.len() < 4 => Choice::Index(nth.checked_sub(1).ok_or_else(|| {
            CliError::usage("there is no value 0", "the values are numbered from 1; see `rejoin conflicts`")
        })?),
        _ => Choice::Change(store.resolve_hash(id, choice).await?),
    };
    let receipt = store.take(id, pointer, choice).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "document": id, "hash": receipt.hash.to_string() }))?;
    } else {
        let hash = context.out.paint(Paint::Yellow, short_hash(&receipt.hash));
        context.out.line(format_args!("{hash} take {}", place(pointer)))?;
    }
    Ok(Exit::Done)
}

fn print_value(context: &mut Context, nth: usize, value: &ConflictValue) -> Result<()> {
    let out = &mut context.out;
    let mark = if value.wins { "*" } else { " " };
    let hash = out.paint(Paint::Yellow, short_hash(&value.writer.hash));
    let time = super::line_time(out, (!value.writer.container).then_some(value.writer.made_at));
    let taken = super::HASH + time.width() + 2;
    let time = out.paint(Paint::Dim, time);
    let read = shorten(&printable(&value.value.to_string()), 60);
    let beside = beside(&value.writer);
    let who = who(&value.writer);
    if out.is_narrow() {
        // The value first: it is what is chosen by.
        let value = out.cut(&format!("{read}  {who}{beside}"), 4);
        out.line(format_args!("{mark} {nth} {value}"))?;
        return out.line(format_args!("    {hash}"));
    }
    let before = format!("{mark} {nth}  ");
    let text = out.cut(&format!("{who:<12}  {read}{beside}"), before.len() + taken);
    out.line(format_args!("{before}{hash}  {time}  {text}"))
}

fn json_conflict(conflict: &Conflict) -> Value {
    let values = conflict.values.iter().map(|value| {
        let mut object = json_writer(&value.writer);
        if let Some(object) = object.as_object_mut() {
            object.insert("value".to_owned(), value.value.clone());
            object.insert("wins".to_owned(), value.wins.into());
        }
        object
    });
    json!({ "path": conflict.path, "values": values.collect::<Vec<_>>() })
}
