//! The sync server of rejoin, as a program.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;
mod args;
mod copies;
mod maintenance;
mod settings;
mod token;

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use rejoin_protocol::printable::{printable, printable_lines};
use rejoin_server::{
    AppState, Bringer, Crowd, LogError, ServerConfig, ServerLimits, StartError, VerifyCommand, check_log,
    doctor, has_tokens, serve, verify_child,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    args::{Args, Command},
    settings::Settings,
};

/// Why the program ends: a sentence of what happened and one of what to do.
enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2: wrong usage.
    Usage(String),
}

fn main() -> ExitCode {
    let settings = settings::read(std::env::args_os());
    args::log_to_stderr(settings.as_ref().ok().map(|settings| &settings.args));
    rejoin_protocol::untrusted::install_panic_hook();
    let (code, text) = match settings.and_then(run) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => (1, text),
        Err(Failure::Usage(text)) => (2, text),
    };
    // Where standard error is gone nobody can be told.
    let _ = writeln!(io::stderr(), "rejoin-server: {}", printable_lines(&text, false));
    ExitCode::from(code)
}

fn run(settings: Settings) -> Result<(), Failure> {
    let args = &settings.args;
    if let Some(Command::VerifyChild) = args.command {
        return verify_child(io::stdin().lock(), io::stdout().lock()).map_err(stopped);
    }
    let database = args.database().map_err(Failure::Usage)?;
    if !matches!(args.command, Some(Command::Config { .. } | Command::Restore { .. })) {
        check_log(&database).map_err(|error| unopened(&database, &error))?;
    }
    match args.command.clone() {
        Some(Command::Config { sample: true }) => {
            settings::print_sample(&mut io::stdout().lock()).map_err(unwritten)
        }
        Some(Command::Config { sample: false }) => {
            settings::print(&settings, &mut io::stdout().lock()).map_err(unwritten)?;
            // After they were shown: then it can be seen where what is wrong comes from.
            args.config(database).map(drop).map_err(Failure::Usage)
        }
        Some(Command::Backup { file }) => copies::back_up(&database, &file),
        Some(Command::Restore { file, yes }) => copies::restore(&database, &file, yes),
        Some(Command::Doctor) => examine(&database, &args.limits()),
        Some(Command::Compact) => maintenance::compact(&database),
        Some(Command::Purge { document, yes }) => maintenance::purge(&database, &document, yes),
        Some(Command::Token { json, command }) => token::run(&database, command, json),
        None | Some(Command::Serve | Command::VerifyChild) => {
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            allocator::give_back();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Failure::Failed(format!("The system gave no threads: {error}. Try again."))
            })?;
            let result = runtime.block_on(listen(args, database));
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
    let mut config = args.config(database.clone()).map_err(Failure::Usage)?;
    config.verify_command = Some(VerifyCommand::of_this_program(["verify-child"]).map_err(stopped)?);
    if config.jwt.is_none() {
        refuse_without_tokens(&addresses, &database)?;
    }
    let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
        Failure::Failed(format!(
            "{} could not be listened on: {error}. Choose another with --listen; port 0 takes a free one.",
            args.listen
        ))
    })?;
    let state = AppState::open(config.clone()).map_err(|error| match error {
        StartError::Log(error) => unopened(&database, &error),
        error => unusable(&error),
    })?;
    reload_on_hangup(&config, &state).map_err(stopped)?;
    announce(&listener, if config.tls.is_some() { "https" } else { "http" })?;
    tell_systemd(sd_notify::NotifyState::Ready);
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
         Make a token with `rejoin-server token create`, name a key of JWTs with --jwt-key, or listen on 127.0.0.1 or [::1].",
        other.ip()
    )))
}

/// SIGHUP has certificate and keys read again at once. Where there are none, and this runs in a terminal, it is the
/// terminal that goes, and the program with it.
fn reload_on_hangup(config: &ServerConfig, state: &AppState) -> io::Result<()> {
    if config.tls.is_none() && config.jwt.is_none() && io::stderr().is_terminal() {
        return Ok(());
    }
    let mut hangup = signal(SignalKind::hangup())?;
    let state = state.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let state = state.clone();
            // A panic in there was logged; the next signal tries again.
            drop(tokio::task::spawn_blocking(move || state.reload()).await);
        }
    });
    Ok(())
}

fn unusable(error: &StartError) -> Failure {
    Failure::Usage(format!("The server was not started: {error}. Name another file."))
}

fn unopened(database: &Path, error: &LogError) -> Failure {
    let then = advice(error)
        .unwrap_or("It was left as it was: name another with --database, or run `rejoin-server doctor`.");
    Failure::Failed(format!("The database {} could not be opened: {error}. {then}", database.display()))
}

