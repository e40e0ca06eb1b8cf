use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use rejoin::DocumentId;
use rejoin_server::{JwtSettings, ServerConfig, ServerLimits, TlsFiles};

use crate::token::TokenCommand;

/// The sync server of rejoin: a log of changes for each document, over HTTP.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  rejoin-server\n  rejoin-server --listen 127.0.0.1:0 --database /var/lib/rejoin/log.db\n\n\
                  Without tokens only loopback addresses are served; `rejoin-server token create` makes one.\n\
                  Sizes are bytes, or numbers with KiB, MiB or GiB; times are like 500ms, 30s or 5m.\n\
                  Every option but --config may be a line of a TOML file: `rejoin-server config --sample` makes one.\n\
                  The command line goes before the environment, that before the file, that before the default."
)]
pub(crate) struct Args {
    /// What to do; `serve` where nothing is said
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The address to listen on: a loopback one where no token was made; port 0 takes a free one
    #[arg(
        long,
        global = true,
        env = "REJOIN_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:4810"
    )]
    pub(crate) listen: String,

    /// The database: a path, or sqlite:PATH
    #[arg(
        long,
        global = true,
        env = "REJOIN_DATABASE",
        value_name = "DATABASE",
        default_value = "rejoin-server.db"
    )]
    database: String,

    /// How much is written to standard error: error, warn, info, debug, or by part, as in info,rejoin_server=debug;
    /// else what RUST_LOG says, else info
    #[arg(long, global = true, env = "REJOIN_LOG", value_name = "FILTER", value_parser = filter)]
    log: Option<String>,

    /// How it is written
    #[arg(long, global = true, env = "REJOIN_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// A TOML file of settings; none is read unless it is named
    #[arg(long, global = true, env = "REJOIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    door: Door,

    #[command(flatten)]
    tuning: Tuning,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Who is let in, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS, JWTs and browsers")]
struct Door {
    /// The certificate chain, PEM: with --tls-key the server speaks HTTPS; read again when it changes
    #[arg(long, global = true, env = "REJOIN_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, global = true, env = "REJOIN_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// What JWTs are checked with: an HS256 secret, an Ed25519 public key (PEM), a JWK or a JWKS; read again when it
    /// changes
    #[arg(long, global = true, env = "REJOIN_JWT_KEY", value_name = "FILE")]
    jwt_key: Option<PathBuf>,
    /// The `aud` that a JWT must bear; where none is named, one with `aud` is refused
    #[arg(long, global = true, env = "REJOIN_JWT_AUDIENCE", value_name = "TEXT")]
    jwt_audience: Option<String>,
    /// The `iss` that a JWT must bear
    #[arg(long, global = true, env = "REJOIN_JWT_ISSUER", value_name = "TEXT")]
    jwt_issuer: Option<String>,
    /// An origin whose pages may use the server from a browser, like https://app.example; once for each
    #[arg(
        long,
        global = true,
        env = "REJOIN_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin
    )]
    cors_origin: Vec<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Serves until SIGTERM or SIGINT
    Serve,
    /// Prints the settings in force and where each is from
    Config {
        /// Print every option with its default, as a file to begin with
        #[arg(long)]
        sample: bool,
    },
    /// Writes a consistent copy of the database to a new file, also while a server uses it
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Checks the database, changes nothing, and says what to do
    Doctor,
    /// Merges and verifies documents for a server, over its standard input and output
    #[command(hide = true)]
    VerifyChild,
    /// Packs the logs of all documents, and writes the file again without its free pages
    ///
    /// A server does this by itself behind its work, but for the last part. While that lasts, what a running server is
    /// sent waits, and is answered 503 after five seconds: clients come again.
    Compact,
    /// Removes for good what is behind the tombstone of a deleted document
    ///
    /// Its changes, packs and snapshot go from the database, and the file is written again so that nothing of them is
    /// left in it; the tombstone stays. Backups made before still hold them. A running server's pushes wait meanwhile,
    /// as for `compact`.
    Purge {
        /// The document's UUID
        document: DocumentId,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Makes, lists, extends and revokes tokens, also while a server runs
    ///
    /// From the first token on every resource needs one, and any address may be listened on.
    Token {
        /// What to do with tokens
        #[command(subcommand)]
        command: TokenCommand,
    },
}

