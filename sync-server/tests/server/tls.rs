//! HTTPS: a real process, certificates made here, and what becomes of them while it runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{BINARY, Process};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs},
};

/// Certificate and key for this machine, as PEM.
fn pair() -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

struct Secure {
    server: Process,
    directory: tempfile::TempDir,
    log: PathBuf,
}

impl Secure {
    fn start((cert, key): &(String, String), more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("cert.pem"), cert).unwrap();
        std::fs::write(path("key.pem"), key).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("--database").arg(path("log.db")).args(more);
        command.arg("--tls-cert").arg(path("cert.pem")).arg("--tls-key").arg(path("key.pem"));
        let log = path("server.log");
        let server = Process::logging(command, std::fs::File::create(&log).unwrap().into());
        Self { server, log, directory }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn port(&self) -> u16 {
        self.server.root.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// A connection that trusts this certificate alone.
    async fn connect(&self, cert: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let certs =
            <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::pem_slice_iter(
                cert.as_bytes(),
            );
        certs.for_each(|cert| roots.add(cert.unwrap()).unwrap());
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.port())).await?;
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
    }

    /// Until it does: the files are looked at every two seconds.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let log = std::fs::read_to_string(&self.log).unwrap();
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_logged(&self, text: &str) {
        self.until(text, async || std::fs::read_to_string(&self.log).unwrap().contains(text).then_some(()))
            .await;
    }
}

/// Asks over a connection that stays open.
async fn is_alive(stream: &mut TlsStream<TcpStream>) -> bool {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        let mut part = [0; 1024];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => answer.extend_from_slice(&part[..n]),
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn with_a_certificate_https_is_spoken_and_nothing_else() {
    let own = pair();
    let secure = Secure::start(&own, &[]);
    assert!(secure.server.root.starts_with("https://127.0.0.1:"), "{}", secure.server.root);
    let mut stream = secure.connect(&own.0).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(is_alive(&mut stream).await);
    assert!(secure.connect(&pair().0).await.is_err(), "another certificate is not its own");
    let plain = format!("http://127.0.0.1:{}/healthz", secure.port());
    assert!(crate::support::get(plain).send().await.is_err(), "plain HTTP is not answered");
    let get = b"GET /v1/limits HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403", "without tokens it stays this machine's");
}

#[tokio::test]
async fn a_certificate_that_changes_is_served_to_new_connections_and_drops_no_old_one() {
    let (first, second, third) = (pair(), pair(), pair());
    let secure = Secure::start(&first, &[]);
    let mut open = secure.connect(&first.0).await.unwrap();
    assert!(is_alive(&mut open).await);
    // The two files do not fit together until both are there.
    secure.write("cert.pem", &second.0);
    secure.write("key.pem", &second.1);
    let mut new = secure.until("the second", async || secure.connect(&second.0).await.ok()).await;
    assert!(is_alive(&mut new).await && is_alive(&mut open).await);
    assert!(secure.connect(&first.0).await.is_err());
    // What is broken changes nothing, and is told.
    secure.write("cert.pem", "not a certificate");
    secure.server.signal("-HUP");
    secure.until_logged("what was read before stays in force").await;
    assert!(is_alive(&mut secure.connect(&second.0).await.unwrap()).await);
    std::fs::remove_file(secure.directory.path().join("key.pem")).unwrap();
    secure.server.signal("-HUP");
    secure.until_logged("key.pem: No such file").await;
    assert!(is_alive(&mut secure.connect(&second.0).await.unwrap()).await && is_alive(&mut open).await);
    secure.write("cert.pem", &third.0);
    secure.write("key.pem", &third.1);
    secure.server.signal("-HUP");
    secure.until("the third", async || secure.connect(&third.0).await.ok()).await;
    assert!(is_alive(&mut open).await && is_alive(&mut new).await);
    let log = std::fs::read_to_string(&secure.log).unwrap();
    let secrets = [&first.1, &second.1, &third.1].map(|key| key.lines().nth(1).unwrap().to_owned());
    assert!(secrets.iter().all(|secret| !log.contains(secret)));
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let secure = Secure::start(&pair(), &["--header-timeout", "200ms", "--connections", "1"]);
    for opening in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(("127.0.0.1", secure.port())).await.unwrap();
        stream.write_all(opening).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 64])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn a_stop_waits_for_no_handshake() {
    let secure = Secure::start(&pair(), &[]);
    let stream = TcpStream::connect(("127.0.0.1", secure.port())).await.unwrap();
    // Once a second one is served the first was accepted.
    assert!(crate::support::get(format!("http://127.0.0.1:{}/", secure.port())).send().await.is_err());
    secure.server.signal("-TERM");
    let (code, rest, took) = tokio::task::spawn_blocking(move || secure.server.end()).await.unwrap();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(stream);
}

#[test]
fn a_certificate_of_no_use_is_told_at_the_start_with_exit_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (own, other) = (pair(), pair());
    std::fs::write(path("cert.pem"), &own.0).unwrap();
    std::fs::write(path("key.pem"), &other.1).unwrap();
    let run = |cert: &Path, key: &Path| {
        let mut command = Command::new(BINARY);
        command.current_dir(directory.path()).args(["--listen", "127.0.0.1:0", "--tls-cert"]).arg(cert);
        let output = command.arg("--tls-key").arg(key).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&path("cert.pem"), &path("key.pem")).contains("it is not the certificate's key"));
    assert!(run(&path("none.pem"), &path("key.pem")).contains("none.pem"));
    assert!(!path("rejoin-server.db").exists(), "nothing is made");
}
