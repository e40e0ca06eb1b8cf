use std::io::{BufRead as _, Read as _};

use clap::Args;
use serde_json::json;

use crate::context::{Context, check_server};
use crate::error::{CliError, Exit, Result};
use crate::{format, token};

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
  rejoin --store ./other.db init               a store of your own choosing")]
pub(crate) struct InitArgs {
    /// The name that changes made here bear
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
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
    }
    if let Some(author) = &args.author {
        store.set_author(Some(author.trim()).filter(|a| !a.is_empty())).await?;
    }
    let settings = store.settings().await?;
    if context.globals.token.as_deref() == Some("-") {
        let server = settings.server.as_deref().ok_or(rejoin::Error::NoServer)?;
        token::save(&path, server, &read_token()?)?;
        context.out.note("The token is kept for this server, readable by you alone.");
    }
    if context.out.is_json() {
        context.out.json(&json!({ "store": path, "server": settings.server, "author": settings.author }))?;
        return Ok(Exit::Done);
    }
    let shown = |value: Option<&str>| value.map_or("none yet".to_owned(), format::printable);
    context.out.line(format_args!("store   {}", format::printable(&path.display().to_string())))?;
    context.out.line(format_args!("server  {}", shown(settings.server.as_deref())))?;
    context.out.line(format_args!("author  {}", shown(settings.author.as_deref())))?;
    Ok(Exit::Done)
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