/// What is taken, and how much of the machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct Tuning {
    /// Largest request body as it travels
    #[arg(long, global = true, env = "REJOIN_BODY_BYTES", value_name = "SIZE", value_parser = size, default_value = "16MiB")]
    body_bytes: usize,
    /// Largest request body after content decoding
    #[arg(long, global = true, env = "REJOIN_INFLATED_BODY_BYTES", value_name = "SIZE", value_parser = size, default_value = "32MiB")]
    inflated_body_bytes: usize,
    /// Largest plain change
    #[arg(long, global = true, env = "REJOIN_CHANGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "1MiB")]
    change_bytes: usize,
    /// Most operations in a change
    #[arg(
        long,
        global = true,
        env = "REJOIN_CHANGE_OPERATIONS",
        value_name = "N",
        default_value_t = 100_000
    )]
    change_operations: u64,
    /// Most dependencies of a change
    #[arg(
        long,
        global = true,
        env = "REJOIN_CHANGE_DEPENDENCIES",
        value_name = "N",
        default_value_t = 4_096
    )]
    change_dependencies: usize,
    /// Most changes in a push
    #[arg(long, global = true, env = "REJOIN_PUSH_CHANGES", value_name = "N", default_value_t = 100_000)]
    push_changes: usize,
    /// Most changes in a page of a log
    #[arg(long, global = true, env = "REJOIN_PAGE_CHANGES", value_name = "N", default_value_t = 10_000)]
    page_changes: usize,
    /// Largest page of a log
    #[arg(long, global = true, env = "REJOIN_PAGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "4MiB")]
    page_bytes: usize,
    /// Most hashes in a `missing` question
    #[arg(long, global = true, env = "REJOIN_MISSING_HASHES", value_name = "N", default_value_t = 32_768)]
    missing_hashes: usize,
    /// Most documents in a page of their list
    #[arg(long, global = true, env = "REJOIN_LIST_DOCUMENTS", value_name = "N", default_value_t = 1_000)]
    list_documents: usize,
    /// Largest log of a document, in plain bytes
    #[arg(long, global = true, env = "REJOIN_DOCUMENT_BYTES", value_name = "SIZE", value_parser = size, default_value = "1GiB")]
    document_bytes: usize,
    /// Requests a second that one token may go on making; 0 for as many as it likes
    #[arg(long, global = true, env = "REJOIN_REQUEST_RATE", value_name = "N", default_value_t = 200)]
    request_rate: u32,
    /// Requests that one token may make at once, after a rest
    #[arg(long, global = true, env = "REJOIN_REQUEST_BURST", value_name = "N", default_value_t = 5_000)]
    request_burst: u32,
    /// Largest log, in plain bytes, that a merged document or a snapshot is made from
    #[arg(long, global = true, env = "REJOIN_MERGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "256MiB")]
    merge_bytes: usize,
    /// How many documents are merged at once
    #[arg(long, global = true, env = "REJOIN_MERGES", value_name = "N", default_value_t = 1)]
    merges: usize,
    /// Memory for merged documents, as estimated
    #[arg(long, global = true, env = "REJOIN_CACHE_BYTES", value_name = "SIZE", value_parser = size, default_value = "64MiB")]
    cache_bytes: usize,
    /// Memory for request bodies, all together
    #[arg(long, global = true, env = "REJOIN_BODY_MEMORY", value_name = "SIZE", value_parser = size, default_value = "128MiB")]
    body_memory: usize,
    /// Most connections at once
    #[arg(long, global = true, env = "REJOIN_CONNECTIONS", value_name = "N", default_value_t = 16_384)]
    connections: usize,
    /// Most event streams at once
    #[arg(long, global = true, env = "REJOIN_STREAMS", value_name = "N", default_value_t = 12_288)]
    streams: usize,
    /// How often an event stream says something where nothing happens; at most 15s
    #[arg(long, global = true, env = "REJOIN_HEARTBEAT", value_name = "TIME", value_parser = time, default_value = "10s")]
    heartbeat: Duration,
    /// Most pushes that wait to be committed
    #[arg(long, global = true, env = "REJOIN_WAITING_PUSHES", value_name = "N", default_value_t = 1_024)]
    waiting_pushes: usize,
    /// Connections to the database that read
    #[arg(long, global = true, env = "REJOIN_READERS", value_name = "N", default_value_t = 4)]
    readers: usize,
    /// How long the head of a request may take, and a connection stay idle
    #[arg(long, global = true, env = "REJOIN_HEADER_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "30s")]
    header_timeout: Duration,
    /// How long a body may take, beside the time its bytes get
    #[arg(long, global = true, env = "REJOIN_BODY_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "20s")]
    body_timeout: Duration,
    /// The slowest pace of a body that is waited for, a second
    #[arg(long, global = true, env = "REJOIN_BODY_RATE", value_name = "SIZE", value_parser = size, default_value = "16KiB")]
    body_rate: usize,
    /// How long an answer may take once the body is there
    #[arg(long, global = true, env = "REJOIN_REQUEST_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "30s")]
    request_timeout: Duration,
    /// How long open requests may take after a signal; at most 9s
    #[arg(long, global = true, env = "REJOIN_DRAIN_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "8s")]
    drain_timeout: Duration,
    /// How long a document is left alone before its whole log is packed
    #[arg(long, global = true, env = "REJOIN_COMPACT_QUIET", value_name = "TIME", value_parser = time, default_value = "10m")]
    compact_quiet: Duration,
    /// Fewest changes for which that is done
    #[arg(long, global = true, env = "REJOIN_COMPACT_LEAST", value_name = "N", default_value_t = 64)]
    compact_least: u64,
    /// How long one trial to verify a document may take, beside a second for each MiB of its log
    #[arg(long, global = true, env = "REJOIN_VERIFY_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "10s")]
    verify_timeout: Duration,
    /// Most memory, as address space, of a process that verifies documents
    #[arg(long, global = true, env = "REJOIN_VERIFY_MEMORY", value_name = "SIZE", value_parser = size, default_value = "2GiB")]
    verify_memory: usize,
    /// How long a document is left alone before it is verified and its snapshot is made
    #[arg(long, global = true, env = "REJOIN_SNAPSHOT_QUIET", value_name = "TIME", value_parser = time, default_value = "500ms")]
    snapshot_quiet: Duration,
}

