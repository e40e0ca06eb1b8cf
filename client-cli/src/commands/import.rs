//! `rejoin import`: take in an Automerge file, or a JSON file, as a document; prints its id alone.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use rejoin::{Action, DocumentId, Store};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::input::BYTE_ORDER_MARK;
use crate::numbers::{check_integers, is_too_deep, why_not_json};

/// The largest part of a JSON file that becomes one change, as its length in bytes: well below what one may be.
const PART: usize = 256 * 1024;

/// How many changes are made durable together.
const GROUP: usize = 5_000;

/// Take in an Automerge file, or a JSON file, as a document; prints its id alone
///
/// An Automerge file keeps its history. A JSON file holds an object; its strings become plain values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin import trip.automerge --name trip
  rejoin import list.json
  curl -s https://example.org/list.json | rejoin import -")]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input
    file: PathBuf,
    /// The id it is to have [default: a random one]
    #[arg(long, value_name = "UUID")]
    id: Option<DocumentId>,
    /// A name for it, on this device alone
    #[arg(long, allow_hyphen_values = true)]
    name: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: ImportArgs) -> Result<Exit> {
    let bytes = without_mark(read(&args.file)?);
    let length = bytes.len() as u64;
    let store = context.open().await?;
    let object = object(&bytes)?;
    let json = object.is_some();
    let id = match object {
        Some(object) => {
            let progress = context.out.progress(Some(length), "importing");
            let done = import_json(&store, object, (&args, &progress)).await;
            progress.finish_and_clear();
            done.map_err(advise).map_err(CliError::shortened)?
        }
        None => store.import(bytes, args.id, args.name.as_deref()).await?,
    };
    if context.out.is_json() {
        let changes = store.document(id).await?.changes;
        context.out.json(&json!({ "id": id, "name": args.name, "changes": changes }))?;
    } else {
        context.out.line(id)?;
        let changes = store.document(id).await?.changes;
        if json && changes > MANY {
            context.out.note(format_args!(
                "The file is too large for one change and became {changes}: `rejoin undo` takes them back one by one, \
                 `rejoin leave {id}` forgets the document before it was sent."
            ));
        }
    }
    Ok(Exit::Done)
}

/// So many changes are worth a word: each is a step of `undo`, and a line of the queue.
const MANY: u64 = 100;

/// What can be done about a part of a JSON file that cannot be written.
fn advise(error: CliError) -> CliError {
    if !error.what().contains("change_bytes") {
        return error;
    }
    error.with_hint(
        "no document was made; one string of a file may have about 1 MiB: take it out of the file, import the rest, and put the \
         long text there with `rejoin append DOC POINTER @FILE`, in files of at most 100,000 characters each",
    )
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file)
            .map_err(|e| CliError::io(format!("{} could not be read", file.display()), e));
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| CliError::io("standard input could not be read", e))?;
    Ok(bytes)
}

/// A mark of UTF-8 that some programs put before a text says nothing of it.
fn without_mark(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    bytes
}

/// The object that the bytes are as JSON; `None` where they are no JSON. (An Automerge file begins with a byte
/// that is none of UTF-8's.)
fn object(bytes: &[u8]) -> Result<Option<Map<String, Value>>> {
    let wrong = std::str::from_utf8(bytes).ok().and_then(|text| check_integers(text).err());
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => match wrong {
            None => Ok(Some(object)),
            Some(why) => Err(CliError::failed(why, "write it with .0 or an exponent, or as a string")),
        },
        Ok(_) => Err(CliError::failed(
            "a document is a JSON object, and this is another JSON value",
            "put it under a key, as in {\"list\": …}",
        )),
        Err(_) if is_utf16(bytes) => Err(CliError::failed(
            "this is JSON as UTF-16, and not as UTF-8",
            "save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`",
        )),
        Err(error) if is_too_deep(&error) => Err(CliError::failed(
            why_not_json("this", &error),
            "import it in parts, the inner ones with `rejoin set` and paths of their own",
        )),
        Err(error) if std::str::from_utf8(bytes).is_ok() => Err(CliError::failed(
            format!("this is neither an Automerge file nor JSON ({error})"),
            "give an Automerge file or a JSON file",
        )),
        Err(_) => Ok(None),
    }
}

