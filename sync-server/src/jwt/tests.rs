//! Tests of JWTs: which are taken, and which are none.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rejoin_protocol::DocumentId;
use serde_json::{Value, json};

use super::*;
use crate::log::Access;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Place(tempfile::TempDir);

impl Place {
    fn new(content: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(content);
        place
    }

    fn write(&self, content: &str) {
        std::fs::write(self.0.path().join("key"), content).unwrap();
    }

    fn jwts(&self, change: impl FnOnce(&mut JwtSettings)) -> Jwts {
        let mut settings = JwtSettings { key: self.0.path().join("key"), audience: None, issuer: None };
        change(&mut settings);
        Jwts::open(&settings).unwrap()
    }
}

fn claims() -> Value {
    json!({"sub": "ada", "exp": get_current_timestamp() + 60, "rejoin": [{"document": "*", "access": "write"}]})
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
            value => claims[key] = value.clone(),
        }
    }
    claims
}

fn header(kid: Option<&str>, alg: Algorithm) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(alg) }
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// Header and claims as they are written here, with a good signature of HS256.
fn spelled(header: &str, claims: &str) -> String {
    let part = |text: &str| {
        let token = encode(&Header::default(), &Raw(text), &EncodingKey::from_secret(b"x")).unwrap();
        token.split('.').nth(1).unwrap().to_owned()
    };
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// JSON that is serialised as the text that it is, duplicates and all.
struct Raw<'a>(&'a str);

impl serde::Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        // Entries `"key":value` between braces, on lines of their own.
        let mut map = serializer.serialize_map(None)?;
        for line in self.0.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(':').unwrap();
            map.serialize_entry(key, &serde_json::from_str::<Value>(value).unwrap())?;
        }
        map.end()
    }
}

#[test]
fn a_token_is_good_from_nbf_to_exp_with_thirty_seconds_of_leeway() {
    let jwts = Place::new(SECRET).jwts(|_| {});
    let now = get_current_timestamp();
    for good in
        [json!({}), json!({"exp": now - 20}), json!({"nbf": now + 20}), json!({"exp": now as f64 + 1.5})]
    {
        assert!(jwts.check(&hs256(&with(good.clone()))).is_ok(), "{good}");
    }
    for (bad, why) in [
        (json!({"exp": now - 40}), "`exp`"),
        (json!({"exp": null}), "PROTOCOL.md"),
        (json!({"exp": "soon"}), ""),
        (json!({"nbf": now + 40}), "`nbf`"),
        (json!({"rejoin": null}), "PROTOCOL.md"),
        (json!({"rejoin": {"document": "*"}}), "PROTOCOL.md"),
        (json!({"rejoin": [{"document": "*", "access": "root"}]}), "entry"),
        (json!({"rejoin": [{"document": "all", "access": "read"}]}), "entry"),
        (json!({"rejoin": [{"document": "*", "access": "read", "until": "noon"}]}), "PROTOCOL.md"),
        (json!({"sub": 7}), "PROTOCOL.md"),
        (json!({"sub": null, "rejoin": [{"document": "*", "access": "create"}]}), "`sub`"),
        (json!({"sub": "x".repeat(257)}), "`sub`"),
        (json!({"aud": "me"}), "`aud`"),
        (json!({"aud": []}), "`aud`"),
        (json!({"aud": 5}), "`aud`"),
    ] {
        let refused = jwts.check(&hs256(&with(bad.clone()))).unwrap_err();
        assert!(refused.contains(why), "{bad}: {refused}");
    }
    let bearer = jwts.check(&hs256(&with(json!({"exp": now - 20})))).unwrap();
    let at = |seconds: u64| i64::try_from((now + seconds) * 1_000).unwrap();
    assert!(bearer.is_good(at(9)) && !bearer.is_good(at(10)), "an open stream ends with it");
}

#[test]
fn audience_and_issuer_are_asked_for_where_they_are_named() {
    let jwts = Place::new(SECRET).jwts(|settings| {
        (settings.audience, settings.issuer) = (Some("rejoin".to_owned()), Some("app".to_owned()));
    });
    let good = [json!({"aud": "rejoin", "iss": "app"}), json!({"aud": ["other", "rejoin"], "iss": "app"})];
    for good in good {
        assert!(jwts.check(&hs256(&with(good))).is_ok());
    }
    for bad in [
        json!({}),
        json!({"aud": "rejoin"}),
        json!({"iss": "app"}),
        json!({"aud": "x", "iss": "app"}),
        json!({"aud": "rejoin", "iss": "x"}),
    ] {
        assert!(jwts.check(&hs256(&with(bad.clone()))).is_err(), "{bad}");
    }
}