/// The longest drain: the process promises to end within 10 s of a signal.
const LONGEST_DRAIN: Duration = Duration::from_secs(9);
/// Clients are promised to hear something so often.
const SLOWEST_HEARTBEAT: Duration = Duration::from_secs(15);
/// More often would be work and nothing else.
const QUICKEST_HEARTBEAT: Duration = Duration::from_millis(100);

impl Args {
    /// The file that `--database` names.
    ///
    /// # Errors
    /// Two sentences for whoever typed it.
    pub(crate) fn database(&self) -> Result<PathBuf, String> {
        let text = self.database.as_str();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(
                "PostgreSQL is not supported yet. Name an SQLite file with --database PATH.".to_owned()
            );
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
        if path.is_empty() || (path == text && text.contains("://")) {
            return Err(format!(
                "{text:?} names no database that is known here. Give a path, or sqlite:PATH."
            ));
        }
        Ok(PathBuf::from(path))
    }

    /// What the server is started with.
    ///
    /// # Errors
    /// Two sentences for whoever typed it.
    pub(crate) fn config(&self, database: PathBuf) -> Result<ServerConfig, String> {
        let tuning = &self.tuning;
        let mut config = ServerConfig::new(database);
        config.limits = tuning.limits();
        config.header_timeout = tuning.header_timeout;
        config.body_timeout = tuning.body_timeout;
        config.body_rate = tuning.body_rate as u64;
        config.request_timeout = tuning.request_timeout;
        config.drain_timeout = tuning.drain_timeout.min(LONGEST_DRAIN);
        config.connections = tuning.connections;
        config.streams = tuning.streams;
        config.heartbeat = tuning.heartbeat.clamp(QUICKEST_HEARTBEAT, SLOWEST_HEARTBEAT);
        config.body_memory = tuning.body_memory;
        config.waiting_pushes = tuning.waiting_pushes;
        config.readers = tuning.readers;
        config.merges = tuning.merges;
        config.cache_bytes = tuning.cache_bytes;
        config.verify_timeout = tuning.verify_timeout;
        config.verify_memory = tuning.verify_memory as u64;
        config.compact_quiet = tuning.compact_quiet;
        config.compact_least = tuning.compact_least;
        config.snapshot_quiet = tuning.snapshot_quiet;
        config.tls = self.door.tls()?;
        config.jwt = self.door.jwt()?;
        config.cors_origins.clone_from(&self.door.cors_origin);
        Ok(config)
    }
}

impl Door {
    fn tls(&self) -> Result<Option<TlsFiles>, String> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert: cert.clone(), key: key.clone() })),
            (None, None) => Ok(None),
            _ => Err("A certificate is of no use without its key. Name both, with --tls-cert and --tls-key."
                .to_owned()),
        }
    }

    fn jwt(&self) -> Result<Option<JwtSettings>, String> {
        let (audience, issuer) = (self.jwt_audience.clone(), self.jwt_issuer.clone());
        match &self.jwt_key {
            Some(key) => Ok(Some(JwtSettings { key: key.clone(), audience, issuer })),
            None if audience.is_none() && issuer.is_none() => Ok(None),
            None => Err("An audience or issuer of JWTs was named, and no key to check them with. \
                         Name its file with --jwt-key."
                .to_owned()),
        }
    }
}

