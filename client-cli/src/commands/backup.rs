//! `rejoin backup`: write a consistent copy of the whole store, also while it is in use.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};

/// Write a consistent copy of the whole store, also while it is in use
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin backup rejoin-$(date +%F).db
  rejoin --store rejoin-2026-11-21.db ls       a copy is a store")]
pub(crate) struct BackupArgs {
    /// The file to write
    file: PathBuf,
}

pub(crate) async fn run(context: &mut Context, args: BackupArgs) -> Result<Exit> {
    let store = context.open().await?;
    store.backup(&args.file).await.map_err(|error| match error {
        rejoin::Error::Io { path, source } if source.kind() == ErrorKind::AlreadyExists => CliError::failed(
            format!("{} is there already, and was left as it is", path.display()),
            "give another name: a backup never takes the place of another file",
        ),
        error => error.into(),
    })?;
    if context.out.is_json() {
        context.out.json(&json!({ "file": args.file }))?;
    } else {
        context.out.note(format_args!("The store is copied to {}.", args.file.display()));
    }
    Ok(Exit::Done)
}