/// Whether it is JSON as UTF-16, with its mark or without.
fn is_utf16(bytes: &[u8]) -> bool {
    let read = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).is_ok_and(|text| {
            let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
            text.starts_with(['{', '['])
        })
    };
    bytes.len().is_multiple_of(2) && (read(u16::from_le_bytes) || read(u16::from_be_bytes))
}

/// All of it, or nothing: a document that cannot be filled is forgotten again.
async fn import_json(
    store: &Store,
    object: Map<String, Value>,
    (args, progress): (&ImportArgs, &ProgressBar),
) -> Result<DocumentId> {
    let id = store.create(args.id, args.name.as_deref()).await?;
    let mut actions = Vec::new();
    split(String::new(), Value::Object(object), &mut actions);
    let filled = fill((store, id), actions, progress).await;
    if filled.is_err() {
        store.leave(id).await?;
    }
    filled.map(|()| id)
}

async fn fill(
    (store, id): (&Store, DocumentId),
    mut actions: Vec<Action>,
    progress: &ProgressBar,
) -> Result<()> {
    let (all, length) = (actions.len() as u64, progress.length().unwrap_or(0));
    while !actions.is_empty() {
        let later = actions.split_off(actions.len().min(GROUP));
        for result in store.dispatch_in_turn(id, actions).await? {
            result?;
        }
        actions = later;
        let done = all - actions.len() as u64;
        progress.set_position(length.saturating_mul(done) / all);
    }
    Ok(())
}

/// One action for a value that fits a change, else one for each of its parts.
fn split(path: String, value: Value, actions: &mut Vec<Action>) {
    match emptied(&value) {
        None => actions.push(Action::Set { path, value }),
        Some(empty) => {
            // The document itself is a map already.
            if !path.is_empty() {
                actions.push(Action::Set { path: path.clone(), value: empty });
            }
            split_parts(&path, value, actions);
        }
    }
}

/// What is put first for a map or list that is too large for one change.
fn emptied(value: &Value) -> Option<Value> {
    let large = || serde_json::to_string(value).map_or(0, |text| text.len()) > PART;
    match value {
        Value::Object(_) if large() => Some(Value::Object(Map::new())),
        Value::Array(_) if large() => Some(Value::Array(Vec::new())),
        _ => None,
    }
}

fn split_parts(path: &str, value: Value, actions: &mut Vec<Action>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                split(format!("{path}/{key}"), value, actions);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.into_iter().enumerate() {
                split_item(path, index, value, actions);
            }
        }
        _ => {}
    }
}

/// An item is inserted at the list's end; a large one is inserted empty, and filled.
fn split_item(list: &str, index: usize, value: Value, actions: &mut Vec<Action>) {
    let path = format!("{list}/-");
    match emptied(&value) {
        None => actions.push(Action::Insert { path, value }),
        Some(empty) => {
            actions.push(Action::Insert { path, value: empty });
            split_parts(&format!("{list}/{index}"), value, actions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_one_change_and_a_large_one_is_split_where_it_must_be() {
        let split_all = |value: Value| {
            let mut actions = Vec::new();
            split(String::new(), value, &mut actions);
            actions.iter().map(|a| format!("{} {}", a.kind(), a.path())).collect::<Vec<_>>()
        };
        assert_eq!(split_all(json!({"a": [1, 2]})), ["set "]);
        let (large, half) = ("x".repeat(PART), "x".repeat(PART / 2));
        assert_eq!(split_all(json!({"a/b": 1, "c": large})), ["set /a~1b", "set /c"]);
        assert_eq!(split_all(json!({"l": [half, half]})), ["set /l", "insert /l/-", "insert /l/-"]);
        assert_eq!(
            split_all(json!({"l": [{"a": half, "b": half}]})),
            ["set /l", "insert /l/-", "set /l/0/a", "set /l/0/b"]
        );
    }
}
