//! The command line: every option, what it is read as, and what a server is started with.

mod tuning;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use rejoin_protocol::{DocumentId, printable::PrintableWriter};
use rejoin_server::{JwtSettings, ServerConfig, ServerLimits, TlsFiles};
use tuning::LimitsArgs;
use values::{filter, origin};

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
    door: AccessArgs,

    #[command(flatten)]
    tuning: LimitsArgs,
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
struct AccessArgs {
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
    /// Puts a backup in the database's place, and keeps the old one beside it
    ///
    /// No server may run. What SQLite left beside the old one goes with it. Clients offer again what the backup lacks.
    Restore {
        /// The file that `backup` wrote
        file: PathBuf,
        /// Does not ask. Where there is no terminal nothing is asked either: the old database is kept
        #[arg(long)]
        yes: bool,
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
    /// Makes, lists and revokes tokens, and grants them documents, also while a server runs
    ///
    /// From the first token on every resource needs one, and any address may be listened on.
    Token {
        /// Print JSON, and nothing else, on standard output
        #[arg(long, global = true)]
        json: bool,
        /// What to do with tokens
        #[command(subcommand)]
        command: TokenCommand,
    },
}

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

    /// What one request may ask, and what a document may become.
    pub(crate) fn limits(&self) -> ServerLimits {
        let mut config = ServerConfig::new(PathBuf::new());
        self.tuning.apply(&mut config);
        config.limits
    }

    /// What the server is started with.
    ///
    /// # Errors
    /// Two sentences for whoever typed it.
    pub(crate) fn config(&self, database: PathBuf) -> Result<ServerConfig, String> {
        let mut config = ServerConfig::new(database);
        self.tuning.apply(&mut config);
        config.tls = self.door.tls()?;
        config.jwt = self.door.jwt()?;
        config.cors_origins.clone_from(&self.door.cors_origin);
        Ok(config)
    }
}

impl AccessArgs {
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
    let log = log.with_env_filter(filter).with_ansi(colour);
    match format {
        LogFormat::Text => {
            log.with_writer(move || PrintableWriter::new(std::io::stderr(), colour)).init();
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_ansi(false);
            log.with_writer(|| PrintableWriter::json(std::io::stderr())).init();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Args;

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
}
