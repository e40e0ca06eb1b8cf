use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::{Exit, Result};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin completions bash > ~/.local/share/bash-completion/completions/rejoin
  rejoin completions zsh > ~/.zfunc/_rejoin
  rejoin completions fish > ~/.config/fish/completions/rejoin.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(context: &mut Context, args: CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rejoin", &mut script);
    if context.out.is_json() {
        let script = String::from_utf8_lossy(&script);
        context.out.json(&json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        context.out.bytes(&script)?;
    }
    Ok(Exit::Done)
}
