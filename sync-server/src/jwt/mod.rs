//! JWTs that an app's own backend mints: what is accepted as one, and what it says.
//!
//! Who holds the key says who may do what; nothing of a token is stored, but whom a document was begun by.

mod claims;
mod keys;

use std::sync::Arc;

use jsonwebtoken::{Validation, decode, decode_header};
use sha2::{Digest as _, Sha256};

pub(crate) use claims::Bearer;
use claims::Claims;
use keys::Keys;

use crate::{
    config::JwtSettings,
    watched::{FileError, Watched},
};

/// By how much the clocks of who mints and who checks may differ, in seconds.
pub(crate) const LEEWAY: u64 = 30;

/// What JWTs are checked with.
#[derive(Debug)]
pub(crate) struct Jwts {
    keys: Watched<Keys>,
    settings: JwtSettings,
}

impl Jwts {
    /// Reads the keys.
    pub(crate) fn open(settings: &JwtSettings) -> Result<Self, FileError> {
        let path = settings.key.clone();
        let keys = Watched::open(vec![settings.key.clone()], move |contents, before| {
            let content = contents.first().map_or(&[][..], Vec::as_slice);
            Keys::read(content, before).map_err(|why| FileError::new(&path, why))
        })?;
        Ok(Self { keys, settings: settings.clone() })
    }

    /// Looks whether the keys changed. A key that is gone takes the tokens along that it checked.
    pub(crate) fn look(&self) {
        self.keys.look();
    }

    /// Who bears this token.
    ///
    /// # Errors
    /// Why it is none, for the log: nothing of the token is in it.
    pub(crate) fn check(&self, token: &str) -> Result<Bearer, &'static str> {
        let header = decode_header(token).map_err(|_| "it has no header of a JWT with a known `alg`")?;
        if header.crit.is_some() {
            return Err("it has `crit`, of which nothing is known here");
        }
        let keys = self.keys.current();
        let key = keys.pick(header.kid.as_deref()).ok_or("no key has its `kid`")?;
        // The key says how it is used, and never the token: so `none` is nothing, and a public key no secret.
        if header.alg != key.algorithm {
            return Err("its `alg` is not that of its key");
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(audience) = &self.settings.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        let claims = decode::<Claims>(token, &key.decoding, &validation).map_err(|error| why(&error))?.claims;
        if claims.aud.is_some() && self.settings.audience.is_none() {
            return Err("it has `aud`, and no --jwt-audience is named");
        }
        Bearer::new(claims, Sha256::digest(token).into(), Arc::downgrade(&key.standing))
    }
}

/// What is wrong, without anything that the token says.
fn why(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind as K;
    match error.kind() {
        K::InvalidSignature => "its signature is wrong",
        K::ExpiredSignature => "its time is over (`exp`)",
        K::ImmatureSignature => "its time has not come (`nbf`)",
        K::InvalidAudience => "it is for somebody else (`aud`)",
        K::InvalidIssuer => "it is from somebody else (`iss`)",
        K::MissingRequiredClaim(_) => {
            "a claim is missing: `exp`, or what --jwt-audience and --jwt-issuer ask for"
        }
        K::Json(_) => "its claims are not as PROTOCOL.md has them",
        _ => "it is no JWT that can be read",
    }
}

#[cfg(test)]
mod tests;
