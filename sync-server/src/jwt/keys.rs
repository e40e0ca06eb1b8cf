//! The file of keys that JWTs are signed with.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::Deserialize;

/// Shortest secret, in bytes: RFC 7518, section 3.2.
const SHORTEST_SECRET: usize = 32;
/// Most keys in a JWKS.
const MOST_KEYS: usize = 100;
/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo: RFC 8410, section 4.
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// One key, good for one algorithm.
pub(super) struct Key {
    kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// To tell whether it is the same key after the file changed. As secret as the key.
    material: Vec<u8>,
    /// Lasts as long as the key is in the file.
    pub(super) standing: Arc<()>,
}

/// The keys of a file.
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a secret, a public key as PEM, a JWK or a JWKS.
    ///
    /// # Errors
    /// Why not, and nothing of the content.
    pub(super) fn read(content: &[u8], before: Option<&Self>) -> Result<Self, String> {
        let mut keys = Self(read(content)?);
        for old in before.into_iter().flat_map(|before| &before.0) {
            if let Some(new) = keys.0.iter_mut().find(|new| new.is_same(old)) {
                new.standing = Arc::clone(&old.standing);
            }
        }
        Ok(keys)
    }

    /// The key of this `kid`. A key without one is the only one, and is for every token.
    pub(super) fn pick(&self, kid: Option<&str>) -> Option<&Key> {
        match (self.0.as_slice(), kid) {
            ([only], None) => Some(only),
            ([only], Some(_)) if only.kid.is_none() => Some(only),
            (all, Some(kid)) => all.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (_, None) => None,
        }
    }
}

impl Key {
    fn is_same(&self, other: &Self) -> bool {
        (self.algorithm, &self.kid, &self.material) == (other.algorithm, &other.kid, &other.material)
    }

    fn secret(kid: Option<String>, secret: Vec<u8>) -> Result<Self, String> {
        if secret.len() < SHORTEST_SECRET {
            return Err(
                "a secret of HS256 has at least 32 bytes: make one with `openssl rand -hex 32`".to_owned()
            );
        }
        let decoding = DecodingKey::from_secret(&secret);
        Ok(Self { kid, algorithm: Algorithm::HS256, decoding, material: secret, standing: Arc::default() })
    }

    fn ed25519(kid: Option<String>, public: Vec<u8>) -> Result<Self, String> {
        if public.len() != 32 {
            return Err("a public key of Ed25519 has 32 bytes".to_owned());
        }
        let decoding = DecodingKey::from_ed_der(&public);
        Ok(Self { kid, algorithm: Algorithm::EdDSA, decoding, material: public, standing: Arc::default() })
    }
}

fn read(content: &[u8]) -> Result<Vec<Key>, String> {
    let text = content.trim_ascii();
    // What looks like a key of another kind never is a secret: then its public half would be one that all know.
    if text.windows(11).any(|part| part == b"-----BEGIN ") {
        return Ok(vec![Key::ed25519(None, pem(text)?)?]);
    }
    if !text.starts_with(b"{") && !text.starts_with(b"[") {
        let line = content.strip_suffix(b"\n").unwrap_or(content);
        return Ok(vec![Key::secret(None, line.strip_suffix(b"\r").unwrap_or(line).to_vec())?]);
    }
    if let Ok(set) = serde_json::from_slice::<Set>(text) {
        return read_set(set);
    }
    let jwk: Jwk =
        serde_json::from_slice(text).map_err(|_| "it is JSON, and neither a JWK nor a JWKS".to_owned())?;
    match jwk.key()? {
        Some(key) => Ok(vec![key]),
        None => Err("it is a key of another kind than HS256 (`oct`) and Ed25519 (`OKP`)".to_owned()),
    }
}

