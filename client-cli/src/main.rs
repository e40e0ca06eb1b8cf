//! rejoin on the command line: one verb a file under `commands`, results on standard output, everything
//! else on standard error, and an exit code that tells a script what to do next.

mod cli;
mod commands;
mod complete;
mod context;
mod differences;
mod editor;
mod edits;
mod error;
mod format;
mod input;
mod lines;
mod numbers;
mod output;
mod pager;
mod table;
mod token;
mod yaml;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::ContextValue;
use clap::{CommandFactory as _, Parser as _};
use rejoin::printable::{PrintableWriter, printable_lines};

use crate::cli::{Cli, Command, Globals};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::Output;

/// The one argument with which this program starts itself, to try in a process of its own what a server sent.
const VERIFY_CHILD: &str = "verify-child";

/// How much of a wrong value is repeated, in characters.
const LONGEST_VALUE: usize = 80;

fn main() -> ExitCode {
    if std::env::args_os().skip(1).eq([VERIFY_CHILD]) {
        let done = rejoin::verify::verify_child(std::io::stdin().lock(), std::io::stdout().lock());
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that went away is no reason to fail twice.
            let _ = print_usage(&error);
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    start_logging(&cli.globals);
    if cli.globals.utc {
        format::show_utc();
    }
    // What the library does on hostile changes is caught; it is no news for standard error.
    rejoin::untrusted::install_panic_hook();
    let output = Output::to_stdout(&cli.globals);
    let colour = output.stderr_colour();
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.report(colour);
            error.exit().into()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CliError::io("the runtime could not start", source))?;
    let _guard = runtime.enter();
    ignore_file_size_signal().map_err(|source| CliError::io("the signals could not be set up", source))?;
    let mut context = Context::new(cli.globals, output);
    if cli.command.as_ref().is_some_and(Command::reads_store) {
        rejoin::store::check_log(&context.store_path()?)?;
    }
    let result = runtime.block_on(commands::run(&mut context, cli.command));
    let flushed = context.out.finish();
    // A thread that waits for standard input must not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let exit = result?;
    flushed?;
    Ok(exit)
}

/// A file over the size that the system allows: with a handler, the write fails and is told, instead of ending
/// the process.
#[cfg(unix)]
fn ignore_file_size_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    const SIGXFSZ: i32 = 25;
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

#[cfg(not(unix))]
fn ignore_file_size_signal() -> std::io::Result<()> {
    Ok(())
}

/// What clap says of what was typed, which may be what others wrote.
fn print_usage(error: &clap::Error) -> std::io::Result<()> {
    if !error.use_stderr() {
        return error.print();
    }
    let colour = output::colour_on(std::io::stderr().is_terminal());
    let text = error.render();
    let plain = text.to_string();
    let mut text = if colour { text.ansi().to_string() } else { plain.clone() };
    if let Some((said, usage)) =
        plain.lines().zip(text.clone().lines()).find(|(l, _)| l.starts_with("Usage: "))
    {
        text = text.replacen(usage, &without_globals(said), 1);
        if said.starts_with("Usage: rejoin delete") {
            text.push_str("\n hint: `rejoin rm DOC` deletes a whole document, for everyone.\n");
        }
    }
    // What is wrong with a long value its beginning tells too.
    for (_, value) in error.context() {
        if let ContextValue::String(value) = value
            && value.chars().count() > LONGEST_VALUE
        {
            text = text.replace(value.as_str(), &format::shorten(value, LONGEST_VALUE));
        }
    }
    write!(std::io::stderr().lock(), "{}", printable_lines(&text, colour))
}

/// A line of usage without the global options: clap shows what was typed, or said by a variable, as if it had to be.
fn without_globals(usage: &str) -> String {
    let mut usage = usage.to_owned();
    for option in Cli::command().get_arguments().filter(|option| option.is_global_set()) {
        let Some(long) = option.get_long() else { continue };
        let value = option.get_value_names().and_then(|names| names.first());
        let value = value.filter(|_| option.get_action().takes_values());
        let shown = value.map_or_else(|| format!(" --{long}"), |value| format!(" --{long} <{value}>"));
        usage = usage.replace(&shown, "");
    }
    usage
}

/// `-v` and `-vv` to standard error. Only rejoin's own lines: those of an HTTP library could hold a header.
fn start_logging(globals: &Globals) {
    let level = match globals.verbose {
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::new(format!("off,rejoin={level},rejoin_server={level}"));
    let colour = output::colour_on(std::io::stderr().is_terminal());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || PrintableWriter::new(std::io::stderr(), colour))
        // A log that cannot be written, on a full disk say, is no reason to panic.
        .log_internal_errors(false)
        .with_ansi(colour)
        .init();
}
