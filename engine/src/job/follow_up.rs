//! What is recorded when a job ends: an action, or a rollback.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ThunkCause;
use crate::Action;

/// An action, dispatched to the effect's document when the effect is settled, with what came back put into it.
///
/// ```
/// use rejoin::effects::FollowUp;
/// use serde_json::json;
/// let saved = FollowUp::new(json!({"type": "set", "path": "/number"})).put("/body/id", "/value");
/// let action = saved.with_reply(&json!({"status": 201, "body": {"id": 7}}));
/// assert_eq!(action, json!({"type": "set", "path": "/number", "value": 7}));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    action: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    put: Vec<Put>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undoable: bool,
}

/// A part of the reply, and where it goes in the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Put {
    from: String,
    into: String,
}

impl FollowUp {
    /// The action with this JSON, as it is dispatched.
    pub fn new(action: Value) -> Self {
        Self { action, put: Vec::new(), undoable: false }
    }

    /// The slice whose action it is; `None` for the built-in one.
    pub(crate) fn slice(&self) -> Option<&str> {
        Some(self.action.get("type")?.as_str()?.split_once('/')?.0)
    }

    /// Puts a part of the reply into the action before it is dispatched. Both are JSON Pointers: `from` into the
    /// reply (`""` is the whole of it; what is not there is null), `into` into the action (`"/reply"` is the key
    /// `reply`). The reply of the HTTP handler is `{"status": 201, "body": …}`; that of an app's handler is what
    /// it gave to [`crate::effects::Outcome::Done`] or [`crate::effects::Outcome::Refused`].
    ///
    /// A key that the action does not have is added, and serde passes over what it does not know: with
    /// `#[serde(deny_unknown_fields)]` on the enum, a name that was mistyped is an error.
    #[must_use]
    pub fn put(mut self, from: impl Into<String>, into: impl Into<String>) -> Self {
        self.put.push(Put { from: from.into(), into: into.into() });
        self
    }

    /// Puts the whole reply into the action, under the key `reply`.
    #[must_use]
    pub fn put_reply(self) -> Self {
        self.put("", "/reply")
    }

    /// It is a step of undo, as if a person had done it. Else undo passes it by.
    #[must_use]
    pub fn undoable(mut self) -> Self {
        self.undoable = true;
        self
    }

    pub(crate) fn is_undoable(&self) -> bool {
        self.undoable
    }

    /// The action, with its parts of this reply.
    pub fn with_reply(&self, reply: &Value) -> Value {
        let mut action = self.action.clone();
        for Put { from, into } in &self.put {
            let part = reply.pointer(from).cloned().unwrap_or(Value::Null);
            place(&mut action, into, part);
        }
        action
    }

    /// Why it cannot be done, if it cannot.
    pub(crate) fn problem(&self) -> Option<String> {
        if !self.action.get("type").is_some_and(Value::is_string) {
            return Some("has no type".to_owned());
        }
        let wrong = |p: &&Put| {
            let from = p.from.is_empty() || p.from.starts_with('/');
            !from || p.into.len() < 2 || !p.into.starts_with('/')
        };
        let Put { from, into } = self.put.iter().find(wrong)?;
        Some(format!("puts {from:?} at {into:?}: both are JSON Pointers, which begin with \"/\""))
    }
}

/// Puts a value at a pointer; missing keys are made, and what is no map in between stays as it is.
fn place(target: &mut Value, pointer: &str, value: Value) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let mut at = target;
    for part in parent.split('/').skip(1) {
        let key = unescape(part);
        let Value::Object(map) = at else { return };
        at = map.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Value::Object(map) = at {
        map.insert(unescape(last), value);
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

impl From<Value> for FollowUp {
    fn from(action: Value) -> Self {
        Self::new(action)
    }
}

impl From<Action> for FollowUp {
    fn from(action: Action) -> Self {
        // An enum of strings, numbers and JSON values always serialises.
        Self::new(serde_json::to_value(action).unwrap_or_default())
    }
}

/// What is done here when an effect is refused for good or given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Rollback {
    /// A new change takes back what the action wrote, where that still stands: a field that somebody wrote since
    /// stays as it is, a counter is counted back.
    Guarded,
    /// This action is dispatched.
    Action(FollowUp),
}

impl Rollback {
    /// The action that it is, if it is one.
    pub(crate) fn action(&self) -> Option<&FollowUp> {
        match self {
            Self::Guarded => None,
            Self::Action(follow) => Some(follow),
        }
    }
}

/// What follows each thing that can happen to a job. An effect has one for its end and one for its death.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FollowUps {
    /// Done with the start, and not kept.
    #[serde(skip)]
    pub(crate) pending: Option<FollowUp>,
    /// The commit action; the one for a fulfilment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<FollowUp>,
    /// The rollback; the action for a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dead: Option<Rollback>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<FollowUp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) superseded: Option<FollowUp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) orphaned: Option<FollowUp>,
}

impl FollowUps {
    /// Those of a thunk that there are, by what they are for.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &FollowUp)> {
        let all = [
            ("pending", self.pending.as_ref()),
            ("fulfilled", self.done.as_ref()),
            ("rejected", self.dead.as_ref().and_then(Rollback::action)),
            ("aborted", self.aborted.as_ref()),
            ("superseded", self.superseded.as_ref()),
            ("orphaned", self.orphaned.as_ref()),
        ];
        all.into_iter().filter_map(|(what, follow)| Some((what, follow?)))
    }

    /// Those of an effect.
    pub(crate) fn ends(&self) -> [Option<&FollowUp>; 2] {
        [self.done.as_ref(), self.dead.as_ref().and_then(Rollback::action)]
    }

    /// The one for a thunk that ended without an output.
    pub(crate) fn after(&self, cause: ThunkCause) -> Option<&FollowUp> {
        match cause {
            ThunkCause::Aborted => self.aborted.as_ref(),
            ThunkCause::Superseded => self.superseded.as_ref(),
            ThunkCause::Orphaned => self.orphaned.as_ref(),
            ThunkCause::Returned | ThunkCause::Panicked | ThunkCause::TimedOut | ThunkCause::Unreadable => {
                self.dead.as_ref().and_then(Rollback::action)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reply_goes_where_it_is_wanted_and_nowhere_else() {
        let follow = FollowUp::new(json!({"type": "saved", "id": 1}))
            .put_reply()
            .put("/body/a~1b", "/deep/er")
            .put("/missing", "/none");
        let reply = json!({"status": 200, "body": {"a/b": [1]}});
        let expected = json!({"type": "saved", "id": 1, "reply": reply, "deep": {"er": [1]}, "none": null});
        assert_eq!(follow.with_reply(&reply), expected);
        let odd = FollowUp::new(json!({"type": "x", "id": 1})).put("", "/id/inside");
        assert_eq!(odd.with_reply(&json!(5)), json!({"type": "x", "id": 1}));
    }

    #[test]
    fn a_follow_up_needs_a_type_and_pointers() {
        assert_eq!(FollowUp::new(json!({"type": "a"})).put("", "/x").problem(), None);
        for wrong in [
            FollowUp::new(json!({})),
            FollowUp::new(json!(null)),
            FollowUp::new(json!({"type": "a"})).put("x", "/x"),
            FollowUp::new(json!({"type": "a"})).put("", ""),
            FollowUp::new(json!({"type": "a"})).put("", "x"),
        ] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
