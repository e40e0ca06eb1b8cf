//! The server's side of TLS: a certificate and its key, read again when they change.

use std::sync::Arc;

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio_rustls::rustls::{self, ServerConfig, crypto::aws_lc_rs};

use crate::{
    config::TlsFiles,
    watched::{FileError, Watched},
};

/// What a connection that begins now is served with. One that is open keeps what it began with.
pub(crate) type Tls = Watched<ServerConfig>;

/// Reads both files.
pub(crate) fn open(files: &TlsFiles) -> Result<Tls, FileError> {
    let of = files.clone();
    Watched::open(vec![files.cert.clone(), files.key.clone()], move |contents, _| match contents {
        [cert, key] => make(&of, cert, key),
        _ => Err(FileError::new(&of.cert, "it was not read")),
    })
}

fn make(files: &TlsFiles, cert: &[u8], key: &[u8]) -> Result<ServerConfig, FileError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.map_err(|_| FileError::new(&files.cert, "it is no PEM file"))?;
    if chain.is_empty() {
        return Err(FileError::new(&files.cert, "there is no certificate in it (`BEGIN CERTIFICATE`)"));
    }
    // What is wrong with a key is said without any of it.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| FileError::new(&files.key, "there is no private key in it (`BEGIN PRIVATE KEY`)"))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| FileError::new(&files.cert, error))?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                FileError::new(&files.key, "it is not the certificate's key")
            }
            error => FileError::new(&files.cert, error),
        })?;
    // One request after the other: deadlines and the watch on slow readers are those of a connection.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn what_is_wrong_with_a_certificate_or_key_is_told_with_the_file_and_without_the_key() {
        let files = TlsFiles { cert: "a.pem".into(), key: "a.key".into() };
        let ((cert, key), (_, other)) = (pair(), pair());
        assert!(make(&files, cert.as_bytes(), key.as_bytes()).is_ok());
        let secret = key.lines().nth(1).unwrap().to_owned();
        for (cert, key, says) in [
            (cert.as_str(), other.as_str(), "a.key: it is not the certificate's key"),
            (&cert, &cert, "a.key: there is no private key"),
            (&key, &key, "a.pem: there is no certificate"),
            ("", &key, "a.pem: there is no certificate"),
            (&cert, "", "a.key: there is no private key"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", &key, "a.pem"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &key, "a.pem"),
        ] {
            let why = make(&files, cert.as_bytes(), key.as_bytes()).unwrap_err().to_string();
            assert!(why.contains(says) && !why.contains(&secret), "{why}");
        }
    }
}
