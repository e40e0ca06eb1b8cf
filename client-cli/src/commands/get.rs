use clap::Args;

use crate::context::{Context, resolve_heads};
use crate::error::{Exit, Result};
use crate::format::parse_pointer;

/// Print a document, or a part of it, as JSON
///
/// Text reads as a string, a counter as a number. With `--at`, as it was at those heads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin get trip
  rejoin get trip /list/0
  rejoin get trip /title --json
  rejoin get trip --at 4f1c09ab                as it was after that change (see `rejoin log`)")]
pub(crate) struct GetArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where, as a JSON Pointer, such as /list/0 [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
    /// The heads to read at: hashes or their beginnings, separated by commas
    #[arg(long, value_name = "HEAD[,HEAD…]", value_delimiter = ',')]
    at: Vec<String>,
}

pub(crate) async fn run(context: &mut Context, args: GetArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let value = if args.at.is_empty() {
        store.state(id, &args.pointer).await?
    } else {
        let heads = resolve_heads(&store, id, &args.at).await?;
        store.state_at(id, &args.pointer, &heads).await?
    };
    if context.out.is_json() {
        context.out.json(&value)?;
    } else {
        context.out.pretty(&value)?;
    }
    Ok(Exit::Done)
}
