//! A client in another language that knows nothing but the protocol, beside the Rust client: one truth.
//!
//! `sync-server/examples/javascript` wants Node.js and `npm ci`; without them this says loudly that it was skipped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rejoin_tests::harness::{Client, Place, Server, binaries, skipped};
use serde_json::{Value, json};

/// Somebody with the JavaScript client and a file of their own.
struct Script {
    program: PathBuf,
    file: PathBuf,
    document: String,
}

impl Script {
    fn run(&self, url: &str, edits: &[&str], token: Option<&str>) -> Output {
        let mut command = Command::new("node");
        command.arg(&self.program).args([url, &self.document]).arg(&self.file).args(edits);
        command.env_remove("REJOIN_TOKEN").envs(token.map(|token| ("REJOIN_TOKEN", token)));
        command.output().unwrap()
    }

    /// Runs what is to succeed: the document.
    fn ok(&self, url: &str, edits: &[&str]) -> Value {
        self.ok_with(url, edits, None)
    }

    fn ok_with(&self, url: &str, edits: &[&str], token: Option<&str>) -> Value {
        let output = self.run(url, edits, token);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// The client's file, where Node.js and the library are there.
fn program() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sync-server/examples/javascript");
    let what = "the JavaScript client";
    if Command::new("node").arg("--version").output().is_err() {
        skipped(what, "node is not there: install Node.js 20 or newer");
        return None;
    }
    if !folder.join("node_modules/@automerge/automerge").is_dir() {
        skipped(what, "its library is not there: run `npm ci` in sync-server/examples/javascript");
        return None;
    }
    Some(folder.join("client.mjs"))
}

#[test]
fn a_javascript_client_that_knows_only_the_protocol_syncs_both_ways_with_a_rust_client() {
    let Some(program) = program() else { return };
    let place = Place::new();
    let mut server = Server::start(place.path("server.db"));
    let mut ada = Client::new(place.path("ada.db")).with_server(&server.url);
    let document = ada.ok(&["new", "--name", "trip"]).trim().to_owned();
    let script = Script { program, file: place.path("script.json"), document: document.clone() };
    assert_eq!(script.ok(&server.url, &[]), json!({}), "nobody has pushed it yet");

    // What one writes the other reads.
    ada.ok(&["text", "trip", "/note", "0", "0", "We leave at nine."]);
    ada.ok(&["increment", "trip", "/tents", "2"]);
    ada.ok(&["insert", "trip", "/bring/-", "\"rope\""]);
    ada.ok(&["sync"]);
    assert_eq!(
        script.ok(&server.url, &["days=3"]),
        json!({ "note": "We leave at nine.", "tents": 2, "bring": ["rope"], "days": 3 })
    );
    ada.ok(&["sync"]);
    assert_eq!(ada.get("trip")["days"], 3);

    // Both apart, at once; what the script writes is long enough that its library compresses it.
    let url = server.url.clone();
    drop(server);
    let long = format!("story={}", json!("Far away, behind the word mountains. ".repeat(200)));
    let apart = script.run(&url, &[&long, "days=4"], None);
    assert_eq!(apart.status.code(), Some(3), "{apart:?}");
    ada.ok(&["text", "trip", "/note", "17", "0", " Or ten."]);
    ada.ok(&["increment", "trip", "/tents", "-1"]);
    server = Server::start(place.path("server.db"));
    ada = ada.with_server(&server.url);
    script.ok(&server.url, &[]);
    ada.ok(&["sync"]);
    let state = script.ok(&server.url, &[]);
    assert_eq!(state, ada.get("trip"));
    assert_eq!((&state["note"], &state["tents"]), (&json!("We leave at nine. Or ten."), &json!(1)));
    assert_eq!(ada.queued(), 0);

    // A server that lost everything is given everything by either of them.
    drop(server);
    server = Server::start(place.path("wiped.db"));
    ada = ada.with_server(&server.url);
    assert_eq!(script.ok(&server.url, &["wiped=true"])["wiped"], true);
    ada.ok(&["sync"]);
    assert_eq!(script.ok(&server.url, &[]), ada.get("trip"));

    // With tokens it needs one, and says so.
    let token = Command::new(&binaries().server)
        .args(["token", "create", "--name", "script", "--document", &document, "--access", "write"])
        .arg("--database")
        .arg(place.path("wiped.db"))
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    drop(server);
    server = Server::start(place.path("wiped.db"));
    let refused = script.run(&server.url, &[], None);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
    assert_eq!(script.ok_with(&server.url, &["last=1"], Some(&token))["last"], 1);
}
