//! `rejoin get`: print a document, or a part of it.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::context::{Context, resolve_heads};
use crate::error::{CliError, Exit, Result};
use crate::format::{parse_pointer, printable};
use crate::table::{Cell, Fit};
use crate::yaml::yaml;

/// Print a document, or a part of it
///
/// Text reads as a string, a counter as a number. With `--at`, as it was at those heads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin get trip
  rejoin get trip /list/0
  rejoin get trip /title --json
  rejoin get trip /note --format raw > note.txt
  rejoin get trip /people --format table       a line for each of a list or map
  rejoin get trip --at 4f1c09ab                as it was after that change")]
pub(crate) struct GetArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer, such as /list/0 [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
    /// The heads to read at: hashes or their beginnings, separated by commas
    #[arg(long, value_name = "HEAD[,HEAD…]", value_delimiter = ',')]
    at: Vec<String>,
    /// As what [default: json, with line breaks; --json: in one line]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// As what a value is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON, indented
    Json,
    /// YAML
    Yaml,
    /// A line for each element of a list or key of a map
    Table,
    /// A text as it is, byte for byte, without quotes; anything else as JSON
    Raw,
}

pub(crate) async fn run(context: &mut Context, args: GetArgs) -> Result<Exit> {
    if context.out.is_json() && args.format.is_some_and(|format| format != Format::Json) {
        return Err(CliError::usage("--json and another format do not go together", "say one of them"));
    }
    let (store, id) = context.open_document(&args.doc).await?;
    let value = if args.at.is_empty() {
        store.state(id, &args.pointer).await
    } else {
        let heads = resolve_heads(&store, id, &args.at).await?;
        store.state_at(id, &args.pointer, &heads).await
    };
    let value = value.map_err(|error| match error {
        rejoin::Error::Action(_) => {
            CliError::from(error).with_hint("without a path `rejoin get` shows all that is there")
        }
        error => error.into(),
    })?;
    let out = &mut context.out;
    match (args.format, &value) {
        _ if out.is_json() => out.json(&value)?,
        (Some(Format::Yaml), _) => out.line(yaml(&value))?,
        (Some(Format::Table), Value::Object(_) | Value::Array(_)) => print_table(context, &value)?,
        (Some(Format::Raw | Format::Table), Value::String(text)) if out.is_terminal() => out.line(text)?,
        // For another program: not a byte more.
        (Some(Format::Raw | Format::Table), Value::String(text)) => out.bytes(text.as_bytes())?,
        _ => out.pretty(&value)?,
    }
    Ok(Exit::Done)
}

/// Maps in a list or map are lines with a column for each key; anything else is in one column.
fn print_table(context: &mut Context, value: &Value) -> Result<()> {
    let (head, lines): (&str, Vec<(String, &Value)>) = match value {
        Value::Object(map) => ("key", map.iter().map(|(key, value)| (printable(key), value)).collect()),
        Value::Array(items) => {
            ("#", items.iter().enumerate().map(|(nth, item)| (nth.to_string(), item)).collect())
        }
        _ => return Ok(()),
    };
    let maps: Option<Vec<&Map<String, Value>>> = lines.iter().map(|(_, value)| value.as_object()).collect();
    let mut keys: Vec<&String> = Vec::new();
    for key in maps.iter().flatten().flat_map(|map| map.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let names: Vec<String> = match keys.is_empty() {
        true => vec!["value".to_owned()],
        false => keys.iter().map(|key| printable(key)).collect(),
    };
    let columns: Vec<(&str, Fit)> =
        std::iter::once((head, Fit::Cut)).chain(names.iter().map(|name| (name.as_str(), Fit::Cut))).collect();
    let row = |(first, value): &(String, &Value)| {
        let cells: Vec<Cell> = match keys.is_empty() {
            true => vec![Cell::new(cell(Some(value)))],
            false => keys.iter().map(|key| Cell::new(cell(value.get(key.as_str())))).collect(),
        };
        std::iter::once(Cell::new(first)).chain(cells).collect::<Vec<_>>()
    };
    context.out.table(&columns, &lines.iter().map(row).collect::<Vec<_>>())
}

/// A text without quotes, nothing for what is not there, and anything else as JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => printable(text),
        Some(value) => printable(&value.to_string()),
    }
}
