//! The verbs that make one change each: `set`, `delete`, `increment`, `insert` and `text`.

use clap::Args;
use rejoin::Action;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{parse_pointer, printable, short_hash, shorten};
use crate::numbers::check_integers;
use crate::output::Paint;

/// Put a JSON value at a path; missing parents become maps
///
/// A JSON string is a plain value; text that several people write is made by `rejoin text`. An integer set
/// on a counter makes a new counter of that value.
#[derive(Debug, Args)]
#[command(override_usage = "rejoin set [OPTIONS] <DOC> <POINTER> <JSON|--string <TEXT>>")]
#[command(after_help = "\
Examples:
  rejoin set trip /title '\"Alps\"'              JSON: a string keeps its quotes
  rejoin set trip /title --string Alps         the same, without quoting
  rejoin set trip /height -5
  rejoin set trip /people/ada '{\"train\": true}'
  rejoin set trip '' '{\"title\": \"Alps\"}'       the whole document")]
pub(crate) struct SetArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer, such as /people/ada
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    #[command(flatten)]
    value: ValueArgs,
}

/// Remove what is at a path: a key of a map, or an element of a list
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin delete trip /people/ada
  rejoin delete trip /list/0")]
pub(crate) struct DeleteArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer
    #[arg(value_parser = parse_pointer)]
    pointer: String,
}

/// Add to a counter; made when missing
///
/// Increments made on several devices all count. An integer at the path becomes a counter of that value.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin increment trip /nights
  rejoin increment trip /nights 3
  rejoin increment trip /nights -2")]
pub(crate) struct IncrementArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    /// How much; may be negative
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
}

/// Insert a JSON value into a list; the list is made when missing
///
/// The path's last part is the index to insert before, or `-` for the end.
#[derive(Debug, Args)]
#[command(override_usage = "rejoin insert [OPTIONS] <DOC> <POINTER> <JSON|--string <TEXT>>")]
#[command(after_help = "\
Examples:
  rejoin insert trip /list/- '\"tent\"'          at the end
  rejoin insert trip /list/0 --string stove    at the beginning, without quoting")]
pub(crate) struct InsertArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The list and the index, as a JSON Pointer, such as /list/0 or /list/-
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    #[command(flatten)]
    value: ValueArgs,
}

/// Splice collaborative text; made when missing
///
/// Deletes DELETE characters from position POS and inserts INSERT there. Positions count Unicode code points.
/// What others write in the same text at the same time is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin text trip /note 0 0 'We leave at nine.'
  rejoin text trip /note 12 4 ten              nine becomes ten
  rejoin text trip /note 0 3                   delete three characters
  rejoin text trip /note 0 0 '-- draft --'
  rejoin text trip /note 0 0 -- -q             after --, nothing is an option")]
pub(crate) struct TextArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where the text is, as a JSON Pointer
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    /// The position to delete from and to insert at
    #[arg(allow_negative_numbers = true)]
    pos: u64,
    /// How many characters to delete
    #[arg(allow_negative_numbers = true)]
    delete: u64,
    /// What to insert
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    insert: String,
}

/// A value, as JSON or as a plain string.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ValueArgs {
    /// The value, as JSON
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    value: Option<String>,
    /// The value, as a string without quotes
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    string: Option<String>,
}

impl ValueArgs {
    fn parse(self) -> Result<Value> {
        if let Some(text) = self.string {
            return Ok(Value::String(text));
        }
        let text = self.value.unwrap_or_default();
        check_integers(&text).map_err(|why| {
            CliError::usage(why, "write it with .0 or an exponent, or as a string with --string")
        })?;
        serde_json::from_str(&text).map_err(|error| {
            CliError::usage(
                format!("{:?} is not JSON ({error})", shorten(&text, 60)),
                "a JSON string needs its own quotes, as in '\"Alps\"'; for a plain string say --string TEXT",
            )
        })
    }
}

/// A document, and what is to be done to it.
#[derive(Debug)]
pub(crate) struct Edit {
    doc: String,
    action: Action,
}

impl TryFrom<SetArgs> for Edit {
    type Error = CliError;

    fn try_from(args: SetArgs) -> Result<Self> {
        Ok(Self { doc: args.doc, action: Action::Set { path: args.pointer, value: args.value.parse()? } })
    }
}

impl From<DeleteArgs> for Edit {
    fn from(args: DeleteArgs) -> Self {
        Self { doc: args.doc, action: Action::Delete { path: args.pointer } }
    }
}

impl From<IncrementArgs> for Edit {
    fn from(args: IncrementArgs) -> Self {
        Self { doc: args.doc, action: Action::Increment { path: args.pointer, by: args.by } }
    }
}

impl TryFrom<InsertArgs> for Edit {
    type Error = CliError;

    fn try_from(args: InsertArgs) -> Result<Self> {
        Ok(Self { doc: args.doc, action: Action::Insert { path: args.pointer, value: args.value.parse()? } })
    }
}

impl From<TextArgs> for Edit {
    fn from(args: TextArgs) -> Self {
        let TextArgs { doc, pointer: path, pos, delete, insert } = args;
        Self { doc, action: Action::Splice { path, pos, delete, insert } }
    }
}

pub(crate) async fn run(context: &mut Context, edit: Edit) -> Result<Exit> {
    let (store, id) = context.open_document(&edit.doc).await?;
    let (kind, path) = (edit.action.kind(), printable(edit.action.path()));
    let receipt = store.dispatch(id, edit.action).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "document": id, "hash": receipt.hash.to_string() }))?;
    } else {
        let hash = context.out.paint(Paint::Yellow, short_hash(&receipt.hash));
        context.out.line(format_args!("{hash} {kind} {path}"))?;
    }
    Ok(Exit::Done)
}
