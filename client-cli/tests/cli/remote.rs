//! A second device of one person takes part in all that the server has for their token.

use rejoin_server::{Access, Tokens};
use serde_json::json;

use crate::environment::{Environment, Person};
use crate::server::{Impostor, Server, new_token, nobody, own_address};

fn token(env: &Environment, name: &str, access: Access) -> String {
    let new = new_token(name, access);
    Tokens::open(&env.path("server.db")).unwrap().create(&new).unwrap().reveal().to_owned()
}

fn device<'e>(env: &'e Environment, name: &str, (server, token): (&str, &str)) -> Person<'e> {
    let person = env.person(name);
    person.ok(&["init", "--server", server, "--author", "ada"]);
    person.run_with(&["init", "--token", "-"], token).expect(0);
    person
}

#[test]
fn a_second_device_takes_part_in_all_without_copied_ids() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ada = token(&env, "ada", Access::Create);
    let ben = token(&env, "ben", Access::Create);
    let url = server.url();
    let (laptop, other) = (device(&env, "laptop", (&url, &ada)), device(&env, "ben", (&url, &ben)));
    let mut ids: Vec<String> = ["one", "two", "three"].map(|name| laptop.new_document(name)).into();
    for name in ["one", "two", "three"] {
        laptop.ok(&["set", name, "/of", "\"ada\""]);
    }
    laptop.ok(&["sync"]);
    other.new_document("bens");
    other.ok(&["set", "bens", "/of", "\"ben\""]);
    other.ok(&["sync"]);
    laptop.ok(&["rm", "three", "--yes"]);
    laptop.ok(&["sync"]);
    let gone = ids.pop().unwrap();
    ids.sort_unstable();

    let phone = device(&env, "phone", (&url, &ada));
    let listed = phone.json(&["ls", "--remote"]);
    let living: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["deleted"] == false)
        .map(|d| d["id"].as_str().unwrap())
        .collect();
    assert_eq!(living, ids, "those of this token, and no others: {listed}");
    let shown = phone.run(&["ls", "--remote"]).expect(0);
    assert!(
        ids.iter().all(|id| shown.stdout.contains(id.as_str())) && !shown.stdout.contains(&gone),
        "{shown:#?}"
    );
    assert!(shown.stderr.contains("rejoin join --all") && shown.stderr.contains("1 more"), "{shown:#?}");

    let mut joined: Vec<String> = phone.ok(&["join", "--all"]).lines().map(str::to_owned).collect();
    joined.sort_unstable();
    assert_eq!(joined, ids);
    phone.ok(&["sync"]);
    for id in &ids {
        assert_eq!(phone.json(&["get", id]), json!({"of": "ada"}));
    }
    assert_eq!(phone.ok(&["join", "--all"]), "");
    let here = phone.json(&["ls", "--remote"]);
    assert!(here.as_array().unwrap().iter().filter(|d| d["deleted"] == false).all(|d| d["here"] == true));
    // What was deleted here does not come back.
    phone.ok(&["rm", &ids[0], "--yes"]);
    assert_eq!(phone.ok(&["join", "--all"]), "");
    // What was forgotten here does.
    phone.ok(&["leave", &ids[1], "--yes"]);
    assert_eq!(phone.ok(&["join", "--all"]).trim(), ids[1]);
}

#[test]
fn a_list_of_a_thousand_documents_comes_in_pages() {
    let env = Environment::new();
    let server = Server::start_with(env.path("server.db"), own_address(), |config| {
        config.limits.list_documents = 7;
    });
    let ada = env.person("ada");
    ada.ok(&["init", "--server", &server.url()]);
    for nth in 0..30 {
        let name = format!("d{nth}");
        ada.new_document(&name);
        ada.ok(&["set", &name, "/n", "1"]);
    }
    ada.ok(&["sync"]);
    let ben = env.person("ben");
    ben.ok(&["init", "--server", &server.url()]);
    assert_eq!(ben.json(&["join", "--all"]).as_array().unwrap().len(), 30);
}

#[test]
fn a_server_that_does_not_list_is_told_apart() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.run(&["ls", "--remote"]).expect_error(1, "server");
    ada.run(&["ls", "--remote", "--server", &nobody()]).expect_error(3, "reached");
    let refusing = Impostor::answering("401 Unauthorized", "application/problem+json", "{}");
    ada.run(&["join", "--all", "--server", &refusing.url()]).expect_error(4, "credentials");
    let portal = Impostor::answering("200 OK", "text/html", "<html>");
    ada.run(&["ls", "--remote", "--server", &portal.url()]).expect_error(3, "no sync server");
    let endless = r#"{"documents":[],"next":"x"}"#;
    let endless = Impostor::answering("200 OK", "application/json", endless);
    assert_eq!(ada.ok(&["join", "--all", "--server", &endless.url()]), "");
    ada.run(&["join", "--all", "trip"]).expect_error(2, "--all");
    ada.run(&["join"]).expect_error(2, "required");
}
