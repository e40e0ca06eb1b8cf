//! `rejoin edit`: edit a text, or a document as JSON, in your editor.

use clap::Args;
use rejoin::printable::printable_json;
use rejoin::{Action, ChangeHash, DocumentId, Revised, Revision, Store};
use serde_json::{Value, json};

use super::actions::dispatch;
use crate::context::Context;
use crate::editor::Draft;
use crate::error::{CliError, Exit, Result};
use crate::format::{parse_pointer, place, short_hash};
use crate::numbers::{check_integers, why_not_json};
use crate::output::Paint;

/// Edit a text, or a document as JSON, in your editor
///
/// $VISUAL, else $EDITOR, else vi is opened with the text, or with the JSON of what is there. What you changed becomes
/// one action: in a text the words that differ are spliced, keys are set, elements come and go, what is added to a
/// counter is added. What arrives while the editor is open stays. Where nothing is, a text is made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin edit trip /note                       a text
  rejoin edit trip                             the whole document, as JSON
  EDITOR='code --wait' rejoin edit trip /note")]
pub(crate) struct EditArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
}

pub(crate) async fn run(context: &mut Context, args: EditArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let shown = shown(&store, id, &args.pointer).await?;
    let (text, suffix) = match &shown.value {
        None => (String::new(), ".txt"),
        Some(Value::String(text)) => (text.clone(), ".txt"),
        Some(value) => (indented(value)?, ".json"),
    };
    // Before anybody writes what could not be kept.
    if store.is_read_only().await? {
        return Err(rejoin::Error::ReadOnly.into());
    }
    context.out.flush()?;
    let mut draft = Draft::new(&text, suffix)?;
    let edited = draft.edit()?;
    if edited == text || without_last_break(&text, &edited) == text {
        context.out.note("Nothing was changed.");
        return Ok(Exit::Done);
    }
    match write(context, (&store, id), &args.pointer, (&shown, &text, &edited)).await {
        Ok(exit) => Ok(exit),
        Err(error) => {
            let hint = format!("what you wrote is kept in {}", draft.keep());
            Err(error.with_hint(hint))
        }
    }
}

/// What is edited, and the heads at which it reads so.
pub(super) struct Shown {
    pub(super) heads: Vec<ChangeHash>,
    /// `None` where nothing is.
    pub(super) value: Option<Value>,
}

pub(super) async fn shown(store: &Store, id: DocumentId, pointer: &str) -> Result<Shown> {
    let heads = store.document(id).await?.heads;
    let value = match store.state_at(id, pointer, &heads).await {
        Ok(value) => Some(value),
        Err(rejoin::Error::Action(rejoin::reducer::ActionError::NotFound { .. })) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Shown { heads, value })
}

/// JSON for an editor: nothing in it that nobody sees.
fn indented(value: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|e| CliError::failed(e.to_string(), "`rejoin export` writes it as a file"))?;
    Ok(format!("{}\n", printable_json(&text)))
}

/// Editors end a file with a line break; a text that had none at its end gets none by that.
fn without_last_break<'a>(shown: &str, edited: &'a str) -> &'a str {
    if shown.ends_with('\n') { edited } else { edited.strip_suffix('\n').unwrap_or(edited) }
}

async fn write(
    context: &mut Context,
    (store, id): (&Store, DocumentId),
    pointer: &str,
    (shown, text, edited): (&Shown, &str, &str),
) -> Result<Exit> {
    let new = match &shown.value {
        None => {
            let (path, insert) = (pointer.to_owned(), without_last_break(text, edited).to_owned());
            let action = Action::Splice { path, pos: 0, delete: 0, insert };
            return dispatch(context, (store, id), action).await;
        }
        Some(Value::String(_)) => Value::String(without_last_break(text, edited).to_owned()),
        Some(_) => parse(edited)?,
    };
    let revised = store.revise(id, pointer, &shown.heads, Revision::Value(new)).await?;
    tell(context, id, (pointer, &revised))
}

fn parse(edited: &str) -> Result<Value> {
    let mend = "mend it there";
    check_integers(edited).map_err(|why| CliError::failed(why, mend))?;
    serde_json::from_str(edited)
        .map_err(|error| CliError::failed(why_not_json("what you wrote", &error), mend))
}

/// Tells what came of it. What had nowhere to go is an error.
pub(super) fn tell(
    context: &mut Context,
    id: DocumentId,
    (pointer, revised): (&str, &Revised),
) -> Result<Exit> {
    let path = place;
    if context.out.is_json() {
        let hash = revised.hash.map(|hash| hash.to_string());
        let Revised { left, over, .. } = revised;
        context.out.json(&json!({ "document": id, "hash": hash, "left": left, "over": over }))?;
    } else if let Some(hash) = &revised.hash {
        let hash = context.out.paint(Paint::Yellow, short_hash(hash));
        context.out.line(format_args!("{hash} edit {}", path(pointer)))?;
    } else if revised.left.is_empty() {
        context.out.note("Nothing was changed.");
    }
    for over in &revised.over {
        context.out.note(format_args!(
            "{} was written by others meanwhile: yours stands over it, `rejoin log` shows theirs.",
            path(over)
        ));
    }
    if revised.left.is_empty() {
        return Ok(Exit::Done);
    }
    let places: Vec<String> = revised.left.iter().map(|left| path(left)).collect();
    Err(CliError::failed(
        format!("others took away or rewrote meanwhile what you changed at {}", places.join(", ")),
        "`rejoin log` shows what they did; the rest was written",
    ))
}
