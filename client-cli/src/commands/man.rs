//! `rejoin man`: write the manual pages, one for each command, from the same texts as --help.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use serde_json::json;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};

/// Write the manual pages, one for each command, from the same texts as --help
///
/// For those who make packages. Without a directory the first page is printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin man | man -l -
  rejoin man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The directory to write them to; made when missing
    dir: Option<PathBuf>,
}

pub(crate) fn run(context: &mut Context, args: ManArgs) -> Result<Exit> {
    let command = Cli::command();
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(CliError::stdout)?;
        if context.out.is_json() {
            context.out.json(&json!({ "page": String::from_utf8_lossy(&page) }))?;
        } else {
            context.out.bytes(&page)?;
        }
        return Ok(Exit::Done);
    };
    let unwritten = |e| CliError::io(format!("the pages could not be written to {}", dir.display()), e);
    std::fs::create_dir_all(&dir).map_err(unwritten)?;
    clap_mangen::generate_to(command, &dir).map_err(unwritten)?;
    if context.out.is_json() {
        context.out.json(&json!({ "directory": dir }))?;
    } else {
        context.out.note(format_args!("The manual pages are in {}.", dir.display()));
    }
    Ok(Exit::Done)
}
