//! The next step: facts from the store, a plan, and the request that carries it out.

use rand::Rng;

use crate::{
    Result,
    store::{BatchBounds, Core, Facts},
    wire::Request,
};

use super::{
    healing::{HealMove, Healing},
    plan::{Finish, Move, plan},
    state::Session,
    types::{Now, Outcome, Sent, Step, Ticket},
};

/// Says what to do next. Asked while a reply is waited for, it gives that reply up: a late one is then ignored.
///
/// "No transaction is open across a network call": each verb of `core` used here is a transaction of its own,
/// and all of them have ended when this returns.
///
/// # Errors
/// Those of the store. The session is as it was: ask again.
pub fn next(core: &mut Core, session: &mut Session, now: Now, rng: &mut impl Rng) -> Result<Step> {
    if let Some(until) = session.wait_until {
        // A wait longer than any that is ever set can only come from a clock that was set back.
        let longest = session.limits.backoff.cap + session.limits.longest_retry_after.as_millis() as i64;
        if now.steady < until && until - now.steady <= longest {
            return Ok(Step::Wait { until });
        }
        session.wait_until = None;
    }
    session.open = None;
    let mut facts = core.facts_at(session.document, &session.server)?;
    // "Nothing is wrong with a change that finds no room": each run offers it again.
    if facts.parked > 0 && session.begins_run() && core.offer_parked(session.document, true)? > 0 {
        facts = core.facts_at(session.document, &session.server)?;
    }
    session.take_facts(&facts);
    if let Some(outcome) = &session.ended {
        return Ok(Step::Done(outcome.clone()));
    }
    step(core, session, facts, now, rng)
}

fn step(
    core: &mut Core,
    session: &mut Session,
    mut facts: Facts,
    now: Now,
    rng: &mut impl Rng,
) -> Result<Step> {
    // Ends: each turn but the last closes a healing or finds that a queue emptied meanwhile.
    for _ in 0..8 {
        let planned = plan(&facts, session.learn());
        if planned != Move::Heal {
            session.healing = None;
        }
        let made = match planned {
            // What waited for one that found room goes now.
            Move::Finish(Finish::InStep)
                if facts.parked > 0 && core.offer_parked(session.document, false)? > 0 =>
            {
                session.start_run();
                None
            }
            Move::Finish(finish) => {
                if finish == Finish::NotThere {
                    note_not_begun(core, session)?;
                }
                return Ok(finish_run(session, finish));
            }
            Move::Delete => Some(send(session, Sent::Delete)),
            Move::AskAgain => Some(send(session, Sent::Standing)),
            Move::Snapshot => Some(send(session, Sent::Snapshot)),
            Move::Pull => Some(send(session, Sent::Pull { after: facts.cursor.clone() })),
            Move::Push => push(core, session, &facts)?,
            Move::Heal => heal(core, session, &facts)?,
        };
        if let Some(made) = made {
            return Ok(made);
        }
        facts = core.facts_at(session.document, &session.server)?;
        session.take_facts(&facts);
    }
    // Whatever this is, it does not become better by turning faster.
    session.wait_within(session.limits.backoff.cap, now.steady, rng);
    Ok(Step::Wait { until: session.wait_until.unwrap_or(now.steady) })
}

/// What [`Outcome::Forbidden`] says where the server does not have the document and the token may not begin one: a right to
/// write in it would not help.
pub const NOT_BEGUN: &str = "this token may not begin one";

/// Notes what the token was refused, where nothing but a beginning could help.
pub(super) fn may_not_begin(how_sure: &str, refused: &str) -> String {
    format!("{how_sure}, and {NOT_BEGUN} ({})", refused.trim_end_matches('.'))
}

/// What was refused was the beginning of a document: that is noted where the refusal was.
fn note_not_begun(core: &mut Core, session: &mut Session) -> Result<()> {
    let Some(refused) = session.learn().only_read.take() else { return Ok(()) };
    let why = may_not_begin("the document has not begun there", &refused);
    core.note_not_allowed(session.document, &why, false)?;
    session.learn().only_read = Some(why);
    Ok(())
}

