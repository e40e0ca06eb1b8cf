//! The next step: facts of the store, a plan, and the request that carries it out.

use rand::Rng;

use crate::wire::Request;

use super::{
    facts::{Batch, Facts},
    healing::{HealMove, Healing},
    plan::{Finish, Move, plan},
    plans::{Found, Need, Next},
    state::Session,
    types::{Now, Outcome, Sent, Step, Ticket},
};

/// So many times in a row the store may be asked for something before there is a step. Each time but the last closes a
/// healing or finds that a queue emptied meanwhile.
const TURNS: u32 = 24;

/// What [`Outcome::Forbidden`] says where the server does not have the document and the token may not begin one: a right to
/// write in it would not help.
pub const NOT_BEGUN: &str = "this token may not begin one";

/// Notes what the token was refused, where nothing but a beginning could help.
pub(super) fn may_not_begin(how_sure: &str, refused: &str) -> String {
    format!("{how_sure}, and {NOT_BEGUN} ({})", refused.trim_end_matches('.'))
}

impl Session {
    /// Until when the session waits, if it does: no facts are needed before.
    pub fn waits(&mut self, now: Now) -> Option<i64> {
        let until = self.wait_until?;
        // A wait longer than any that is ever set can only come from a clock that was set back.
        let longest = self.limits.backoff.cap + self.limits.longest_retry_after.as_millis() as i64;
        if now.steady < until && until - now.steady <= longest {
            return Some(until);
        }
        self.wait_until = None;
        None
    }

    /// Says what comes next. Asked while a reply is waited for, it gives that reply up: a late one is then ignored.
    /// The facts are those of this moment, and are read once for each call.
    pub fn next(&mut self, facts: &Facts, now: Now, rng: &mut impl Rng) -> Next {
        if let Some(until) = self.waits(now) {
            return Next::Step(Step::Wait { until });
        }
        self.open = None;
        // "Nothing is wrong with a change that finds no room": each run offers it again.
        if facts.parked > 0 && self.begins_run() && !std::mem::replace(&mut self.offered_parked, true) {
            return Next::Store(Need::OfferParked { room: true });
        }
        self.take_facts(facts);
        if let Some(outcome) = &self.ended {
            return Next::Step(Step::Done(outcome.clone()));
        }
        self.turns += 1;
        if self.turns > TURNS {
            // Whatever this is, it does not become better by turning faster.
            self.turns = 0;
            self.wait_within(self.limits.backoff.cap, now.steady, rng);
            return Next::Step(Step::Wait { until: self.wait_until.unwrap_or(now.steady) });
        }
        let next = self.make_move(facts);
        if matches!(next, Next::Step(_)) {
            self.turns = 0;
        }
        next
    }

    fn make_move(&mut self, facts: &Facts) -> Next {
        let planned = plan(facts, self.learn());
        if planned != Move::Heal {
            self.healing = None;
        }
        Next::Step(match planned {
            Move::Finish(finish) => return self.finish(finish, facts),
            Move::Push => return Next::Store(Need::Batch(self.batch)),
            Move::Heal => return self.heal(),
            Move::Delete => self.send(Sent::Delete),
            Move::AskAgain => self.send(Sent::Standing),
            Move::Snapshot => self.send(Sent::Snapshot),
            Move::Pull => self.send(Sent::Pull { after: facts.cursor.clone() }),
        })
    }

    /// Takes what came of a [`Need`], with the facts of the call that named it. Without a step [`Session::next`] is asked
    /// again.
    pub fn found(&mut self, facts: &Facts, found: Found) -> Option<Step> {
        match found {
            Found::Offered(0) | Found::Noted => None,
            // What waited for one that found room goes now.
            Found::Offered(_) => {
                if !self.begins_run() {
                    self.start_run();
                    self.offered_parked = true;
                }
                None
            }
            Found::Batch(batch) if batch.rows.is_empty() => {
                // Emptied meanwhile, by another process or by a drop.
                let run = self.learn();
                run.offered = run.owed;
                None
            }
            Found::Batch(batch) => Some(self.push(batch, facts)),
            Found::Graph(nodes) => {
                // Without a cursor it is this store that is new to the server: nobody else heals at the same moment.
                self.healing = Some(Healing::new(nodes, facts.cursor.is_some()));
                None
            }
            Found::Changes(rows, batch) => self.offer(&rows, batch),
            Found::HealEnded(ended) => {
                self.healing = None;
                let run = self.learn();
                run.reading = !ended;
                run.from_the_beginning = true;
                run.end_reached = false;
                None
            }
        }
    }

