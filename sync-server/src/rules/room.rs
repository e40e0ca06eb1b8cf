//! What a document may become: how large its log, how many heads and actors it has, and how many of these one member
//! may bring.
//!
//! **One member must not use up what all need.** Actors and bytes never go again: whoever could bring as many as a document
//! may have would keep every newcomer out for good, and everybody who has to take another actor. So whoever may write brings
//! more only while more is free than they brought already. One alone gets half of all at most; a second who does the same
//! gets half of what is left; and however many do it, whoever has brought little finds a place. A fixed part for each would
//! stop one person on a quiet document early, and four who mean harm could still take everything.
//!
//! Who may delete the document has the whole: nothing is kept from them that they could not destroy, and whoever heals a
//! server that lost everything may have to bring all that others once brought. So has everybody where no token is asked
//! for: there nobody can be told from others. All who bear JWTs without a `sub` count as one.

use rejoin_protocol::{
    container::{MAX_CONTAINERS, is_container_actor},
    fence::{CheckedChange, Refusal, RefusalCode},
};

use crate::{
    LogError, ServerLimits,
    log::{Amount, Appender, Edit, HeadCount},
};

/// Containers are made under actors of their own, and are counted apart from others. Clients keep to the same rule
/// (`rejoin_protocol::container::Held::room`), so that they make none for which there is no room here.
const CONTAINERS: u64 = MAX_CONTAINERS as u64;

/// The most of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Plain bytes of the log.
    pub(crate) bytes: u64,
    pub(crate) heads: u64,
    pub(crate) actors: u64,
}

/// Who pushes, as far as room is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    /// What they are called: all without a name are one.
    pub(super) name: Option<String>,
    /// Whether they may use up the room alone.
    pub(super) whole: bool,
}

impl Room {
    pub(crate) fn of(limits: &ServerLimits) -> Self {
        Self { bytes: limits.document_bytes, heads: limits.document_heads, actors: limits.document_actors }
    }

    /// Whether `guest` may leave a document with these heads, where there were `before`.
    pub(super) fn takes_heads(self, guest: &Guest, before: u64, heads: HeadCount) -> bool {
        // What has too many already may not get more.
        heads.all <= before || (heads.all <= self.heads && guest.leaves_room(self.heads, heads))
    }

    /// Whether heads need not be counted: so many fit, whoever brought those that are there.
    pub(super) fn has_heads_to_spare(self, guest: &Guest, most: u64) -> bool {
        most <= if guest.whole { self.heads } else { self.heads / 2 }
    }

    /// Why a change that the fence placed finds no room. `strict`: heads are counted after each change, and not at the
    /// push's end, because there they were too many.
    ///
    /// A head more than there may be is refused only to an actor of whom the log holds nothing. Each actor has one head
    /// at most, for its changes follow each other, so heads stay bounded; and nobody who wrote here before can be kept
    /// from writing by those who come after.
    pub(super) fn refuses(
        self,
        appender: &mut Appender<'_, impl Edit>,
        guest: &Guest,
        change: &CheckedChange,
        (deps, strict): (&[u64], bool),
    ) -> Result<Option<Refusal>, LogError> {
        if let Some(why) = self.refuses_bytes(appender, guest, change.bytes.len() as u64)? {
            return Ok(Some(refusal(change, RefusalCode::TooLarge, why)));
        }
        if appender.knows(&change.actor)? {
            return Ok(None);
        }
        let kind = if is_container_actor(&change.actor) { Kind::Containers } else { Kind::Actors };
        if let Some(why) = self.refuses_actor(appender, guest, kind)? {
            return Ok(Some(refusal(change, RefusalCode::TooManyActors, why)));
        }
        // A container's change is one head at most, and they are counted by themselves.
        let counts = strict && kind == Kind::Actors;
        let why = if counts { self.refuses_head(appender, guest, deps)? } else { None };
        Ok(why.map(|why| refusal(change, RefusalCode::TooManyHeads, why)))
    }