impl Tuning {
    fn limits(&self) -> ServerLimits {
        let mut limits = ServerLimits {
            body_bytes: self.body_bytes,
            inflated_body_bytes: self.inflated_body_bytes,
            push_changes: self.push_changes,
            page_changes: self.page_changes,
            page_bytes: self.page_bytes,
            missing_hashes: self.missing_hashes,
            list_documents: self.list_documents,
            merge_bytes: self.merge_bytes as u64,
            document_bytes: self.document_bytes as u64,
            request_rate: self.request_rate,
            request_burst: self.request_burst,
            ..ServerLimits::default()
        };
        limits.change.change_bytes = self.change_bytes;
        limits.change.operations = self.change_operations;
        limits.change.dependencies = self.change_dependencies;
        limits
    }
}

/// Reads `https://app.example:8443`: an origin as a browser sends it.
fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Err("`*` would let every page in: name each origin".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let fine = rest.and_then(|rest| rest.parse::<http::uri::Authority>().ok()).is_some_and(|authority| {
        let default = if lower.starts_with("https") { 443 } else { 80 };
        !authority.as_str().contains('@') && authority.port_u16() != Some(default)
    });
    let why = "an origin is like https://app.example or http://localhost:3000, without a path and without the \
               scheme's own port";
    fine.then_some(lower).ok_or_else(|| why.to_owned())
}

/// What `tracing` can read; empty is `info`.
fn filter(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok("info".to_owned());
    }
    let read = tracing_subscriber::EnvFilter::try_new(text);
    read.map(|_| text.to_owned()).map_err(|error| format!("no filter of logs: {error}"))
}

/// Reads `512`, `64KiB`, `16MiB`, `1GiB`.
fn size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1));
    let number = number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "a size is bytes, or a number with KiB, MiB or GiB".to_owned())
}

/// Reads `500ms`, `30s`, `5m`; a bare number is seconds.
fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1_000));
    let millis = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| "a time is like 500ms, 30s or 5m".to_owned())
}

/// Logs go to standard error.
/// Where the settings are wrong there are none.
pub(crate) fn log_to_stderr(args: Option<&Args>) {
    let format = args.map_or(LogFormat::Text, |args| args.log_format);
    let filter = match args.and_then(|args| args.log.as_deref()) {
        Some(filter) => tracing_subscriber::EnvFilter::new(filter),
        None => tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
    };
    // A log that cannot be written, on a full disk say, is no reason to panic.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = log.with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).init(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Args, origin, size, time};

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_library() {
        let args = Args::try_parse_from(["rejoin-server"]).unwrap();
        let path = args.database().unwrap();
        assert_eq!(args.config(path.clone()).unwrap(), rejoin_server::ServerConfig::new(path));
    }

    /// An option that is read and then forgotten would be a promise that is not kept.
    #[test]
    fn every_option_changes_what_the_server_is_started_with() {
        let config = |words: &[String]| {
            let words = std::iter::once("rejoin-server".to_owned()).chain(words.iter().cloned());
            let args = Args::try_parse_from(words).unwrap();
            let path = args.database().unwrap();
            format!("{} {:?} {:?} {:?}", args.listen, args.log_format, args.log, args.config(path).unwrap())
        };
        let command = Args::command();
        for arg in command.get_arguments().filter(|arg| arg.is_global_set() && arg.get_id() != "config") {
            let long = arg.get_long().unwrap();
            assert!(arg.get_env().is_some(), "--{long} has no environment variable");
            let words = arg.get_possible_values();
            let value = match arg.get_value_names().map_or("", |names| names[0].as_str()) {
                "N" | "SIZE" | "TIME" => "7".to_owned(),
                "ORIGIN" => "https://a.example".to_owned(),
                _ => words.last().map_or("other".to_owned(), |word| word.get_name().to_owned()),
            };
            let mut words = vec![format!("--{long}={value}")];
            for (of, with) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert"), ("jwt-", "jwt-key")] {
                if long.starts_with(of) && long != with {
                    words.push(format!("--{with}=beside"));
                }
            }
            let without =
                if words.len() > 1 && !long.starts_with("tls") { config(&words[1..]) } else { config(&[]) };
            assert_ne!(config(&words), without, "--{long} changes nothing");
        }
    }

    #[test]
    fn an_origin_is_one_as_a_browser_sends_it() {
        assert_eq!(origin("HTTPS://App.example").unwrap(), "https://app.example");
        assert_eq!(origin("http://localhost:3000").unwrap(), "http://localhost:3000");
        for bad in [
            "*",
            "null",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a:443",
            "http://a:80",
            "https://u@a",
            "ftp://a",
            "",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_times_take_units() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("512"), Ok(512));
        assert!(size("x").is_err() && size("-1").is_err());
        assert_eq!(time("500ms").unwrap().as_millis(), 500);
        assert_eq!(time("2m").unwrap().as_secs(), 120);
        assert!(time("soon").is_err());
    }
}
