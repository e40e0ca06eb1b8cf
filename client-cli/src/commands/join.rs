//! `rejoin join`: take part in a document that exists elsewhere.

use clap::Args;
use rejoin::DocumentId;
use serde_json::json;

use super::remote;
use crate::context::{Context, check_server};
use crate::error::{CliError, Exit, Result};
use crate::format::printable;

/// Take part in a document that exists elsewhere
///
/// Works offline: the document is filled at the next sync, and can be edited before that. Prints its id alone. Of a
/// document that is here already an address says where it lives, and it syncs there from then on: that server is believed when it says that the document
/// was deleted, and no other is.
#[derive(Debug, Args)]
#[command(override_usage = "rejoin join [OPTIONS] <DOC>\n       rejoin join [OPTIONS] --all")]
#[command(after_help = "\
Examples:
  rejoin join http://host:4810/v1/documents/6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e
  rejoin join 6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e --name trip
  rejoin join automerge:2fYtAAMcCUsXiqkLcRNvCWZJvJ8c --name trip
  rejoin join --all                            all that is for this token")]
pub(crate) struct JoinArgs {
    /// A UUID, an automerge: URL, or http(s)://SERVER/v1/documents/UUID
    #[arg(required_unless_present = "all")]
    doc: Option<String>,
    /// Take part in all that the server has for this token: see `rejoin ls --remote`
    #[arg(long, conflicts_with_all = ["doc", "name"])]
    all: bool,
    /// A name for it, on this device alone
    #[arg(long, allow_hyphen_values = true)]
    name: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: JoinArgs) -> Result<Exit> {
    let Some(doc) = &args.doc else { return remote::join_all(context).await };
    let (id, address) = parse(doc)?;
    let store = context.open().await?;
    let saved = store.settings().await?.server;
    let before = store.document(id).await.ok().map(|document| document.deleted);
    let id = store.join(id, args.name.as_deref(), address.as_deref()).await?;
    if context.out.is_json() {
        let name = store.document(id).await?.name;
        context.out.json(&json!({ "id": id, "name": name, "server": address.or(saved) }))?;
    } else {
        context.out.line(id)?;
        match (before, address) {
            (Some(false), Some(server)) => {
                context.out.note(format_args!("It syncs with {} from now on.", printable(&server)));
            }
            (Some(true), _) => context.out.note(format_args!(
                "Joined, though it was deleted once: where the server still has it `rejoin sync` fetches it, and where it was \
                 deleted for everyone it never comes back. Then `rejoin leave {id}` forgets it, and `rejoin new` makes \
                 another."
            )),
            _ => context.out.note("Joined; `rejoin sync` fetches it."),
        }
    }
    Ok(Exit::Done)
}

/// The document, and the server where the text names one.
fn parse(doc: &str) -> Result<(DocumentId, Option<String>)> {
    let wrong = || {
        CliError::usage(
            format!("{doc:?} names no document to join"),
            "give a UUID, an automerge: URL, or http(s)://SERVER/v1/documents/UUID, as `rejoin share` prints it",
        )
    };
    let lower = doc.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Ok((doc.parse().map_err(|_| wrong())?, None));
    }
    let (server, id) = doc.rsplit_once("/v1/documents/").ok_or_else(wrong)?;
    let id = id.split(['?', '#']).next().unwrap_or(id).trim_end_matches('/');
    Ok((id.parse().map_err(|_| wrong())?, Some(check_server(server)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e";

    #[test]
    fn a_shared_address_names_server_and_document() {
        let (id, server) = parse(&format!("http://127.0.0.1:4810/v1/documents/{ID}")).unwrap();
        assert_eq!((id.to_string().as_str(), server.as_deref()), (ID, Some("http://127.0.0.1:4810")));
        let (_, server) = parse(&format!("https://a/base/v1/documents/{ID}/?x")).unwrap();
        assert_eq!(server.as_deref(), Some("https://a/base"));
        assert_eq!(parse(ID).unwrap().1, None);
        let url = ID.parse::<DocumentId>().unwrap().to_url();
        assert_eq!(parse(&url).unwrap().0.to_string(), ID);
    }

    #[test]
    fn what_names_no_document_is_wrong_usage() {
        for wrong in
            ["", "trip", "http://a", "http://a/v1/documents/", "http://a/v1/documents/x", "automerge:x"]
        {
            assert_eq!(parse(wrong).unwrap_err().exit(), Exit::Usage, "{wrong}");
        }
    }
}