    fn refuses_bytes(
        self,
        appender: &mut Appender<'_, impl Edit>,
        guest: &Guest,
        more: u64,
    ) -> Result<Option<String>, LogError> {
        let all = appender.bytes().saturating_add(more);
        let Some(free) = self.bytes.checked_sub(all) else {
            return Ok(Some(format!(
                "the log of the document would have more than {} bytes (limit document_bytes): ask who runs the server \
                 for a larger --document-bytes",
                self.bytes
            )));
        };
        // Nobody brought more than there is.
        if guest.whole || all <= free {
            return Ok(None);
        }
        let own = appender.brought(guest.name.as_deref())?.bytes.saturating_add(more);
        Ok((own > free).then(|| {
            format!(
                "this token or subject has brought as much of the document's {} bytes as it may (limit \
                 document_bytes): {free} bytes are kept for others. Ask who runs the server for a larger --document-bytes",
                self.bytes
            )
        }))
    }

    fn refuses_actor(
        self,
        appender: &mut Appender<'_, impl Edit>,
        guest: &Guest,
        kind: Kind,
    ) -> Result<Option<String>, LogError> {
        let (held, limit) = (kind.of(appender.amount()?), kind.limit(self));
        if held >= limit {
            return Ok(Some(match kind {
                Kind::Actors => format!(
                    "it is the first of its actor, and the document has {held} actors (limit document_actors): ask who \
                     runs the server for a larger --document-actors"
                ),
                Kind::Containers => format!("the document has {held} containers, and may have no more"),
            }));
        }
        let free = limit - held;
        // Nobody brought more than there are.
        if guest.whole || held < free || kind.of(appender.brought(guest.name.as_deref())?) < free {
            return Ok(None);
        }
        Ok(Some(match kind {
            Kind::Actors => format!(
                "it is the first of its actor, and this token or subject has brought as many of the document's {held} \
                 actors as it may: {free} places are kept for others. Ask who runs the server for a larger \
                 --document-actors"
            ),
            Kind::Containers => format!(
                "this token or subject has brought as many of the document's {held} containers as it may: {free} places \
                 are kept for others"
            ),
        }))
    }

    fn refuses_head(
        self,
        appender: &mut Appender<'_, impl Edit>,
        guest: &Guest,
        deps: &[u64],
    ) -> Result<Option<String>, LogError> {
        let limit = self.heads.saturating_add(appender.amount()?.containers);
        let heads = appender.heads_with(deps, guest.name.as_deref())?;
        if heads.all > limit {
            return Ok(Some(format!(
                "the document would have more than {} heads (limit document_heads); a push that merges them is taken",
                self.heads
            )));
        }
        Ok((!guest.leaves_room(limit, heads)).then(|| {
            format!(
                "the document would have {} heads, {} of them by this token or subject, and the rest of {} is kept for \
                 others (limit document_heads); a push that merges them is taken",
                heads.all, heads.own, self.heads
            )
        }))
    }
}

/// What the first change of an actor counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Actors,
    Containers,
}

impl Kind {
    fn of(self, amount: Amount) -> u64 {
        match self {
            Self::Actors => amount.actors,
            Self::Containers => amount.containers,
        }
    }

    fn limit(self, room: Room) -> u64 {
        match self {
            Self::Actors => room.actors,
            Self::Containers => CONTAINERS,
        }
    }
}

impl Guest {
    /// Whether as many places are free as the guest has, but for the last one taken: `heads` are those with it.
    fn leaves_room(&self, limit: u64, heads: HeadCount) -> bool {
        self.whole || heads.own <= limit.saturating_sub(heads.all) + 1
    }
}

fn refusal(change: &CheckedChange, code: RefusalCode, detail: String) -> Refusal {
    Refusal { hash: Some(change.hash), code, detail, missing: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { bytes: 0, heads: 16, actors: 0 };

    fn guest(whole: bool) -> Guest {
        Guest { name: Some("token:ada".to_owned()), whole }
    }

    #[test]
    fn one_alone_gets_half_of_the_heads_and_a_newcomer_finds_a_place_to_the_last() {
        let takes = |all, own| ROOM.takes_heads(&guest(false), 0, HeadCount { all, own });
        assert!(takes(8, 8) && !takes(9, 9));
        assert!(takes(12, 4) && !takes(13, 5), "a second gets half of what is left");
        assert!(takes(16, 1) && !takes(17, 1));
        assert!(ROOM.takes_heads(&guest(true), 0, HeadCount { all: 16, own: 16 }));
        assert!(ROOM.takes_heads(&guest(false), 20, HeadCount { all: 20, own: 20 }), "no more than before");
    }
}
