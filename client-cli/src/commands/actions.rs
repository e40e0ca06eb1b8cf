//! The verbs that make one change each: `set`, `delete`, `increment`, `insert` and `text`.

use clap::Args;
use rejoin::{Action, DocumentId, Store};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{parse_pointer, place, short_hash, shorten};
use crate::input;
use crate::numbers::{check_integers, is_too_deep, why_not_json};
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
  rejoin set trip '' '{\"title\": \"Alps\"}'       the whole document
  rejoin set trip /people @people.json         from a file; - is standard input

Values: no JSON begins with @, so @FILE is always a file.
With --string, @@TEXT is the text @TEXT.")]
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
  rejoin insert trip /list/0 --string stove    at the beginning, no quoting
  rejoin insert trip /list/- @item.json        from a file; - is standard input

Values: no JSON begins with @, so @FILE is always a file.
With --string, @@TEXT is the text @TEXT.")]
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
    /// What to insert: - reads standard input, @FILE a file, @@TEXT is the text @TEXT
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    insert: String,
}

/// A value, as JSON or as a plain string.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ValueArgs {
    /// The value, as JSON: - reads standard input, @FILE a file
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    value: Option<String>,
    /// The value, as a string without quotes: - reads standard input, @FILE a file, as they are
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    string: Option<String>,
}

impl ValueArgs {
    fn read(self, context: &Context) -> Result<Value> {
        if let Some(text) = self.string {
            return input::text(context, text).map(Value::String);
        }
        let text = input::json(context, self.value.unwrap_or_default())?;
        check_integers(&text).map_err(|why| {
            CliError::usage(why, "write it with .0 or an exponent, or as a string with --string")
        })?;
        serde_json::from_str(&text).map_err(|error| {
            CliError::usage(
                why_not_json(&format!("{:?}", shorten(&text, 60)), &error),
                if is_too_deep(&error) {
                    "write it in parts, the inner ones with paths of their own"
                } else {
                    "a JSON string needs its own quotes, as in '\"Alps\"'; for a plain string say --string TEXT"
                },
            )
        })
    }
}

pub(crate) async fn set(context: &mut Context, args: SetArgs) -> Result<Exit> {
    let value = args.value.read(context)?;
    run(context, &args.doc, Action::Set { path: args.pointer, value }).await
}

pub(crate) async fn delete(context: &mut Context, args: DeleteArgs) -> Result<Exit> {
    run(context, &args.doc, Action::Delete { path: args.pointer }).await
}

pub(crate) async fn increment(context: &mut Context, args: IncrementArgs) -> Result<Exit> {
    run(context, &args.doc, Action::Increment { path: args.pointer, by: args.by }).await
}

pub(crate) async fn insert(context: &mut Context, args: InsertArgs) -> Result<Exit> {
    let value = args.value.read(context)?;
    run(context, &args.doc, Action::Insert { path: args.pointer, value }).await
}

pub(crate) async fn text(context: &mut Context, args: TextArgs) -> Result<Exit> {
    let TextArgs { doc, pointer: path, pos, delete, insert } = args;
    let insert = input::text(context, insert)?;
    run(context, &doc, Action::Splice { path, pos, delete, insert }).await
}

async fn run(context: &mut Context, doc: &str, action: Action) -> Result<Exit> {
    let (store, id) = context.open_document(doc).await?;
    dispatch(context, (&store, id), action).await
}

/// Does one action, and tells its change.
pub(super) async fn dispatch(
    context: &mut Context,
    (store, id): (&Store, DocumentId),
    action: Action,
) -> Result<Exit> {
    let (kind, path) = (action.kind(), place(action.path()));
    let receipt = store.dispatch(id, action).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "document": id, "hash": receipt.hash.to_string() }))?;
    } else {
        let hash = context.out.paint(Paint::Yellow, short_hash(&receipt.hash));
        context.out.line(format_args!("{hash} {kind} {path}"))?;
    }
    Ok(Exit::Done)
}
