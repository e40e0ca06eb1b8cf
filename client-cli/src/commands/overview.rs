//! `rejoin` alone: what a newcomer needs, and where this store stands.

use std::path::Path;

use rejoin::store::{Core, check_log};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, printable};
use crate::output::Paint;

/// The five commands, and what each is for.
const FIRST: [(&str, &str); 5] = [
    ("rejoin demo", "see it work, with two people"),
    ("rejoin new --name trip", "make a document"),
    ("rejoin set trip /title '\"Alps\"'", "edit it, online or not"),
    ("rejoin sync --server URL", "send what waits, fetch what is new"),
    ("rejoin status", "see where everything stands"),
];
/// How wide the commands are shown.
const COLUMN: usize = 33;

/// What there is to tell of a store without making it.
struct Standing {
    documents: u64,
    queued: u64,
    parked: u64,
    server: Option<String>,
}

pub(crate) fn run(context: &mut Context) -> Result<Exit> {
    let path = context.store_path()?;
    let standing = if path.exists() { Some(look(&path)) } else { None };
    if context.out.is_json() {
        let known = standing.as_ref().and_then(|standing| standing.as_ref().ok());
        context.out.json(&json!({
            "store": path,
            "exists": standing.is_some(),
            "documents": known.map(|s| s.documents),
            "queued": known.map(|s| s.queued),
            "parked": known.map(|s| s.parked),
            "server": known.and_then(|s| s.server.as_deref()),
            "problem": standing.as_ref().and_then(|s| s.as_ref().err()).map(CliError::what),
        }))?;
        return Ok(Exit::Done);
    }
    context.out.say("Work apart, rejoin without conflict. To begin with:\n")?;
    for (command, what) in FIRST {
        let column = if context.out.is_narrow() { 0 } else { COLUMN };
        let shown = context.out.paint(Paint::Bold, format_args!("{command:<column$}"));
        let between = if column == 0 { "\n     " } else { "" };
        context.out.line(format_args!("  {shown}{between}{what}"))?;
    }
    context.out.line("")?;
    print_standing(context, &path, standing)?;
    context.out.say("\n`rejoin --help` lists all commands; `rejoin COMMAND --help` has examples.")?;
    Ok(Exit::Done)
}

fn print_standing(context: &mut Context, path: &Path, standing: Option<Result<Standing>>) -> Result<()> {
    let shown = printable(&path.display().to_string());
    context.out.line(format_args!("store   {shown}"))?;
    match standing {
        None => context.out.say("        not there yet: the first command that needs it makes it"),
        Some(Err(error)) => context.out.say(format_args!("        {error}")),
        Some(Ok(s)) => {
            let parked = if s.parked > 0 { format!(", {} parked", s.parked) } else { String::new() };
            let (documents, queued) = (count(s.documents, "document"), count(s.queued, "change"));
            context.out.say(format_args!("        {documents}, {queued} queued{parked}"))?;
            let server = s.server.as_deref().map_or_else(|| "none yet".to_owned(), printable);
            context.out.line(format_args!("server  {server}"))
        }
    }
}

fn look(path: &Path) -> Result<Standing> {
    check_log(path)?;
    let mut core = Core::open_to_read(path)?;
    let documents = core.documents()?;
    Ok(Standing {
        documents: documents.len() as u64,
        queued: documents.iter().map(|d| d.queued).sum(),
        parked: documents.iter().map(|d| d.parked).sum(),
        server: core.settings()?.server,
    })
}
