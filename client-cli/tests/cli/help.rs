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
    "doctor",
    "completions",
    "demo",
];

#[test]
fn rejoin_alone_prints_help_and_is_wrong_usage() {
    let env = Environment::new();
    for variables in [&[][..], &[("REJOIN_STORE", "x.db"), ("REJOIN_SERVER", "http://a")]] {
        let output = env.rejoin().envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8(output.stderr).unwrap().contains("rejoin demo"));
    }
    assert!(!env.path("x.db").exists());
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
        assert!(String::from_utf8(output.stdout).unwrap().contains("increment"), "{shell}");
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
