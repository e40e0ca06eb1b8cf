//! Every request passes here before anything of it is read: who asks, and whether they may.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    RequestExt,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, header};

use super::{changes::Named, connections::Visit, loopback, paths, reply::Failed};
use crate::{
    AppState,
    clock::now,
    rate_limit::Peer,
    rules::{ApiError, Code, Principal, Verb, authenticate, no_jwt, permit, permit_whole},
    shares::Taker,
    tokens::{self, hash_of},
};

/// Longer than any token: a JWT may name many documents. Proxies take no longer line.
const LONGEST: usize = 8_192;

/// Where no token was ever made, whoever sits at this machine may do everything. From the first token on each
/// resource needs one; only the questions whether the server lives need none.
pub(super) async fn admit(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failed> {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let open = matches!(path.as_deref(), Some(paths::HEALTH | paths::READY));
    let auth_reader = &state.shared.auth_reader;
    let guarded =
        if open { auth_reader.was_guarded() } else { state.in_time(auth_reader.is_guarded()).await? };
    if !guarded {
        let scheme = if state.shared.tls.is_some() { "https" } else { "http" };
        loopback::only(&request, scheme)?;
        admitted(&mut request, (Principal::Local, Keeper(true)))?;
    } else if !open {
        let who = known(&state, &mut request, path.as_deref()).await?;
        admitted(&mut request, who)?;
    }
    let asker = request.extensions().get::<Principal>().and_then(Principal::asker);
    let taker = Taker { who: asker, keeper: false };
    // Until there is a reply: then it is counted by what it takes.
    let _share = state.shared.requests.take(taker, 1).map_err(|_| ApiError::too_many(SOON))?;
    // Whatever is said of the request from here on, the token is not in it.
    request.headers_mut().remove(header::AUTHORIZATION);
    Ok(next.run(request).await)
}

/// When who has too many requests under way may come again.
const SOON: Duration = Duration::from_secs(1);

/// Whether it is somebody who looks after the server: is admin of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeper(pub(super) bool);

/// Notes who asks, on the request and on its connection.
fn admitted(request: &mut Request, (by, keeper): (Principal, Keeper)) -> Result<(), ApiError> {
    if let Some(visit) = request.extensions().get::<Visit>() {
        if visit.is_kept() && !keeper.0 {
            return Err(ApiError::because(Code::Unavailable, "All connections are taken just now."));
        }
        visit.known();
    }
    request.extensions_mut().insert(by);
    request.extensions_mut().insert(keeper);
    Ok(())
}

/// Who asks, within the rate_limits, where they may do what they ask.
async fn known(
    state: &AppState,
    request: &mut Request,
    path: Option<&str>,
) -> Result<(Principal, Keeper), ApiError> {
    let rate_limits = &state.shared.rate_limits;
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = Peer::new(address);
    rate_limits.hear(peer, Instant::now())?;
    let found = check(state, request, path).await;
    let ((principal, keeper), verdict) =
        found.map_err(|fault| rate_limits.fail(peer, fault, Instant::now()))?;
    // What is forbidden is asked for too: it counts.
    rate_limits.spend(principal.asker(), peer, Instant::now())?;
    verdict.map(|()| (principal, keeper))
}

/// Who asks, and whether they may.
async fn check(
    state: &AppState,
    request: &mut Request,
    path: Option<&str>,
) -> Result<((Principal, Keeper), Result<(), ApiError>), ApiError> {
    let shown = bearer(request.headers())?;
    let by_jwt = match &state.shared.jwts {
        Some(jwts) if !tokens::is_ours(shown) => {
            Some(Principal::Jwt(Arc::new(jwts.check(shown).map_err(|why| {
                tracing::debug!(why, "a JWT was refused");
                no_jwt()
            })?)))
        }
        _ => None,
    };
    let hash = hash_of(shown);
    let demand = demand(path, request.method());
    let document = match demand {
        Demand::On(_) => {
            // What is no UUID names no document: the handler, which reads it in the same way, says so.
            request.extract_parts().await.ok().map(|Named(id)| id)
        }
        Demand::Any | Demand::Whole | Demand::Nobody => None,
    };
    let reading = state.shared.auth_reader.read(move |view| {
        let now = now();
        let principal = match by_jwt {
            Some(principal) => principal,
            None => Principal::Token(authenticate(view, &hash, now)?),
        };
        let whole = permit_whole(view, &principal, now)?;
        let keeper = Keeper(whole.is_ok());
        let verdict = match (demand, document) {
            (Demand::Whole, _) => whole,
            (Demand::Nobody, _) => Err(ApiError::new(Code::Forbidden)),
            (Demand::On(verb), Some(id)) => permit(view, &principal, verb, (&id, now))?.map(drop),
            (Demand::On(_), None) | (Demand::Any, _) => Ok(()),
        };
        Ok(((principal, keeper), verdict))
    });
    state.in_time(reading).await
}

/// What a route asks of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// Any good token will do.
    Any,
    /// To do this with the document that the path names.
    On(Verb),
    /// To be admin of everything here.
    Whole,
    /// A route that nobody put in this list is nobody's.
    Nobody,
}

