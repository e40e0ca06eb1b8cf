//! `rejoin blame`: show who wrote what is at a path, and with which action.

use clap::Args;
use rejoin::{Blame, Writer};
use serde_json::{Value, json};

use super::{Told, print_line, provenance};
use crate::context::{Context, resolve_heads};
use crate::error::{Exit, Result};
use crate::format::{parse_pointer, place, printable, rfc3339, short_hash, shorten};

/// Show who wrote what is at a path, and with which action
///
/// Of a text, each run that one action wrote; of a counter, each action that added to it; of a map or list, everything in it. What was put back by an undo is
/// shown with the one who first wrote it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin blame trip /title
  rejoin blame trip /note                      a text: who wrote which part
  rejoin blame trip                            everything
  rejoin blame trip /note --at 4f1c09ab        as it was after that change")]
pub(crate) struct BlameArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
    /// The heads to read at: hashes or their beginnings, separated by commas
    #[arg(long, value_name = "HEAD[,HEAD…]", value_delimiter = ',')]
    at: Vec<String>,
}

pub(crate) async fn run(context: &mut Context, args: BlameArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let heads = resolve_heads(&store, id, &args.at).await?;
    let at = (!heads.is_empty()).then_some(heads.as_slice());
    let lines = store.blame(id, &args.pointer, at).await?;
    if context.out.is_json() {
        context.out.json(&lines.iter().map(json_blame).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    context.out.page();
    for blame in &lines {
        print(context, blame)?;
    }
    Ok(Exit::Done)
}

/// The author, else the start of the actor's id.
pub(super) fn who(writer: &Writer) -> String {
    let actor = || writer.actor.to_hex_string().chars().take(12).collect();
    match &writer.author {
        _ if writer.container => "-".to_owned(),
        Some(author) => shorten(&printable(author), 24),
        None => actor(),
    }
}

/// What is to be known beside the author that it names.
pub(super) fn beside(writer: &Writer) -> String {
    // The same change on every device: whoever pushed it first.
    if writer.container {
        return String::new();
    }
    let elsewhere = writer.own_actor && !writer.local;
    provenance(writer.author.as_deref(), elsewhere, writer.pushed_by.as_deref())
}

fn print(context: &mut Context, blame: &Blame) -> Result<()> {
    let writer = &blame.writer;
    let action = match &writer.action_type {
        _ if writer.container => "(container)".to_owned(),
        Some(action) => printable(action),
        None => "(another program's)".to_owned(),
    };
    let path = place(&blame.path);
    let span = blame.start.zip(blame.length).map(|(start, length)| format!(" {start}..{}", start + length));
    let added = blame.added.map(|by| format!(" {by:+}")).unwrap_or_default();
    let back = blame.restored_by.map(|hash| format!("  put back by {}", short_hash(&hash)));
    let (span, back) = (span.unwrap_or_default(), back.unwrap_or_default());
    let what = format!("{action:<9}  {path}{span}{added}{back}");
    let made_at = (!writer.container).then_some(writer.made_at);
    let told = Told { who: &who(writer), what: &what, beside: &beside(writer) };
    print_line(context, (&writer.hash, made_at), &told)
}

fn json_blame(blame: &Blame) -> Value {
    let mut object = json_writer(&blame.writer);
    if let Some(object) = object.as_object_mut() {
        object.insert("path".to_owned(), blame.path.clone().into());
        if let Some((start, length)) = blame.start.zip(blame.length) {
            object.insert("start".to_owned(), start.into());
            object.insert("length".to_owned(), length.into());
        }
        if let Some(by) = blame.added {
            object.insert("added".to_owned(), by.into());
        }
        let back = blame.restored_by.map_or(Value::Null, |hash| hash.to_string().into());
        object.insert("restored_by".to_owned(), back);
    }
    object
}

/// Who wrote something, with the names of the SQL view `history`.
pub(super) fn json_writer(writer: &Writer) -> Value {
    json!({
        "hash": writer.hash.to_string(),
        "actor": writer.actor.to_hex_string(),
        "author": writer.author,
        "action_type": writer.action_type,
        "made_at": (!writer.container).then(|| rfc3339(writer.made_at)),
        "origin": if writer.local { "local" } else { "remote" },
        "own_actor": writer.own_actor,
        "pushed_by": writer.pushed_by,
        "container": writer.container,
    })
}
