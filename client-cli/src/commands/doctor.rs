//! `rejoin doctor`: check the store's file, and say what to do.

use std::path::Path;

use clap::Args;
use rejoin::CheckReport;
use serde_json::{Value, json};

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
    match rejoin::store::check_log_thoroughly(&context.store_path()?) {
        // Before anybody reads the one with the other.
        Err(rejoin::Error::ForeignLog { log }) => return tell_foreign_log(context, &log),
        checked => checked?,
    }
    let store = context.open().await?;
    let progress = context.out.progress(None, "reading the store");
    let checked = store.check().await;
    progress.finish_and_clear();
    let report = checked?;
    let read_only = store.is_read_only().await?;
    let exit = if report.ok { Exit::Done } else { Exit::Failed };
    if context.out.is_json() {
        let mut value = json!(report);
        value["read_only"] = read_only.into();
        context.out.json(&value)?;
        return Ok(exit);
    }
    print(context, &report)?;
    if read_only {
        context.out.say("It can be read here, and not written: its file, directory or disk is read-only.")?;
    }
    Ok(exit)
}

fn print(context: &mut Context, report: &CheckReport) -> Result<()> {
    let read = format!("{} in {}", count(report.changes, "change"), count(report.documents, "document"));
    let out = &mut context.out;
    if report.ok {
        let sound = out.paint(Paint::Green, "sound");
        out.line(format_args!("The store is {sound}: {read} read and hashed again."))?;
    } else {
        let damaged = out.paint(Paint::Red, "damaged");
        out.line(format_args!("The store is {damaged}: {read} could be read."))?;
    }
    print_findings(context, &report.problems, &report.advice)
}

fn print_findings(context: &mut Context, problems: &[String], advice: &[String]) -> Result<()> {
    for problem in problems {
        context.out.line(format_args!("  found: {}", printable(problem)))?;
    }
    for advice in advice {
        context.out.line(format_args!("  to do: {}", printable(advice)))?;
    }
    Ok(())
}

/// The file itself may be sound: it is not touched, and neither is the log.
fn tell_foreign_log(context: &mut Context, log: &Path) -> Result<Exit> {
    let shown = log.display();
    let problems = [format!(
        "{shown} is the write-ahead log of another database, which stood here before: SQLite would read it into this file."
    )];
    let advice = [
        format!("Move it away, and keep it until you miss nothing: mv '{shown}' '{shown}.old'."),
        "Then run `rejoin doctor` again. The file was not touched.".to_owned(),
        "Another time put a backup in place with `rejoin restore FILE`, which keeps such logs apart."
            .to_owned(),
    ];
    if context.out.is_json() {
        let none: Option<Value> = None;
        context.out.json(&json!({
            "ok": false, "problems": problems, "advice": advice, "documents": none, "changes": none,
        }))?;
        return Ok(Exit::Failed);
    }
    let wrong = context.out.paint(Paint::Yellow, "a log that is not its own");
    context.out.line(format_args!("The store has {wrong} beside it, and was not read."))?;
    print_findings(context, &problems, &advice)?;
    Ok(Exit::Failed)
}
