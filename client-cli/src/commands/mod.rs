//! One file a verb. Each has its arguments, with examples, and a `run` that gives the exit code.

pub(crate) mod actions;
pub(crate) mod append;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod blame;
pub(crate) mod completions;
pub(crate) mod conflicts;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod effects;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod log;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod new;
pub(crate) mod overview;
pub(crate) mod quarantine;
pub(crate) mod queue;
mod remote;
pub(crate) mod rename;
pub(crate) mod replace;
pub(crate) mod reset;
pub(crate) mod restore;
pub(crate) mod revert;
pub(crate) mod rm;
pub(crate) mod service;
pub(crate) mod share;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod trash;
pub(crate) mod undo;
pub(crate) mod watch;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use rejoin::{ChangeHash, DocumentInfo, Millis};

use crate::cli::Command;
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{
    count, moment, moment_width, now, printable, relative, rfc3339, short_hash, short_moment, shorten,
};
use crate::output::{Output, Paint};

/// Runs what was typed.
pub(crate) async fn run(context: &mut Context, command: Option<Command>) -> Result<Exit> {
    let Some(command) = command else { return overview::run(context) };
    match command {
        Command::Demo(args) => demo::run(context, args).await,
        Command::Init(args) => init::run(context, args).await,
        Command::New(args) => new::run(context, args).await,
        Command::Share(args) => share::run(context, args).await,
        Command::Join(args) => join::run(context, args).await,
        Command::Ls(args) => ls::run(context, args).await,
        Command::Undelete(args) => trash::undelete(context, args).await,
        Command::Discard(args) => trash::discard(context, args).await,
        Command::Leave(args) => leave::run(context, args).await,
        Command::Rename(args) => rename::run(context, args).await,
        Command::Rm(args) => rm::run(context, args).await,
        Command::Get(args) => get::run(context, args).await,
        Command::Set(args) => actions::set(context, args).await,
        Command::Delete(args) => actions::delete(context, args).await,
        Command::Increment(args) => actions::increment(context, args).await,
        Command::Insert(args) => actions::insert(context, args).await,
        Command::Text(args) => actions::text(context, args).await,
        Command::Edit(args) => edit::run(context, args).await,
        Command::Append(args) => append::run(context, args).await,
        Command::Replace(args) => replace::run(context, args).await,
        Command::Apply(args) => apply::run(context, args).await,
        Command::Sync(args) => sync::run(context, args).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Queue(args) => queue::run(context, args).await,
        Command::Quarantine(args) => quarantine::run(context, args).await,
        Command::Effects(args) => effects::run(context, args).await,
        Command::Log(args) => log::run(context, args).await,
        Command::Watch(args) => watch::run(context, args).await,
        Command::Show(args) => show::run(context, args).await,
        Command::Diff(args) => diff::run(context, args).await,
        Command::Undo(args) => undo::undo(context, args).await,
        Command::Redo(args) => undo::redo(context, args).await,
        Command::Revert(args) => revert::run(context, args).await,
        Command::Reset(args) => reset::run(context, args).await,
        Command::Blame(args) => blame::run(context, args).await,
        Command::Conflicts(args) => conflicts::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Service(args) => service::run(context, args).await,
        Command::Completions(args) => completions::run(context, args),
        Command::Man(args) => man::run(context, args),
    }
}

/// A time as JSON: RFC 3339 as in the SQL views, or null.
fn json_time(at: Option<Millis>) -> Value {
    at.map_or(Value::Null, |at| Value::String(rfc3339(at)))
}

/// A time for people, and how long ago it is or how far ahead.
fn ago(at: Millis) -> String {
    format!("{} ({})", moment(at), relative(at, now()))
}

/// As [`ago`], or what there is instead.
fn ago_or(at: Option<Millis>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), ago)
}

/// What is to be known beside the author that a change names: that it was not made here though it bears this store's
/// actor, and who pushed it, where that is known and another name.
fn provenance(claimed: Option<&str>, own_actor_elsewhere: bool, pushed_by: Option<&str>) -> String {
    let mut text = String::new();
    if own_actor_elsewhere {
        text.push_str("  (under this store's actor, not made here)");
    }
    let name = pushed_by.map(|by| by.split_once(':').map_or(by, |(_, name)| name));
    if let Some(by) = pushed_by.filter(|_| name != claimed) {
        text.push_str(&format!("  (pushed by {})", shorten(&printable(by), 40)));
    }
    text
}

/// How wide a short hash is, and what is between it and what follows.
const HASH: usize = 12 + 2;

/// Below this many columns a time is shown to the minute.
const WIDE: usize = 100;

/// What a line of the history tells.
struct Told<'a> {
    who: &'a str,
    /// What was done and where: cut where even a line of its own has no room.
    what: &'a str,
    /// How it stands and whose it is: cut last.
    beside: &'a str,
}

