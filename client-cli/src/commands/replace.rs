//! `rejoin replace`: replace a part of a text by another, without counting characters.

use clap::Args;
use rejoin::{Revision, TextSplice};
use serde_json::Value;

use super::edit::{shown, tell};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, parse_pointer, printable};
use crate::input;

/// Replace a part of a text by another, without counting characters
///
/// OLD must be there once; with --all each of them is replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin replace trip /note nine ten
  rejoin replace trip /note ' (draft)' ''      takes it out
  rejoin replace trip /note nine ten --all
  rejoin replace trip /note @@ada @new.txt     @ada, by what a file holds")]
pub(crate) struct ReplaceArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Where the text is, as a JSON Pointer
    #[arg(value_parser = parse_pointer)]
    pointer: String,
    /// What is there: - reads standard input, @FILE a file, @@TEXT is the text @TEXT
    #[arg(allow_hyphen_values = true)]
    old: String,
    /// What shall be there instead: the same
    #[arg(allow_hyphen_values = true)]
    new: String,
    /// Each of them, where there are several
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(context: &mut Context, args: ReplaceArgs) -> Result<Exit> {
    if args.old == "-" && args.new == "-" {
        return Err(CliError::usage("standard input can be read once", "give one of them as @FILE"));
    }
    let old = input::text(context, args.old)?;
    let new = input::text(context, args.new)?;
    if old.is_empty() {
        return Err(CliError::usage(
            "nothing cannot be replaced",
            "`rejoin append` writes at the end of a text",
        ));
    }
    let (store, id) = context.open_document(&args.doc).await?;
    let shown = shown(&store, id, &args.pointer).await?;
    let text = match &shown.value {
        Some(Value::String(text)) => text.as_str(),
        // The store says what is there instead.
        Some(_) => "",
        None => return Err(missing(&args.pointer)),
    };
    let splices = splices(text, &old, &new);
    match splices.len() {
        0 if matches!(shown.value, Some(Value::String(_))) => return Err(not_found(&old, &args.pointer)),
        2.. if !args.all => return Err(several(splices.len(), &old)),
        _ => {}
    }
    let revised = store.revise(id, &args.pointer, &shown.heads, Revision::Splices(splices)).await?;
    tell(context, id, (&args.pointer, &revised))
}

/// Each place where the old text is, at characters.
fn splices(text: &str, old: &str, new: &str) -> Vec<TextSplice> {
    let (mut pos, mut last) = (0, 0);
    let delete = old.chars().count() as u64;
    let places = text.match_indices(old).map(|(at, _)| {
        pos += text.get(last..at).map_or(0, |between| between.chars().count() as u64);
        last = at;
        TextSplice { pos, delete, insert: new.to_owned() }
    });
    places.collect()
}

fn missing(pointer: &str) -> CliError {
    CliError::failed(
        format!("there is nothing at {}", printable(pointer)),
        "`rejoin get` shows what is there",
    )
}

fn not_found(old: &str, pointer: &str) -> CliError {
    CliError::failed(
        format!("{old:?} is not in the text at {}", printable(pointer)),
        "`rejoin get` shows the text; nothing was changed",
    )
}

fn several(times: usize, old: &str) -> CliError {
    CliError::failed(
        format!("{old:?} is there {}", count(times as u64, "time")),
        "say more of it, or --all to replace each; nothing was changed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let places =
            |text, old| splices(text, old, "x").iter().map(|s| (s.pos, s.delete)).collect::<Vec<_>>();
        assert_eq!(places("ä ö ä", "ä"), [(0, 1), (4, 1)]);
        assert_eq!(places("aaa", "aa"), [(0, 2)]);
        assert_eq!(places("abc", "d"), []);
    }
}
