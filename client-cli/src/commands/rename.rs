//! `rejoin rename`: give a document another name, on this device alone.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Result};

/// Give a document another name, on this device alone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin rename trip holidays
  rejoin rename 6f1d2c5e trip                  one that has no name yet")]
pub(crate) struct RenameArgs {
    /// The document: its name, id or the start of its id
    doc: String,
    /// Its name from now on
    #[arg(allow_hyphen_values = true)]
    name: String,
}

pub(crate) async fn run(context: &mut Context, args: RenameArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    store.rename(id, &args.name).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": id, "name": args.name }))?;
    } else {
        context.out.note("Renamed here; others keep the names that they gave it.");
    }
    Ok(Exit::Done)
}
