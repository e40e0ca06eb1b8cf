//! What an outcome means: the status classes, the limit, the next time.

use std::time::Duration;

use serde_json::{Value, json};

use super::Schedule;
use crate::Millis;

/// The longest error that is kept, in characters.
const ERROR_CHARS: usize = 500;

/// How an attempt ended, as its handler tells it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done. The value is the reply, for the commit action.
    Done(Value),
    /// The receiver answered with an HTTP status, which decides: 2xx is done; 401 is held; 408, 425, 429, 5xx and
    /// redirects are tried again, not before `retry_after` where the receiver says it; any other 4xx is final.
    Reply {
        /// The status.
        status: u16,
        /// How long the receiver asks to be left alone.
        retry_after: Option<Duration>,
        /// What it said, as JSON.
        body: Value,
    },
    /// Nobody was reached, or nobody who is meant. Tried again, for as long as it takes.
    Unreachable(String),
    /// It failed, and may work later.
    Again {
        /// Why.
        why: String,
        /// Not before this has passed.
        after: Option<Duration>,
    },
    /// The receiver wants other credentials: held until there are.
    Unauthorized(String),
    /// It was refused, and always will be.
    Refused {
        /// Why.
        why: String,
        /// The reply, for the rollback action.
        reply: Value,
    },
    /// The handler panicked. Handlers need not say this: the runner does.
    Panicked(String),
    /// The attempt took longer than it may. The runner says this.
    TimedOut(Duration),
}

/// What is known of the attempts before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How many failed.
    pub failures: u64,
    /// How many of those count against the limit.
    pub charged: u64,
    /// At so many it is given up.
    pub limit: u64,
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Done, with its commit action.
    Done {
        /// What came back.
        reply: Value,
    },
    /// To be tried again.
    Again {
        /// After so many milliseconds.
        wait: Millis,
        /// Why.
        why: String,
        /// It counts against the limit.
        charged: bool,
    },
    /// To be held until there are other credentials.
    Hold {
        /// Why.
        why: String,
    },
    /// A dead letter, with its rollback.
    Dead {
        /// Why.
        why: String,
        /// What came back.
        reply: Value,
    },
}

/// How the error of an attempt begins that reached nobody: by it such effects are found when there is a connection.
pub(crate) const UNREACHED: &str = "nobody was reached: ";

/// What each status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Done,
    Again,
    Hold,
    Final,
}

fn class_of(status: u16) -> Class {
    match status {
        200..=299 => Class::Done,
        401 => Class::Hold,
        // 407 is a proxy's word, not the receiver's.
        407 | 408 | 425 | 429 => Class::Again,
        400..=499 => Class::Final,
        _ => Class::Again,
    }
}

/// Judges an outcome. Pure: the clock is not asked, and randomness is an argument.
pub fn judge(outcome: Outcome, tries: Tries, schedule: &Schedule, rng: &mut impl rand::Rng) -> Verdict {
    let mut again = |why: String, asked: Option<Duration>, charged: bool| {
        if charged && tries.charged + 1 >= tries.limit {
            let why = format!("given up after {} failed attempts: {why}", tries.charged + 1);
            return Verdict::Dead { why: short(why), reply: Value::Null };
        }
        Verdict::Again { wait: schedule.wait(tries.failures + 1, asked, rng), why: short(why), charged }
    };
    match outcome {
        Outcome::Done(reply) => Verdict::Done { reply },
        Outcome::Reply { status, retry_after, body } => match class_of(status) {
            Class::Done => Verdict::Done { reply: json!({"status": status, "body": body}) },
            Class::Hold => Verdict::Hold { why: short(said(status, &body)) },
            Class::Again => again(said(status, &body), retry_after, retry_after.is_none()),
            Class::Final => {
                let why = short(said(status, &body));
                Verdict::Dead { why, reply: json!({"status": status, "body": body}) }
            }
        },
        Outcome::Unreachable(why) => again(format!("{UNREACHED}{why}"), None, false),
        Outcome::Again { why, after } => again(why, after, after.is_none()),
        Outcome::Unauthorized(why) => Verdict::Hold { why: short(why) },
        Outcome::Refused { why, reply } => Verdict::Dead { why: short(why), reply },
        Outcome::Panicked(why) => again(format!("the handler panicked: {why}"), None, true),
        Outcome::TimedOut(limit) => {
            again(format!("the handler did not end within {} ms", limit.as_millis()), None, true)
        }
    }
}

