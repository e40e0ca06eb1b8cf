//! The file of settings: TOML, one line an option.

use std::{collections::BTreeMap, io::Read as _, ops::Range, path::Path};

use clap::{Arg, Command};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::option::{self, Kind};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What the file says of each option that it names, by the option's id.
pub(super) type Given = BTreeMap<String, Value>;

/// One line.
#[derive(Debug)]
pub(super) struct Value {
    /// As the command line would have it.
    pub(super) texts: Vec<String>,
    /// From 1.
    pub(super) line: usize,
}

/// Reads the file. An unknown key and a value that is not allowed are errors.
///
/// # Errors
/// Two sentences that name file, line and key.
pub(super) fn read(path: &Path, command: &Command) -> Result<Given, String> {
    let unread = |why: &dyn std::fmt::Display| {
        format!(
            "The settings in {} could not be read: {why}. Name another file with --config.",
            path.display()
        )
    };
    let file = std::fs::File::open(path).map_err(|error| unread(&error))?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| unread(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(unread(&"it is larger than 1 MiB"));
    }
    parse(&text, command).map_err(|(line, why)| format!("{}, line {line}: {why}", path.display()))
}

/// A line, and two sentences.
type Wrong = (usize, String);

fn parse(text: &str, command: &Command) -> Result<Given, Wrong> {
    let line_of = |span: Range<usize>| {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        before.matches('\n').count() + 1
    };
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, line_of);
        (line, format!("{}. A line is a key, `=` and a value, as TOML has it.", sentence(error.message())))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // What stands first is told first.
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut given = Given::new();
    for (key, value) in entries {
        let line = line_of(key.span());
        let name = key.get_ref().as_ref();
        let arg = option::all(command).find(|arg| option::key(arg) == name);
        let arg = arg.ok_or_else(|| (line, unknown(name, command)))?;
        let texts = texts_of(arg, value).map_err(|why| (line, why))?;
        given.insert(arg.get_id().to_string(), Value { texts, line });
    }
    Ok(given)
}

fn sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn unknown(name: &str, command: &Command) -> String {
    let keys: Vec<&str> = option::all(command).map(option::key).collect();
    let meant = name.replace('_', "-").to_ascii_lowercase();
    if keys.contains(&meant.as_str()) {
        return format!("There is no option `{name}`. Write `{meant}`.");
    }
    format!("There is no option `{name}`. There are {}.", keys.join(", "))
}

/// The value as the command line would have it, checked as the command line checks it.
fn texts_of(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    let (key, kind) = (option::key(arg), Kind::of(arg));
    let wrong = |why: &str| format!("`{key}` {why}. It takes {}.", kind.allowed());
    let of_kind = |value: &DeValue<'_>| -> Option<String> {
        match (kind, value) {
            (Kind::Number | Kind::Size | Kind::Time, DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix()).ok().map(|number| number.to_string())
            }
            (Kind::Size | Kind::Time | Kind::Text | Kind::List, DeValue::String(text)) => {
                Some(text.to_string())
            }
            (Kind::Flag, DeValue::Boolean(flag)) => Some(flag.to_string()),
            _ => None,
        }
    };
    let not_this = |value: &DeValue<'_>| wrong(&format!("is not taken as {}", name_of(value)));
    let texts: Vec<String> = match value.get_ref() {
        DeValue::Array(values) if kind == Kind::List => {
            let texts =
                values.iter().map(|value| of_kind(value.get_ref()).ok_or_else(|| not_this(value.get_ref())));
            texts.collect::<Result<_, _>>()?
        }
        one if kind == Kind::List => return Err(not_this(one)),
        one => vec![of_kind(one).ok_or_else(|| not_this(one))?],
    };
    for text in texts.iter().filter(|_| kind != Kind::Flag) {
        check(arg, text).map_err(|why| wrong(&format!("is not {text:?}: {}", sentence(&why))))?;
    }
    Ok(texts)
}

/// What a person calls it.
fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Lets the option itself read the text, as it would on the command line.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    let alone = Command::new("file").no_binary_name(true).arg(arg.clone().global(false));
    let typed = format!("--{}={text}", option::key(arg));
    let Err(error) = alone.try_get_matches_from([typed]) else { return Ok(()) };
    let why = std::error::Error::source(&error).map(ToString::to_string);
    let words: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("{:?}", value.get_name())).collect();
    Err(why.unwrap_or_else(|| format!("it is one of {}", words.join(", "))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    fn wrong(text: &str) -> (usize, String) {
        parse(text, &Args::command()).unwrap_err()
    }

    #[test]
    fn a_line_is_taken_as_the_command_line_takes_it() {
        let text = "# mine\nlisten = \"[::1]:80\"\nbody-bytes = 1_024\npage-bytes = \"2MiB\"\nreaders = 0x10\n\
                    header-timeout = 5\ncors-origin = [\"https://a.example\", \"https://b.example\"]\n";
        let given = parse(text, &Args::command()).unwrap();
        let texts = |id: &str| given[id].texts.clone();
        assert_eq!((texts("listen"), given["listen"].line), (vec!["[::1]:80".to_owned()], 2));
        assert_eq!(texts("body_bytes"), ["1024"]);
        assert_eq!(texts("page_bytes"), ["2MiB"]);
        assert_eq!(texts("readers"), ["16"]);
        assert_eq!(texts("header_timeout"), ["5"]);
        assert_eq!(texts("cors_origin"), ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_key_and_what_is_allowed() {
        for (text, line, says) in [
            ("\nlistn = 1", 2, &["`listn`", "listen, database"][..]),
            ("body_bytes = 1", 1, &["Write `body-bytes`"]),
            ("[limits]\nbody-bytes = 1", 1, &["`limits`"]),
            ("config = \"x\"", 1, &["`config`"]),
            ("readers = \"4\"", 1, &["`readers`", "a text", "a whole number"]),
            ("readers = -1", 1, &["`readers`", "\"-1\""]),
            ("readers = 4.5", 1, &["a fraction"]),
            ("listen = 80", 1, &["`listen`", "a text in quotes"]),
            ("\n\nbody-bytes = \"lots\"", 3, &["`body-bytes`", "\"lots\"", "KiB"]),
            ("header-timeout = true", 1, &["`header-timeout`", "\"30s\""]),
            ("cors-origin = \"https://a\"", 1, &["between brackets"]),
            ("cors-origin = [1]", 1, &["`cors-origin`", "a whole number"]),
            ("readers = 1\nreaders = 2", 2, &["duplicate key"]),
            ("readers =", 1, &["TOML"]),
            ("log-format = \"xml\"", 1, &["`log-format`", "\"text\", \"json\""]),
        ] {
            let (found, why) = wrong(text);
            assert_eq!(found, line, "{text}: {why}");
            for part in says {
                assert!(why.contains(part), "{text}: {why}");
            }
        }
    }
}
