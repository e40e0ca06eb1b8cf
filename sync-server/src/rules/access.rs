//! Who may do what: a pure rule, and the facts it looks at.

use std::{collections::HashSet, sync::Arc};

use rejoin_protocol::DocumentId;

use super::{ApiError, Code};
use crate::{
    LogError,
    jwt::Bearer,
    log::{Access, Edit, Grant, Holder, Listed, TokenId, TokenKey, TokenRow, View},
};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// Somebody at this machine, where no token was ever made: may do everything.
    Local,
    /// Whoever bears this token.
    Token(TokenId),
    /// Whoever bears this JWT.
    Jwt(Arc<Bearer>),
}

/// Whom the figures name: one that comes again with another JWT of the same subject is the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Token(TokenId),
    /// The `sub` of a JWT.
    Subject(String),
}

/// Whose requests are counted together, so that a credential made anew is no new budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    Token(TokenId),
    /// The `sub` of a JWT.
    Subject(String),
    /// All JWTs without one that allow the same.
    Alike([u8; 32]),
}

impl Principal {
    /// Whose requests this one is counted with; `None` for whoever sits at this machine.
    pub(crate) fn asker(&self) -> Option<Asker> {
        match (self.client(), self) {
            (Some(Client::Token(token)), _) => Some(Asker::Token(token)),
            (Some(Client::Subject(subject)), _) => Some(Asker::Subject(subject)),
            (None, Self::Jwt(bearer)) => Some(Asker::Alike(bearer.allows())),
            (None, Self::Local | Self::Token(_)) => None,
        }
    }

    /// Nobody can be told from others where there are no tokens, nor by a JWT without a subject.
    pub(crate) fn client(&self) -> Option<Client> {
        match self {
            Self::Local => None,
            Self::Token(token) => Some(Client::Token(*token)),
            Self::Jwt(bearer) => bearer.subject().map(|subject| Client::Subject(subject.to_owned())),
        }
    }
}

impl Client {
    /// What it is called; `None` for a token that was revoked or has expired.
    pub(crate) fn name(&self, view: &impl View, now: i64) -> Result<Option<String>, LogError> {
        match self {
            Self::Subject(subject) => Ok(Some(format!("jwt:{subject}"))),
            Self::Token(token) => {
                let row = view.token(TokenKey::Id(*token))?.filter(|row| row.is_good(now));
                Ok(row.map(|row| row.name))
            }
        }
    }
}

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    /// Which changes the log lacks: asked by who reads, and by who is about to begin a document.
    Ask,
    Push,
    Delete,
}

/// What is known of a token and a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Whether it may begin the document.
    create: bool,
    /// The most that it has there otherwise: never `Create`.
    held: Option<Access>,
    /// Whether the document has begun here.
    exists: bool,
}

impl Standing {
    /// That of a token with `own` access, where it covers the document, and with what it was `granted` there or has
    /// from beginning it.
    fn of_token(own: Option<Access>, granted: Option<Access>, exists: bool) -> Self {
        let create = own == Some(Access::Create);
        Self { create, held: own.filter(|_| !create).max(granted), exists }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allowed,
    /// Allowed; the document is the token's from then on.
    Begins,
    /// There is nothing to read, or to delete, yet.
    NotThere,
    Forbidden,
}

/// What is answered: it depends on nothing else.
fn decide(standing: Standing, verb: Verb) -> Decision {
    let Standing { create, held, exists } = standing;
    let enough = match verb {
        Verb::Read | Verb::Ask => held >= Some(Access::Read),
        // A healer may push what others wrote: nobody looks at who made a change.
        Verb::Push if exists => held >= Some(Access::Write),
        Verb::Push | Verb::Delete => held == Some(Access::Admin),
    };
    match verb {
        _ if enough => Decision::Allowed,
        _ if !create || exists => Decision::Forbidden,
        // "A `create` token cannot bury a UUID that nobody has begun": whoever is about to begin it would be told
        // `deleted` for ever.
        Verb::Read | Verb::Delete => Decision::NotThere,
        Verb::Ask => Decision::Allowed,
        Verb::Push => Decision::Begins,
    }
}

/// Whose token has this hash, if it is good now.
pub(crate) fn authenticate(view: &impl View, hash: &[u8; 32], now: i64) -> Result<TokenId, ApiError> {
    let row = view.token(TokenKey::Hash(hash))?.filter(|row| row.is_good(now));
    row.map(|row| row.id).ok_or_else(not_good)
}

fn not_good() -> ApiError {
    ApiError::because(Code::Unauthorized, "This token is not known here, was revoked, or has expired.")
}

/// What is told to whoever bears a JWT that is none: the same, whatever is wrong with it.
pub(crate) fn no_jwt() -> ApiError {
    not_good()
}

/// Whoever is admin of what they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Founder {
    Token(TokenId),
    /// The `sub` of a JWT.
    Subject(String),
}

