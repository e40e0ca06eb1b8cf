//! Settings: the command line before the environment, that before the file, that before the default.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::support::{BINARY, Process, get, send};

fn run(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REJOIN_")) {
        command.env_remove(name);
    }
    let output: Output =
        command.current_dir(directory).args(arguments).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The line of an option in what `config` prints.
fn line_of<'t>(shown: &'t str, key: &str) -> &'t str {
    let of_key =
        |line: &&str| line.starts_with(&format!("{key} = ")) || line.starts_with(&format!("# {key} is"));
    shown.lines().find(of_key).unwrap_or_else(|| panic!("{key} is not in {shown}"))
}

/// The keys of every option, and the default as `config` shows it.
fn options(directory: &Path) -> Vec<(String, String)> {
    let (code, shown, why) = run(directory, &["config"], &[]);
    assert_eq!(code, Some(0), "{why}");
    let entries = shown.lines().map(|line| match line.split_once(" = ") {
        Some((key, rest)) => (key.to_owned(), rest.split("  #").next().unwrap().to_owned()),
        None => (line.trim_start_matches("# ").split(' ').next().unwrap().to_owned(), String::new()),
    });
    entries.collect()
}

/// Two values that differ from the default: as typed, and as a line of a file has them.
fn values(key: &str, default: &str) -> [(String, String); 3] {
    let numbers = default.chars().all(|c| c.is_ascii_digit()) && !default.is_empty();
    ["7", "8", "9"].map(|digit| {
        let typed = match key {
            _ if numbers => digit.to_owned(),
            "cors-origin" => format!("https://a{digit}.example"),
            "log-format" => "json".to_owned(),
            "listen" => format!("127.0.0.1:{digit}"),
            _ if default.ends_with("iB\"") => format!("{digit}KiB"),
            _ if default.ends_with("s\"") || default.ends_with("m\"") => format!("{digit}s"),
            _ => format!("text{digit}"),
        };
        let line = match key {
            _ if numbers => typed.clone(),
            "cors-origin" => format!("[\"{typed}\"]"),
            _ => format!("\"{typed}\""),
        };
        (typed, line)
    })
}

#[test]
fn every_option_works_in_all_three_ways_and_in_this_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let all = options(path);
    assert!(all.len() > 25, "{all:?}");
    for (key, default) in all {
        let variable = format!("REJOIN_{}", key.replace('-', "_").to_uppercase());
        let [typed, set, written] = values(&key, &default);
        // What it is of no use without; it may not be there for the value to be shown.
        std::fs::write(path.join("c.toml"), format!("# mine\n{key} = {}\n", written.1)).unwrap();
        let option = format!("--{key}={}", typed.0);
        let environment = (variable.as_str(), set.0.as_str());
        let from = |arguments: &[&str], variables: &[(&str, &str)]| {
            let (_, shown, why) = run(path, &[&["config"], arguments].concat(), variables);
            assert!(!shown.is_empty(), "{key}: {why}");
            line_of(&shown, &key).to_owned()
        };
        let file = ["--config", "c.toml"];
        let in_file = format!("{key} = {}  # c.toml, line 2", written.1);
        assert_eq!(from(&file, &[]), in_file);
        assert_eq!(from(&[], &[("REJOIN_CONFIG", "c.toml")]), in_file);
        let in_environment = format!("{key} = {}  # environment {variable}", set.1);
        assert_eq!(from(&[], &[environment]), in_environment);
        assert_eq!(from(&file, &[environment]), in_environment);
        let in_option = format!("{key} = {}  # option --{key}", typed.1);
        assert_eq!(from(&[&option], &[]), in_option);
        assert_eq!(from(&[&file[..], &[&option]].concat(), &[environment]), in_option);
        let (_, help, _) = run(path, &["--help"], &[]);
        assert!(help.contains(&format!("--{key} <")) && help.contains(&variable), "{key} is not in the help");
    }
}

#[test]
fn what_config_prints_and_the_sample_are_files_that_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["config", "--readers", "9"][..], &["config", "--sample"]] {
        let (_, shown, _) = run(directory.path(), arguments, &[]);
        let lines = shown.lines().map(|line| match line.strip_prefix('#') {
            // The sample's lines are commented out.
            Some(line)
                if line
                    .split_once(" = ")
                    .is_some_and(|(key, rest)| !key.contains(' ') && !rest.contains("not set")) =>
            {
                line
            }
            _ => line,
        });
        let text: Vec<&str> = lines.collect();
        std::fs::write(directory.path().join("c.toml"), text.join("\n")).unwrap();
        let (code, again, why) = run(directory.path(), &["config", "--config", "c.toml"], &[]);
        assert_eq!(code, Some(0), "{why}");
        let wanted = if arguments.len() > 2 { "readers = 9  # c.toml" } else { "readers = 4  # c.toml" };
        assert!(line_of(&again, "readers").starts_with(wanted), "{again}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_exit_2_with_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    for (text, says) in [
        ("readers = 1\nlimit = 3\n", &["c.toml, line 2", "`limit`", "listen"][..]),
        ("connections = \"many\"\n", &["c.toml, line 1", "`connections`", "a whole number"]),
        ("a b", &["c.toml, line 1"]),
    ] {
        std::fs::write(directory.path().join("c.toml"), text).unwrap();
        let (code, out, why) = run(directory.path(), &["--config", "c.toml"], &[]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{why}");
        assert!(says.iter().all(|part| why.contains(part)), "{why}");
    }
    let (code, _, why) = run(directory.path(), &["--config", "none.toml"], &[]);
    assert_eq!(code, Some(2));
    assert!(why.contains("none.toml") && why.contains("--config"), "{why}");
    for (words, says) in [
        (["--tls-cert", "x"], "--tls-key"),
        (["--jwt-audience", "x"], "--jwt-key"),
        (["--cors-origin", "*"], "each origin"),
    ] {
        let (code, _, why) = run(directory.path(), &words, &[]);
        assert_eq!(code, Some(2), "{why}");
        assert!(why.contains(says), "{why}");
    }
}

#[tokio::test]
async fn a_server_and_its_other_commands_run_by_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("mine.db");
    let file = directory.path().join("c.toml");
    std::fs::write(&file, format!("database = \"{}\"\npush-changes = 7\n", database.display())).unwrap();
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(&file);
    let server = Process::of(command);
    let limits: serde_json::Value = send(get(format!("{}/v1/limits", server.root))).await.json();
    assert_eq!(limits["push_changes"], 7);
    assert!(database.exists());
    let file = file.to_str().unwrap();
    assert_eq!(run(directory.path(), &["doctor", "--config", file], &[]).0, Some(0));
    let create = ["--config", file, "token", "create", "--name", "a", "--document", "*", "--access", "read"];
    assert_eq!(run(directory.path(), &create, &[]).0, Some(0));
    let (_, listed, _) = run(directory.path(), &["token", "ls"], &[("REJOIN_CONFIG", file)]);
    assert!(listed.contains("read"), "{listed}");
}
