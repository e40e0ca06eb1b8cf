//! The base address of a server: what is one, and when two are the same.

use std::{fmt, str::FromStr};

/// The base address of a server, without a slash at its end: `http` or `https`, a host, and perhaps a port and a path.
/// No user, password, query or fragment.
///
/// ```
/// use rejoin_protocol::ServerAddress;
///
/// let address: ServerAddress = " HTTPS://sync.example.org/base/ ".parse()?;
/// assert_eq!(address.as_str(), "https://sync.example.org/base");
/// assert!("sync.example.org".parse::<ServerAddress>().is_err());
/// # Ok::<(), rejoin_protocol::InvalidAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddress(String);

/// Why a text is not the base address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// It has a user or a password in it.
    #[error("a server's address has no user or password in it")]
    Credentials,
    /// It is something else.
    #[error("a server's address is http:// or https://, a host, and perhaps a port and a path")]
    Form,
}

impl FromStr for ServerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme));
        let scheme = scheme.ok_or(InvalidAddress::Form)?;
        let rest = text.get(scheme.len()..).ok_or(InvalidAddress::Form)?.trim_end_matches('/');
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains('@') {
            return Err(InvalidAddress::Credentials);
        }
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
        let bad_port = port.is_some_and(|port| port.parse::<u16>().is_err());
        let odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\');
        if host.is_empty() || host.starts_with(':') || bad_port || rest.contains(odd) {
            return Err(InvalidAddress::Form);
        }
        Ok(Self(format!("{scheme}{rest}")))
    }
}

impl ServerAddress {
    /// The address, as it was given but for its scheme's letters and what stood around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.0
    }
}

/// Whether two base addresses name one server: scheme and host in any case, the scheme's own port said or not, a slash
/// at the end or not. Two names of one machine are two servers: nothing says that they always will be one.
pub fn same_server(one: &str, other: &str) -> bool {
    one == other || canonical(one) == canonical(other)
}

fn canonical(address: &str) -> String {
    let address = address.trim_end_matches('/');
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let scheme = scheme.to_ascii_lowercase();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}{path}", host.strip_suffix(port).unwrap_or(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, InvalidAddress> {
        text.parse().map(|address: ServerAddress| address.to_string())
    }

    #[test]
    fn an_address_may_have_a_port_and_a_path_and_nothing_behind_them() {
        for (good, kept) in [
            ("http://127.0.0.1:4810", "http://127.0.0.1:4810"),
            ("https://sync.example.org/sync/", "https://sync.example.org/sync"),
            (" http://[::1]:80/base ", "http://[::1]:80/base"),
            ("http://[::1]", "http://[::1]"),
            ("HTTP://a", "http://a"),
        ] {
            assert_eq!(parsed(good).as_deref(), Ok(kept));
        }
        for bad in [
            "",
            "localhost:4810",
            "a.example",
            "ftp://a",
            "file:///etc",
            "http://",
            "http:///a",
            "http://:80",
            "http://a:port",
            "http://a:99999",
            "http://a b",
            "http://a?x",
            "http://a#b",
            "http://a\u{7}",
        ] {
            assert_eq!(parsed(bad), Err(InvalidAddress::Form), "{bad}");
        }
        assert_eq!(parsed("https://ada:hush@a"), Err(InvalidAddress::Credentials));
    }

    #[test]
    fn an_address_is_known_again_however_it_is_written() {
        for (one, other) in [
            ("http://a:80", "HTTP://A/"),
            ("https://A.example/base", "https://a.example:443/base/"),
            ("http://127.0.0.1:4810", "http://127.0.0.1:4810/"),
        ] {
            assert!(same_server(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("http://a", "https://a"),
            ("http://a:81", "http://a"),
            ("http://localhost", "http://127.0.0.1"),
            ("http://a/Base", "http://a/base"),
            ("", "http://a"),
        ] {
            assert!(!same_server(one, other), "{one} {other}");
        }
    }
}
