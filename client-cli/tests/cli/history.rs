//! What the history says (issue 10, 14): what was done and where, of one place, with the difference.

use automerge::{AutoCommit, ROOT, transaction::CommitOptions, transaction::Transactable as _};
use serde_json::json;

use crate::environment::{Environment, Person};

/// A document with one of each action. Gives the person.
fn busy(env: &Environment) -> Person<'_> {
    let ada = env.person("ada");
    ada.ok(&["init", "--author", "Ada"]);
    ada.new_document("d");
    ada.ok(&["set", "d", "/title", "--string", "plan"]);
    ada.ok(&["text", "d", "/note", "0", "0", "We leave at nine"]);
    ada.ok(&["text", "d", "/note", "12", "4", "ten"]);
    ada.ok(&["insert", "d", "/list/-", "{\"name\": \"tent\"}"]);
    ada.ok(&["insert", "d", "/list/0", "1"]);
    ada.ok(&["increment", "d", "/nights", "3"]);
    ada.ok(&["set", "d", "/list/1/name", "--string", "stove"]);
    ada.ok(&["delete", "d", "/title"]);
    ada
}

/// The ends of the lines, newest first: what was done.
fn deeds(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split("Ada           ").nth(1).unwrap_or(line).to_owned()).collect()
}

#[test]
fn log_says_what_was_done_and_where() {
    let env = Environment::new();
    let ada = busy(&env);
    let told = deeds(&ada.ok(&["log", "d"]));
    let wanted = [
        "delete /title  (queued)",
        "set /list/1/name \"stove\"  (queued)",
        "increment /nights +3  (queued)",
        "insert /list/0 1  (queued)",
        "insert /list/0 {\"name\":\"tent\"}  (queued)",
        "splice /note at 12 -\"nine\" +\"ten\"  (queued)",
        "splice /note at 0 +\"We leave at nine\"  (queued)",
        "set /title \"plan\"  (queued)",
    ];
    assert_eq!(told, wanted);
    let newest = &ada.json(&["log", "d", "-n", "1"])[0];
    assert_eq!(newest["edits"], json!([{"type": "delete", "path": "/title"}]));
    ada.ok(&["undo", "d"]);
    let told = deeds(&ada.ok(&["log", "d", "-n", "1"]));
    assert!(told[0].starts_with("undo ") && told[0].contains(": set /title \"plan\""), "{told:?}");
}