/// That a principal may do it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct Permission {
    /// What the principal is to be noted as: who begins a document is admin of it.
    founder: Option<Founder>,
    /// Whether the principal is admin of the document, or will be.
    whole: bool,
}

impl Permission {
    /// Whether the principal may delete the document.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// To be called in the transaction that begins the document.
    pub(crate) fn note(self, edit: &impl Edit, id: &DocumentId) -> Result<(), LogError> {
        match self.founder {
            None => Ok(()),
            Some(Founder::Token(token)) => edit.grant(&Grant::One(token, id, Access::Admin)).map(drop),
            Some(Founder::Subject(subject)) => edit.grant(&Grant::Founder(&subject, id)).map(drop),
        }
    }
}

/// Whether it may be done. What writes asks this in the transaction that does it.
pub(crate) fn permit(
    view: &impl View,
    principal: &Principal,
    verb: Verb,
    (id, now): (&DocumentId, i64),
) -> Result<Result<Permission, ApiError>, LogError> {
    let exists = || Ok::<_, LogError>(view.document(id)?.is_some());
    let (standing, founder) = match principal {
        Principal::Local => return Ok(Ok(Permission { founder: None, whole: true })),
        Principal::Token(token) => {
            let Some(row) = view.token(TokenKey::Id(*token))?.filter(|row| row.is_good(now)) else {
                return Ok(Err(not_good()));
            };
            let own = Some(row.access).filter(|_| row.document.is_none_or(|only| only == *id));
            let standing = Standing::of_token(own, view.granted(Holder::Token(*token), id)?, exists()?);
            (standing, Some(Founder::Token(*token)))
        }
        Principal::Jwt(bearer) if !bearer.is_good(now) => return Ok(Err(not_good())),
        Principal::Jwt(bearer) => {
            // What was begun with it counts as long as it may begin documents: the minter has the last word.
            let founder = bearer.creates(id);
            let began = match founder {
                Some(subject) => view.granted(Holder::Subject(subject), id)?,
                None => None,
            };
            let held = bearer.holds(id).max(began);
            let standing = Standing { create: founder.is_some(), held, exists: exists()? };
            (standing, founder.map(|subject| Founder::Subject(subject.to_owned())))
        }
    };
    Ok(match decide(standing, verb) {
        Decision::Allowed => Ok(Permission { founder: None, whole: standing.held == Some(Access::Admin) }),
        Decision::Begins => Ok(Permission { founder, whole: true }),
        Decision::NotThere => Err(ApiError::no_document()),
        // The same whether the document is there or not.
        Decision::Forbidden => {
            Err(ApiError::because(Code::Forbidden, "This token does not allow that on this document."))
        }
    })
}

/// Whether what is of the whole server may be read: its figures, with the names of its clients.
pub(crate) fn permit_whole(
    view: &impl View,
    principal: &Principal,
    now: i64,
) -> Result<Result<(), ApiError>, LogError> {
    let whole = match principal {
        Principal::Local => true,
        Principal::Token(token) => {
            let row = view.token(TokenKey::Id(*token))?.filter(|row| row.is_good(now));
            row.is_some_and(|row| row.access == Access::Admin && row.document.is_none())
        }
        Principal::Jwt(bearer) => bearer.is_good(now) && bearer.is_admin_of_all(),
    };
    let why = "This is for tokens that are admin of every document.";
    Ok(if whole { Ok(()) } else { Err(ApiError::because(Code::Forbidden, why)) })
}

/// Whether what happens to a document may be told to this principal.
pub(crate) fn may_hear(
    view: &impl View,
    principal: &Principal,
    (id, now): (&DocumentId, i64),
) -> Result<bool, LogError> {
    Ok(permit(view, principal, Verb::Read, (id, now))?.is_ok())
}