fn pem(text: &[u8]) -> Result<Vec<u8>, String> {
    if text.windows(12).any(|part| part == b"PRIVATE KEY-") {
        return Err("it is a private key, which is the minter's alone: give the public one".to_owned());
    }
    let wrong = || "it is no public key of Ed25519 (`BEGIN PUBLIC KEY`)".to_owned();
    let info = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| wrong())?;
    info.as_ref().strip_prefix(ED25519).map(<[u8]>::to_vec).ok_or_else(wrong)
}

/// A JWKS.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

fn read_set(set: Set) -> Result<Vec<Key>, String> {
    if set.keys.len() > MOST_KEYS {
        return Err(format!("there are more than {MOST_KEYS} keys in it"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for jwk in &set.keys {
        match jwk.key()? {
            Some(key) => keys.push(key),
            None => tracing::warn!("a key of another kind than HS256 and Ed25519 is left out"),
        }
    }
    let mut kids: Vec<_> = keys.iter().map(|key| &key.kid).collect();
    kids.sort_unstable();
    kids.dedup();
    if kids.len() < keys.len() || (keys.len() > 1 && keys.iter().any(|key| key.kid.is_none())) {
        return Err("several keys need a `kid` each, by which a token says which one it means".to_owned());
    }
    if keys.is_empty() { Err("there is no key of HS256 or Ed25519 in it".to_owned()) } else { Ok(keys) }
}

/// RFC 7517, as far as it is looked at here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    x: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// `None`: a key of a kind, or for a use, that is none of ours.
    fn key(&self) -> Result<Option<Key>, String> {
        let alg = self.alg.as_deref();
        if self.used_for.as_deref().is_some_and(|used_for| used_for != "sig") {
            return Ok(None);
        }
        let bytes = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            base64url(text).ok_or_else(|| "a key in it is no base64url".to_owned())
        };
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) if matches!(alg, None | Some("HS256")) => {
                Key::secret(self.kid.clone(), bytes(&self.k)?).map(Some)
            }
            ("OKP", Some("Ed25519")) if matches!(alg, None | Some("EdDSA" | "Ed25519")) => {
                if self.d.is_some() {
                    return Err(
                        "it holds a private key, which is the minter's alone: leave `d` out".to_owned()
                    );
                }
                Key::ed25519(self.kid.clone(), bytes(&self.x)?).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// RFC 4648, section 5, without padding, in its one spelling.
fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_read_in_its_one_spelling() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9vYmFy", b"foobar"), ("-_8", &[0xfb, 0xff])]
        {
            assert_eq!(base64url(text).as_deref(), Some(bytes), "{text}");
        }
        for bad in ["Z", "Zh", "Zm9", "Zg==", "+/8", "Z g", "ü"] {
            assert_eq!(base64url(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_a_key_of_one_kind_or_none() {
        let oct = r#"{"kty":"oct","k":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE","kid":"a"}"#;
        let okp =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"b"}"#;
        let rsa = r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"c"}"#;
        let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        let secret = "x".repeat(32);
        for (content, count) in
            [(oct, 1), (okp, 1), (&set(&[oct, okp, rsa]), 2), (&secret, 1), (&format!("{secret}\n"), 1)]
        {
            assert_eq!(read(content.as_bytes()).map(|keys| keys.len()), Ok(count), "{content}");
        }
        let private = okp.replace("\"kid\"", "\"d\":\"AAAA\",\"kid\"");
        let twice = set(&[oct, oct]);
        let nameless = set(&[oct, &okp.replace("\"kid\":\"b\"", "\"use\":\"sig\"")]);
        for (content, says) in [
            (rsa, "another kind"),
            (&set(&[rsa]), "no key of"),
            ("{}", "neither"),
            ("[]", "neither"),
            ("short", "32 bytes"),
            ("", "32 bytes"),
            (&private, "private"),
            (&twice, "`kid`"),
            (&nameless, "`kid`"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "private"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "Ed25519"),
            ("-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----", "Ed25519"),
            (r#"{"kty":"oct","k":"QQ"}"#, "32 bytes"),
        ] {
            let why = read(content.as_bytes()).err().unwrap_or_default();
            assert!(why.contains(says), "{content}: {why}");
        }
    }
}