#[test]
fn log_tells_another_programs_message_as_it_is() {
    let env = Environment::new();
    let ada = env.person("ada");
    let mut doc = AutoCommit::new();
    doc.put(ROOT, "a", 1).unwrap();
    doc.commit_with(CommitOptions::default().with_message("tidy up the plan").with_time(1));
    doc.put(ROOT, "a", 2).unwrap();
    doc.commit_with(CommitOptions::default().with_time(2));
    std::fs::write(env.path("d.automerge"), doc.save()).unwrap();
    ada.ok(&["import", "d.automerge", "--name", "d"]);
    let text = ada.ok(&["log", "d"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("set /a 2") && lines[1].ends_with("tidy up the plan"), "{text}");
    let log = ada.json(&["log", "d"]);
    assert_eq!((&log[1]["message"], &log[1]["action_type"]), (&json!("tidy up the plan"), &json!(null)));
    assert_eq!(log[1]["edits"], json!([{"type": "set", "path": "/a", "value": 1}]));
}

#[test]
fn log_of_a_place_shows_what_was_done_there_in_it_and_to_what_holds_it() {
    let env = Environment::new();
    let ada = busy(&env);
    let of = |pointer: &str| deeds(&ada.ok(&["log", "d", pointer])).len();
    assert_eq!((of("/note"), of("/nights"), of("/list"), of("")), (2, 1, 3, 8));
    // Under a key that is empty now there was something; an element is the one that is there now.
    assert_eq!(of("/title"), 2);
    let stove = deeds(&ada.ok(&["log", "d", "/list/1"]));
    assert_eq!(stove.len(), 2, "{stove:?}");
    assert!(stove[1].starts_with("insert /list/0 {\"name\":\"tent\"}"), "{stove:?}");
    assert_eq!(deeds(&ada.ok(&["log", "d", "/list/1/name", "-n", "1"])).len(), 1);
    ada.run(&["log", "d", "/list/2"]).expect_error(1, "/list");
    ada.run(&["log", "d", "title"]).expect(2);
}

#[test]
fn log_p_and_show_tell_what_a_change_made_different() {
    let env = Environment::new();
    let ada = busy(&env);
    let text = ada.ok(&["log", "d", "/note", "-p"]);
    assert!(text.contains("    ~ /note  \"We leave at nine\" -> \"We leave at ten\"\n"), "{text}");
    let log = ada.json(&["log", "d", "/note", "-p"]);
    let different = json!([{"path": "/note", "before": "We leave at nine", "after": "We leave at ten"}]);
    assert_eq!(log[0]["differences"], different);
    let hash = log[0]["hash"].as_str().unwrap();
    let shown = ada.ok(&["show", "d", &hash[..8]]);
    let says = |part: &str| assert!(shown.contains(part), "{part} in {shown}");
    says(&format!("change   {hash}\n"));
    says("author   Ada\n");
    says("action   splice\n");
    says("note     (queued)\n");
    says("  splice /note at 12 -\"nine\" +\"ten\"\n");
    says("~ /note  \"We leave at nine\" -> \"We leave at ten\"");
    assert_eq!(ada.json(&["show", "d", hash])["differences"], different);
    let first = ada.json(&["log", "d"]);
    let first = first.as_array().unwrap().last().unwrap()["hash"].as_str().unwrap();
    assert!(ada.ok(&["show", "d", first]).contains("+ /title  \"plan\""));
    ada.run(&["show", "d", "ffffffff"]).expect_error(1, "no change");
}

#[test]
fn log_p_and_diff_tell_of_a_list_the_elements_that_came_and_went() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    for item in ["tent", "rope", "soup"] {
        ada.ok(&["insert", "d", "/list/-", "--string", item]);
    }
    let before = ada.json(&["log", "d"])[0]["hash"].as_str().unwrap().to_owned();
    ada.ok(&["delete", "d", "/list/0"]);
    ada.ok(&["insert", "d", "/list/1", "--string", "stove"]);
    let log = ada.ok(&["log", "d", "-p", "-n", "3"]);
    let differences: Vec<_> = log.lines().filter(|line| line.starts_with("    ")).collect();
    assert_eq!(
        differences,
        [r#"    + /list/1  "stove""#, r#"    - /list/0  "tent""#, r#"    + /list/2  "soup""#],
        "{log}"
    );
    assert_eq!(ada.ok(&["diff", "d", &before]), "- /list/0  \"tent\"\n+ /list/1  \"stove\"\n");
}

/// What a command shows on a terminal whose pager marks each line.
#[cfg(target_os = "linux")]
fn paged(ada: &Person<'_>, variables: &[(&str, &str)], words: &str) -> String {
    let line = format!("exec {} {words}", env!("CARGO_BIN_EXE_rejoin"));
    let mut command = std::process::Command::new("script");
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm"), ("NO_COLOR", "1")]);
    command.envs(variables.iter().copied()).env("REJOIN_STORE", &ada.store);
    let ran = command.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null()).output().unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_pager_shows_the_history_on_a_terminal_and_nowhere_else() {
    let env = Environment::new();
    let ada = busy(&env);
    let mark = ("REJOIN_PAGER", "sed 's/^/paged: /'");
    for words in ["log d", "log d -p", "blame d"] {
        let text = paged(&ada, &[mark, ("PAGER", "false")], words);
        assert!(
            text.lines().count() > 3 && text.lines().all(|l| l.starts_with("paged: ")),
            "{words}: {text}"
        );
    }
    assert!(paged(&ada, &[("PAGER", "sed s/^/second:/")], "log d").starts_with("second:"));
    for variables in [&[mark, ("TERM", "dumb")][..], &[("REJOIN_PAGER", ""), ("PAGER", "false")]] {
        let text = paged(&ada, variables, "log d -n 1");
        assert!(text.contains("delete /title") && !text.contains("paged"), "{text}");
    }
    assert!(!paged(&ada, &[mark], "log d --json").contains("paged"));
    assert!(paged(&ada, &[("PAGER", "/nowhere/pager")], "log d").contains("delete /title"));
    let piped = ada.command(&["log", "d"]).env(mark.0, mark.1).output().unwrap();
    assert!(!String::from_utf8(piped.stdout).unwrap().contains("paged"));
}