fn demand(path: Option<&str>, method: &Method) -> Demand {
    let read = method == Method::GET || method == Method::HEAD;
    match path {
        // No such resource, which whoever has a token is told. Lists and streams hold only what may be read.
        None | Some(paths::LIMITS | paths::DOCUMENTS | paths::EVENTS | paths::OPENAPI) => Demand::Any,
        Some(paths::METRICS) => Demand::Whole,
        Some(paths::DOCUMENT | paths::CHANGES | paths::SNAPSHOT | paths::PUSHERS) if read => {
            Demand::On(Verb::Read)
        }
        Some(paths::DOCUMENT) if method == Method::DELETE => Demand::On(Verb::Delete),
        Some(paths::CHANGES) if method == Method::POST => Demand::On(Verb::Push),
        Some(paths::MISSING) if method == Method::POST => Demand::On(Verb::Ask),
        // A method that is not taken there.
        Some(paths::DOCUMENT | paths::CHANGES | paths::SNAPSHOT | paths::MISSING | paths::PUSHERS) => {
            Demand::Any
        }
        Some(_) => Demand::Nobody,
    }
}

/// The token of a request. What is wrong with it is told without it.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let wanted = |why: &str| ApiError::because(Code::Unauthorized, why);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let value = first.ok_or_else(|| wanted("Show a token: `Authorization: Bearer TOKEN`."))?;
    let text = value.to_str().ok().filter(|text| text.len() <= LONGEST && second.is_none());
    let token = text.and_then(|text| text.split_once(' ')).and_then(|(scheme, token)| {
        let token = token.trim_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    token.ok_or_else(|| wanted("`Authorization` is `Bearer` and a token, once."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_in_no_list_is_nobodys() {
        assert_eq!(demand(Some("/v1/new"), &Method::GET), Demand::Nobody);
        assert_eq!(demand(Some(paths::CHANGES), &Method::HEAD), Demand::On(Verb::Read));
        assert_eq!(demand(Some(paths::CHANGES), &Method::PUT), Demand::Any);
    }

    #[test]
    fn a_token_is_shown_once_and_as_a_bearer() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        for good in ["Bearer hush", "bearer hush", "BEARER  hush "] {
            assert_eq!(bearer(&headers(&[good])).unwrap(), "hush", "{good}");
        }
        let long = format!("Bearer {}", "x".repeat(LONGEST));
        for bad in
            [&["hush"][..], &["Basic hush"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"], &[&long]]
        {
            assert_eq!(bearer(&headers(bad)).unwrap_err().code, Code::Unauthorized, "{bad:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code, Code::Unauthorized);
    }
}
