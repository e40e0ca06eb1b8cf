//! The main job in front of you: two people, offline, then one truth. What is shown is what happens: the
//! commands are parsed and run as in a shell, the server is the real one, and the figures are counted.

mod person;
mod server;
mod stage;
mod story;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use rejoin::DocumentId;
use serde_json::json;

use self::person::Person;
use self::server::Server;
use self::stage::Stage;
use self::story::{Story, Verdict};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::printable;
use crate::output::Paint;

/// See it work: two people edit one document offline, and then read the same
///
/// Starts a real server on a free loopback port and gives Ada and Ben a store each, all in a temporary
/// directory, and runs the commands that you would type. Succeeds only if both read the same in the end,
/// nothing is lost or doubled, and both queues are empty.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin demo
  rejoin demo --keep                           leave the stores there
  rejoin demo --json                           the outcome alone")]
pub(crate) struct DemoArgs {
    /// Keep the directory with the stores and the server's log, and say where it is
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(context: &mut Context, args: DemoArgs) -> Result<Exit> {
    let directory = Directory::make(args.keep)?;
    let people = [
        Person::new("ada", Paint::Cyan, &directory.path, &context.out),
        Person::new("ben", Paint::Magenta, &directory.path, &context.out),
    ];
    let server = Server::start(directory.path.join("server.db")).await?;
    let mut stage = Stage::new(&mut context.out);
    let verdict = Story::new(&mut stage, &people).tell(server).await?;
    finish(&mut stage, &verdict, &directory)?;
    Ok(if verdict.holds() { Exit::Done } else { Exit::Failed })
}

/// The last words, or the one value.
fn finish(stage: &mut Stage<'_>, verdict: &Verdict, directory: &Directory) -> Result<()> {
    let (elapsed, paused) = (stage.elapsed(), stage.paused());
    let kept = directory.keep.then(|| directory.path.clone());
    if stage.out().is_json() {
        let mut value = verdict.json();
        value["elapsed_ms"] = json!(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        value["kept"] = json!(kept);
        return stage.out().json(&value);
    }
    let out = stage.out();
    let end = match verdict.holds() {
        true => out.paint(Paint::Green, "One truth: nothing was lost, and nothing is there twice."),
        false => out.paint(Paint::Red, "This is not as it should be: please report it."),
    };
    out.line("")?;
    out.line(format_args!("   {end}"))?;
    let pauses = match paused.is_zero() {
        true => String::new(),
        false => format!(", {:.1} s of it pauses for you to read", paused.as_secs_f32()),
    };
    let took =
        out.paint(Paint::Dim, format_args!("   All of it took {:.1} s{pauses}.", elapsed.as_secs_f32()));
    out.line(took)?;
    if let Some(path) = kept {
        let path = printable(&path.display().to_string());
        out.line(format_args!("   Look around: rejoin --store {path}/ada.db log trip"))?;
        out.line(format_args!("                sqlite3 -readonly {path}/ada.db 'select * from history'"))?;
    }
    Ok(())
}

/// A directory of this run's own, gone at the end.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn make(keep: bool) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("rejoin-demo-{}", DocumentId::random()));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(&path);
        made.map_err(|e| CliError::io(format!("{} could not be made", path.display()), e))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the demo's directory could not be removed");
        }
    }
}
