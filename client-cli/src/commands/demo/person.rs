//! One of the two people: a store of their own, and commands that are typed, parsed and run as in a shell.

use std::path::Path;

use clap::Parser as _;
use serde_json::Value;

use crate::cli::{Cli, Globals};
use crate::commands;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::output::{Output, Paint};

/// Who types.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) paint: Paint,
    globals: Globals,
    colour: bool,
    width: u16,
}

/// What a command did.
pub(super) struct Ran {
    pub(super) exit: Exit,
    pub(super) stdout: String,
    pub(super) error: Option<CliError>,
}

impl Person {
    /// With a store in this directory.
    pub(super) fn new(name: &'static str, paint: Paint, dir: &Path, out: &Output) -> Self {
        let store = dir.join(format!("{name}.db"));
        let globals = Globals { store: Some(store), quiet: true, ..Globals::default() };
        // Results stand some columns in.
        Self { name, paint, globals, colour: out.colour(), width: out.width().min(100).saturating_sub(5) }
    }

    /// What the person types, through the code that a shell would reach.
    pub(super) async fn run(&self, words: &[&str]) -> Result<Ran> {
        let typed = [&["rejoin"], words].concat();
        let cli = Cli::try_parse_from(typed).map_err(|e| wrong(words, &e.to_string()))?;
        let server = words.contains(&"--server").then_some(cli.globals.server).flatten();
        // Of what surrounds this process nothing reaches the two: only what they typed and what they saved.
        let globals = Globals { server, json: cli.globals.json, ..self.globals.clone() };
        let (out, kept) = Output::to_memory(globals.json, self.colour, self.width);
        let mut context = Context::new(globals, out);
        let result = Box::pin(commands::run(&mut context, cli.command)).await;
        let (exit, error) = match result {
            Ok(exit) => (exit, None),
            Err(error) => (error.exit(), Some(error)),
        };
        Ok(Ran { exit, stdout: kept.text(), error })
    }

    /// Runs what must succeed, and gives its standard output.
    pub(super) async fn ok(&self, words: &[&str]) -> Result<String> {
        let ran = self.run(words).await?;
        match ran.error {
            Some(error) => {
                Err(error.prefixed(format_args!("{} typed `rejoin {}`", self.name, words.join(" "))))
            }
            None if ran.exit == Exit::Done => Ok(ran.stdout),
            None => Err(wrong(words, &format!("exit code {}", ran.exit.code()))),
        }
    }

    /// Runs what must succeed with `--json`, and gives the value.
    pub(super) async fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.ok(&[words, &["--json"]].concat()).await?;
        serde_json::from_str(&text).map_err(|e| wrong(words, &e.to_string()))
    }
}

fn wrong(words: &[&str], why: &str) -> CliError {
    CliError::failed(format!("`rejoin {}` did not work: {why}", words.join(" ")), "please report it")
}
