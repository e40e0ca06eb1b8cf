//! How a server is set up: limits, files of TLS and JWTs, origins, the command that verifies.

use std::{path::PathBuf, time::Duration};

use crate::{ServerLimits, VerifyCommand};

/// The files of a server's TLS, PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What JWTs are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// A secret of HS256, a public key of Ed25519 in PEM, a JWK or a JWKS. It is read again when it changes.
    pub key: PathBuf,
    /// What `aud` must name; `None`: a token with `aud` is for somebody else.
    pub audience: Option<String>,
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
}

macro_rules! declare {
    (change { $($_change:tt)* } limits { $($_limits:tt)* }
     config { $( $(#[$doc:meta])* $name:ident: $type:ty = $read:ident $default:literal, $_env:literal; )* }) => {
        /// What a server is started with. [`ServerConfig::new`] gives every setting its default.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ServerConfig {
            /// The SQLite file of the log; made where it is missing.
            pub database: PathBuf,
            /// What one request may ask.
            pub limits: ServerLimits,
            $( $(#[$doc])* pub $name: $type, )*
            /// What starts a process that merges and verifies documents. `None`: it is done in this process, on copies and
            /// inside `catch_unwind`; that stops panics, and neither a change over which the library never ends nor one
            /// that makes it take all memory. The program `rejoin-server` starts itself.
            pub verify_command: Option<VerifyCommand>,
            /// With it HTTPS is spoken, and nothing else.
            pub tls: Option<TlsFiles>,
            /// With it JWTs are taken beside tokens, and every resource needs one or the other.
            pub jwt: Option<JwtSettings>,
            /// Origins whose pages may use the server from a browser, in lower case, like `https://app.example`.
            pub cors_origins: Vec<String>,
        }

        impl ServerConfig {
            /// The defaults, on this database.
            pub fn new(database: impl Into<PathBuf>) -> Self {
                Self {
                    database: database.into(),
                    limits: ServerLimits::default(),
                    $( $name: crate::option_default!($read $type, $default), )*
                    verify_command: None,
                    tls: None,
                    jwt: None,
                    cors_origins: Vec::new(),
                }
            }
        }
    };
}

crate::each_option!(declare);
