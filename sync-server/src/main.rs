//! The sync server of rejoin, as a program.

mod args;
mod history;
mod token;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use rejoin_server::{AppState, LogError, backup, doctor, has_tokens, serve};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::args::{Args, Command};

/// Why the program ends: a sentence of what happened and one of what to do.
enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2: wrong usage.
    Usage(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    args::log_to_stderr(args.log_format);
    rejoin::untrusted::install_panic_hook();
    let (code, text) = match run(args) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => (1, text),
        Err(Failure::Usage(text)) => (2, text),
    };
    // Where standard error is gone nobody can be told.
    let _ = writeln!(io::stderr(), "rejoin-server: {text}");
    ExitCode::from(code)
}

fn run(args: Args) -> Result<(), Failure> {
    let database = args.database().map_err(Failure::Usage)?;
    match args.command.clone() {
        Some(Command::Backup { file }) => back_up(&database, &file),
        Some(Command::Doctor) => examine(&database),
        Some(Command::Compact) => history::compact(&database),
        Some(Command::Purge { document, yes }) => history::purge(&database, &document, yes),
        Some(Command::Token { command }) => token::run(&database, command),
        None | Some(Command::Serve) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Failure::Failed(format!("The system gave no threads: {error}. Try again."))
            })?;
            let result = runtime.block_on(listen(&args, database));
            // A merge that nobody waits for any more must not hold the process.
            runtime.shutdown_background();
            result
        }
    }
}

/// As many open files as the system allows: each connection is one, and a stream keeps its connection.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it was");
    }
}

async fn listen(args: &Args, database: PathBuf) -> Result<(), Failure> {
    raise_open_files();
    let shutdown = signals().map_err(|error| {
        Failure::Failed(format!("Signals cannot be received: {error}. Start it in another environment."))
    })?;
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host(&args.listen).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(Failure::Usage(unknown_address(&args.listen, &error))),
    };
    refuse_without_tokens(&addresses, &database)?;
    let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
        Failure::Failed(format!(
            "{} could not be listened on: {error}. Choose another with --listen; port 0 takes a free one.",
            args.listen
        ))
    })?;
    let state = AppState::open(args.config(database.clone())).map_err(|error| unopened(&database, &error))?;
    announce(&listener)?;
    serve(listener, state, shutdown).await.map_err(stopped)
}

/// Without tokens whoever can connect may do everything: then only this machine may.
fn refuse_without_tokens(addresses: &[SocketAddr], database: &Path) -> Result<(), Failure> {
    let Some(other) = addresses.iter().find(|address| !address.ip().is_loopback()) else { return Ok(()) };
    if has_tokens(database).map_err(|error| unopened(database, &error))? {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} is not a loopback address, and without tokens no other is served. \
         Make a token with `rejoin-server token create`, or listen on 127.0.0.1 or [::1].",
        other.ip()
    )))
}

fn unopened(database: &Path, error: &LogError) -> Failure {
    Failure::Failed(format!(
        "The database {} could not be opened: {error}. It was left as it was: \
         name another with --database, or run `rejoin-server doctor`.",
        database.display()
    ))
}

fn unwritten(error: io::Error) -> Failure {
    Failure::Failed(format!("Standard output could not be written: {error}. Try again."))
}

fn back_up(database: &Path, file: &Path) -> Result<(), Failure> {
    backup(database, file).map_err(|error| {
        Failure::Failed(format!(
            "The database {} could not be copied to {}: {error}. Name a database with --database and a new file \
             on a disk with room.",
            database.display(),
            file.display()
        ))
    })
}

fn examine(database: &Path) -> Result<(), Failure> {
    let diagnosis = doctor(database).map_err(|error| {
        Failure::Failed(format!(
            "The database {} could not be opened: {error}. Name another with --database.",
            database.display()
        ))
    })?;
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}").map_err(stopped);
    diagnosis.findings.iter().try_for_each(|finding| say(finding))?;
    say(&format!("Checked {} documents and {} changes.", diagnosis.documents, diagnosis.changes))?;
    if diagnosis.findings.is_empty() {
        return say("All is well.");
    }
    Err(Failure::Failed(
        "The database is damaged. Stop the server, keep the file, and put a backup in its place: clients offer \
         what the backup lacks."
            .to_owned(),
    ))
}

/// The first line on standard output, and the only one: programs wait for it.
fn announce(listener: &TcpListener) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(stopped)?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).map_err(stopped)
}

fn stopped(error: io::Error) -> Failure {
    Failure::Failed(format!("The server stopped: {error}. What was acknowledged is stored; start it again."))
}

fn unknown_address(listen: &str, error: &io::Error) -> String {
    format!("{listen:?} is no address with a port: {error}. Give one like 127.0.0.1:4810.")
}

/// A file over the size that the system allows: with a handler, the write fails instead of ending the process.
const SIGXFSZ: i32 = 25;

/// Resolves at the first SIGTERM or SIGINT.
fn signals() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    drop(signal(SignalKind::from_raw(SIGXFSZ))?);
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("shutting down: open requests are answered, nothing new is taken");
    })
}
