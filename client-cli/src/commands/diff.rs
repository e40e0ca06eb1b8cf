use clap::Args;
use rejoin::Difference;
use serde_json::Value;

use crate::context::{Context, resolve_heads};
use crate::error::{Exit, Result};
use crate::format::printable;
use crate::output::Paint;

/// Show what changed between two states of a document
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin diff trip 4f1c09ab                    from that change until now
  rejoin diff trip 4f1c09ab 77d0e2f1
  rejoin diff trip 4f1c09ab,9e01bb3c           from two heads, separated by a comma")]
pub(crate) struct DiffArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The heads to begin with: hashes or their beginnings, separated by commas
    #[arg(value_delimiter = ',', num_args = 1, value_name = "FROM")]
    from: String,
    /// The heads to end with [default: now]
    #[arg(value_name = "TO")]
    to: Option<String>,
}

pub(crate) async fn run(context: &mut Context, args: DiffArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let from = resolve_heads(&store, id, &names(&args.from)).await?;
    let differences = match &args.to {
        Some(to) => {
            let to = resolve_heads(&store, id, &names(to)).await?;
            store.diff(id, &from, Some(&to)).await?
        }
        None => store.diff(id, &from, None).await?,
    };
    if context.out.is_json() {
        context.out.json(&differences)?;
        return Ok(Exit::Done);
    }
    for difference in &differences {
        let line = line(context, difference);
        context.out.line(line)?;
    }
    Ok(Exit::Done)
}

/// The heads in a list separated by commas.
fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

fn line(context: &Context, difference: &Difference) -> String {
    let path = match difference.path.as_str() {
        "" => "(the whole document)".to_owned(),
        path => printable(path),
    };
    let out = &context.out;
    let value = |value: &Option<Value>| value.as_ref().map(|value| printable(&value.to_string()));
    match (value(&difference.before), value(&difference.after)) {
        (None, Some(after)) => out.paint(Paint::Green, format_args!("+ {path}  {after}")),
        (Some(before), None) => out.paint(Paint::Red, format_args!("- {path}  {before}")),
        (Some(before), Some(after)) => {
            out.paint(Paint::Yellow, format_args!("~ {path}  {before} -> {after}"))
        }
        (None, None) => format!("  {path}"),
    }
}
