//! Why a change is left out of a document.

use std::{convert::Infallible, fmt, str::FromStr};

use automerge::ChangeHash;
use serde::{Deserialize, Serialize};

/// What the text of a [`Reason::Held`] begins with.
const HELD: &str = "held, to be tried later";
const DEPENDS_ON: &str = "it depends on ";
const LEFT_OUT: &str = ", which was left out";

/// Why a change is left out of a document: it is kept, and not given to the library.
///
/// As text it stands in the databases of clients and servers, and people read it; [`FromStr`] reads it again.
///
/// ```
/// use rejoin_protocol::quarantine::Reason;
/// let held = Reason::Held("64 trials did not settle its batch".into());
/// assert_eq!(held.to_string(), "held, to be tried later: 64 trials did not settle its batch");
/// assert_eq!(held.to_string().parse(), Ok(held));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Reason {
    /// Nothing is known against it. It is given in again later.
    Held(String),
    /// It would harm the document, or the fence of today refuses it: why.
    Refused(String),
    /// It depends on a change that is left out.
    DependsOn(ChangeHash),
}

impl Reason {
    /// The beginning of the text of each [`Reason::Held`]: for a search in a database.
    pub const HELD: &str = HELD;

    /// Whether nothing is known against the change.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(why) if why.is_empty() => f.write_str(HELD),
            Self::Held(why) => write!(f, "{HELD}: {why}"),
            Self::Refused(why) => f.write_str(why),
            Self::DependsOn(hash) => write!(f, "{DEPENDS_ON}{hash}{LEFT_OUT}"),
        }
    }
}

impl FromStr for Reason {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

impl From<String> for Reason {
    /// A text that is neither of the others is that of a [`Reason::Refused`].
    fn from(text: String) -> Self {
        if let Some(rest) = text.strip_prefix(HELD) {
            return Self::Held(rest.strip_prefix(": ").unwrap_or(rest).to_owned());
        }
        let dependency = text.strip_prefix(DEPENDS_ON).and_then(|rest| rest.strip_suffix(LEFT_OUT));
        match dependency.and_then(|hash| hash.parse().ok()) {
            Some(hash) => Self::DependsOn(hash),
            None => Self::Refused(text),
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_again_from_the_text_that_it_is_kept_as() {
        let all = [
            Reason::Held(String::new()),
            Reason::Held("it depends on another, which is held".into()),
            Reason::Refused("it would harm the document (Automerge fails on it)".into()),
            Reason::DependsOn(ChangeHash([7; 32])),
        ];
        for reason in all {
            assert_eq!(Reason::from(reason.to_string()), reason);
            assert_eq!(reason.to_string().starts_with(Reason::HELD), reason.is_held());
        }
    }
}
