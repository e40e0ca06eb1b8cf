//! Effects that are HTTP requests.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{
    Method, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use super::EffectHandler;
use crate::{
    Error, Result,
    driver::{CONNECT_DEADLINE, Token, http::chain, retry_after},
    job::{Effect, Outcome},
};

/// The largest body of a reply that is read, in bytes, where nothing else is said.
const REPLY_BYTES: usize = 256 * 1024;

type TokenSource = Arc<dyn Fn() -> Option<Token> + Send + Sync>;

/// Sends effects over HTTP, see [`crate::effects::EffectHandlers::with`].
///
/// The request of an effect is JSON: `{"method": "POST", "url": "/notes", "headers": {"Accept-Language": "de"},
/// "body": {…}}`. Only `url` is needed; without a method it is POST where there is a body and GET otherwise. The
/// body goes out as JSON, or as it is where it is a string and the headers name another `Content-Type`. A request
/// that cannot be made is refused for good.
///
/// Every attempt bears `Idempotency-Key: <the effect's id>`. Redirects are not followed, and a page of HTML is no
/// answer: both come from networks that want a login. The reply is `{"status": 201, "body": …}`, with the body as
/// JSON, as text where it is none, and null where there is none or more than the limit.
///
/// ```
/// use rejoin::effects::{EffectHandlers, HttpEffects};
/// let http = HttpEffects::new()?.base_url("https://api.example.org/v1/")?;
/// let handlers = EffectHandlers::new().with("http", http);
/// # let _ = handlers;
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpEffects {
    client: reqwest::Client,
    base: Option<Url>,
    token: Option<TokenSource>,
    reply_bytes: usize,
    html: bool,
}

impl fmt::Debug for HttpEffects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEffects")
            .field("base", &self.base.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}

/// What an effect's request says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
}

impl HttpEffects {
    /// A handler for requests with absolute addresses. Proxies are taken from the environment.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where this machine has no working TLS.
    pub fn new() -> Result<Self> {
        let client = reqwest::Client::builder()
            .pool_idle_timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_DEADLINE)
            .user_agent(concat!("rejoin/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::Unreachable(chain(&e)))?;
        Ok(Self { client, base: None, token: None, reply_bytes: REPLY_BYTES, html: false })
    }

    /// Addresses in requests are relative to this one, as links are to a page: `notes` is below it where it ends
    /// with a slash, `/notes` is below its host.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] for what is no http or https address.
    pub fn base_url(mut self, base: &str) -> Result<Self> {
        let url = Url::parse(base).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        self.base = Some(url.ok_or_else(|| Error::InvalidServer(base.to_owned()))?);
        Ok(self)
    }

    /// Asks this for a bearer token before each attempt. The token goes to the base address's host alone, and
    /// without a base address to nobody. After a 401 the effect is held: when there is a new token, call
    /// [`crate::Store::release_held_effects`].
    #[must_use]
    pub fn token(mut self, source: impl Fn() -> Option<Token> + Send + Sync + 'static) -> Self {
        self.token = Some(Arc::new(source));
        self
    }

    /// Reads replies up to so many bytes, 256 KiB by default. The status of a longer one counts, its body is lost.
    #[must_use]
    pub fn reply_limit(mut self, bytes: usize) -> Self {
        self.reply_bytes = bytes;
        self
    }

    /// Takes a page of HTML for an answer.
    #[must_use]
    pub fn allow_html(mut self) -> Self {
        self.html = true;
        self
    }

    async fn send(&self, effect: Effect) -> Outcome {
        let request = match self.build(&effect) {
            Ok(request) => request,
            Err(why) => {
                let why = format!("the request cannot be made: {why}");
                return Outcome::Refused { why, reply: Value::Null };
            }
        };
        match self.exchange(request).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Unreachable(chain(&error)),
        }
    }

    fn build(&self, effect: &Effect) -> Result<reqwest::Request, String> {
        let described = Described::deserialize(&effect.request).map_err(|e| e.to_string())?;
        let url = match &self.base {
            Some(base) => base.join(&described.url),
            None => Url::parse(&described.url),
        };
        let url = url.map_err(|e| format!("its address: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("its address is neither http nor https".to_owned());
        }
        let default = if described.body.is_some() { "POST" } else { "GET" };
        let method = described.method.as_deref().unwrap_or(default).to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| "its method is not an HTTP method".to_owned())?;
        let headers = self.headers(effect, &described, &url)?;
        let mut request = self.client.request(method, url);
        request = match described.body {
            None => request,
            Some(Value::String(text)) if !is_json(&headers) => request.body(text),
            Some(body) => request.body(body.to_string()),
        };
        request.headers(headers).build().map_err(|e| chain(&e))
    }

    fn headers(&self, effect: &Effect, described: &Described, url: &Url) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        if described.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &described.headers {
            let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
            let (Ok(parsed_name), Ok(value)) = parsed else {
                return Err(format!("its header {name:?} is not a valid HTTP header"));
            };
            headers.insert(parsed_name, value);
        }
        // Last, so that nothing stands in its place.
        let key = HeaderValue::from_str(&effect.id.to_string()).map_err(|e| e.to_string())?;
        headers.insert("idempotency-key", key);
        let ours = self.base.as_ref().is_some_and(|base| base.origin() == url.origin());
        if let Some(token) = self.token.as_ref().filter(|_| ours).and_then(|source| source()) {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.secret()));
            let mut value = value.map_err(|_| "its token goes into no header".to_owned())?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Outcome, reqwest::Error> {
        let mut response = self.client.execute(request).await?;
        let status = response.status().as_u16();
        let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let retry_after = text("retry-after").and_then(|value| retry_after::read(value, text("date")));
        let media_type = text("content-type").unwrap_or_default().to_ascii_lowercase();
        if media_type.starts_with("text/html") && !self.html && (200..300).contains(&status) {
            let why = "a page of HTML came back: a login page of the network?";
            return Ok(Outcome::Unreachable(why.to_owned()));
        }
        let mut body = Some(Vec::new());
        while let Some(chunk) = response.chunk().await? {
            match &mut body {
                Some(kept) if kept.len() + chunk.len() <= self.reply_bytes => kept.extend_from_slice(&chunk),
                _ => {
                    body = None;
                    break;
                }
            }
        }
        let body = body.map_or(Value::Null, |bytes| read_body(&bytes));
        Ok(Outcome::Reply { status, retry_after, body })
    }
}

impl EffectHandler for HttpEffects {
    fn handle(&self, effect: Effect) -> BoxFuture<'_, Outcome> {
        self.send(effect).boxed()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    named.to_ascii_lowercase().contains("json")
}

/// As JSON, or as text where it is none; null where there is none.
fn read_body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
