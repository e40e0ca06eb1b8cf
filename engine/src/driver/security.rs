//! Whom a client trusts, and what it sends in the clear.

use std::{fmt, io::Read as _, net::IpAddr, path::Path};

use reqwest::{Certificate, ClientBuilder, Url};

use super::http::chain;
use crate::{Error, Result, Settings};

/// Largest file of certificates that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// How servers are spoken to: HTTPS, with the certificates that this machine trusts and those given here. Plain HTTP
/// is spoken only to this machine itself, unless it was asked for: a token and the documents could be read on the way.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HttpOptions {
    certificates: Vec<Certificate>,
    allow_http: bool,
    allow_http_to: Option<String>,
}

impl HttpOptions {
    /// Whether plain HTTP may be spoken to every server.
    #[must_use]
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Lets plain HTTP be spoken to the server with this base address.
    #[must_use]
    pub fn allow_http_to(mut self, server: impl Into<String>) -> Self {
        self.allow_http_to = Some(server.into());
        self
    }

    /// Trusts servers with these certificates too, or with one signed by one of them: PEM.
    ///
    /// # Errors
    /// [`Error::InvalidCertificates`] where there is none in it, or one that cannot be read.
    pub fn ca_certificates(mut self, pem: &[u8]) -> Result<Self> {
        let invalid = |why: String| Error::InvalidCertificates(why);
        let found = Certificate::from_pem_bundle(pem).map_err(|e| invalid(chain(&e)))?;
        if found.is_empty() {
            return Err(invalid("there is no `BEGIN CERTIFICATE`".to_owned()));
        }
        // They are looked at when a client is made.
        let trial = ClientBuilder::new().tls_certs_only(found.clone()).build();
        trial.map_err(|e| invalid(chain(&e)))?;
        self.certificates.extend(found);
        Ok(self)
    }

    /// As [`Self::ca_certificates`], from a file. It is read once.
    ///
    /// # Errors
    /// As there, and [`Error::Io`].
    pub fn ca_file(self, path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut pem = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LARGEST).read_to_end(&mut pem).map_err(failed)?;
        self.ca_certificates(&pem).map_err(|error| match error {
            Error::InvalidCertificates(why) => {
                Error::InvalidCertificates(format!("{}: {why}", path.display()))
            }
            error => error,
        })
    }

    /// With what a store remembers.
    pub(crate) fn remembering(mut self, settings: &Settings) -> Result<Self> {
        if self.allow_http_to.is_none() {
            self.allow_http_to.clone_from(&settings.allow_http_to);
        }
        match &settings.ca_file {
            Some(path) if self.certificates.is_empty() => self.ca_file(path),
            _ => Ok(self),
        }
    }

    /// A client's part of it, where this server may be spoken to at all.
    pub(super) fn apply(&self, builder: ClientBuilder, base: &Url) -> Result<ClientBuilder> {
        let builder = builder.tls_certs_merge(self.certificates.iter().cloned());
        if is_loopback(base) {
            // A proxy would be another machine.
            return Ok(builder.no_proxy());
        }
        let same =
            |server: &String| Url::parse(server).is_ok_and(|allowed| allowed.origin() == base.origin());
        if base.scheme() == "https" || self.allow_http || self.allow_http_to.as_ref().is_some_and(same) {
            return Ok(builder);
        }
        Err(Error::PlainHttp(base.origin().ascii_serialization()))
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("certificates", &self.certificates.len())
            .field("allow_http", &self.allow_http)
            .field("allow_http_to", &self.allow_http_to)
            .finish()
    }
}

/// Whether what is sent there stays on this machine.
fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback()) || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(options: &HttpOptions, server: &str) -> bool {
        options.apply(ClientBuilder::new(), &Url::parse(server).unwrap()).is_ok()
    }

    #[test]
    fn plain_http_is_for_this_machine_alone_unless_it_was_asked_for() {
        let strict = HttpOptions::default();
        for fine in
            ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:80/x", "http://LOCALHOST", "https://a"]
        {
            assert!(may(&strict, fine), "{fine}");
        }
        for refused in
            ["http://a.example", "http://10.0.0.1", "http://127.0.0.1.example", "http://localhost.example"]
        {
            assert!(!may(&strict, refused), "{refused}");
            assert!(may(&strict.clone().allow_http(true), refused), "{refused}");
        }
        let one = strict.allow_http_to("http://A.example:80/");
        assert!(may(&one, "http://a.example/prefix"));
        assert!(!may(&one, "http://a.example:81") && !may(&one, "http://b.example"));
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = HttpOptions::default().ca_certificates(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::InvalidCertificates(_)), "{bad}");
        }
    }
}
