//! `rejoin-server token`: one function a verb.

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use clap::Subcommand;
use rejoin_protocol::{
    DocumentId,
    printable::{printable, printable_json, printable_lines},
};
use rejoin_server::{Access, NewToken, Secret, TokenError, TokenInfo, Tokens};
use serde_json::{Value, json};

use crate::Failure;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once: only its hash is stored
    #[command(after_help = "\
Access:
  read    reading
  write   reading, and pushing changes to documents that have begun
  create  beginning documents, and being admin of those; `token grant` adds documents of others
  admin   everything: beginning and deleting too

Examples:
  rejoin-server token create --name laptop --document '*' --access create
  rejoin-server token create --name board --document 7d7c1f1e-53c9-4b8e-9d4e-0a6f0a3f2b10 --access read --expires 90d
  rejoin-server token create --name ada --document '*' --access create > ada.token
  rejoin-server token create --name ada-2 --replaces ada --overlap 24h")]
    Create {
        /// Its name, by which it is revoked
        #[arg(long)]
        name: String,
        /// The document that it is for: a UUID, or * for all
        #[arg(long, value_name = "UUID|*", value_parser = scope, required_unless_present = "replaces")]
        document: Option<Scope>,
        /// What it allows: read, write, create or admin
        #[arg(long, value_name = "ACCESS", required_unless_present = "replaces")]
        access: Option<Access>,
        /// The token in whose place it comes: it allows the same, on the same documents
        #[arg(long, value_name = "NAME", conflicts_with_all = ["document", "access"])]
        replaces: Option<String>,
        /// How long the replaced one is still good beside it, like 24h
        #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "24h", requires = "replaces")]
        overlap: Duration,
        /// How long it is good, like 90d, 12h, 30m or 45s; until it is revoked where nothing is said
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
    },
    /// Lists the tokens, revoked ones too; never their secrets
    #[command(after_help = "Examples:\n  rejoin-server token ls\n  rejoin-server token ls --json")]
    Ls,
    /// Gives a token access to one more document, in place of what it was given there
    #[command(
        after_help = "Examples:\n  rejoin-server token grant laptop --document 7d7c1f1e-53c9-4b8e-9d4e-0a6f0a3f2b10 --access write\n  rejoin-server token grant laptop --document '*' --access admin    each document that is there now"
    )]
    Grant {
        /// The token's name
        name: String,
        /// The document, a UUID; or * for each one that is there now
        #[arg(long, value_name = "UUID|*", value_parser = scope)]
        document: Scope,
        /// What it allows there: read, write or admin
        #[arg(long, value_name = "ACCESS")]
        access: Access,
    },
    /// Revokes a token: it is good for nothing from then on, also at a server that is running
    #[command(after_help = "Examples:\n  rejoin-server token revoke laptop")]
    Revoke {
        /// The token's name
        name: String,
    },
}

/// The document that a token is for; `None`: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope(Option<DocumentId>);

