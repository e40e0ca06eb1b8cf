//! `rejoin effects`: show what actions asked of the outside, HTTP requests say, and deal with what was refused.

use clap::{Args, Subcommand};
use rejoin::effects::{Effect, EffectState};
use serde_json::{Value, json};

use super::{ago, ago_or, json_time, print_card};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{count, now, printable, relative, rfc3339, shorten};
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// Show what actions asked of the outside, HTTP requests say, and deal with what was refused
///
/// Apps ask for effects and send them; here they can be seen, sent again and dropped. A running app takes notice
/// within a second. ID is the number in the list, or the start of the effect's id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin effects                               what waits, and the dead letters
  rejoin effects ls --all                      also what is done or was dropped
  rejoin effects show 1
  rejoin effects retry 1                       send it now, under the same key
  rejoin effects drop 1                        do not send it any more; asks")]
pub(crate) struct EffectsArgs {
    #[command(subcommand)]
    command: Option<EffectsCommand>,
}

#[derive(Debug, Subcommand)]
enum EffectsCommand {
    /// List them in the order in which they were asked for (the same as no command)
    #[command(after_help = "\
Examples:
  rejoin effects ls --all                      those that are over, too")]
    Ls {
        /// Also what is done or was dropped
        #[arg(short, long)]
        all: bool,
    },
    /// Show one in full
    #[command(after_help = "\
Examples:
  rejoin effects show 1")]
    Show {
        /// Its number, or the start of its id
        id: String,
    },
    /// Send one now, with the dead ones that it comes after
    #[command(after_help = "\
Examples:
  rejoin effects retry 1")]
    Retry {
        /// Its number, or the start of its id
        id: String,
    },
    /// Take one off the list; what its action wrote stays
    #[command(after_help = "\
Examples:
  rejoin effects drop 1                        names what goes, and asks
  rejoin effects drop 1 --roll-back            and take back what it wrote")]
    Drop {
        /// Its number, or the start of its id
        id: String,
        /// Take back what its action wrote, as its rollback says
        #[arg(long)]
        roll_back: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

pub(crate) async fn run(context: &mut Context, args: EffectsArgs) -> Result<Exit> {
    match args.command.unwrap_or(EffectsCommand::Ls { all: false }) {
        EffectsCommand::Ls { all } => list(context, all).await,
        EffectsCommand::Show { id } => show(context, &id).await,
        EffectsCommand::Retry { id } => retry(context, &id).await,
        EffectsCommand::Drop { id, roll_back, yes } => drop_effect(context, &id, (roll_back, yes)).await,
    }
}

async fn list(context: &mut Context, all: bool) -> Result<Exit> {
    let mut effects = context.open().await?.effects().await?;
    let needs_person = effects.iter().any(needs_person);
    if !all {
        effects.retain(|e| !matches!(e.state, EffectState::Done | EffectState::Dropped));
    }
    if context.out.is_json() {
        context.out.json(&effects.iter().map(json_effect).collect::<Vec<_>>())?;
    } else if effects.is_empty() {
        context.out.note("Nothing waits to be sent.");
    } else {
        // What is left for the request beside the other columns.
        let room = usize::from(context.out.width()).saturating_sub(46).clamp(20, 100);
        let rows: Vec<_> = effects.iter().map(|effect| row(effect, room)).collect();
        context.out.table(
            &[
                ("#", Fit::Whole),
                ("id", Fit::Whole),
                ("lane", Fit::Cut),
                ("kind", Fit::Cut),
                ("request", Fit::Cut),
                ("state", Fit::Whole),
                ("tries", Fit::Whole),
            ],
            &rows,
        )?;
        explain(context, &effects);
    }
    Ok(if needs_person { Exit::NeedsPerson } else { Exit::Done })
}

fn needs_person(effect: &Effect) -> bool {
    matches!(effect.state, EffectState::Dead | EffectState::Held)
}

fn row(effect: &Effect, room: usize) -> Vec<Cell> {
    let state = Cell::new(effect.state);
    vec![
        Cell::new(effect.position),
        Cell::new(effect.id.to_string().get(..8).unwrap_or_default()),
        Cell::new(shorten(&printable(&effect.lane), 12)),
        Cell::new(shorten(&printable(&effect.kind), 10)),
        Cell::new(shorten(&describe(effect), room)),
        match effect.state {
            EffectState::Dead | EffectState::Held => state.paint(Paint::Red),
            EffectState::Done => state.paint(Paint::Green),
            _ => state,
        },
        Cell::new(effect.attempts),
    ]
}

/// The request as a person would say it: `POST /notes {"title":"tent"}`.
fn describe(effect: &Effect) -> String {
    let text = |key: &str| effect.request.get(key).and_then(Value::as_str);
    let Some(url) = text("url") else { return printable(&effect.request.to_string()) };
    let body = effect.request.get("body");
    let method = text("method").unwrap_or(if body.is_some() { "POST" } else { "GET" }).to_uppercase();
    let body = body.map_or_else(String::new, |body| format!(" {body}"));
    printable(&format!("{method} {url}{body}"))
}

/// Why something is not on its way, below the table: the newest failure, and what needs a person.
fn explain(context: &Context, effects: &[Effect]) {
    let failed = effects.iter().filter(|e| e.state == EffectState::Waiting && e.last_error.is_some());
    if let Some(effect) = failed.max_by_key(|e| e.attempts) {
        let error = printable(effect.last_error.as_deref().unwrap_or_default());
        let next = effect.next_attempt_at.map_or_else(|| "now".to_owned(), |at| relative(at, now()));
        context.out.note(format_args!("Last error of {}: {error}; next try {next}", effect.position));
    }
    for effect in effects.iter().filter(|e| needs_person(e)).take(5) {
        let why = printable(effect.last_error.as_deref().unwrap_or("nobody said why"));
        let state = if effect.state == EffectState::Held { "Held" } else { "Dead" };
        context.out.note(format_args!("{state} {}: {why}", effect.position));
    }
    if effects.iter().any(|e| e.state == EffectState::Held) {
        context.out.note(
            "What is held wants other credentials: give the app new ones, then `rejoin effects retry ID`.",
        );
    }
    if effects.iter().any(|e| e.state == EffectState::Dead) {
        context.out.note("See `rejoin effects show ID`, then `retry` or `drop` it.");
    }
}

async fn show(context: &mut Context, id: &str) -> Result<Exit> {
    let effect = context.open().await?.effect(id).await?;
    if context.out.is_json() {
        context.out.json(&json_effect(&effect))?;
        return Ok(Exit::Done);
    }
    let json = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let after: Vec<_> = effect.after.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        ("position", effect.position.to_string()),
        ("id", effect.id.to_string()),
        ("document", effect.document.to_string()),
        ("change", effect.change.to_string()),
        ("action", json(&effect.action)),
        ("kind", effect.kind.clone()),
        ("lane", effect.lane.clone()),
        ("request", effect.request.to_string()),
        ("state", explained(&effect)),
        ("asked for", ago(effect.created_at)),
        ("tries", effect.attempts.to_string()),
        ("last error", effect.last_error.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    if !after.is_empty() {
        lines.push(("comes after", after.join(" ")));
    }
    if let Some(key) = &effect.coalesce {
        lines.push(("key", key.clone()));
    }
    if effect.state == EffectState::Waiting {
        lines.push(("next try", ago_or(effect.next_attempt_at, "when its turn comes")));
    }
    if !effect.state.is_settled() {
        lines.push(("deadline", ago_or(effect.deadline_at, "none")));
    }
    if effect.state.is_settled() {
        lines.push(("settled", ago_or(effect.settled_at, "never")));
        lines.push(("reply", json(&effect.outcome)));
    }
    if let Some(change) = effect.settled_change {
        lines.push(("followed by", change.to_string()));
    }
    print_card(context, &lines)
}

fn explained(effect: &Effect) -> String {
    let what = match (effect.state, effect.replaced_by) {
        (EffectState::Waiting, _) => "its app sends it",
        (EffectState::Running, _) => "it is being sent",
        (EffectState::Held, _) => "the receiver wants other credentials",
        (EffectState::Done, _) => "the receiver did it",
        (EffectState::Dropped, Some(by)) => return format!("dropped: {by} stands for it"),
        (EffectState::Dropped, None) => "it is not sent any more",
        _ => "refused or given up, and rolled back where it says how",
    };
    format!("{}: {what}", effect.state)
}

async fn retry(context: &mut Context, id: &str) -> Result<Exit> {
    let again = context.open().await?.retry_effect(id).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "retried": again }))?;
    } else {
        context.out.line(format_args!("{} to be sent now, by the app that runs", count(again, "effect")))?;
    }
    Ok(Exit::Done)
}

