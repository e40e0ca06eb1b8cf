//! The HTTP of a client: one request, one reply, everything under a deadline and a cap.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use reqwest::{
    Method, Url, Version,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    EventStream, HttpOptions, NoStream, Token, Transport,
    body::{Coding, REPLY_BYTES, decode},
    form::{Encoded, Forms, encode, unpacked},
    retry_after,
};
use crate::{
    ChangeHash, Cursor, DocumentId, Error, ServerAddress,
    printable::printable,
    wire::{self, MissingRequest, Request, Response, TransportError},
};

/// How long a connection may take to be made.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long may pass without a byte of the reply; sending the request counts as such time.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(15);
/// How long one request may take from end to end.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(300);
/// What changes are asked for as. Servers that know no packs take the first by name.
const CHANGES_OR_PACK: &str = "application/vnd.automerge, application/vnd.rejoin.pack";

/// One server, over HTTPS, or over HTTP to this machine itself. Redirects are not followed: one that answers a sync
/// request leads to a login page. Proxies are taken from the environment, but for this machine.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// For streams, which have no end and long silences.
    streams: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    forms: Forms,
}

impl HttpTransport {
    /// A transport to the server with this base address: `http://127.0.0.1:port`, `https://host/prefix`.
    ///
    /// # Errors
    /// As for [`Self::with`].
    pub fn new(server: &str, token: Option<&Token>) -> Result<Self, Error> {
        Self::with(server, token, &HttpOptions::default())
    }

    /// As [`Self::new`], with other certificates than this machine's, or with plain HTTP.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] for what is no such address; [`Error::PlainHttp`] where plain HTTP to another machine
    /// was not asked for; [`Error::Unreachable`] where this machine has no working TLS.
    pub fn with(server: &str, token: Option<&Token>, http: &HttpOptions) -> Result<Self, Error> {
        let base = base_of(server).ok_or_else(|| Error::InvalidServer(server.to_owned()))?;
        let authorization = token.map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.secret()));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization =
            authorization.transpose().map_err(|_| Error::Bug("a token no header takes".to_owned()))?;
        let built =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|e| Error::Unreachable(chain(&e)));
        let builder = || http.apply(builder(), &base);
        let client = built(builder()?.read_timeout(IDLE_DEADLINE).timeout(REQUEST_DEADLINE))?;
        let streams = built(builder()?)?;
        Ok(Self { client, streams, base, authorization, forms: Forms::default() })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, TransportError> {
        let outgoing = Outgoing::of(request);
        let mut form = self.forms.current();
        loop {
            let encoded = encode(&outgoing.body, outgoing.media_type, form).await;
            let response = match self.attempt(&outgoing, &encoded).await {
                // A kept connection that the server closed meanwhile breaks when it is used: once, at once, again.
                Err(TransportError::Broken(_)) => self.attempt(&outgoing, &encoded).await?,
                first => first?,
            };
            match self.forms.next(&encoded, &response) {
                Some(next) => form = next,
                None => return Ok(response),
            }
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn open_stream(&self, documents: &[DocumentId]) -> Result<EventStream, NoStream> {
        let mut url = self.url(&["v1", "events"]);
        for document in documents {
            url.query_pairs_mut().append_pair("document", &document.to_string());
        }
        let mut request = self.streams.get(url).header(header::ACCEPT, wire::EVENTS);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let sent = request.send().await;
        let response = sent.map_err(|e| NoStream { why: chain(&e), retry_after: None })?;
        let head = read_head(&response);
        if head.status != 200 || head.media_type != wire::EVENTS {
            let why = format!("status {}, {:?}", head.status, head.media_type);
            return Err(NoStream { why, retry_after: head.retry_after });
        }
        Ok(response.bytes_stream().map(|piece| piece.map(Vec::from).map_err(|e| sort(&e))).boxed())
    }

    /// A resource that is no document's.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Response, TransportError> {
        let mut url = self.url(path);
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self.client.get(url).header(header::ACCEPT, wire::JSON);
        request = request.header(header::ACCEPT_ENCODING, "zstd, gzip");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        receive(request.send().await.map_err(|e| sort(&e))?).await
    }

    async fn attempt(&self, outgoing: &Outgoing, encoded: &Encoded) -> Result<Response, TransportError> {
        let mut url = self.base.clone();
        let document = outgoing.document.as_str();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "documents", document]).extend(outgoing.resource);
        }
        for (name, value) in &outgoing.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self.client.request(outgoing.method.clone(), url);
        request =
            request.header(header::ACCEPT, outgoing.accept).header(header::ACCEPT_ENCODING, "zstd, gzip");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(media_type) = encoded.media_type {
            request = request.header(header::CONTENT_TYPE, media_type).body(encoded.body.clone());
        }
        if let Some(encoding) = encoded.encoding {
            request = request.header(header::CONTENT_ENCODING, encoding);
        }
        unpacked(receive(request.send().await.map_err(|e| sort(&e))?).await?).await
    }
}

