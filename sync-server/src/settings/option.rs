//! What an option takes, as the file and `config` have it.

use clap::{Arg, ArgAction, Command};

/// The option that names the file; it is in no file.
pub(super) const CONFIG: &str = "config";

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Number,
    /// Bytes, or text with a unit.
    Size,
    /// Seconds, or text with a unit.
    Time,
    /// True or false.
    Flag,
    /// Text.
    Text,
    /// Several texts.
    List,
}

impl Kind {
    pub(super) fn of(arg: &Arg) -> Self {
        let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        match (arg.get_action(), name) {
            (ArgAction::SetTrue, _) => Self::Flag,
            (ArgAction::Append, _) => Self::List,
            (_, Some("N")) => Self::Number,
            (_, Some("SIZE")) => Self::Size,
            (_, Some("TIME")) => Self::Time,
            _ => Self::Text,
        }
    }

    /// What a line of the file may hold.
    pub(super) fn allowed(self) -> &'static str {
        match self {
            Self::Number => "a whole number",
            Self::Size => "a number of bytes, or a text like \"16MiB\"",
            Self::Time => "a number of seconds, or a text like \"30s\"",
            Self::Flag => "true or false",
            Self::Text => "a text in quotes",
            Self::List => "texts in quotes, between brackets",
        }
    }

    /// A value as a line of the file has it.
    pub(super) fn line_of(self, texts: &[String]) -> String {
        let first = texts.first().map(String::as_str).unwrap_or_default();
        match self {
            Self::Number | Self::Flag => first.to_owned(),
            Self::Size | Self::Time | Self::Text => quoted(first),
            Self::List => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut line = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => line.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

/// The options that may stand in a file, in the order of `--help`.
pub(super) fn all(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = |arg: &&Arg| arg.is_global_set() && arg.get_long().is_some() && arg.get_id() != CONFIG;
    command.get_arguments().filter(own)
}

/// Its key in the file: the option without its dashes.
pub(super) fn key(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_as_toml_has_it() {
        for text in ["plain", "with \"quotes\" and \\", "a\nb\t\u{1}", "ü"] {
            let line = format!("a = {}", quoted(text));
            let table = toml::de::DeTable::parse(&line).unwrap();
            let (_, value) = table.get_ref().iter().next().unwrap();
            assert_eq!(value.get_ref().as_str(), Some(text));
        }
    }
}