/// The status, and what the receiver says of it where that is a text or a problem (RFC 9457).
fn said(status: u16, body: &Value) -> String {
    let told = ["detail", "title", "message", "error"].iter().find_map(|key| body.get(key)?.as_str());
    match told.or(body.as_str()).map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => format!("the receiver answered {status}: {text}"),
        None => format!("the receiver answered {status}"),
    }
}

pub(crate) fn short(text: String) -> String {
    if text.chars().count() <= ERROR_CHARS {
        return text;
    }
    let mut cut: String = text.chars().take(ERROR_CHARS).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn judged(outcome: Outcome, tries: Tries) -> Verdict {
        judge(outcome, tries, &Schedule::default().exact(), &mut StdRng::seed_from_u64(1))
    }

    fn reply(status: u16) -> Outcome {
        Outcome::Reply { status, retry_after: None, body: Value::Null }
    }

    const FIRST: Tries = Tries { failures: 0, charged: 0, limit: 32 };

    #[test]
    fn the_status_classes_are_2xx_done_401_held_408_425_429_5xx_again_other_4xx_final() {
        for status in 100..600_u16 {
            let verdict = judged(reply(status), FIRST);
            match status {
                200..=299 => assert!(matches!(verdict, Verdict::Done { .. }), "{status}"),
                401 => assert!(matches!(verdict, Verdict::Hold { .. }), "{status}"),
                407 | 408 | 425 | 429 | 500..=599 | 100..=199 | 300..=399 => {
                    assert!(matches!(verdict, Verdict::Again { wait: 1_000, charged: true, .. }), "{status}");
                }
                _ => assert!(matches!(verdict, Verdict::Dead { .. }), "{status}"),
            }
        }
    }

    #[test]
    fn being_offline_kills_nothing() {
        let tries = Tries { failures: 10_000, charged: 31, limit: 32 };
        let verdict = judged(Outcome::Unreachable("connection refused".into()), tries);
        assert!(matches!(verdict, Verdict::Again { wait: 3_600_000, charged: false, .. }), "{verdict:?}");
    }

    #[test]
    fn a_receiver_that_says_when_is_obeyed_and_its_wait_is_not_charged() {
        let asked = Outcome::Reply {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: json!({"title": "slow down"}),
        };
        let tries = Tries { failures: 5, charged: 31, limit: 32 };
        let why = "the receiver answered 429: slow down".to_owned();
        assert_eq!(judged(asked, tries), Verdict::Again { wait: 7_000, why, charged: false });
    }

    #[test]
    fn what_fails_too_often_is_given_up_with_the_last_reason() {
        let tries = Tries { failures: 50, charged: 31, limit: 32 };
        for outcome in
            [reply(500), Outcome::Panicked("boom".into()), Outcome::TimedOut(Duration::from_secs(1))]
        {
            let Verdict::Dead { why, .. } = judged(outcome, tries) else { panic!("not given up") };
            assert!(why.starts_with("given up after 32 failed attempts: the "), "{why}");
        }
    }

    #[test]
    fn an_error_is_kept_short() {
        let Verdict::Hold { why } = judged(Outcome::Unauthorized("x".repeat(100_000)), FIRST) else {
            panic!("not held")
        };
        assert_eq!(why.chars().count(), ERROR_CHARS + 1);
    }
}
