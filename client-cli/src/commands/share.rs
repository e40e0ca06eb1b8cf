//! `rejoin share`: print the one line that a colleague types to join a document.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Result};

/// Print the one line that a colleague types to join a document
///
/// It names the server and the document, and never a token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin share trip
  rejoin --server https://sync.example.org share trip")]
pub(crate) struct ShareArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
}

pub(crate) async fn run(context: &mut Context, args: ShareArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let document = store.document(id).await?;
    let server = context.server_of(&store, Some(&document)).await?;
    let url = server.as_deref().map(|s| format!("{}/v1/documents/{id}", s.trim_end_matches('/')));
    let command = format!("rejoin join {}", url.clone().unwrap_or_else(|| id.to_string()));
    if context.out.is_json() {
        context.out.json(&json!({ "command": command, "id": id, "server": server, "url": url }))?;
    } else {
        context.out.line(&command)?;
    }
    if server.is_none() {
        context.out.note("No server is set: your colleague has to know it (`rejoin init --server URL`).");
    }
    Ok(Exit::Done)
}
