//! `rejoin init`: make the store, and remember the server and who you are.

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use clap::Args;
use rejoin::{HttpOptions, Store, driver::HttpTransport};
use serde_json::json;

use crate::context::{Context, check_server};
use crate::error::{CliError, Exit, Result};
use crate::{commands, format, token};

/// Make the store, and remember the server and who you are
///
/// Typed again, it changes what is given and keeps the rest; an empty value forgets. With `--token -` it
/// reads one line from standard input and keeps it for the server in a file that only you can read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin init --server http://127.0.0.1:4810 --author Ada
  rejoin init --author ''                      forget the author again
  rejoin init --token - < token.txt            keep a token for the server
  rejoin init --ca-cert ./server.pem           trust a certificate of its own
  rejoin init --trash-days 30 --trash-bytes 64MiB
  rejoin --store ./other.db init               a store of your own choosing")]
pub(crate) struct InitArgs {
    /// The name that changes made here bear
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// How many days documents that others deleted are kept [default: 90]
    #[arg(long, value_name = "N")]
    trash_days: Option<u32>,
    /// How many bytes of them are kept: 1000000, 64MiB, 1GiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = format::parse_size)]
    trash_bytes: Option<u64>,
}

pub(crate) async fn run(context: &mut Context, args: InitArgs) -> Result<Exit> {
    let new_server = match context.globals.server.as_deref() {
        // Set and empty in the environment is as good as not set; typed, it forgets.
        Some("") if std::env::var_os("REJOIN_SERVER").is_some() => None,
        Some("") => Some(None),
        Some(url) => Some(Some(check_server(url)?)),
        None => None,
    };
    let path = context.store_path()?;
    let store = context.open().await?;
    if let Some(server) = &new_server {
        store.set_server(server.as_deref()).await?;
        tell_unconcerned(context, &store, server.as_deref()).await?;
    }
    if let Some(author) = &args.author {
        store.set_author(Some(author.trim()).filter(|a| !a.is_empty())).await?;
    }
    let mut trash = store.trash_limits().await?;
    if args.trash_days.is_some() || args.trash_bytes.is_some() {
        trash.days = args.trash_days.unwrap_or(trash.days);
        trash.bytes = args.trash_bytes.unwrap_or(trash.bytes);
        store.set_trash_limits(trash).await?;
    }
    remember_security(context, &store).await?;
    let settings = store.settings().await?;
    if context.globals.token.as_deref() == Some("-") {
        let server = token_server(&store, settings.server.clone()).await?;
        token::save(&path, &server, &read_token()?)?;
        context.out.note(format_args!(
            "The token is kept for {}, readable by you alone.",
            format::printable(&server)
        ));
    } else {
        if context.globals.token.is_some() {
            let note =
                "The token that was given is for this command alone: `rejoin init --token -` keeps one.";
            context.out.note(note);
        }
        if let Some(Some(server)) = &new_server {
            tell_other_token(context, &path, server)?;
        }
    }
    if context.out.is_json() {
        context.out.json(&json!({
            "store": path, "server": settings.server, "author": settings.author,
            "trash_days": trash.days, "trash_bytes": trash.bytes,
        }))?;
        return Ok(Exit::Done);
    }
    let shown = |value: Option<&str>| value.map_or("none yet".to_owned(), format::printable);
    context.out.line(format_args!("store   {}", format::printable(&path.display().to_string())))?;
    context.out.line(format_args!("server  {}", shown(settings.server.as_deref())))?;
    context.out.line(format_args!("author  {}", shown(settings.author.as_deref())))?;
    let (days, size) = (format::count(trash.days.into(), "day"), format::size(trash.bytes));
    context.out.line(format_args!("trash   {days}, {size}"))?;
    Ok(Exit::Done)
}

/// Whose a token is that is to be kept: the store's server, else the only one that its documents were joined at.
async fn token_server(store: &Store, saved: Option<String>) -> Result<String> {
    if let Some(server) = saved {
        return Ok(server);
    }
    let documents = store.documents().await?;
    let mut servers: Vec<_> =
        documents.into_iter().filter_map(|document| document.server.or(document.home)).collect();
    servers.sort();
    servers.dedup();
    match <[String; 1]>::try_from(servers) {
        Ok([server]) => Ok(server),
        Err(_) => Err(rejoin::Error::NoServer.into()),
    }
}

/// A token that was saved for another server stays that one's.
fn tell_other_token(context: &Context, store: &Path, server: &str) -> Result<()> {
    if let Some(other) = token::server_of(store)?.filter(|other| other != server) {
        context.out.note(format_args!(
            "The saved token is for {}: it is kept, and this server never sees it. `rejoin init --token -` saves one for \
             this server in its place.",
            format::printable(&other)
        ));
    }
    Ok(())
}

/// Names the documents that do not follow: each has an address of its own.
async fn tell_unconcerned(context: &Context, store: &Store, server: Option<&str>) -> Result<()> {
    let Some(server) = server else { return Ok(()) };
    for document in store.documents().await? {
        let Some(own) = document.server.as_deref().filter(|own| own.trim_end_matches('/') != server) else {
            continue;
        };
        let (name, id) = (commands::title(&document), document.id);
        context.out.note(format_args!(
            "{name} does not follow: it goes on with {}, by which it was joined. If it has moved too: \
             `rejoin join {server}/v1/documents/{id}`",
            format::printable(own)
        ));
    }
    Ok(())
}

/// Keeps `--ca-cert` and, for the server that is saved, `--allow-http`. From the environment they are for one run, as
/// the token is.
async fn remember_security(context: &Context, store: &Store) -> Result<()> {
    let typed = |variable: &str| std::env::var_os(variable).is_none_or(|value| value.is_empty());
    match context.globals.ca_cert.as_deref() {
        Some(path) if path.as_os_str().is_empty() && typed("REJOIN_CA_CERT") => {
            store.set_ca_file(None).await?
        }
        Some(path) if typed("REJOIN_CA_CERT") => {
            HttpOptions::default().ca_file(path)?;
            let whole = std::path::absolute(path).map_err(|e| CliError::io(path.display(), e))?;
            store.set_ca_file(Some(&whole)).await?;
        }
        _ => {}
    }
    if context.globals.allow_http && typed("REJOIN_ALLOW_HTTP") {
        let server = store.settings().await?.server.ok_or(rejoin::Error::NoServer)?;
        store.set_allow_http_to(Some(&server)).await?;
        let unless_allowed = HttpTransport::with(&server, None, &HttpOptions::default());
        if matches!(unless_allowed, Err(rejoin::Error::PlainHttp(_))) {
            context.out.note(format_args!(
                "Everybody between this machine and {} can read and change what is sent, the token too: allow it only \
                 inside a network that you trust.",
                format::printable(&server)
            ));
        }
    }
    // Told now, and not at the first sync; nothing else of `init` needs the server.
    let settings = store.settings().await?;
    if let Some(server) = &settings.server
        && let Err(error) = HttpTransport::with(server, None, &context.http(store).await?)
    {
        context.out.note(CliError::from(error));
    }
    Ok(())
}

fn read_token() -> Result<String> {
    let mut line = String::new();
    let limited = std::io::stdin().lock().take(8192);
    std::io::BufReader::new(limited)
        .read_line(&mut line)
        .map_err(|e| CliError::io("the token could not be read from standard input", e))?;
    let token = line.trim();
    token::parse(token)?;
    Ok(token.to_owned())
}
