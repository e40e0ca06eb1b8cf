use clap::Args;

use super::undo::tell;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::short_hash;

/// Take one change back, anybody's, by a new change
///
/// Only what still wins is taken back: where others built on the change, theirs stays, and the places are named. The
/// revert is an action of yours: `rejoin undo` takes it back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin revert trip 4f1c09ab                  a hash, or its beginning (see `rejoin log`)
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
    let nothing = || {
        CliError::failed(
            format!("the change {} is taken back already", short_hash(&hash)),
            "`rejoin log` shows by which; revert that one to have it again",
        )
    };
    tell(context, id, &store.revert(id, hash).await?.ok_or_else(nothing)?)
}
