//! `rejoin append`: write at the end of a text; made when missing.

use clap::Args;
use rejoin::{Action, Revision, TextSplice};

use super::actions::dispatch;
use super::edit::{shown, tell};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::parse_pointer;
use crate::input;

/// Write at the end of a text; made when missing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin append trip /note ' See you there.'
  date | rejoin append trip /note -            what standard input holds
  rejoin append trip /note @letter.txt         what a file holds, as it is
  rejoin append trip /note @@ada               the text @ada")]
pub(crate) struct AppendArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where the text is, as a JSON Pointer
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    /// What to write: - reads standard input, @FILE a file, @@TEXT is the text @TEXT
    #[arg(allow_hyphen_values = true)]
    text: String,
}

pub(crate) async fn run(context: &mut Context, args: AppendArgs) -> Result<Exit> {
    let insert = input::text(context, args.text)?;
    let (store, id) = context.open_document(&args.doc).await?;
    let shown = shown(&store, id, &args.pointer).await?;
    let Some(value) = &shown.value else {
        let action = Action::Splice { path: args.pointer, pos: 0, delete: 0, insert };
        return dispatch(context, (&store, id), action).await;
    };
    // Of what is no text the store says so.
    let pos = value.as_str().map_or(0, |text| text.chars().count() as u64);
    let splices = Revision::Splices(vec![TextSplice { pos, delete: 0, insert }]);
    let revised = store.revise(id, &args.pointer, &shown.heads, splices).await?;
    tell(context, id, (&args.pointer, &revised))
}
