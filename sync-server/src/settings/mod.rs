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
    let mut command = fitting(Args::command(), &words);
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

/// What a command that serves nobody has to do with: where the database is, and how it says what happens.
const OF_ALL: [&str; 3] = ["database", "config", "log"];

/// The command line with no more in its help than the command has to do with: the options of a server are a server's.
fn fitting(command: clap::Command, words: &[OsString]) -> clap::Command {
    let names = words.iter().skip(1).filter(|word| *word != "help");
    let serves = match names.filter_map(|word| command.find_subcommand(word)).next() {
        Some(named) => matches!(named.get_name(), "serve" | "config"),
        None => true,
    };
    if serves {
        return command;
    }
    command.mut_args(|arg| if OF_ALL.contains(&arg.get_id().as_str()) { arg } else { arg.hide(true) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(words: &[&str]) -> String {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let told = fitting(Args::command(), &words).try_get_matches_from(&words).unwrap_err();
        told.render().to_string()
    }

    #[test]
    fn the_help_of_a_command_that_serves_nobody_has_no_options_of_a_server() {
        for words in [
            &["rejoin-server", "token", "--help"][..],
            &["rejoin-server", "token", "create", "--help"],
            &["rejoin-server", "help", "token"],
            &["rejoin-server", "--database", "a.db", "doctor", "--help"],
        ] {
            let text = help(words);
            assert!(text.contains("--database"), "{words:?}: {text}");
            assert!(!text.contains("--listen") && !text.contains("--tls-cert"), "{words:?}: {text}");
        }
        for words in [&["rejoin-server", "--help"][..], &["rejoin-server", "serve", "--help"]] {
            assert!(help(words).contains("--listen"), "{words:?}");
        }
    }
}
