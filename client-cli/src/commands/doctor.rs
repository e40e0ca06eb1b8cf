use clap::Args;

use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{count, printable};
use crate::output::Paint;

/// Check the store's file, and say what to do
///
/// Reads every document and hashes every change again. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin doctor
  rejoin doctor --json")]
pub(crate) struct DoctorArgs {}

pub(crate) async fn run(context: &mut Context, _args: DoctorArgs) -> Result<Exit> {
    let store = context.open().await?;
    let progress = context.out.progress(None, "reading the store");
    let checked = store.check().await;
    progress.finish_and_clear();
    let report = checked?;
    let exit = if report.ok { Exit::Done } else { Exit::Failed };
    if context.out.is_json() {
        context.out.json(&report)?;
        return Ok(exit);
    }
    let read = format!("{} in {}", count(report.changes, "change"), count(report.documents, "document"));
    let out = &mut context.out;
    if report.ok {
        let sound = out.paint(Paint::Green, "sound");
        out.line(format_args!("The store is {sound}: {read} read and hashed again."))?;
    } else {
        let damaged = out.paint(Paint::Red, "damaged");
        out.line(format_args!("The store is {damaged}: {read} could be read."))?;
    }
    for problem in &report.problems {
        let problem = printable(problem);
        out.line(format_args!("  found: {problem}"))?;
    }
    for advice in &report.advice {
        let advice = printable(advice);
        out.line(format_args!("  to do: {advice}"))?;
    }
    Ok(exit)
}