impl Transport for HttpTransport {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        self.exchange(request).boxed()
    }

    fn list<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Response, TransportError>> {
        async move {
            let query: Vec<(&str, &str)> = since.iter().map(|since| ("since", *since)).collect();
            self.get(&["v1", "documents"], &query).await
        }
        .boxed()
    }

    fn events<'a>(&'a self, documents: &'a [DocumentId]) -> BoxFuture<'a, Result<EventStream, NoStream>> {
        self.open_stream(documents).boxed()
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // Below the 30 s after which the server closes an idle connection: no race for it is lost.
        .pool_idle_timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_DEADLINE)
        .user_agent(concat!("rejoin/", env!("CARGO_PKG_VERSION")))
        // Decoded here: under a cap, and with the length that was promised still to be seen.
        .no_gzip()
        .no_zstd()
        .no_brotli()
        .no_deflate()
}

/// The base address, if it is one.
fn base_of(server: &str) -> Option<Url> {
    let address: ServerAddress = server.parse().ok()?;
    Url::parse(address.as_str()).ok()
}

/// A request as HTTP has it.
struct Outgoing {
    method: Method,
    document: String,
    resource: Option<&'static str>,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    media_type: Option<&'static str>,
    body: Bytes,
}

impl Outgoing {
    fn of(request: &Request) -> Self {
        let bare = Self {
            method: Method::GET,
            document: request.document().to_string(),
            resource: None,
            query: Vec::new(),
            accept: wire::CHANGES,
            media_type: None,
            body: Bytes::new(),
        };
        match request {
            Request::Push { after, limit, body, .. } => Self {
                method: Method::POST,
                resource: Some("changes"),
                accept: CHANGES_OR_PACK,
                query: page_query(after.as_ref(), *limit),
                media_type: Some(wire::CHANGES),
                body: body.clone(),
                ..bare
            },
            Request::Pull { after, limit, .. } => {
                let query = page_query(after.as_ref(), *limit);
                Self { resource: Some("changes"), accept: CHANGES_OR_PACK, query, ..bare }
            }
            Request::Snapshot { .. } => Self { resource: Some("snapshot"), ..bare },
            Request::Missing { hashes, .. } => {
                let question = MissingRequest { hashes: hashes.iter().map(ToString::to_string).collect() };
                Self {
                    method: Method::POST,
                    resource: Some("missing"),
                    accept: wire::JSON,
                    media_type: Some(wire::JSON),
                    // A struct of texts always serialises.
                    body: serde_json::to_vec(&question).unwrap_or_default().into(),
                    ..bare
                }
            }
            Request::Pushers { after, .. } => {
                let query = page_query(after.as_ref(), None);
                Self { resource: Some("pushers"), accept: wire::JSON, query, ..bare }
            }
            Request::Delete { .. } => Self { method: Method::DELETE, accept: wire::JSON, ..bare },
        }
    }
}

fn page_query(after: Option<&Cursor>, limit: Option<u32>) -> Vec<(&'static str, String)> {
    let after = after.map(|cursor| ("after", cursor.to_string()));
    let limit = limit.map(|limit| ("limit", limit.to_string()));
    after.into_iter().chain(limit).collect()
}

/// An address as errors name it: without what could be a credential, and with nothing in it that steers.
pub(super) fn shown(server: &str) -> String {
    let Ok(mut url) = Url::parse(server) else { return printable(server).into_owned() };
    // An address without a host has no password either.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    printable(url.as_str().trim_end_matches('/')).chars().take(300).collect()
}