async fn drop_effect(context: &mut Context, id: &str, (roll_back, yes): (bool, bool)) -> Result<Exit> {
    let store = context.open().await?;
    let plan = store.plan_effect_drop(id).await?;
    if !yes {
        let position = plan.dropped.position;
        context.out.note(format_args!("  {position} {}", describe(&plan.dropped)));
        for effect in &plan.dependants {
            let line = format!("  {} {} comes after it, and dies with it", effect.position, describe(effect));
            context.out.note(line);
        }
        let taken_back = if roll_back { ", and what its action wrote would be taken back" } else { "" };
        let what = format!("effect {position} would not be sent any more{taken_back}");
        context.confirm(yes, &what, "Drop?")?;
    }
    // By its full id: the list may have changed while the question was open.
    let done = store.drop_effect(&plan.dropped.id.to_string(), roll_back).await?;
    if context.out.is_json() {
        let dependants: Vec<_> = done.dependants.iter().map(json_effect).collect();
        context.out.json(&json!({ "dropped": json_effect(&done.dropped), "dependants": dependants }))?;
        return Ok(Exit::Done);
    }
    context.out.line(format_args!("dropped {} {}", done.dropped.id, describe(&done.dropped)))?;
    for effect in &done.dependants {
        context.out.line(format_args!("dead {} {}", effect.id, describe(effect)))?;
    }
    Ok(Exit::Done)
}

/// A row for programs, with the names of the SQL view `effects`.
fn json_effect(effect: &Effect) -> Value {
    json!({
        "position": effect.position,
        "id": effect.id,
        "action": effect.change.to_string(),
        "kind": effect.kind,
        "state": effect.state,
        "attempts": effect.attempts,
        "next_attempt_at": json_time(effect.next_attempt_at),
        "last_error": effect.last_error,
        "document": effect.document,
        "action_type": effect.action_type,
        "action_json": effect.action,
        "lane": effect.lane,
        "request": effect.request,
        "coalesce_key": effect.coalesce,
        "after": effect.after,
        "created_at": rfc3339(effect.created_at),
        "deadline_at": json_time(effect.deadline_at),
        "outcome": effect.outcome,
        "settled_at": json_time(effect.settled_at),
        "settled_change": effect.settled_change.map(|hash| hash.to_string()),
        "replaced_by": effect.replaced_by,
    })
}
