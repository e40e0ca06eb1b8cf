//! `rejoin service` (issue 10, 18), with a manager that writes down what it is told.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::environment::{Environment, Ran};
use crate::skipped::skipped;

/// A home with a `systemctl` that notes its words and answers with this script.
struct Home {
    env: Environment,
    store: PathBuf,
}

impl Home {
    fn new(script: &str) -> Self {
        let env = Environment::new();
        let tools = env.path("tools");
        fs::create_dir(&tools).unwrap();
        let text = format!("#!/bin/sh\necho \"$@\" >> '{}'\n{script}\n", env.path("told").display());
        fs::write(tools.join("systemctl"), text).unwrap();
        fs::set_permissions(tools.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let store = env.path("100% of $HOME \"mine\".db");
        let home = Self { env, store };
        home.run(&["init", "--server", "http://127.0.0.1:4810"]).expect(0);
        home
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.env.rejoin();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.env.path("tools").display()));
        command.env("REJOIN_STORE", &self.store).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap(), words)
    }

    fn told(&self) -> String {
        fs::read_to_string(self.env.path("told")).unwrap_or_default()
    }

    /// The units that are there.
    fn units(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.env.path(".config/systemd/user")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

const RUNS: &str = "case \"$*\" in *show*) echo ActiveState=active; echo SubState=running;; esac";

#[test]
fn a_service_is_installed_started_shown_and_removed() {
    let home = Home::new(RUNS);
    assert!(home.run(&["service", "status"]).expect(1).stdout.contains("rejoin service install"));
    let file = home.run(&["service", "install"]).expect(0).stdout;
    let units = home.units();
    assert_eq!(units.len(), 1);
    assert_eq!(file.trim(), units[0].to_str().unwrap());
    let name = units[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(home.told(), format!("--user daemon-reload\n--user enable --now {name}\n"));
    assert!(home.run(&["service", "status"]).expect(0).stdout.contains("active (running)"));
    let status = home.run(&["status"]).stdout;
    assert!(status.contains(&format!("service {name}: active (running)")), "{status}");
    home.run(&["service", "install"]).expect(0);
    assert!(home.told().contains(&format!("--user restart {name}\n")), "renewed: {}", home.told());
    home.run(&["service", "uninstall"]).expect(0);
    assert!(home.told().contains(&format!("--user disable --now {name}\n")), "{}", home.told());
    assert_eq!(home.units(), Vec::<PathBuf>::new());
    home.run(&["service", "uninstall"]).expect(0);
    assert!(home.store.exists());
}

#[test]
fn a_session_without_a_user_manager_is_told_and_left_without_a_unit() {
    let home = Home::new("echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    home.run(&["service", "install"]).expect_error(1, "enable-linger");
    assert_eq!(home.units(), Vec::<PathBuf>::new());
    fs::remove_file(home.env.path("tools/systemctl")).unwrap();
    let mut command = home.command(&["service", "install"]);
    command.env("PATH", home.env.path("tools"));
    Ran::of(command.output().unwrap(), &["install"]).expect_error(1, "systemctl could not be started");
}

#[test]
fn a_service_never_bears_a_token_and_needs_a_server() {
    let home = Home::new(RUNS);
    home.run(&["service", "install", "--token", "s3cret"]).expect_error(2, "init --token -");
    assert_eq!(home.units(), Vec::<PathBuf>::new());
    let mut command = home.command(&["service", "install"]);
    Ran::of(command.env("REJOIN_TOKEN", "s3cret").output().unwrap(), &["install"]).expect(0);
    assert!(!fs::read_to_string(&home.units()[0]).unwrap().contains("s3cret"));
    home.run(&["service", "uninstall"]).expect(0);
    home.run(&["init", "--server", ""]).expect(0);
    home.run(&["service", "install"]).expect_error(1, "no server is set");
}

/// The unit as systemd itself reads it: the program lies at a path with everything in it that must be escaped, and at one
/// that systemd itself takes no program at.
#[test]
fn the_unit_is_one_that_systemd_takes() {
    let home = Home::new(RUNS);
    for odd in ["50%h of $PATH, 100%", "50%h \"off\" it's"] {
        let odd = home.env.path(odd);
        fs::create_dir(&odd).unwrap();
        let program = odd.join("rejoin");
        fs::copy(env!("CARGO_BIN_EXE_rejoin"), &program).unwrap();
        let mut command = Command::new(&program);
        command.env_clear().env("HOME", home.env.path("")).env("REJOIN_STORE", &home.store);
        let printed = command.args(["service", "install", "--print"]).output().unwrap();
        assert!(printed.status.success(), "{printed:?}");
        assert_eq!(home.units(), Vec::<PathBuf>::new(), "it was only shown");
        let unit = home.env.path("rejoin-sync.service");
        fs::write(&unit, &printed.stdout).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--user", "--man=no"]).arg(&unit).env("XDG_RUNTIME_DIR", home.env.path(""));
        match verify.output() {
            Ok(said) => {
                let text = String::from_utf8_lossy(&said.stderr).into_owned();
                let about = text.lines().filter(|line| line.contains("rejoin")).collect::<Vec<_>>();
                assert!(said.status.success() && about.is_empty(), "{text}");
            }
            Err(error) => {
                skipped("the unit as systemd reads it", &format!("systemd-analyze is not here ({error})"))
            }
        }
    }
    for system in ["launchd", "windows"] {
        let shown = home.run(&["service", "install", &format!("--print={system}")]).expect(0).stdout;
        assert!(shown.starts_with("<?xml") && shown.contains("--watch"), "{shown}");
    }
}