/// Where a reply sends those who ask: the server's base address where it is one of ours. It is told, and never followed:
/// a token goes to the server that it is for, and to no other.
fn sent_away(response: &reqwest::Response) -> Option<TransportError> {
    if !response.status().is_redirection() {
        return None;
    }
    let target = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let target = response.url().join(target).ok()?;
    let target = shown(target.as_str());
    let base = target.split("/v1/").next().unwrap_or(&target);
    let status = response.status().as_u16();
    Some(TransportError::NotASyncServer(format!(
        "it redirects to {base}, status {status}, which is not followed"
    )))
}

async fn receive(mut response: reqwest::Response) -> Result<Response, TransportError> {
    if let Some(error) = sent_away(&response) {
        return Err(error);
    }
    let head = read_head(&response);
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let unknown =
        || TransportError::NotASyncServer("the reply is coded in a way that was not asked for".to_owned());
    let coding = Coding::read(text("content-encoding")).ok_or_else(unknown)?;
    let length = response.content_length();
    // A plain body that ends when the connection does may have been cut anywhere, between two changes too.
    let framed = length.is_some() || headers.contains_key(header::TRANSFER_ENCODING);
    let framed = framed || coding != Coding::Plain || response.version() >= Version::HTTP_2;
    if length.is_some_and(|n| n > REPLY_BYTES as u64) {
        return Err(TransportError::TooLarge(REPLY_BYTES));
    }
    let mut body = Vec::with_capacity(length.map_or(0, |n| n.min(1 << 20) as usize));
    while let Some(chunk) = response.chunk().await.map_err(|e| sort(&e))? {
        if body.len() + chunk.len() > REPLY_BYTES {
            return Err(TransportError::TooLarge(REPLY_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    if !framed && !body.is_empty() {
        return Err(TransportError::NotASyncServer("the reply does not tell its length".to_owned()));
    }
    let body = match coding {
        Coding::Plain => body,
        coding => {
            let decoded = tokio::task::spawn_blocking(move || decode(coding, body, REPLY_BYTES)).await;
            decoded.map_err(|e| TransportError::Broken(format!("decoding the reply failed: {e}")))??
        }
    };
    Ok(Response { body, ..head })
}

/// Everything of a reply but its body. A header that cannot be read counts as missing.
fn read_head(response: &reqwest::Response) -> Response {
    let headers = response.headers();
    let text = |name: &str| one(headers, name).map(str::trim);
    let number = |name: &str| text(name).and_then(|v| v.parse().ok());
    let media_type = text("content-type").unwrap_or_default();
    Response {
        status: response.status().as_u16(),
        media_type: media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
        cursor: text(wire::header::CURSOR).and_then(Cursor::parse),
        end: text(wire::header::END).and_then(Cursor::parse),
        accepted: number(wire::header::ACCEPTED),
        duplicate: number(wire::header::DUPLICATE),
        more: text(wire::header::MORE) == Some("1"),
        heads: text(wire::header::HEADS).and_then(heads).unwrap_or_default(),
        retry_after: text("retry-after").and_then(|v| retry_after::read(v, text("date"))),
        body: Vec::new(),
    }
}

fn heads(text: &str) -> Option<Vec<ChangeHash>> {
    text.split(',').take(wire::HEADS_TOLD + 1).map(|hash| hash.trim().parse().ok()).collect()
}

/// A header that is there once: with two values, nobody knows which one is meant.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// Which kind of failure it was. The text names no address: it may bear credentials.
fn sort(error: &reqwest::Error) -> TransportError {
    let text = chain(error);
    if text.to_ascii_lowercase().contains("certificate") {
        return TransportError::NotASyncServer(text);
    }
    if error.is_timeout() {
        return TransportError::TimedOut(text);
    }
    if error.is_connect() {
        return TransportError::NoConnection(text);
    }
    TransportError::Broken(text)
}

/// The causes of an error, the innermost last, without the address.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        source = cause.source();
    }
    match texts.pop() {
        Some(innermost) => innermost,
        None if error.is_timeout() => "deadline".to_owned(),
        None => "the request failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_could_be_a_secret() {
        assert_eq!(shown("https://ada:hush@a.example/sync/?key=hush#x"), "https://a.example/sync");
        assert_eq!(shown("http://127.0.0.1:4810"), "http://127.0.0.1:4810");
    }

    #[test]
    fn a_transport_never_shows_its_token() {
        let token = Token::new("hush").unwrap();
        let transport = HttpTransport::new("http://127.0.0.1:1", Some(&token)).unwrap();
        assert!(!format!("{transport:?}").contains("hush"));
    }
}
