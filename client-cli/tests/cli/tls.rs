//! HTTPS and plain HTTP, as a person meets them: whom the client trusts, and what it sends to whom.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rejoin_server::TlsFiles;
use serde_json::json;

use crate::environment::{Environment, Person};
use crate::server::{Impostor, Server};

/// A server whose certificate bears this name; the certificate is in NAME.pem.
fn secure(env: &Environment, name: &str) -> Server {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let files = TlsFiles { cert: env.path(&format!("{name}.pem")), key: env.path(&format!("{name}.key")) };
    std::fs::write(&files.cert, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let database = env.path(&format!("{name}.server.db"));
    Server::start_with(database, "127.0.0.1:0".parse().unwrap(), |config| config.tls = Some(files))
}

fn https(server: &Server, host: &str) -> String {
    format!("https://{host}:{}", server.url().rsplit(':').next().unwrap())
}

fn queued(person: &Person<'_>) -> usize {
    person.json(&["queue"]).as_array().unwrap().len()
}

#[test]
fn a_server_with_a_certificate_of_its_own_is_trusted_once_it_is_named() {
    let env = Environment::new();
    let (ada, ben, eve) = (env.person("ada"), env.person("ben"), env.person("eve"));
    let server = secure(&env, "localhost");
    let url = https(&server, "localhost");
    for person in [&ada, &ben, &eve] {
        person.ok(&["init", "--server", &url]);
    }
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync", "--ca-cert", "localhost.pem"]);
    // Saved for good, and found from another directory.
    ben.ok(&["init", "--ca-cert", "localhost.pem"]);
    ben.ok(&["join", &id, "--name", "d"]);
    let mut command = ben.command(&["sync"]);
    assert!(command.current_dir("/").status().unwrap().success());
    assert_eq!(ben.json(&["get", "d"]), json!({"a": 1}));
    assert_eq!(ben.json(&["status"])["server"]["answers"], json!(true));
    // Who does not trust it is offline to it, and loses nothing.
    eve.new_document("e");
    eve.ok(&["set", "e", "/a", "1"]);
    let refused = eve.run(&["sync"]).expect(3);
    assert!(
        refused.stderr.contains("certificate") && refused.stderr.contains("--ca-cert"),
        "{}",
        refused.stderr
    );
    assert_eq!(queued(&eve), 1);
    let mut command = eve.command(&["sync"]);
    assert!(command.env("REJOIN_CA_CERT", "localhost.pem").status().unwrap().success());
    assert_eq!(queued(&eve), 0);
}

#[test]
fn a_wrong_tls_name_is_exit_3_and_nothing_is_taken_for_an_acknowledgement() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = secure(&env, "other.example");
    let url = https(&server, "localhost");
    ada.ok(&["init", "--server", &url, "--ca-cert", "other.example.pem"]);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let mut command = ada.command(&["sync"]);
    let output = command.env("REJOIN_TOKEN", "hush-hush").output().unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{says}");
    assert!(says.contains("not valid for name") && says.contains("queue is kept"), "{says}");
    assert!(!says.contains("hush-hush"));
    assert_eq!(queued(&ada), 1);
    let status = ada.json(&["status"]);
    assert_eq!(
        (&status["server"]["answers"], &status["documents"][0]["in_step"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn plain_http_to_another_machine_is_refused_before_anything_is_sent_unless_it_is_asked_for() {
    let env = Environment::new();
    let ada = env.person("ada");
    // What would go to another machine goes through a proxy here, which sees it.
    let proxy = Impostor::answering("502 Bad Gateway", "text/plain", "");
    let sync = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = ada.command(&[&["sync", "--timeout", "2s"], words].concat());
        command
            .env("http_proxy", proxy.url())
            .env("REJOIN_TOKEN", "hush-hush")
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let init = ada.run(&["init", "--server", "http://sync.example:4810"]).expect(0);
    assert!(init.stderr.contains("plain HTTP") && init.stderr.contains("--allow-http"), "{}", init.stderr);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    for (words, variables) in [
        (&[][..], &[][..]),
        (&[], &[("REJOIN_ALLOW_HTTP", "")]),
        (&[], &[("REJOIN_ALLOW_HTTP", "0")]),
        (&["--server", "http://10.1.2.3"], &[]),
    ] {
        let (code, says) = sync(words, variables);
        assert_eq!(code, Some(2), "{says}");
        assert!(
            says.contains("plain HTTP") && says.contains("https://") && says.contains("--allow-http"),
            "{says}"
        );
        assert!(proxy.asked().is_empty());
    }
    let asked = || {
        let asked = proxy.asked();
        !asked.is_empty() && asked.iter().all(|head| head.contains("sync.example"))
    };
    assert_eq!(sync(&["--allow-http"], &[]).0, Some(3));
    assert!(asked());
    assert_eq!(sync(&[], &[("REJOIN_ALLOW_HTTP", "1")]).0, Some(3));
    assert!(asked());
    // Remembered for this server, and for no other; and said what it means.
    let allowed = ada.run(&["init", "--allow-http"]).expect(0);
    assert!(allowed.stderr.contains("can read and change what is sent, the token too"), "{}", allowed.stderr);
    assert_eq!(sync(&[], &[]).0, Some(3));
    assert!(asked());
    assert_eq!(sync(&["--server", "http://elsewhere.example"], &[]).0, Some(2));
    assert_eq!(queued(&ada), 1);
}

#[test]
fn what_is_for_this_machine_goes_through_no_proxy() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    let proxy = Impostor::answering("502 Bad Gateway", "text/plain", "");
    ada.new_document("d");
    let mut command = ada.command(&["sync", "--server", &server.url()]);
    let proxied = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"];
    command.envs(proxied.map(|name| (name, proxy.url())));
    assert!(command.status().unwrap().success());
    assert!(proxy.asked().is_empty());
}

#[test]
fn a_token_follows_no_redirect() {
    let env = Environment::new();
    let ada = env.person("ada");
    let elsewhere = Impostor::answering("200 OK", "application/json", "{}");
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let moved = format!("{status}\r\nlocation: {}/v1/limits", elsewhere.url());
        let portal = Impostor::answering(&moved, "text/html", "<p>Log in</p>");
        ada.ok(&["new"]);
        let mut command = ada.command(&["sync", "--timeout", "2s", "--server", &portal.url()]);
        let output = command.env("REJOIN_TOKEN", "hush-hush").output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{status}");
        assert!(!portal.asked().is_empty());
        assert!(elsewhere.asked().is_empty(), "{status}");
    }
}

#[test]
fn what_holds_no_certificate_is_wrong_usage() {
    let env = Environment::new();
    let ada = env.person("ada");
    std::fs::write(env.path("not.pem"), "hello").unwrap();
    for words in [&["sync", "--ca-cert", "not.pem"][..], &["init", "--ca-cert", "not.pem"]] {
        let ran = ada.run(words).expect(2);
        assert!(ran.stderr.contains("not.pem") && ran.stderr.contains("--ca-cert"), "{}", ran.stderr);
    }
    ada.run(&["sync", "--ca-cert", "none.pem"]).expect(1);
}
