//! The small JSON object in a change's commit message: which action made it, and who.

use automerge::ChangeHash;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message names so many writes that lost.
const MOST_LOST: usize = 1_000;

/// A write that lost against another, where a migration moved one to the place of the other. Changes are named by the hashes
/// that they were first made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where it would be, as a JSON Pointer from the document's root.
    pub at: String,
    /// Where it was.
    pub from: String,
    /// The change that wrote it.
    pub by: ChangeHash,
    /// The change that wrote what is there instead.
    pub over: ChangeHash,
}

impl Lost {
    fn to_json(&self) -> Value {
        serde_json::json!([self.at, self.from, self.by.to_string(), self.over.to_string()])
    }

    fn of_json(json: &Value) -> Option<Self> {
        let text = |nth: usize| json.get(nth).and_then(Value::as_str);
        let (by, over) = (text(2)?.parse().ok()?, text(3)?.parse().ok()?);
        Some(Self { at: text(0)?.to_owned(), from: text(1)?.to_owned(), by, over })
    }
}

/// What a change says of itself. Keys this release does not know are kept.
///
/// ```
/// use rejoin_protocol::Message;
/// let m = Message::of_action("set").by(Some("ada"));
/// assert_eq!(m.encode(), r#"{"a":"set","by":"ada"}"#);
/// assert_eq!(Message::decode(Some(&m.encode())), m);
/// assert_eq!(Message::decode(Some("free text from another program")), Message::default());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The action's type.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The version of the action's slice, where it is not 1.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The author, where one is set.
    #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The payload, for slices that ask for it: it costs its own size in every replica and at the server.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// The hash this change had before it was rewritten after a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What an undo, redo or rollback takes back: the hash that change was first made with.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// Which operations of an undo stand for which others: see [`crate::undo::decode_restored`].
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Value>,
    /// Random text in the first change that a process makes in a document: what makes it another change than the
    /// one that a clone of the store makes in the same second.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The slices beside the action's own that reacted to it in this change, each with its version: an object. See
    /// [`Message::reacted`].
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Value>,
    /// What lost where a migration moved one of two concurrent writes to the place of the other: a list of where it would be, where
    /// it was, the change that wrote it and the one that won.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Value>,
    /// What other releases wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Message {
    /// The message of a change made by an action of this type.
    pub fn of_action(action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..Self::default() }
    }

    /// With this author.
    #[must_use]
    pub fn by(mut self, author: Option<&str>) -> Self {
        self.author = author.map(str::to_owned);
        self
    }

    /// With this nonce.
    #[must_use]
    pub fn with_nonce(mut self, nonce: u64) -> Self {
        self.nonce = Some(URL_SAFE_NO_PAD.encode(nonce.to_be_bytes()));
        self
    }

    /// With these slices that react to it, each with its version.
    #[must_use]
    pub fn with_reactions(mut self, slices: &[(&str, u32)]) -> Self {
        let slices: Map<String, Value> =
            slices.iter().map(|(slice, version)| ((*slice).to_owned(), (*version).into())).collect();
        self.also = (!slices.is_empty()).then_some(Value::Object(slices));
        self
    }

    /// The slices that reacted to it in this change, each with its version; what is no version is left out.
    pub fn reacted(&self) -> Vec<(&str, u32)> {
        let slices = self.also.as_ref().and_then(Value::as_object).into_iter().flatten();
        let version = |version: &Value| version.as_u64().and_then(|version| u32::try_from(version).ok());
        slices.filter_map(|(slice, found)| Some((slice.as_str(), version(found)?))).collect()
    }

    /// With what a migration found that lost. Beyond the first thousand it is in the history alone.
    #[must_use]
    pub fn with_lost(mut self, lost: &[Lost]) -> Self {
        let lost: Vec<Value> = lost.iter().take(MOST_LOST).map(Lost::to_json).collect();
        self.lost = (!lost.is_empty()).then_some(Value::Array(lost));
        self
    }

    /// What a migration found that lost; what cannot be read of it is left out.
    pub fn lost(&self) -> Vec<Lost> {
        let lost = self.lost.as_ref().and_then(Value::as_array).into_iter().flatten();
        lost.take(MOST_LOST).filter_map(Lost::of_json).collect()
    }

    /// Reads a commit message; one that is no such object (another program's) says nothing.
    pub fn decode(text: Option<&str>) -> Self {
        text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    /// The text for the commit.
    pub fn encode(&self) -> String {
        // A struct of strings, numbers and JSON values with string keys always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The hash named by `u`, where it is one.
    pub fn undoes(&self) -> Option<ChangeHash> {
        self.undoes.as_deref()?.parse().ok()
    }

    /// The hash named by `was`, where it is one.
    pub fn was(&self) -> Option<ChangeHash> {
        self.was.as_deref()?.parse().ok()
    }
}