/// Of the documents that a stream names, those that may be named: told of one that may not be read, or that has not
/// begun, it says nothing. Where none may be named the stream is refused.
pub(crate) fn hearable(
    view: &impl View,
    principal: &Principal,
    (ids, now): (HashSet<DocumentId>, i64),
) -> Result<HashSet<DocumentId>, ApiError> {
    let mut named = HashSet::new();
    let mut refused = None;
    for id in ids {
        match permit(view, principal, Verb::Read, (&id, now))? {
            Err(fault) if fault.code != Code::NotFound => refused = Some(fault),
            // One that the token may begin can be waited for.
            _ => drop(named.insert(id)),
        }
    }
    match refused {
        Some(fault) if named.is_empty() => Err(fault),
        _ => Ok(named),
    }
}

/// Whether this principal still is one, now that tokens are asked for, or not.
pub(crate) fn is_good(
    view: &impl View,
    principal: &Principal,
    (guarded, now): (bool, i64),
) -> Result<bool, LogError> {
    match principal {
        Principal::Local => Ok(!guarded),
        Principal::Token(token) => Ok(view.token(TokenKey::Id(*token))?.is_some_and(|row| row.is_good(now))),
        Principal::Jwt(bearer) => Ok(bearer.is_good(now)),
    }
}

/// What may be read by this principal.
pub(crate) fn listed(view: &impl View, principal: &Principal, now: i64) -> Result<Listed, ApiError> {
    let token = match principal {
        Principal::Local => return Ok(Listed::All),
        Principal::Jwt(bearer) if !bearer.is_good(now) => return Err(not_good()),
        Principal::Jwt(bearer) if bearer.holds_all() => return Ok(Listed::All),
        Principal::Jwt(bearer) => return Ok(Listed::Claimed(bearer.named(), bearer.begun())),
        Principal::Token(token) => *token,
    };
    let TokenRow { access, document, .. } =
        view.token(TokenKey::Id(token))?.filter(|row| row.is_good(now)).ok_or_else(not_good)?;
    Ok(match (access, document) {
        (Access::Create, _) => Listed::Of(token, None),
        (_, None) => Listed::All,
        (_, only) => Listed::Of(token, only),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [Verb; 4] = [Verb::Read, Verb::Ask, Verb::Push, Verb::Delete];

    fn decisions(own: Option<Access>, granted: Option<Access>, exists: bool) -> [Decision; 4] {
        VERBS.map(|verb| decide(Standing::of_token(own, granted, exists), verb))
    }

    #[test]
    fn each_access_allows_what_it_says_and_nothing_else() {
        use Decision::{Allowed as Yes, Begins, Forbidden as No, NotThere};
        for (own, there, not_there) in [
            (None, [No; 4], [No; 4]),
            (Some(Access::Read), [Yes, Yes, No, No], [Yes, Yes, No, No]),
            (Some(Access::Write), [Yes, Yes, Yes, No], [Yes, Yes, No, No]),
            (Some(Access::Create), [No; 4], [NotThere, Yes, Begins, NotThere]),
            (Some(Access::Admin), [Yes; 4], [Yes; 4]),
        ] {
            assert_eq!(decisions(own, None, true), there, "{own:?}");
            assert_eq!(decisions(own, None, false), not_there, "{own:?}");
            if own != Some(Access::Create) {
                assert_eq!(decisions(None, own, true), there, "granted {own:?}");
                assert_eq!(decisions(None, own, false), not_there, "granted {own:?}");
            }
        }
    }

    #[test]
    fn a_grant_adds_and_never_takes_away() {
        for own in [None, Some(Access::Read), Some(Access::Write), Some(Access::Create), Some(Access::Admin)]
        {
            for granted in [Access::Read, Access::Write, Access::Admin] {
                for exists in [true, false] {
                    let without = decisions(own, None, exists);
                    let with = decisions(own, Some(granted), exists);
                    for (without, with) in without.into_iter().zip(with) {
                        let fine = without == Decision::Forbidden || with != Decision::Forbidden;
                        assert!(fine, "{own:?} {granted:?} {exists}");
                    }
                }
            }
        }
    }
}
