//! `rejoin service`: `sync --watch`, kept running by the system's own manager of a person's services.

mod job;
mod launchd;
mod manager;
mod systemd;
mod task;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::job::Job;
use self::manager::{Manager, State};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::printable;
use crate::output::Paint;

/// Keep `rejoin sync --watch` running as a service of your own
///
/// It is a systemd user unit on Linux, a launch agent on macOS, a scheduled task on Windows. Each store has its own. The
/// token is never in it: the service reads the file that `rejoin init --token -` wrote, also when another is saved.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin service install                       now, and when you log in
  rejoin service status
  rejoin service install --print               only show the unit
  rejoin service uninstall")]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// Write the service for this store and start it; typed again, renew it
    #[command(after_help = "\
Examples:
  rejoin service install
  rejoin service install --print               the file, and nothing is changed")]
    Install {
        /// Print the file instead, and change nothing; for another system where one is named
        #[arg(long, value_name = "SYSTEM", num_args = 0..=1, require_equals = true)]
        print: Option<Option<Manager>>,
    },
    /// Show whether it is installed and runs; exit code 1 where it does not
    #[command(after_help = "\
Examples:
  rejoin service status")]
    Status,
    /// Stop it and remove it; the store stays as it is
    #[command(after_help = "\
Examples:
  rejoin service uninstall")]
    Uninstall,
}

pub(crate) async fn run(context: &mut Context, args: ServiceArgs) -> Result<Exit> {
    match args.command {
        ServiceCommand::Install { print: Some(system) } => print(context, system),
        ServiceCommand::Install { print: None } => install(context).await,
        ServiceCommand::Status => status(context),
        ServiceCommand::Uninstall => uninstall(context),
    }
}

fn print(context: &mut Context, system: Option<Manager>) -> Result<Exit> {
    let manager = system.unwrap_or_else(Manager::here);
    let text = manager.text(&Job::of(context)?);
    if context.out.is_json() {
        context.out.json(&json!({ "text": text }))?;
    } else {
        context.out.line(text.trim_end())?;
    }
    Ok(Exit::Done)
}

async fn install(context: &mut Context) -> Result<Exit> {
    refuse_token(context)?;
    refuse_without_server(context).await?;
    let (manager, job) = (Manager::here(), Job::of(context)?);
    let file = manager.file(&job)?;
    let before = std::fs::read(&file).ok();
    let bytes = manager.bytes(&job);
    let new: Vec<_> = file.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|e| CliError::io(format!("{} could not be made", parent.display()), e))?;
    }
    let written = rejoin::files::write(&file, &bytes)
        .map_err(|e| CliError::io(format!("{} could not be written", file.display()), e));
    let wrote = written.is_ok();
    if let Err(error) = written.and_then(|()| manager.start(&job, before.is_some())) {
        // As it was: a service that cannot be started is not half there.
        if wrote {
            put_back(&file, before)?;
        }
        // Those that hold something else meanwhile stay.
        new.iter().for_each(|directory| drop(std::fs::remove_dir(directory)));
        return Err(error);
    }
    if context.out.is_json() {
        return tell_json(context, manager, &job);
    }
    context.out.note(format_args!("{} runs now, and whenever you log in.", manager.name(&job)));
    if let Some(more) = manager.advice() {
        context.out.note(more);
    }
    context.out.line(printable(&file.display().to_string()))?;
    Ok(Exit::Done)
}

fn put_back(file: &std::path::Path, before: Option<Vec<u8>>) -> Result<()> {
    let done = match before {
        Some(bytes) => rejoin::files::write(file, &bytes),
        None => std::fs::remove_file(file),
    };
    done.map_err(|e| CliError::io(format!("{} could not be taken away again", file.display()), e))
}

/// What others on this machine may read holds no secret.
fn refuse_token(context: &Context) -> Result<()> {
    let Some(token) = context.globals.token() else { return Ok(()) };
    if std::env::var("REJOIN_TOKEN").is_ok_and(|kept| kept == token) {
        context.out.note(
            "The service does not get REJOIN_TOKEN: it reads the token that `rejoin init --token -` saved for the server.",
        );
        return Ok(());
    }
    Err(CliError::usage(
        "a token is not written into a service",
        "save it with `rejoin init --token -`: the service reads it from there",
    ))
}

/// A service that has nobody to sync with would begin and end without end.
async fn refuse_without_server(context: &Context) -> Result<()> {
    let store = context.open().await?;
    let has_own = |d: &rejoin::DocumentInfo| d.server.is_some() || d.home.is_some();
    if context.server_of(&store, None).await?.is_some() || store.documents().await?.iter().any(has_own) {
        return Ok(());
    }
    Err(rejoin::Error::NoServer.into())
}

fn status(context: &mut Context) -> Result<Exit> {
    let (manager, job) = (Manager::here(), Job::of(context)?);
    let state = manager.state(&job)?;
    let exit = if state.running { Exit::Done } else { Exit::Failed };
    if context.out.is_json() {
        return tell_json(context, manager, &job).map(|_| exit);
    }
    if !state.installed {
        context.out.line("No service keeps this store in step: `rejoin service install` makes one.")?;
        return Ok(exit);
    }
    let paint = if state.running { Paint::Green } else { Paint::Yellow };
    let shown = context.out.paint(paint, printable(&state.said));
    let file = manager.file(&job)?;
    context.out.line(format_args!("service {}: {shown}", manager.name(&job)))?;
    context.out.line(format_args!("file    {}", printable(&file.display().to_string())))?;
    if !state.running {
        context.out.note(format_args!("`{}` tells why.", manager.log_command(&job)));
    }
    Ok(exit)
}

fn uninstall(context: &mut Context) -> Result<Exit> {
    let (manager, job) = (Manager::here(), Job::of(context)?);
    let file = manager.file(&job)?;
    if file.exists() {
        manager.stop(&job)?;
        std::fs::remove_file(&file)
            .map_err(|e| CliError::io(format!("{} could not be removed", file.display()), e))?;
        manager.forget(&job);
        context.out.note(format_args!("{} is stopped and removed.", manager.name(&job)));
    } else {
        context.out.note("There is no service for this store.");
    }
    if context.out.is_json() {
        return tell_json(context, manager, &job);
    }
    Ok(Exit::Done)
}

fn tell_json(context: &mut Context, manager: Manager, job: &Job) -> Result<Exit> {
    let value = json_state(&manager.state(job)?, (manager.name(job), manager.file(job)?));
    context.out.json(&value)?;
    Ok(Exit::Done)
}

fn json_state(state: &State, (name, file): (String, PathBuf)) -> Value {
    json!({
        "name": name,
        "file": file,
        "installed": state.installed,
        "running": state.running,
        "state": state.installed.then_some(&state.said),
    })
}

/// The service of this store in a line of `status`, and for programs; none where none is installed.
pub(crate) fn brief(context: &Context) -> Option<(String, Value)> {
    let (manager, job) = (Manager::here(), Job::of(context).ok()?);
    let file = manager.file(&job).ok().filter(|file| file.exists())?;
    let state = manager.state(&job).ok()?;
    let name = manager.name(&job);
    Some((format!("{name}: {}", state.said), json_state(&state, (name, file))))
}
