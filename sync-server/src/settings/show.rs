//! `rejoin-server config`: what is in force, and where from.

use std::io::{self, Write};

use clap::{Arg, CommandFactory as _, parser::ValueSource};

use super::{
    Settings,
    option::{self, Kind},
};
use crate::args::Args;

/// A line an option, as a file would have it, with where it is from. No option is a secret; a password in an address
/// is not printed.
pub(crate) fn print(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    if let Some((path, _)) = &settings.file {
        writeln!(out, "# The file is {}.", path.display())?;
    }
    for arg in option::all(&Args::command()) {
        let source = source(settings, arg);
        let key = option::key(arg);
        let raw = settings.matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
        match raw.filter(|raw| raw.len() > 0) {
            Some(raw) => {
                let texts: Vec<String> = raw.map(|text| without_password(&text.to_string_lossy())).collect();
                writeln!(out, "{key} = {}  # {source}", Kind::of(arg).line_of(&texts))?;
            }
            None => writeln!(out, "# {key} is not set")?,
        }
    }
    Ok(())
}

fn source(settings: &Settings, arg: &Arg) -> String {
    match settings.matches.value_source(arg.get_id().as_str()) {
        Some(ValueSource::CommandLine) => format!("option --{}", option::key(arg)),
        Some(ValueSource::EnvVariable) => {
            let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            format!("environment {}", name.unwrap_or_default())
        }
        _ => match &settings.file {
            Some((path, given)) if given.contains_key(arg.get_id().as_str()) => {
                let line = given.get(arg.get_id().as_str()).map_or(0, |value| value.line);
                format!("{}, line {line}", path.display())
            }
            _ => "default".to_owned(),
        },
    }
}

fn without_password(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://…@{rest}"),
        None => text.to_owned(),
    }
}

/// Every option with what it is for and its default: a file to begin with.
pub(crate) fn print_sample(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "# Settings of rejoin-server, for `--config FILE`. An option on the command line goes before its\n\
         # environment variable, that before a line here, and that before the default, which is shown.\n\
         # `rejoin-server config` prints what is in force. Made by `rejoin-server config --sample`."
    )?;
    let command = Args::command();
    let mut heading = None;
    for arg in option::all(&command) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            writeln!(out, "\n## {}", heading.unwrap_or("Options"))?;
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let name = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        writeln!(out, "\n# {help}. {name}")?;
        let defaults = arg.get_default_values().iter().map(|text| text.to_string_lossy().into_owned());
        let defaults: Vec<String> = defaults.collect();
        let kind = Kind::of(arg);
        match kind {
            _ if !defaults.is_empty() => {
                writeln!(out, "#{} = {}", option::key(arg), kind.line_of(&defaults))?
            }
            Kind::List => writeln!(out, "#{} = []", option::key(arg))?,
            Kind::Flag => writeln!(out, "#{} = false", option::key(arg))?,
            _ => writeln!(out, "#{} = \"\"  # not set", option::key(arg))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(without_password("postgres://ada:hush@host/x"), "postgres://…@host/x");
        assert_eq!(without_password("rejoin-server.db"), "rejoin-server.db");
    }

    #[test]
    fn the_sample_that_is_shipped_is_what_the_code_makes() {
        let mut made = Vec::new();
        print_sample(&mut made).unwrap();
        let shipped = include_str!("../../deploy/rejoin-server.toml");
        let made = String::from_utf8(made).unwrap();
        assert!(shipped == made, "rejoin-server config --sample > sync-server/deploy/rejoin-server.toml");
    }
}
