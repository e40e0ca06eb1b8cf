//! `rejoin new`: make a document; prints its id alone.

use clap::Args;
use rejoin::DocumentId;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Result};

/// Make a document; prints its id alone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin new --name trip
  id=$(rejoin new)
  rejoin new --id 6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e")]
pub(crate) struct NewArgs {
    /// The id it is to have [default: a random one]
    #[arg(long, value_name = "UUID")]
    id: Option<DocumentId>,
    /// A name for it, on this device alone
    #[arg(long, allow_hyphen_values = true)]
    name: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: NewArgs) -> Result<Exit> {
    let store = context.open().await?;
    let id = store.create(args.id, args.name.as_deref()).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": id, "name": args.name }))?;
    } else {
        context.out.line(id)?;
    }
    Ok(Exit::Done)
}
