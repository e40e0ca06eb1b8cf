//! Field notes: a notebook for the terminal that works without a connection, and is shared when there is one.
//!
//! `cargo run --release -p rejoin --example field_notes -- --author ada`
//!
//! A person types; `keys` says what that means; `update`, which is pure, changes the app's state and asks for
//! commands; `device` carries them out on the store and tells what happened, there and at the server; `view` draws the
//! state. With `--script`, or where standard output is no terminal, two people play a short session instead.

mod clock;
mod device;
mod editor;
mod keys;
mod script;
mod session;
mod slices;
mod splice;
mod state;
mod terminal;
mod update;
mod view;
mod wrap;

use std::{error::Error, io::IsTerminal, process::ExitCode, time::Duration};

use device::Options;

const USAGE: &str = "\
Usage: field_notes [--store FILE] [--server URL] [--join UUID] [--author NAME]
       field_notes --script

  --store FILE   where the notes are kept (field-notes.db)
  --server URL   a sync server to share them through, such as http://127.0.0.1:4810; it is remembered
  --join UUID    take part in somebody's notebook: their help (?) shows this line
  --author NAME  the name that your notes bear; it is remembered
  --script       play a short session of two people without a terminal";

enum Asked {
    Run(Options),
    Script,
    Help,
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut arguments = arguments;
    let mut options = Options {
        store: "field-notes.db".into(),
        server: None,
        join: None,
        author: None,
        poll: Duration::from_secs(2),
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--store" => options.store = value()?.into(),
            "--server" => options.server = Some(value()?),
            "--author" => options.author = Some(value()?),
            "--join" => {
                let id = value()?;
                options.join = Some(id.parse().map_err(|_| format!("{id:?} is no notebook's UUID"))?);
            }
            "--script" => return Ok(Asked::Script),
            "--help" | "-h" => return Ok(Asked::Help),
            _ => return Err(format!("{name:?} is no option")),
        }
    }
    Ok(Asked::Run(options))
}

async fn start(asked: Asked) -> Result<(), Box<dyn Error>> {
    match asked {
        Asked::Help => println!("{USAGE}"),
        Asked::Run(options) if std::io::stdout().is_terminal() => terminal::run(&options).await?,
        Asked::Run(_) | Asked::Script => script::play().await?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match start(asked).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
