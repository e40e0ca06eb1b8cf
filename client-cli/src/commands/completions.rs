//! `rejoin completions`: print the completions for a shell.

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;
use serde_json::json;

use crate::complete::VARIABLE;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};

/// Print the completions for a shell
///
/// They complete commands and options, and what is in the store: documents, places in them, changes. For that the shell
/// asks `rejoin` while you type; it only reads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(rejoin completions bash)            in ~/.bashrc
  source <(rejoin completions zsh)             in ~/.zshrc, after compinit
  rejoin completions fish > ~/.config/fish/completions/rejoin.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(context: &mut Context, args: CompletionsArgs) -> Result<Exit> {
    let shell = args.shell.to_string();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).ok_or_else(|| {
        CliError::usage(
            format!("there are no completions for {shell}"),
            "name bash, zsh, fish, elvish or powershell",
        )
    })?;
    completer
        .write_registration(VARIABLE, "rejoin", "rejoin", "rejoin", &mut script)
        .map_err(CliError::stdout)?;
    if context.out.is_json() {
        let script = String::from_utf8_lossy(&script);
        context.out.json(&json!({ "shell": shell, "script": script }))?;
    } else {
        context.out.bytes(&script)?;
    }
    Ok(Exit::Done)
}
