use crate::environment::Environment;

const COMMANDS: &[&str] = &[
    "init",
    "new",
    "share",
    "join",
    "ls",
    "leave",
    "rename",
    "rm",
    "get",
    "set",
    "delete",
    "increment",
    "insert",
    "text",
    "edit",
    "append",
    "replace",
    "apply",
    "status",
    "queue",
    "quarantine",
    "effects",
    "log",
    "show",
    "watch",
    "diff",
    "undo",
    "redo",
    "revert",
    "reset",
    "blame",
    "conflicts",
    "export",
    "import",
    "backup",
    "restore",
    "service",
    "doctor",
    "completions",
    "demo",
    "sync",
    "undelete",
    "discard",
    "man",
];

#[test]
fn rejoin_alone_shows_what_a_newcomer_needs_and_where_the_store_stands_and_makes_none() {
    let env = Environment::new();
    for variables in [&[][..], &[("REJOIN_STORE", "x.db"), ("REJOIN_SERVER", "http://a")]] {
        let output = env.rejoin().envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("  rejoin ")).count(), 5, "{text}");
        assert!(text.contains("rejoin demo") && text.contains("not there yet"), "{text}");
    }
    assert_eq!(std::fs::read_dir(env.path("")).unwrap().count(), 0);
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    assert!(ada.ok(&[]).contains("1 document, 1 change queued"), "{}", ada.ok(&[]));
    assert_eq!(ada.json(&[])["queued"], 1);
    std::fs::write(env.path("text.db"), "no store").unwrap();
    assert!(ada.ok(&["--store", "text.db"]).contains("is not a rejoin store"));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let env = Environment::new();
    assert!(env.rejoin().args(["man", "pages"]).status().unwrap().success());
    for command in COMMANDS {
        let page = std::fs::read_to_string(env.path(&format!("pages/rejoin-{command}.1"))).unwrap();
        assert!(page.contains("Examples:") && page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    assert!(String::from_utf8(env.rejoin().arg("man").output().unwrap().stdout).unwrap().contains(".TH"));
}

#[test]
fn every_command_has_help_with_examples_on_standard_output() {
    let env = Environment::new();
    for command in COMMANDS {
        let output = env.rejoin().args([command, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text.contains("Examples:") && text.contains("rejoin "), "{command}: {text}");
        assert!(!text.contains('\u{1b}'), "colour in a pipe: {command}");
        assert!(text.lines().all(|l| l.chars().count() <= 110), "{command}: {text}");
    }
}

#[test]
fn help_never_shows_what_the_environment_holds() {
    let env = Environment::new();
    let output = env.rejoin().env("REJOIN_TOKEN", "s3cret-token").args(["get", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("REJOIN_TOKEN") && !text.contains("s3cret"), "{text}");
}

#[test]
fn completions_are_printed_for_each_shell_without_a_store() {
    let env = Environment::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = env.rejoin().args(["completions", shell]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains("REJOIN_COMPLETE"), "{shell}");
    }
    assert_eq!(std::fs::read_dir(env.path("")).unwrap().count(), 0);
}

#[test]
fn a_reader_that_had_enough_is_no_failure() {
    let env = Environment::new();
    let ada = env.person("ada");
    let mut command = ada.command(&["completions", "zsh"]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}