    /// The store could not do what was needed: what this session believes of it is learnt anew.
    pub fn failed_to_find(&mut self) {
        self.start_run();
        self.healing = None;
    }

    fn finish(&mut self, finish: Finish, facts: &Facts) -> Next {
        let run = self.learn();
        let last_offer = finish == Finish::InStep && facts.parked > 0;
        if last_offer && !std::mem::replace(&mut run.offered_parked, true) {
            return Next::Store(Need::OfferParked { room: false });
        }
        // What was refused was the beginning of a document: that is noted where the refusal was.
        if finish == Finish::NotThere
            && let Some(refused) = run.only_read.as_mut()
            && !std::mem::replace(&mut run.told_not_begun, true)
        {
            *refused = may_not_begin("the document has not begun there", refused);
            return Next::Store(Need::NoteNotBegun(refused.clone()));
        }
        let outcome = match finish {
            Finish::InStep | Finish::NotThere if run.only_read.is_some() => {
                Outcome::Forbidden(run.only_read.clone().unwrap_or_default())
            }
            Finish::InStep => Outcome::InStep,
            Finish::NotThere => Outcome::NotThere,
            Finish::Deleted => Outcome::Deleted,
            Finish::OwedElsewhere => Outcome::OwedElsewhere,
        };
        self.ended = Some(outcome.clone());
        self.trouble = None;
        Next::Step(Step::Done(outcome))
    }

    /// One move of healing.
    fn heal(&mut self) -> Next {
        let count = self.batch.count;
        let Some(healing) = self.healing.as_mut() else {
            // That it heals is noted with the first answer: a server that is not there changes nothing here.
            return Next::Store(Need::Graph);
        };
        match healing.next(count) {
            HealMove::Ask(hashes) => Next::Step(self.send(Sent::Missing { hashes })),
            HealMove::Offer(rows) => Next::Store(Need::Changes(rows, self.batch)),
            HealMove::Close(heads, cursor) => {
                let forget_cursor = !self.learn().reading;
                Next::Store(Need::EndHeal { heads, cursor, forget_cursor })
            }
        }
    }

    fn push(&mut self, batch: Batch, facts: &Facts) -> Step {
        let (document, limit, after) = (self.document, self.page, facts.cursor.clone());
        let request = Request::Push { document, after: after.clone(), limit, body: batch.body.into() };
        self.send_as(request, Sent::Push { rows: batch.rows, after, healing: false })
    }

    fn offer(&mut self, asked: &[i64], batch: Batch) -> Option<Step> {
        let healing = self.healing.as_mut()?;
        if batch.rows.is_empty() {
            healing.gone(asked);
            return None;
        }
        // Nothing is to be pulled here; one change is the least that can be asked for.
        let (document, limit) = (self.document, Some(1));
        let request = Request::Push { document, after: None, limit, body: batch.body.into() };
        Some(self.send_as(request, Sent::Push { rows: batch.rows, after: None, healing: true }))
    }

    /// Makes the request for what is to be sent, and its ticket. A push brings its body itself: see [`Self::send_as`].
    fn send(&mut self, sent: Sent) -> Step {
        let (document, limit) = (self.document, self.page);
        let request = match &sent {
            Sent::Push { after, .. } | Sent::Pull { after } => {
                Request::Pull { document, after: after.clone(), limit }
            }
            Sent::Snapshot => Request::Snapshot { document },
            Sent::Missing { hashes } => Request::Missing { document, hashes: hashes.clone() },
            Sent::Delete => Request::Delete { document },
            Sent::Standing => Request::Missing { document, hashes: Vec::new() },
        };
        self.send_as(request, sent)
    }

    fn send_as(&mut self, request: Request, sent: Sent) -> Step {
        self.tickets += 1;
        self.open = Some(self.tickets);
        Step::Send { request, ticket: Ticket { number: self.tickets, sent } }
    }
}
