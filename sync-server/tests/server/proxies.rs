//! The samples for nginx and Caddy, with the real ones in front of a real server. Where they are not installed the
//! tests say so and do nothing; CI installs them.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::loopback::own_loopback;
use crate::skipped::skipped;
use crate::support::{Answer, Running, Writer, token};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rejoin::{DocumentId, wire::PushReply};
use rejoin_server::Access;

/// A proxy in a process of its own.
struct Proxy {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Workers end with it; one that waits for its connections to end is not waited for.
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(1) {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Before the first heartbeat: what a proxy keeps back comes no sooner than with that.
const SOON: Duration = Duration::from_secs(8);
const NAME: &str = "localhost";

impl Proxy {
    /// Starts one with what `prepare` writes; `None` where it is not installed.
    fn start(program: &str, prepare: impl Fn(&Path, SocketAddr) -> Command) -> Option<Self> {
        if Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            skipped(program, "it is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(directory.path().join("fullchain.pem"), cert.pem()).unwrap();
        std::fs::write(directory.path().join("privkey.pem"), signing_key.serialize_pem()).unwrap();
        // They take no port 0: one that was free a moment ago.
        let address = TcpListener::bind((own_loopback(), 0)).unwrap().local_addr().unwrap();
        let mut command = prepare(directory.path(), address);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let said = || std::fs::read_to_string(directory.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{}", said());
            assert!(start.elapsed() < Duration::from_secs(20), "{}", said());
            std::thread::yield_now();
        }
        Some(Self { child, address, directory })
    }

    fn client(&self) -> reqwest::Client {
        let pem = std::fs::read(self.directory.path().join("fullchain.pem")).unwrap();
        let certs = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
        reqwest::Client::builder()
            .tls_certs_only(certs)
            .resolve(NAME, self.address)
            .no_proxy()
            .build()
            .unwrap()
    }

    fn root(&self) -> String {
        format!("https://{NAME}:{}", self.address.port())
    }
}

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The text with this in place of that, which is in it.
fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (this, that)| {
        assert!(text.contains(this), "{this}");
        text.replace(this, that)
    })
}

async fn guarded() -> (Running, String) {
    let server = Running::start().await;
    let secret = token(&server.directory.path().join("log.db"), "a", None, Access::Admin);
    (server, secret)
}

/// What a client needs of a proxy: errors as they are, large bodies, and events at once.
async fn passes_everything(proxy: &Proxy, token: &str) {
    let (client, document) = (proxy.client(), DocumentId::random());
    let changes = format!("{}/v1/documents/{document}/changes", proxy.root());
    let push = |body: Vec<u8>| {
        client.post(&changes).header("content-type", rejoin::wire::CHANGES).bearer_auth(token).body(body)
    };
    let refused = Answer::of(client.get(&changes).send().await.unwrap()).await;
    assert_eq!(refused.code(), (401, "unauthorized".to_owned()));
    let events = format!("{}/v1/events", proxy.root());
    let mut stream = client.get(events).bearer_auth(token).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let greeting = tokio::time::timeout(SOON, stream.chunk()).await.expect("a greeting at once");
    assert!(greeting.unwrap().is_some());
    let mut ada = Writer::new(1);
    assert_eq!(push(ada.many(1)).send().await.unwrap().status(), 200);
    let told = tokio::time::timeout(SOON, stream.chunk()).await.expect("an event at once").unwrap().unwrap();
    assert!(String::from_utf8_lossy(&told).contains(&document.to_string()));
    ada.0.put_long_text();
    let large = ada.last().raw_bytes().to_vec();
    assert!(large.len() > 900_000);
    let large: Vec<u8> = large.into_iter().chain(ada.many(2_000)).collect();
    let reply: PushReply = Answer::of(push(large).send().await.unwrap()).await.json();
    assert_eq!((reply.accepted, reply.rejected.len()), (2_001, 0));
    let too_large = Answer::of(push(vec![0; 15 << 20]).send().await.unwrap()).await;
    assert_eq!(too_large.code().0, 422, "the server itself has seen it");
}

/// A change that is large and does not compress.
trait LongText {
    fn put_long_text(&mut self);
}

impl LongText for automerge::AutoCommit {
    fn put_long_text(&mut self) {
        use automerge::{ROOT, ScalarValue, transaction::Transactable};
        let mut state = 1_u64;
        let bytes = (0..950_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        self.put(ROOT, "long", ScalarValue::Bytes(bytes.collect())).unwrap();
        self.commit();
    }
}

#[tokio::test]
async fn the_sample_for_nginx_passes_everything() {
    let (server, token) = guarded().await;
    let upstream = server.address.to_string();
    let proxy = Proxy::start("nginx", |place, address| {
        let path = |name: &str| place.join(name).display().to_string();
        let block = replaced(
            &sample("nginx.conf"),
            &[
                ("127.0.0.1:4810", &upstream),
                ("listen 443 ssl", &format!("listen {address} ssl")),
                ("/etc/letsencrypt/live/sync.example.org", &place.display().to_string()),
            ],
        );
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};", path(name)))
            .join(" ");
        // nginx that root starts gives its workers to another user, who may not read here.
        let whole = format!(
            "user root; daemon off; pid {}; error_log stderr; events {{}}\n\
             http {{ access_log off; {temporary}\n{block} }}",
            path("pid")
        );
        std::fs::write(path("whole.conf"), whole).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-p", &path(""), "-e", "stderr", "-c", &path("whole.conf")]);
        command
    });
    let Some(proxy) = proxy else { return };
    passes_everything(&proxy, &token).await;
}

#[tokio::test]
async fn the_sample_for_caddy_passes_everything() {
    let (server, token) = guarded().await;
    let upstream = server.address.to_string();
    let proxy = Proxy::start("caddy", |place, address| {
        let path = |name: &str| place.join(name).display().to_string();
        let site = format!(
            "https://{NAME}:{} {{\n\tbind {}\n\ttls {} {}",
            address.port(),
            address.ip(),
            path("fullchain.pem"),
            path("privkey.pem")
        );
        let text = replaced(
            &sample("Caddyfile"),
            &[("127.0.0.1:4810", &upstream), ("\nsync.example.org {", &format!("\n{site}"))],
        );
        // Redirects from port 80 and the port of its administration are not for a test.
        let whole = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}");
        std::fs::write(path("Caddyfile"), whole).unwrap();
        let mut command = Command::new("caddy");
        command.env("HOME", place).env("XDG_DATA_HOME", place).env("XDG_CONFIG_HOME", place);
        command.args(["run", "--adapter", "caddyfile", "--config", &path("Caddyfile")]);
        command
    });
    let Some(proxy) = proxy else { return };
    passes_everything(&proxy, &token).await;
}
