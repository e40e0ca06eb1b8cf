//! Settings: the command line, then the environment, then the file that `--config` names, then defaults.
//!
//! An option is declared once, in `args.rs`: with `long`, `global = true`, `env` and a `value_name` it is a line of
//! the file too, in `config` and in the sample.

mod file;
mod option;
mod show;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::{Failure, args::Args};

pub(crate) use show::{print, print_sample};

/// What is in force.
pub(crate) struct Settings {
    pub(crate) args: Args,
    /// For `config`: where each value is from.
    matches: ArgMatches,
    file: Option<(PathBuf, file::Given)>,
}

/// Reads the command line, the environment and the file. `--help`, `--version` and what is typed wrongly end here, as
/// clap does it.
pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Settings, Failure> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = Args::command();
    let mut matches = command.clone().try_get_matches_from(&words).unwrap_or_else(|error| error.exit());
    let mut file = None;
    if let Some(path) = matches.get_one::<PathBuf>(option::CONFIG) {
        let given = file::read(path, &command).map_err(Failure::Usage)?;
        // What the file says takes the place of a default: the command line and the environment go before it.
        for (id, value) in &given {
            // clap holds defaults that last as long as the program: this happens once.
            let texts: Vec<&'static str> =
                value.texts.iter().map(|text| &*Box::leak(text.clone().into_boxed_str())).collect();
            command = command.mut_arg(id, |arg| arg.default_values(texts));
        }
        file = Some((path.clone(), given));
        matches = command.try_get_matches_from(&words).unwrap_or_else(|error| error.exit());
    }
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok(Settings { args, matches, file })
}
