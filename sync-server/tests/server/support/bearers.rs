//! Tokens, and JWTs as an app's own backend mints them.

use std::path::Path;

use rejoin::DocumentId;
use rejoin_server::{Access, NewToken, Tokens};

/// A new token that does not end.
pub fn token(database: &Path, name: &str, document: Option<DocumentId>, access: Access) -> String {
    let new = NewToken { name: name.to_owned(), document, access, lifetime: None };
    Tokens::open(database).unwrap().create(&new).unwrap().reveal().to_owned()
}

/// What the backend signs with.
pub const JWT_SECRET: &str = "a secret of the app's own backend";

/// A JWT for `sub`, good for so many seconds; for each document, or all, with what is allowed there.
pub fn jwt(sub: &str, entries: &[(Option<DocumentId>, Access)], seconds: i64) -> String {
    jwt_for(Some(sub), entries, seconds)
}

/// The same, also for nobody in particular.
pub fn jwt_for(sub: Option<&str>, entries: &[(Option<DocumentId>, Access)], seconds: i64) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap();
    let entry = |(document, access): &(Option<DocumentId>, Access)| {
        let document = document.map_or_else(|| "*".to_owned(), |id| id.to_string());
        serde_json::json!({"document": document, "access": access.to_string()})
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    let mut claims = serde_json::json!({"exp": now + seconds, "rejoin": entries});
    if let Some(sub) = sub {
        claims["sub"] = sub.into();
    }
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// Lets a server take JWTs.
pub fn take_jwts(config: &mut rejoin_server::ServerConfig) {
    let key = config.database.with_file_name("jwt.key");
    std::fs::write(&key, JWT_SECRET).unwrap();
    config.jwt = Some(rejoin_server::JwtSettings { key, audience: None, issuer: None });
}
