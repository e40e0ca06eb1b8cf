use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rejoin::DocumentId;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};

/// Take in an Automerge file, or a JSON file, as a document; prints its id alone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin import trip.automerge --name trip
  rejoin import list.json
  curl -s https://example.org/list.json | rejoin import -")]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input
    file: PathBuf,
    /// The id it is to have [default: a random one]
    #[arg(long, value_name = "UUID")]
    id: Option<DocumentId>,
    /// A name for it, on this device alone
    #[arg(long)]
    name: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: ImportArgs) -> Result<Exit> {
    let bytes = read(&args.file)?;
    let store = context.open().await?;
    let id = store.import(bytes, args.id, args.name.as_deref()).await?;
    if context.out.is_json() {
        let changes = store.document(id).await?.changes;
        context.out.json(&json!({ "id": id, "name": args.name, "changes": changes }))?;
    } else {
        context.out.line(id)?;
    }
    Ok(Exit::Done)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file)
            .map_err(|e| CliError::io(format!("{} could not be read", file.display()), e));
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| CliError::io("standard input could not be read", e))?;
    Ok(bytes)
}