/// What is to be done where the file is not at fault; `None` where it may be.
fn advice(error: &LogError) -> Option<&'static str> {
    match error {
        LogError::Served => Some(
            "One alone can. Stop that one, or name another with --database; \
             `token`, `backup`, `compact`, `purge` and `doctor` work beside it.",
        ),
        LogError::NoRoom { .. } => Some(
            "Make room there, or name a directory with room in the variable SQLITE_TMPDIR, and run it again: what was \
             packed stays.",
        ),
        LogError::InUse => Some("Stop it, and try again."),
        LogError::ForeignLog(_) => Some(
            "It was left by the file that stood here before, and nothing was touched: move the log away (`mv`), and keep it \
             until you miss nothing. `rejoin-server restore` does that by itself.",
        ),
        LogError::ReadOnly => {
            Some("Give both to the user who runs this (`chown`, mode 0600), or name another with --database.")
        }
        LogError::Database(error) if error.is_unreached() => UNREACHED,
        LogError::Io(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
        {
            UNREACHED
        }
        _ => None,
    }
}

const UNREACHED: Option<&str> = Some(
    "Look whether its directory is there, and whether this user may read and write it; or name another with --database.",
);

fn unwritten(error: io::Error) -> Failure {
    Failure::Failed(format!("Standard output could not be written: {error}. Try again."))
}

fn examine(database: &Path, limits: &ServerLimits) -> Result<(), Failure> {
    let diagnosis = doctor(database).map_err(|error| {
        let then = advice(&error).unwrap_or("Name another with --database.");
        Failure::Failed(format!("The database {} could not be opened: {error}. {then}", database.display()))
    })?;
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{}", printable(line)).map_err(stopped);
    diagnosis.findings.iter().try_for_each(|finding| say(finding))?;
    let crowds: Vec<String> = diagnosis.crowds.iter().filter_map(|crowd| tell_crowd(crowd, limits)).collect();
    crowds.iter().try_for_each(|line| say(line))?;
    if !crowds.is_empty() {
        say(CROWDED)?;
    }
    let some = |n: u64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    let (documents, changes) = (some(diagnosis.documents, "document"), some(diagnosis.changes, "change"));
    say(&format!("Checked {documents} and {changes}."))?;
    if diagnosis.findings.is_empty() {
        return say("All is well.");
    }
    Err(Failure::Failed(
        "The database is damaged. Stop the server, and put a backup in its place with `rejoin-server restore FILE`, which \
         keeps this one: clients offer what the backup lacks."
            .to_owned(),
    ))
}

/// How many pushers of a document are named.
const NAMED: usize = 8;

const CROWDED: &str = "Where one brought too many of them: revoke it (`rejoin-server token revoke NAME`, or at who mints \
    JWTs), and start the server with a larger --document-actors, --document-heads or --document-bytes. Nothing is damaged \
    by it.";

/// Who brought what a document has of actors, heads and bytes, where it is half full.
fn tell_crowd(crowd: &Crowd, limits: &ServerLimits) -> Option<String> {
    let full = |count: u64, limit: u64| count.saturating_mul(2) >= limit;
    if !full(crowd.actors, limits.document_actors)
        && !full(crowd.heads, limits.document_heads)
        && !full(crowd.bytes, limits.document_bytes)
    {
        return None;
    }
    let of = |one: &Bringer| {
        let name = one.name.as_deref().unwrap_or("nobody that is known");
        format!("{name} brought {}, {} and {}", one.actors, one.heads, one.bytes)
    };
    let mut by: Vec<String> = crowd.by.iter().take(NAMED).map(of).collect();
    if crowd.by.len() > NAMED {
        by.push(format!("{} others the rest", crowd.by.len() - NAMED));
    }
    Some(format!(
        "Document {} has {} actors (limit {}), {} heads (limit {}) and {} bytes (limit {}): {}.",
        crowd.document,
        crowd.actors,
        limits.document_actors,
        crowd.heads,
        limits.document_heads,
        crowd.bytes,
        limits.document_bytes,
        by.join("; ")
    ))
}

/// The first line on standard output, and the only one: programs wait for it.
fn announce(listener: &TcpListener, scheme: &str) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(stopped)?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {scheme}://{address}").and_then(|()| out.flush()).map_err(stopped)
}

fn stopped(error: io::Error) -> Failure {
    Failure::Failed(format!("The server stopped: {error}. What was acknowledged is stored; start it again."))
}

fn unknown_address(listen: &str, error: &io::Error) -> String {
    format!("{listen:?} is no address with a port: {error}. Give one like 127.0.0.1:4810.")
}

/// Where systemd started this and waits to be told.
fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
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
        tell_systemd(sd_notify::NotifyState::Stopping);
        tracing::info!("shutting down: open requests are answered, nothing new is taken");
    })
}