fn finish_run(session: &mut Session, finish: Finish) -> Step {
    let outcome = match finish {
        Finish::InStep | Finish::NotThere if session.learn().only_read.is_some() => {
            Outcome::Forbidden(session.learn().only_read.clone().unwrap_or_default())
        }
        Finish::InStep => Outcome::InStep,
        Finish::NotThere => Outcome::NotThere,
        Finish::Deleted => Outcome::Deleted,
        Finish::OwedElsewhere => Outcome::OwedElsewhere,
    };
    session.ended = Some(outcome.clone());
    session.trouble = None;
    Step::Done(outcome)
}

/// Makes the request for what is to be sent, and its ticket. A push brings its body itself.
pub(super) fn send(session: &mut Session, sent: Sent) -> Step {
    let document = session.document;
    let request = match &sent {
        Sent::Push { after, .. } => {
            Request::Push { document, after: after.clone(), limit: session.page, body: vec![] }
        }
        Sent::Pull { after } => Request::Pull { document, after: after.clone(), limit: session.page },
        Sent::Snapshot => Request::Snapshot { document },
        Sent::Missing { hashes } => Request::Missing { document, hashes: hashes.clone() },
        Sent::Delete => Request::Delete { document },
        Sent::Standing => Request::Missing { document, hashes: Vec::new() },
    };
    session.tickets += 1;
    session.open = Some(session.tickets);
    Step::Send { request, ticket: Ticket { number: session.tickets, sent } }
}

fn push(core: &mut Core, session: &mut Session, facts: &Facts) -> Result<Option<Step>> {
    let batch = core.take_batch(session.document, session.batch)?;
    if batch.rows.is_empty() {
        // Emptied meanwhile, by another process or by a drop.
        let run = session.learn();
        run.offered = run.owed;
        return Ok(None);
    }
    let sent = Sent::Push { rows: batch.rows, after: facts.cursor.clone(), healing: false };
    Ok(Some(with_body(send(session, sent), batch.body)))
}

fn with_body(step: Step, chunks: Vec<u8>) -> Step {
    match step {
        Step::Send { request: Request::Push { document, after, limit, .. }, ticket } => {
            Step::Send { request: Request::Push { document, after, limit, body: chunks }, ticket }
        }
        other => other,
    }
}

/// One move of healing; `None` when it came to its end, or when what it was to offer is not here any more.
fn heal(core: &mut Core, session: &mut Session, facts: &Facts) -> Result<Option<Step>> {
    if session.healing.is_none() {
        // That it heals is noted with the first answer: a server that is not there changes nothing here.
        let nodes = core.heal_graph(session.document)?;
        // Without a cursor it is this store that is new to the server: nobody else heals at the same moment.
        session.healing = Some(Healing::new(nodes, facts.cursor.is_some()));
    }
    let bounds: BatchBounds = session.batch;
    let Some(healing) = session.healing.as_mut() else { return Ok(None) };
    match healing.next(bounds.count) {
        HealMove::Ask(hashes) => Ok(Some(send(session, Sent::Missing { hashes }))),
        HealMove::Offer(rows) => {
            let taken = core.take_changes(session.document, &rows, bounds);
            let Ok(batch) = taken else {
                // Dropped or written again meanwhile: what is to be offered is found out again.
                session.healing = None;
                return taken.map(|_| None);
            };
            if batch.rows.is_empty() {
                healing.gone(&rows);
                return Ok(None);
            }
            let sent = Sent::Push { rows: batch.rows, after: None, healing: true };
            let mut step = with_body(send(session, sent), batch.body);
            if let Step::Send { request: Request::Push { limit, .. }, .. } = &mut step {
                // Nothing is to be pulled here; one change is the least that can be asked for.
                *limit = Some(1);
            }
            Ok(Some(step))
        }
        HealMove::Close(heads, cursor) => {
            let ended = core.end_heal(session.document, &heads, (&session.server, cursor.as_ref()))?;
            session.healing = None;
            if !ended && !session.learn().reading {
                // The stored cursor is not one of this log: it is read from its beginning.
                core.forget_cursor(session.document, &session.server)?;
            }
            let run = session.learn();
            run.reading = !ended;
            run.from_the_beginning = true;
            run.end_reached = false;
            Ok(None)
        }
    }
}
