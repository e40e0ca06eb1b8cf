//! `rejoin show`: show all of one change: who, when, on what, every edit, and what it made different.

use clap::Args;
use rejoin::{Edits, HistoryEntry};
use serde_json::json;

use super::log::{beside, changed_by, edits, json_entry};
use crate::context::Context;
use crate::differences;
use crate::edits::{nothing_done, sentence};
use crate::error::{CliError, Exit, Result};
use crate::format::{moment, printable, short_hash};
use crate::output::Paint;

/// Show all of one change: who, when, on what, every edit, and what it made different
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin show trip 4f1c09ab                    a hash, or its beginning
  rejoin show trip 4f1c09ab --json")]
pub(crate) struct ShowArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The change: its hash, or the beginning of it
    change: String,
}

pub(crate) async fn run(context: &mut Context, args: ShowArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let hash = store.resolve_hash(id, &args.change).await?;
    let entry = store.history(id, None).await?.into_iter().find(|entry| entry.hash == hash);
    let entry = entry.ok_or_else(|| {
        CliError::failed(
            format!("the change {} is nobody's action: it makes a container", short_hash(&hash)),
            "`rejoin log` lists the actions of the document",
        )
    })?;
    let done = edits(&store, id, std::slice::from_ref(&entry)).await?;
    let Some(done) = done.first() else { return Ok(Exit::Done) };
    let differences = changed_by(&store, id, &entry).await?;
    if context.out.is_json() {
        let mut value = json_entry(&entry, done);
        if let Some(object) = value.as_object_mut() {
            object.insert("differences".to_owned(), json!(differences));
        }
        context.out.json(&value)?;
        return Ok(Exit::Done);
    }
    context.out.page();
    print_head(context, &entry, done)?;
    if done.already_so {
        let note = nothing_done(entry.action_type.as_deref().unwrap_or_default());
        context.out.line(format_args!("  {note}"))?;
    }
    for edit in &done.edits {
        let line = context.out.wrapped(&format!("  {}", sentence(edit, usize::MAX)), 6);
        context.out.line(line)?;
    }
    if !differences.is_empty() {
        context.out.line("")?;
    }
    for difference in &differences {
        let line = differences::line(&context.out, difference, 0);
        context.out.line(line)?;
    }
    Ok(Exit::Done)
}

/// The change itself, a field a line.
fn print_head(context: &mut Context, entry: &HistoryEntry, edits: &Edits) -> Result<()> {
    let out = &mut context.out;
    let hash = out.paint(Paint::Yellow, entry.hash);
    out.line(format_args!("change   {hash}"))?;
    let author = entry.author.as_deref().map_or_else(|| "-".to_owned(), printable);
    let beside = beside(entry);
    let lines = [
        ("author", Some(author)),
        ("actor", Some(entry.actor.to_hex_string())),
        ("time", Some(moment(entry.made_at))),
        ("action", entry.action_type.as_deref().map(printable)),
        ("of", edits.of.map(|of| of.to_string())),
        ("on", Some(entry.deps.iter().map(short_hash).collect::<Vec<_>>().join(" "))),
        ("note", Some(beside.trim().to_owned())),
    ];
    for (name, value) in lines {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let line = out.wrapped(&format!("{name:<8} {value}"), 9);
            out.line(line)?;
        }
    }
    if let Some(message) = &edits.message {
        out.line("")?;
        for line in message.lines() {
            let line = out.wrapped(&format!("    {}", printable(line)), 4);
            out.line(line)?;
        }
    }
    out.line("")
}
