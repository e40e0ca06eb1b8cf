//! The system's manager of a person's services: where its files are, and what it is told.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::job::Job;
use super::{launchd, systemd, task};
use crate::error::{CliError, Result};

/// Which manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Manager {
    /// Linux: a user unit
    Systemd,
    /// macOS: a launch agent
    Launchd,
    /// Windows: a scheduled task
    Windows,
}

/// How a service stands.
#[derive(Debug)]
pub(super) struct State {
    pub(super) installed: bool,
    pub(super) running: bool,
    /// In the manager's words.
    pub(super) said: String,
}

impl Manager {
    /// That of this system.
    pub(super) fn here() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Systemd
        }
    }

    /// The service's name in the manager.
    pub(super) fn name(self, job: &Job) -> String {
        match self {
            Self::Systemd => format!("{}.service", job.name),
            Self::Launchd => launchd::label(job),
            Self::Windows => job.name.clone(),
        }
    }

    /// The file that describes the service.
    pub(super) fn file(self, job: &Job) -> Result<PathBuf> {
        let home = directories::BaseDirs::new().ok_or_else(|| {
            CliError::failed("this account has no home directory", "set HOME, and try again")
        })?;
        let name = self.name(job);
        Ok(match self {
            Self::Systemd => home.config_dir().join("systemd/user").join(name),
            Self::Launchd => home.home_dir().join("Library/LaunchAgents").join(format!("{name}.plist")),
            Self::Windows => home.data_local_dir().join("rejoin").join(format!("{name}.xml")),
        })
    }

    /// What is in that file, as text.
    pub(super) fn text(self, job: &Job) -> String {
        match self {
            Self::Systemd => systemd::unit(job),
            Self::Launchd => launchd::plist(job),
            Self::Windows => task::task(job),
        }
    }

    /// What is in that file.
    pub(super) fn bytes(self, job: &Job) -> Vec<u8> {
        match self {
            Self::Windows => task::bytes(job),
            _ => self.text(job).into_bytes(),
        }
    }

    /// Has the manager read the file and run the service; `again` where one was there.
    pub(super) fn start(self, job: &Job, again: bool) -> Result<()> {
        let (name, file) = (self.name(job), self.file(job)?.display().to_string());
        match self {
            Self::Systemd => {
                tell("systemctl", &["--user", "daemon-reload"])?;
                tell("systemctl", &["--user", "enable", "--now", &name])?;
                if again {
                    tell("systemctl", &["--user", "restart", &name])?;
                }
                Ok(())
            }
            Self::Launchd => {
                if again {
                    tell("launchctl", &["unload", &file])?;
                }
                tell("launchctl", &["load", "-w", &file])
            }
            Self::Windows => {
                tell("schtasks", &["/Create", "/F", "/TN", &name, "/XML", &file])?;
                tell("schtasks", &["/Run", "/TN", &name])
            }
        }
    }

    /// Stops the service, now and for later.
    pub(super) fn stop(self, job: &Job) -> Result<()> {
        let (name, file) = (self.name(job), self.file(job)?.display().to_string());
        match self {
            Self::Systemd => tell("systemctl", &["--user", "disable", "--now", &name]),
            Self::Launchd => tell("launchctl", &["unload", "-w", &file]),
            Self::Windows => {
                tell("schtasks", &["/End", "/TN", &name])?;
                tell("schtasks", &["/Delete", "/F", "/TN", &name])
            }
        }
    }

    /// Has the manager forget a service whose file is gone. It does so by itself later.
    pub(super) fn forget(self, _job: &Job) {
        if self == Self::Systemd
            && let Err(error) = tell("systemctl", &["--user", "daemon-reload"])
        {
            tracing::info!("{error}");
        }
    }

    /// How the service stands.
    pub(super) fn state(self, job: &Job) -> Result<State> {
        let installed = self.file(job)?.exists();
        if !installed {
            return Ok(State { installed, running: false, said: "not installed".to_owned() });
        }
        let name = self.name(job);
        let asked = match self {
            Self::Systemd => {
                ask("systemctl", &["--user", "show", &name, "-p", "ActiveState", "-p", "SubState"])
            }
            Self::Launchd => ask("launchctl", &["list", &name]),
            Self::Windows => ask("schtasks", &["/Query", "/TN", &name, "/FO", "LIST"]),
        };
        let (running, said) = match asked {
            Ok(text) => self.read_state(&text),
            Err(_) => (false, "installed, and its manager does not answer".to_owned()),
        };
        Ok(State { installed, running, said })
    }

    fn read_state(self, text: &str) -> (bool, String) {
        let value = |key: &str| {
            text.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::trim).unwrap_or_default()
        };
        match self {
            Self::Systemd => {
                let (active, sub) = (value("ActiveState="), value("SubState="));
                (active == "active", format!("{active} ({sub})"))
            }
            Self::Launchd => {
                let running = text.contains("\"PID\" =");
                (running, if running { "running" } else { "not running" }.to_owned())
            }
            Self::Windows => {
                let status = value("Status:");
                (status == "Running", status.to_lowercase())
            }
        }
    }

    /// What tells why a service does not run.
    pub(super) fn log_command(self, job: &Job) -> String {
        match self {
            Self::Systemd => format!("journalctl --user -u {}", self.name(job)),
            Self::Launchd => format!("launchctl list {}", self.name(job)),
            Self::Windows => format!("schtasks /Query /V /TN {}", self.name(job)),
        }
    }

    /// What a person may want to know who installed one.
    pub(super) fn advice(self) -> Option<&'static str> {
        (self == Self::Systemd)
            .then_some("It ends when you log out, unless `loginctl enable-linger` lets your services go on.")
    }
}