/// A time for a line of the history, padded; none where nobody made it.
fn line_time(out: &Output, at: Option<Millis>) -> String {
    let short = out.columns().is_some_and(|columns| columns < WIDE);
    let shown = at.map(if short { short_moment } else { moment });
    let shown = shown.unwrap_or_else(|| "-".to_owned());
    format!("{shown:<width$}", width = moment_width(short))
}

/// A change in one line: its hash and when, who and what. What was done goes before all else: where it does not fit beside
/// them, it has a line of its own.
fn print_line(
    context: &mut Context,
    (hash, at): (&ChangeHash, Option<Millis>),
    told: &Told<'_>,
) -> Result<()> {
    let out = &mut context.out;
    let Told { who, what, beside } = *told;
    let time = line_time(out, at);
    let taken = HASH + time.width() + 2;
    let before = format!("{}  {}", out.paint(Paint::Yellow, short_hash(hash)), out.paint(Paint::Dim, time));
    let width = usize::from(out.width());
    let narrow = out.is_narrow();
    // Of a long name a fifth of the line says enough.
    let who = if narrow { who.to_owned() } else { format!("{:<12}", out.cut(who, width - width / 5)) };
    let room = width.saturating_sub(taken + who.width() + 2);
    if out.columns().is_none() || (!narrow && what.width() + beside.width() <= room) {
        return out.line(format!("{before}  {who}  {what}{beside}").trim_end());
    }
    let fits = taken + who.width() + beside.width() <= width;
    let above = out.cut(&format!("{who}{}", if fits { beside } else { "" }), taken);
    out.line(format!("{before}  {above}").trim_end())?;
    out.line(format_args!("    {}", out.cut(what, 4)))?;
    match beside.trim_start() {
        beside if !fits && !beside.is_empty() => out.line(format_args!("    {}", out.cut(beside, 4))),
        _ => Ok(()),
    }
}

/// One thing in full, a field a line. Whatever others wrote cannot steer the terminal.
fn print_card(context: &mut Context, lines: &[(&str, String)]) -> Result<Exit> {
    for (name, value) in lines {
        let line = context.out.wrapped(&format!("{name:<11} {}", printable(value)), 12);
        context.out.line(line)?;
    }
    Ok(Exit::Done)
}

/// A document as `ls` and `status` tell it to programs, with the names of the SQL view `documents`.
fn json_document(document: &DocumentInfo) -> Value {
    json!({
        "id": document.id,
        "name": document.name,
        "heads": document.heads.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "changes": document.changes,
        "queued": document.queued,
        "parked": document.parked,
        "quarantined": document.quarantined,
        "quarantined_seen": document.quarantined_seen,
        "cursor": document.cursor,
        "last_sync_at": json_time(document.last_sync_at),
        "server": document.server,
        "home": document.home,
        "in_step": document.in_step,
        "deleted": document.deleted,
        "not_served_by": document.not_served_by,
        "not_allowed": document.not_allowed,
        "problem": document.problem,
    })
}

/// Changes that were left out, in words; `None` where there are none.
fn left_out(quarantined: u64, seen: u64) -> Option<String> {
    match (quarantined, quarantined.saturating_sub(seen)) {
        (0, _) => None,
        (all, 0) => Some(format!("{} left out (seen)", count(all, "change"))),
        (all, new) if new == all => Some(format!("{} left out", count(all, "change"))),
        (all, new) => Some(format!("{} left out ({new} not seen yet)", count(all, "change"))),
    }
}

/// What a person can do where this token may not push what waits: the whole command, ready to be handed on.
fn not_allowed(document: &DocumentInfo) -> String {
    if document.not_allowed.as_deref().is_some_and(|why| why.contains(rejoin::session::NOT_BEGUN)) {
        return format!(
            "What waits is kept. Whoever looks after the server makes a token that may begin documents with \
             `rejoin-server token create --name NAME --document '*' --access create`, or gives this one all rights with \
             `rejoin-server token grant NAME --document {} --access admin`; `rejoin queue drop` takes an edit back",
            document.id
        );
    }
    format!(
        "What waits is kept. Whoever looks after the server gives the right with `rejoin-server token grant NAME \
         --document {} --access write`; `rejoin queue drop` takes an edit back",
        document.id
    )
}

/// What a person can do where this token may not even read a document.
fn may_not_read(document: &DocumentInfo) -> String {
    format!(
        "Whoever looks after the server gives the right with `rejoin-server token grant NAME --document {} --access read`, \
         or `write`; `rejoin leave` forgets the document here",
        document.id
    )
}

/// What a document is called in a line for people: its name, else its id.
pub(crate) fn title(document: &DocumentInfo) -> String {
    document.name.as_deref().map_or_else(|| document.id.to_string(), printable)
}
