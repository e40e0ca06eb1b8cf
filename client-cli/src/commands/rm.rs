//! `rejoin rm`: delete a document for everyone, at the next sync.

use clap::Args;
use serde_json::json;

use super::title;
use crate::context::Context;
use crate::error::{Exit, Result};

/// Delete a document for everyone, at the next sync
///
/// It cannot be undone: the document never comes back, and whoever pushes to it later is told so. What is here is kept
/// for a while: `rejoin undelete` makes a new document of it, `rejoin discard` forgets it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin export trip trip.automerge            a copy to keep
  rejoin rm trip
  rejoin rm trip --yes && rejoin sync")]
pub(crate) struct RmArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, args: RmArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let document = store.document(id).await?;
    let what = format!("{:?} would be deleted for everyone, for good", title(&document));
    context.confirm(args.yes, &what, "Delete it?")?;
    store.delete(id).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": id, "deleted": true }))?;
    } else {
        context
            .out
            .note(format_args!("{} is deleted; the next `rejoin sync` tells the server.", title(&document)));
    }
    Ok(Exit::Done)
}
