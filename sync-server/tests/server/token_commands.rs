//! `rejoin-server token`, as it is typed.

use std::{path::Path, process::Command};

use crate::support::{BINARY, Process, Writer, get, post, send};
use rejoin::DocumentId;
use serde_json::{Value, json};

/// `rejoin-server token …`, as somebody types it: the exit code, standard output and standard error.
fn token(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    let output =
        command.current_dir(directory).args(["--database", "log.db", "token"]).args(arguments).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn tokens_are_made_and_revoked_beside_a_running_server_and_stand_in_no_log() {
    let directory = tempfile::tempdir().unwrap();
    let create = ["create", "--name", "laptop", "--document", "*", "--access", "admin", "--expires", "90d"];
    let (code, out, aside) = token(directory.path(), &create);
    assert_eq!(code, Some(0), "{aside}");
    let secret = out.trim_end();
    assert!(secret.starts_with("rjt_") && secret.len() == 47 && out == format!("{secret}\n"), "{out}");
    assert!(!aside.contains(secret));
    let log = directory.path().join("server.log");
    let mut command = Command::new(BINARY);
    command.env("RUST_LOG", "trace").arg("--database").arg(directory.path().join("log.db"));
    let server = Process::logging(command, std::fs::File::create(&log).unwrap().into());
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let push = post(server.changes(document), ada.many(1));
    assert_eq!(send(push.bearer_auth(secret)).await.status, 200);
    assert_eq!(send(get(server.changes(document))).await.status, 401);
    let (code, _, says) = token(directory.path(), &create);
    assert_eq!(code, Some(1));
    assert!(says.contains("laptop") && says.contains("revoke"), "{says}");
    let (_, listed, _) = token(directory.path(), &["ls"]);
    assert!(listed.contains("laptop") && listed.contains("admin") && listed.contains("good"), "{listed}");
    assert!(!listed.contains(secret));
    assert_eq!(token(directory.path(), &["revoke", "laptop"]).0, Some(0));
    assert_eq!(send(get(server.changes(document)).bearer_auth(secret)).await.code().0, 401);
    assert_eq!(token(directory.path(), &["revoke", "laptop"]).0, Some(1));
    server.signal("-TERM");
    let (code, rest, _) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE") && !log.contains(secret) && !log.contains(&secret[4..]));
}

/// The one JSON value on standard output, without what is different each time.
fn told(directory: &Path, arguments: &[&str]) -> Value {
    let (code, out, aside) = token(directory, arguments);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{aside}");
    let mut value: Value = serde_json::from_str(&out).unwrap();
    let tokens = match &mut value {
        Value::Array(all) => all.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for token in tokens.iter_mut().filter_map(Value::as_object_mut) {
        for (field, length) in [("created_at", 20), ("expires_at", 20), ("revoked_at", 20), ("token", 47)] {
            let text = token.get_mut(field).filter(|value| value.is_string());
            text.into_iter().for_each(|text| {
                assert_eq!(text.as_str().map(str::len), Some(length), "{text}");
                *text = "…".into();
            });
        }
    }
    value
}

#[test]
fn tokens_are_told_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| told(directory.path(), arguments);
    let create =
        ["create", "--name", "ada", "--document", "*", "--access", "create", "--expires", "1d", "--json"];
    let document = "7d7c1f1e-53c9-4b8e-9d4e-0a6f0a3f2b10";
    let mut ada = json!({
        "name": "ada", "document": "*", "access": "create", "granted": 0, "created_at": "…", "expires_at": "…",
        "revoked_at": null, "state": "good", "token": "…",
    });
    assert_eq!(told(&create), ada);
    let mut board = json!({
        "name": "board", "document": document, "access": "read", "granted": 0, "created_at": "…", "expires_at": null,
        "revoked_at": null, "state": "good", "token": "…",
    });
    let create = ["--json", "create", "--name", "board", "--document", document, "--access", "read"];
    assert_eq!(told(&create), board);
    let grant = ["grant", "ada", "--document", document, "--access", "write", "--json"];
    assert_eq!(told(&grant), json!({ "name": "ada", "document": document, "access": "write" }));
    assert_eq!(told(&["revoke", "board", "--json"]), json!({ "name": "board", "state": "revoked" }));
    for token in [&mut ada, &mut board] {
        token.as_object_mut().unwrap().remove("token");
    }
    ada["granted"] = 1.into();
    (board["state"], board["revoked_at"]) = ("revoked".into(), "…".into());
    assert_eq!(told(&["ls", "--json"]), json!([ada, board]));
}

/// Issue 10, 5: whoever follows the README is not locked out of what was begun before.
#[tokio::test]
async fn the_first_token_says_which_documents_belong_to_nobody_and_how_to_grant_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.arg("--database").arg(directory.path().join("log.db"));
    let server = Process::logging(command, std::process::Stdio::null());
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    assert_eq!(send(post(server.changes(document), ada.many(1))).await.status, 200);
    let create = ["create", "--name", "ada", "--document", "*", "--access", "create"];
    let (code, secret, aside) = token(directory.path(), &create);
    assert_eq!(code, Some(0));
    let says = |text: &str| aside.contains(text);
    assert!(says("1 document was begun before it") && says(&document.to_string()), "{aside}");
    let grant = "rejoin-server --database log.db token grant ada --document '*' --access admin";
    assert!(says(grant), "{aside}");
    let push = post(server.changes(document), ada.many(1)).bearer_auth(secret.trim());
    assert_eq!(send(push.try_clone().unwrap()).await.status, 403);
    let told = told(directory.path(), &["grant", "ada", "--document", "*", "--access", "admin", "--json"]);
    assert_eq!(told, json!({ "name": "ada", "document": "*", "access": "admin", "granted": 1 }));
    assert_eq!(send(push).await.status, 200);
    // What is told once is not told again, and not to a token that reaches all.
    let again = ["create", "--name", "ben", "--document", "*", "--access", "create"];
    assert!(!token(directory.path(), &again).2.contains("nobody"));
}