#[test]
fn what_is_signed_otherwise_than_by_its_key_is_no_token() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let public = rcgen::PublicKeyData::subject_public_key_info(&key);
    let pem = key.public_key_pem();
    let (with_secret, with_public) = (Place::new(SECRET).jwts(|_| {}), Place::new(&pem).jwts(|_| {}));
    let private = EncodingKey::from_ed_der(&key.serialize_der());
    let signed = encode(&header(None, Algorithm::EdDSA), &claims(), &private).unwrap();
    assert!(with_public.check(&signed).is_ok());
    assert!(with_secret.check(&signed).is_err());
    assert!(with_public.check(&hs256(&claims())).is_err());
    // The public key, which everybody knows, as a secret: in each form that it has.
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), &public, &public[12..]] {
        let confused = encode(&Header::default(), &claims(), &EncodingKey::from_secret(secret)).unwrap();
        assert!(with_public.check(&confused).is_err());
    }
    for alg in [Algorithm::HS384, Algorithm::HS512] {
        let other =
            encode(&header(None, alg), &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        assert!(with_secret.check(&other).is_err());
    }
    let good = hs256(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let other = hs256(&with(json!({"sub": "eve"})));
    let none = spelled("alg:\"none\"\ntyp:\"JWT\"", "exp:99999999999\nrejoin:[]");
    for bad in [
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]),
        format!("{good}.x"),
        format!("{good}="),
        none.clone(),
        format!("{}.", none.rsplit_once('.').unwrap().0),
        spelled("alg:\"HS256\"\ncrit:[\"b64\"]\nb64:false", "exp:99999999999\nrejoin:[]"),
        spelled(
            "alg:\"HS256\"",
            "exp:99999999999\nrejoin:[]\nrejoin:[{\"document\":\"*\",\"access\":\"admin\"}]",
        ),
        spelled("alg:\"HS256\"", "exp:1\nexp:99999999999\nrejoin:[]"),
        String::new(),
        "..".to_owned(),
    ] {
        assert!(with_secret.check(&bad).is_err(), "{bad}");
    }
    assert!(with_secret.check(&spelled("alg:\"HS256\"", "exp:99999999999\nrejoin:[]")).is_ok());
}

#[test]
fn a_kid_picks_the_key_and_a_key_that_is_gone_takes_its_tokens_along() {
    let jwk = |kid: &str, secret: &str| json!({"kty": "oct", "kid": kid, "k": base64(secret)});
    let (old, new) = (SECRET, "fedcba9876543210fedcba9876543210");
    let place = Place::new(&json!({"keys": [jwk("old", old), jwk("new", new)]}).to_string());
    let jwts = place.jwts(|_| {});
    let token = |kid: Option<&str>, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&header(kid, Algorithm::HS256), &claims(), &key).unwrap()
    };
    let by_old = jwts.check(&token(Some("old"), old)).unwrap();
    let by_new = jwts.check(&token(Some("new"), new)).unwrap();
    for (kid, secret) in [(Some("old"), new), (Some("other"), old), (None, old)] {
        assert!(jwts.check(&token(kid, secret)).is_err(), "{kid:?}");
    }
    place.write(&json!({"keys": [jwk("new", new)]}).to_string());
    jwts.look();
    let now = i64::try_from(get_current_timestamp()).unwrap() * 1_000;
    assert!(!by_old.is_good(now) && by_new.is_good(now));
    assert!(jwts.check(&token(Some("old"), old)).is_err());
    place.write("{broken");
    jwts.look();
    assert!(jwts.check(&token(Some("new"), new)).is_ok() && by_new.is_good(now), "the old ones stay");
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let bits: Vec<char> = bits.chars().collect();
    let digit = |part: &[char]| {
        let text: String = part.iter().chain(&['0'; 6]).take(6).collect();
        char::from(DIGITS[usize::from_str_radix(&text, 2).unwrap()])
    };
    bits.chunks(6).map(digit).collect()
}

#[test]
fn entries_add_up_and_create_counts_for_what_was_begun() {
    let jwts = Place::new(SECRET).jwts(|_| {});
    let (one, two) = (DocumentId::random(), DocumentId::random());
    let bearer = |entries: Value| jwts.check(&hs256(&with(json!({"rejoin": entries})))).unwrap();
    let both = bearer(json!([
        {"document": "*", "access": "read"},
        {"document": one.to_string(), "access": "write"},
        {"document": one.to_string(), "access": "create"},
    ]));
    assert_eq!((both.holds(&one), both.holds(&two)), (Some(Access::Write), Some(Access::Read)));
    assert_eq!((both.creates(&one), both.creates(&two)), (Some("ada"), None));
    assert!(both.holds_all());
    let creator = bearer(json!([{"document": "*", "access": "create"}]));
    assert_eq!((creator.holds(&one), creator.creates(&two)), (None, Some("ada")));
    assert!(!creator.holds_all());
    assert_eq!(creator.begun(), Some(("ada".to_owned(), None)));
    let nothing = bearer(json!([]));
    assert_eq!((nothing.holds(&one), nothing.creates(&one), nothing.begun()), (None, None, None));
}
