//! `rejoin reset`: make a document read as it did, by a new change.

use clap::Args;
use serde_json::json;

use crate::context::{Context, resolve_heads};
use crate::error::{Exit, Result};
use crate::format::short_hash;
use crate::output::Paint;

/// Make a document read as it did, by a new change
///
/// Nothing leaves the history: what was written since is taken away by a change of yours, which `rejoin undo` takes
/// back. What others write at the same time stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin reset trip --to 4f1c09ab              as it was after that change
  rejoin reset trip --to 4f1c09ab,9e01bb3c     as it was at two heads
  rejoin get trip --at 4f1c09ab                look at it first")]
pub(crate) struct ResetArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The heads to go back to: hashes or their beginnings, separated by commas
    #[arg(long, value_name = "HEAD[,HEAD…]", value_delimiter = ',', required = true)]
    to: Vec<String>,
}

pub(crate) async fn run(context: &mut Context, args: ResetArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let heads = resolve_heads(&store, id, &args.to).await?;
    let receipt = store.reset(id, &heads).await?;
    if context.out.is_json() {
        let hash = receipt.map(|receipt| receipt.hash.to_string());
        let to: Vec<String> = heads.iter().map(ToString::to_string).collect();
        context.out.json(&json!({ "document": id, "hash": hash, "to": to }))?;
        return Ok(Exit::Done);
    }
    match receipt {
        Some(receipt) => {
            let hash = context.out.paint(Paint::Yellow, short_hash(&receipt.hash));
            let to = heads.iter().map(short_hash).collect::<Vec<_>>().join(",");
            context.out.line(format_args!("{hash} reset to {to}"))?;
        }
        None => context.out.note("Nothing was changed: it reads as it did then."),
    }
    Ok(Exit::Done)
}