pub(crate) fn run(database: &Path, command: TokenCommand, json: bool) -> Result<(), Failure> {
    if !matches!(command, TokenCommand::Create { .. }) {
        crate::maintenance::present(database)?;
    }
    let mut tokens = Tokens::open(database).map_err(|error| crate::unopened(database, &error))?;
    match command {
        TokenCommand::Create { name, replaces: Some(old), overlap, expires, .. } => {
            let ended = tokens.list().map_err(failed)?.into_iter().find(|token| token.name == old);
            let ended = ended.and_then(|token| token.expires_at).filter(|_| expires.is_none());
            let secret = tokens.replace(&old, (&name, expires), overlap).map_err(failed)?;
            show(&mut tokens, &name, &secret, json)?;
            say_aside(&format!(
                "{old} ends when its time beside {name} is over: `rejoin-server token ls` says when."
            ));
            if let Some(ended) = ended {
                say_aside(&format!(
                    "{name} is good until it is revoked, where {old} would have ended at {ended}: `--expires` gives it an end."
                ));
            }
            Ok(())
        }
        TokenCommand::Create { name, document, access, expires, .. } => {
            // Both are there: the command line asks for them.
            let (Some(Scope(document)), Some(access)) = (document, access) else { return Ok(()) };
            let unowned = tokens.unowned(SHOWN).map_err(failed)?;
            let new = NewToken { name, document, access, lifetime: expires };
            create(&mut tokens, &new, json)?;
            tell_unowned(database, &new, unowned);
            Ok(())
        }
        TokenCommand::Ls if json => {
            let all: Vec<_> = tokens.list().map_err(failed)?.iter().map(told).collect();
            print(&json!(all))
        }
        TokenCommand::Ls => list(&tokens),
        TokenCommand::Grant { name, document: Scope(None), access } => {
            let granted = tokens.grant_all(&name, access).map_err(failed)?;
            let value =
                json!({ "name": name, "document": "*", "access": access.to_string(), "granted": granted });
            done(json, &value, || format!("{name} may now {access} {}.", documents(granted)))
        }
        TokenCommand::Grant { name, document: Scope(Some(document)), access } => {
            tokens.grant(&name, &document, access).map_err(failed)?;
            done(json, &json!({ "name": name, "document": document, "access": access.to_string() }), || {
                format!("{name} may now {access} {document}.")
            })
        }
        TokenCommand::Revoke { name } => {
            tokens.revoke(&name).map_err(failed)?;
            done(json, &json!({ "name": name, "state": "revoked" }), || format!("{name} is revoked."))
        }
    }
}

/// So many documents that belong to nobody are named.
const SHOWN: usize = 5;

/// `1 document`, `3 documents`.
fn documents(count: u64) -> String {
    format!("{count} document{}", if count == 1 { "" } else { "s" })
}

/// From its first token on a server asks for one, and what was begun before belongs to nobody: who gets that token is
/// locked out of their own documents, unless they are granted. Told where it happens, with the command that mends it.
fn tell_unowned(database: &Path, new: &NewToken, (count, first): (u64, Vec<DocumentId>)) {
    let reaches_all = new.document.is_none() && matches!(new.access, Access::Write | Access::Admin);
    if count == 0 || reaches_all {
        return;
    }
    let named = first.iter().map(|id| format!("\n  {id}")).collect::<String>();
    let more = if count > first.len() as u64 { "\n  …" } else { "" };
    let command = format!(
        "rejoin-server --database {} token grant {}",
        shell(&database.to_string_lossy()),
        shell(&new.name)
    );
    say_aside(&format!(
        "This is the first token here. {} begun before it, and {} to nobody:{named}{more}\n\
         Give {} all of them with\n  {command} --document '*' --access admin\n\
         or one with\n  {command} --document UUID --access write",
        if count == 1 { "1 document was".to_owned() } else { format!("{count} documents were") },
        if count == 1 { "it belongs" } else { "they belong" },
        new.name,
    ));
}

/// A word as a shell takes it.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A verb that has no result: a sentence for people, a value for programs.
fn done(json: bool, value: &Value, sentence: impl FnOnce() -> String) -> Result<(), Failure> {
    if json {
        return print(value);
    }
    say_aside(&sentence());
    Ok(())
}

/// One JSON value on a line.
fn print(value: &Value) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", printable_json(&value.to_string()))
        .and_then(|()| out.flush())
        .map_err(crate::unwritten)
}

/// A token as a program is told of it: never its secret.
fn told(token: &TokenInfo) -> Value {
    json!({
        "name": token.name,
        "document": token.document.map_or_else(|| "*".to_owned(), |id| id.to_string()),
        "access": token.access.to_string(),
        "granted": token.grants,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "state": state(token),
    })
}

fn create(tokens: &mut Tokens, new: &NewToken, json: bool) -> Result<(), Failure> {
    let secret = tokens.create(new).map_err(failed)?;
    show(tokens, &new.name, &secret, json)
}

