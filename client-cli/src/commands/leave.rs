//! `rejoin leave`: forget a document here; the others keep it.

use clap::Args;
use serde_json::json;

use super::title;
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::count;

/// Forget a document here; the others keep it
///
/// Asks first where changes would be lost that no server holds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin leave trip
  rejoin leave trip --yes                      also with changes in the queue")]
pub(crate) struct LeaveArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, args: LeaveArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let document = store.document(id).await?;
    let unsent = document.queued + document.parked;
    if unsent > 0 {
        let what = format!(
            "{} of {:?} would be lost, for no server has them",
            count(unsent, "change"),
            title(&document)
        );
        context.confirm(args.yes, &what, "Forget the document all the same?")?;
    }
    store.leave(id).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": id, "lost": unsent }))?;
    } else {
        context.out.note(format_args!("{} is forgotten here.", title(&document)));
    }
    Ok(Exit::Done)
}
