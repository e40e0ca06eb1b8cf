//! What a caller says of a sync or a watch.

use std::{fmt, time::Duration};

use tokio::sync::watch;

use super::{HttpOptions, SyncProgress};
use crate::{
    DocumentId,
    session::{DOCUMENT_ACTORS, DOCUMENT_BYTES},
};

/// A secret that a server knows this client by. It is shown nowhere: not in `Debug`, not in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token is visible ASCII without spaces, at most 8,192 bytes; `None` for anything else.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=8_192).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// What one sync is to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SyncOptions {
    /// These documents; `None` for all.
    pub documents: Option<Vec<DocumentId>>,
    /// The server for this run; else the document's own (one joined from elsewhere), else the store's. What it says of
    /// deletions is believed only of documents that live there.
    pub server: Option<String>,
    /// Credentials, each with the server it belongs to: a token is sent to no other.
    pub tokens: Vec<(String, Token)>,
    /// Certificates, and plain HTTP. Transports of the caller's know nothing of it.
    pub http: HttpOptions,
    /// Give up when so long no answer came that could be used. Default 30 s.
    pub timeout: Duration,
    /// At most so many documents at once. Default 4.
    pub at_once: usize,
    /// What a document may come to here by what servers send, in plain bytes of changes. Default 1 GiB, as much as a server
    /// takes by default. A server whose log has no end would fill the disk otherwise.
    pub document_bytes: u64,
    /// How many actors it may have by what servers send. Default 8,192, twice as many as a server takes by default.
    pub document_actors: u64,
    /// Is told how far the sync is, after each reply.
    pub progress: Option<watch::Sender<SyncProgress>>,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            documents: None,
            server: None,
            tokens: Vec::new(),
            http: HttpOptions::default(),
            timeout: Duration::from_secs(30),
            at_once: 4,
            document_bytes: DOCUMENT_BYTES,
            document_actors: DOCUMENT_ACTORS,
            progress: None,
        }
    }
}

impl SyncOptions {
    /// Only these documents.
    #[must_use]
    pub fn documents(mut self, documents: impl IntoIterator<Item = DocumentId>) -> Self {
        self.documents = Some(documents.into_iter().collect());
        self
    }

    /// With this server, whatever the store and the documents say.
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// With this token for this server.
    #[must_use]
    pub fn token(mut self, server: impl Into<String>, token: Token) -> Self {
        self.tokens.push((server.into(), token));
        self
    }

    /// With these certificates, or with plain HTTP.
    #[must_use]
    pub fn http(mut self, http: HttpOptions) -> Self {
        self.http = http;
        self
    }

    /// Gives up after so long without a usable answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With room for documents as large as this, in plain bytes of changes.
    #[must_use]
    pub fn document_bytes(mut self, bytes: u64) -> Self {
        self.document_bytes = bytes;
        self
    }

    /// With room for documents of so many actors.
    #[must_use]
    pub fn document_actors(mut self, actors: u64) -> Self {
        self.document_actors = actors;
        self
    }

    /// Tells how far the sync is, after each reply. Nobody needs to listen.
    ///
    /// ```
    /// # use rejoin::{SyncOptions, SyncProgress};
    /// let (told, mut progress) = tokio::sync::watch::channel(SyncProgress::default());
    /// let options = SyncOptions::default().progress(told);
    /// # let _ = (options, progress.borrow_and_update().pulled);
    /// ```
    #[must_use]
    pub fn progress(mut self, told: watch::Sender<SyncProgress>) -> Self {
        self.progress = Some(told);
        self
    }

    pub(super) fn token_for(&self, server: &str) -> Option<&Token> {
        let base = |text: &str| text.trim_end_matches('/').to_owned();
        self.tokens.iter().find(|(of, _)| base(of) == base(server)).map(|(_, token)| token)
    }
}

/// How a store follows its servers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatchOptions {
    /// As for one sync. The timeout bounds each round.
    pub sync: SyncOptions,
    /// How often the log is looked at when nothing happens here and no stream of events passes. Default 2 s.
    pub poll: Duration,
    /// How often it is looked at beside a stream that passes: one lost event must not be missed for ever. Default
    /// 30 s; never more often than `poll`.
    pub live_poll: Duration,
    /// A stream that says nothing for so long is given up. Default 40 s: servers say something every 15 s.
    pub watchdog: Duration,
    /// A stream that ended is opened again within this time, at random, and later where that fails. Default 30 s,
    /// so that a server that restarts is not asked by all at once.
    pub reconnect: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            sync: SyncOptions::default(),
            poll: Duration::from_secs(2),
            live_poll: Duration::from_secs(30),
            watchdog: Duration::from_secs(40),
            reconnect: Duration::from_secs(30),
        }
    }
}

impl WatchOptions {
    /// As for one sync.
    #[must_use]
    pub fn sync(mut self, sync: SyncOptions) -> Self {
        self.sync = sync;
        self
    }

    /// Looks at the log so often when nothing happens here.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Looks at the log so often beside a stream that passes.
    #[must_use]
    pub fn live_poll(mut self, poll: Duration) -> Self {
        self.live_poll = poll;
        self
    }

    /// Gives up a stream that says nothing for so long.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Duration) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Opens a stream that ended again within this time.
    #[must_use]
    pub fn reconnect(mut self, window: Duration) -> Self {
        self.reconnect = window;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let options = SyncOptions::default().token("http://a/", Token::new("hush").unwrap());
        assert!(!format!("{options:?}").contains("hush"));
    }

    #[test]
    fn a_token_is_for_its_own_server_alone() {
        let options = SyncOptions::default().token("http://a/", Token::new("hush").unwrap());
        assert!(options.token_for("http://a").is_some());
        assert!(options.token_for("http://b").is_none());
    }

    #[test]
    fn a_token_that_would_break_a_header_is_none() {
        assert!(["", "a b", "a\nb", "ü"].into_iter().all(|t| Token::new(t).is_none()));
    }
}
