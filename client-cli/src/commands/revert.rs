//! `rejoin revert`: take one change back, anybody's, by a new change.

use clap::Args;
use serde_json::json;

use super::undo::tell;
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::short_hash;

/// Take one change back, anybody's, by a new change
///
/// Only what still wins is taken back: where others built on the change, theirs stays, and the places are named. The
/// revert is an action of yours: `rejoin undo` takes it back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin revert trip 4f1c09ab                  a hash, or its beginning
  rejoin revert trip 4f1c09ab --json
  rejoin undo trip                             takes the revert back")]
pub(crate) struct RevertArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The change: its hash, or the beginning of it
    change: String,
}

pub(crate) async fn run(context: &mut Context, args: RevertArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let hash = store.resolve_hash(id, &args.change).await?;
    match store.revert(id, hash).await? {
        Some(done) => return tell(context, id, &done),
        None if context.out.is_json() => {
            context.out.json(&json!({ "document": id, "hash": null, "kind": "revert", "of": hash.to_string() }))?;
        }
        None => context.out.note(format_args!(
            "There is nothing to revert: the change {} is taken back already, or others wrote over it. `rejoin log` shows \
             which.",
            short_hash(&hash)
        )),
    }
    Ok(Exit::Done)
}