fn tell(program: &str, words: &[&str]) -> Result<()> {
    ask(program, words).map(drop)
}

/// Runs a command of the manager's, and gives what it printed.
fn ask(program: &str, words: &[&str]) -> Result<String> {
    let ran = Command::new(program).args(words).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = ran.map_err(|source| {
        let error = CliError::io(format!("{program} could not be started"), source);
        error
            .with_hint("this system has another manager of services: have that one run `rejoin sync --watch`")
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&stderr);
    let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gave no reason");
    let what = format!("`{program} {}` failed: {said}", words.join(" "));
    Err(CliError::failed(what, hint(program, said)))
}

/// What to do where the manager cannot be spoken to, and else.
fn hint(program: &str, said: &str) -> &'static str {
    let nobody = [
        "connect to bus",
        "connect to user scope bus",
        "No medium found",
        "XDG_RUNTIME_DIR",
        "not been booted",
    ];
    match program {
        "systemctl" if nobody.iter().any(|part| said.contains(part)) => {
            "nothing was changed; this session has no systemd user manager: log in as yourself (not by su or sudo), or run \
             `loginctl enable-linger` once and set XDG_RUNTIME_DIR=/run/user/$(id -u)"
        }
        _ => "nothing was changed; see what it says, and try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_managers_words_are_read() {
        let read = |manager: Manager, text: &str| manager.read_state(text);
        let running = (true, "active (running)".to_owned());
        assert_eq!(read(Manager::Systemd, "ActiveState=active\nSubState=running\n"), running);
        assert!(!read(Manager::Systemd, "ActiveState=failed\nSubState=failed\n").0);
        assert!(read(Manager::Launchd, "{\n\t\"PID\" = 71;\n};").0);
        assert!(!read(Manager::Launchd, "{\n\t\"LastExitStatus\" = 256;\n};").0);
        assert_eq!(
            read(Manager::Windows, "TaskName: \\x\r\nStatus:   Running\r\n"),
            (true, "running".to_owned())
        );
    }

    #[test]
    fn a_session_without_a_user_manager_is_told_what_to_do() {
        for said in [
            "Failed to connect to bus: No medium found",
            "Failed to connect to user scope bus via local transport",
        ] {
            assert!(hint("systemctl", said).contains("log in as yourself"), "{said}");
        }
        assert!(!hint("systemctl", "Unit x.service is masked.").contains("log in"));
    }
}