/// The token alone on standard output, so that it can go straight into a file; as JSON beside what was made.
fn show(tokens: &mut Tokens, name: &str, secret: &Secret, json: bool) -> Result<(), Failure> {
    let text = if json { made(tokens, name, secret)? } else { secret.reveal().to_owned() };
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        let undone = tokens.revoke(name).is_ok();
        let then = if undone { "It was revoked: make another." } else { "Revoke it and make another." };
        return Err(Failure::Failed(format!("The token could not be printed, and nobody knows it. {then}")));
    }
    say_aside("It is shown this once. Who gets it saves it with `rejoin init --server URL --token -`.");
    Ok(())
}

fn made(tokens: &Tokens, name: &str, secret: &Secret) -> Result<String, Failure> {
    let all = tokens.list().map_err(failed)?;
    let mut value = all.iter().rev().find(|token| token.name == name).map_or_else(|| json!({}), told);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("token".to_owned(), secret.reveal().into());
    }
    Ok(printable_json(&value.to_string()).into_owned())
}

fn list(tokens: &Tokens) -> Result<(), Failure> {
    let rows = tokens.list().map_err(failed)?.into_iter().map(row);
    let head = ["name", "document", "access", "granted", "created", "expires", "state"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let mut out = io::stdout().lock();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            let width = widths.max().unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        match writeln!(out, "{}", line.trim_end()) {
            // The reader had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(crate::unwritten)?,
        }
    }
    Ok(())
}

/// Whether it is good, in a word.
fn state(token: &TokenInfo) -> &'static str {
    match (&token.revoked_at, token.expired) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "good",
    }
}

fn row(token: TokenInfo) -> [String; 7] {
    let state = match &token.revoked_at {
        Some(at) => format!("revoked {at}"),
        None => state(&token).to_owned(),
    };
    [
        printable(&token.name).into_owned(),
        token.document.map_or_else(|| "*".to_owned(), |id| id.to_string()),
        token.access.to_string(),
        token.grants.to_string(),
        token.created_at,
        token.expires_at.unwrap_or_else(|| "never".to_owned()),
        state,
    ]
}

fn failed(error: TokenError) -> Failure {
    let hint = match &error {
        TokenError::NameTaken(_) => "Choose another name, or revoke that one first.",
        TokenError::UnknownName(_) => "`rejoin-server token ls` lists them.",
        TokenError::BadName | TokenError::NotGrantable => "Give another.",
        TokenError::TooLong => "Give a shorter time, or none.",
        TokenError::Log(error) if crate::advice(error).is_some() => crate::advice(error).unwrap_or_default(),
        _ => "Nothing was changed; check the database with `rejoin-server doctor`.",
    };
    let text = format!("Nothing was done: {error}. {hint}");
    match error {
        TokenError::BadName | TokenError::NotGrantable | TokenError::TooLong => Failure::Usage(text),
        _ => Failure::Failed(text),
    }
}

/// Results go to standard output, everything else here. Where it is gone nobody can be told.
fn say_aside(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable_lines(text, false));
}

fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "*" => Ok(Scope(None)),
        text => {
            text.parse().map(Some).map(Scope).map_err(|_| "a document is a UUID, or * for all".to_owned())
        }
    }
}

/// Reads `90d`, `12h`, `30m`, `45s`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let units = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let seconds = found.and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit));
    let long = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    long.ok_or_else(|| "a time is a number with w, d, h, m or s, like 90d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_and_is_not_nothing() {
        assert_eq!(lifetime("90d").unwrap().as_secs(), 90 * 86_400);
        assert_eq!(lifetime("2w").unwrap(), lifetime("14d").unwrap());
        for bad in ["90", "0d", "-1d", "d", "soon", "1.5h", "99999999999999999999d", ""] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_for_one_document_or_for_all() {
        assert_eq!(scope("*"), Ok(Scope(None)));
        assert!(scope("7d7c1f1e-53c9-4b8e-9d4e-0a6f0a3f2b10").unwrap().0.is_some());
        assert!(scope("").is_err() && scope("all").is_err());
    }
}