#[test]
fn wrong_words_about_a_token_are_exit_2() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (vec!["create", "--name", "a", "--document", "all", "--access", "read"], "UUID"),
        (vec!["create", "--name", "a", "--document", "*", "--access", "root"], "admin"),
        (vec!["create", "--name", "a", "--document", "*", "--access", "read", "--expires", "soon"], "90d"),
        (vec!["create", "--name", "", "--document", "*", "--access", "read"], "characters"),
        (vec!["create", "--document", "*", "--access", "read"], "--name"),
        (vec!["revoke"], "NAME"),
    ] {
        let (code, out, text) = token(directory.path(), &arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {text}");
        assert!(text.to_lowercase().contains(&says.to_lowercase()), "{text}");
    }
}

#[test]
fn names_that_would_turn_a_line_around_are_escaped_where_they_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let name = "ada\u{202e}\u{2066}\u{61c}\u{2028}x";
    let create = ["create", "--name", name, "--document", "*", "--access", "read"];
    let steers = |text: &str| text.chars().any(|c| c != '\n' && rejoin::printable::steers(c));
    for arguments in [&create[..], &create, &["ls"], &["ls", "--json"], &["revoke", name], &["revoke", name]]
    {
        let (_, stdout, stderr) = token(directory.path(), arguments);
        assert!(!steers(&stdout) && !steers(&stderr), "{arguments:?}: {stdout}{stderr}");
    }
    assert_eq!(told(directory.path(), &["ls", "--json"])[0]["name"], name);
}

/// A device takes the new token while the old one is still good: nobody is locked out meanwhile.
#[tokio::test]
async fn a_replaced_token_is_good_beside_the_new_one_for_a_while_and_the_new_one_allows_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let create = ["create", "--name", "ada", "--document", "*", "--access", "create"];
    let (_, old, _) = token(directory.path(), &create);
    let mut command = Command::new(BINARY);
    command.arg("--database").arg(directory.path().join("log.db"));
    let server = Process::logging(command, std::process::Stdio::null());
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let begun = post(server.changes(document), ada.many(1)).bearer_auth(old.trim());
    assert_eq!(send(begun).await.status, 200);
    let (code, new, aside) = token(directory.path(), &["create", "--name", "ada-2", "--replaces", "ada"]);
    assert_eq!(code, Some(0), "{aside}");
    for secret in [old.trim(), new.trim()] {
        let push = post(server.changes(document), ada.many(1)).bearer_auth(secret);
        assert_eq!(send(push).await.status, 200);
    }
    let listed = told(directory.path(), &["ls", "--json"]);
    assert_eq!((&listed[0]["expires_at"], &listed[0]["state"]), (&json!("…"), &json!("good")));
    let facts = ["document", "access", "granted", "expires_at"].map(|field| listed[1][field].clone());
    assert_eq!(facts, [json!("*"), json!("create"), json!(1), json!(null)]);
    // The old one has an end now: that the next has none is said.
    let endless = token(directory.path(), &["create", "--name", "ada-4", "--replaces", "ada"]);
    assert!(endless.2.contains("`--expires`"), "{}", endless.2);
    let again = token(directory.path(), &["create", "--name", "ada-3", "--replaces", "nobody"]);
    assert_eq!(again.0, Some(1), "{}", again.2);
    let both = token(directory.path(), &["create", "--name", "x", "--replaces", "ada", "--access", "read"]);
    assert_eq!(both.0, Some(2), "{}", both.2);
    token(directory.path(), &["revoke", "ada"]);
    assert_eq!(send(get(server.changes(document)).bearer_auth(old.trim())).await.code().0, 401);
    assert_eq!(send(get(server.changes(document)).bearer_auth(new.trim())).await.status, 200);
}
