//! What can be typed: the options for every command, and the list of commands.

use std::path::{Path, PathBuf};

use clap::builder::{FalseyValueParser, OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::*;

const EXAMPLES: &str = "\
Begin here:
  rejoin demo                                  two people, then one truth

A day with it:
  rejoin init --server http://127.0.0.1:4810 --author Ada
  rejoin new --name trip                       a document; prints its id
  rejoin insert trip /list/- '\"tent\"'          works offline, durable at once
  rejoin queue                                 what waits for the server
  rejoin sync                                  push and pull

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 server not reached (the queue is
kept), 4 credentials refused, 5 something needs a person (see `rejoin status`).";

/// Work apart, rejoin without conflict: documents that are edited offline and merge when the server is back.
#[derive(Debug, Parser)]
#[command(name = "rejoin", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// None: what a newcomer needs, and where the store stands.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that every command takes, before its name or after it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The store's file [default: rejoin.db in the platform's data directory]
    #[arg(long, global = true, value_name = "PATH", env = "REJOIN_STORE", hide_env_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) store: Option<PathBuf>,
    /// The sync server's address [default: what `init` saved]
    #[arg(long, global = true, value_name = "URL", env = "REJOIN_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The server's token [default: what `init --token -` saved]; others on this machine can see options,
    /// so prefer the variable or the saved one
    #[arg(long, global = true, value_name = "T", env = "REJOIN_TOKEN", hide_env_values = true)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) token: Option<String>,
    /// Trust these certificates too, PEM: for a server whose own are not signed by a public authority
    /// [default: what `init` saved]
    #[arg(long, global = true, value_name = "FILE", env = "REJOIN_CA_CERT", hide_env_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Speak plain HTTP also to other machines [default: what `init` saved]; whoever is on the way can read the token
    /// and the documents
    #[arg(long, global = true, env = "REJOIN_ALLOW_HTTP", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) allow_http: bool,
    /// Print JSON, and nothing else, on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show times in UTC, not in this machine's time zone (JSON has UTC always)
    #[arg(long, global = true)]
    pub(crate) utc: bool,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log to standard error; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Globals {
    /// An empty value is none: `REJOIN_SERVER= rejoin …` asks for what was saved.
    pub(crate) fn server(&self) -> Option<&str> {
        self.server.as_deref().filter(|s| !s.is_empty())
    }

    /// See [`Self::server`].
    pub(crate) fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// See [`Self::server`].
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|t| !t.is_empty())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Init(init::InitArgs),
    New(new::NewArgs),
    Share(share::ShareArgs),
    Join(join::JoinArgs),
    Ls(ls::LsArgs),
    Undelete(trash::UndeleteArgs),
    Discard(trash::DiscardArgs),
    Leave(leave::LeaveArgs),
    Rename(rename::RenameArgs),
    Rm(rm::RmArgs),
    Get(get::GetArgs),
    Set(actions::SetArgs),
    Delete(actions::DeleteArgs),
    Increment(actions::IncrementArgs),
    Insert(actions::InsertArgs),
    Text(actions::TextArgs),
    Edit(edit::EditArgs),
    Append(append::AppendArgs),
    Replace(replace::ReplaceArgs),
    Apply(apply::ApplyArgs),
    Sync(sync::SyncArgs),
    Status(status::StatusArgs),
    Queue(queue::QueueArgs),
    Quarantine(quarantine::QuarantineArgs),
    Effects(effects::EffectsArgs),
    Log(log::LogArgs),
    Show(show::ShowArgs),
    Watch(watch::WatchArgs),
    Diff(diff::DiffArgs),
    Undo(undo::UndoArgs),
    Redo(undo::RedoArgs),
    Revert(revert::RevertArgs),
    Reset(reset::ResetArgs),
    Blame(blame::BlameArgs),
    Conflicts(conflicts::ConflictsArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Doctor(doctor::DoctorArgs),
    Service(service::ServiceArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Whether it begins with the store as it is.
    pub(crate) fn reads_store(&self) -> bool {
        let not = matches!(self, Self::Demo(_) | Self::Restore(_) | Self::Doctor(_));
        !not && !matches!(self, Self::Completions(_) | Self::Man(_))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["rejoin"], words].concat())
    }

    #[test]
    fn no_argument_of_a_command_hides_a_global_option() {
        let root = Cli::command();
        let globals: Vec<_> = root.get_arguments().map(clap::Arg::get_id).collect();
        for command in root.get_subcommands() {
            let hidden = command.get_arguments().find(|a| globals.contains(&a.get_id()));
            assert_eq!(hidden, None, "{}", command.get_name());
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for words in [
            ["--json", "--store", "a", "get", "d", "/a"],
            ["get", "--json", "d", "--store", "a", "/a"],
            ["get", "d", "/a", "--store", "a", "--json"],
        ] {
            let cli = parse(&words).unwrap();
            assert!(cli.globals.json, "{words:?}");
            assert_eq!(cli.globals.store.as_deref(), Some("a".as_ref()), "{words:?}");
        }
        for words in [["increment", "d", "/n", "-3", "--json"], ["set", "d", "/n", "-3", "--json"]] {
            assert!(parse(&words).unwrap().globals.json, "{words:?}");
        }
        assert!(parse(&["text", "d", "/t", "0", "0", "-- hello", "--json"]).unwrap().globals.json);
    }

    #[test]
    fn negative_numbers_and_texts_that_begin_with_a_hyphen_are_values() {
        for (words, value) in [
            (&["set", "d", "/a", "-5"][..], "\"-5\""),
            (&["set", "d", "/a", "--string", "-x"], "\"-x\""),
            (&["set", "d", "/a", "--string", "--json"], "\"--json\""),
            (&["set", "d", "/a", "--string=-q"], "\"-q\""),
            (&["insert", "d", "/a/-", "-1.5"], "\"-1.5\""),
            (&["insert", "d", "/a/-", "--string", "- tent"], "\"- tent\""),
            (&["increment", "d", "/n", "-3"], "by: -3"),
            (&["text", "d", "/t", "0", "0", "-- hello"], "\"-- hello\""),
            (&["text", "d", "/t", "0", "0", "-hello"], "\"-hello\""),
            (&["text", "d", "/t", "0", "0", "--", "-q"], "\"-q\""),
            (&["text", "d", "/t", "0", "0", "-"], "\"-\""),
            (&["apply", "d", "-", "--ack"], "\"-\""),
            (&["new", "--name=-x"], "\"-x\""),
            (&["new", "--name", "-x"], "\"-x\""),
        ] {
            let cli = parse(words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
            let shown = format!("{:?}", cli.command);
            assert!(shown.contains(value), "{words:?}: {shown}");
        }
    }

    #[test]
    fn a_negative_number_where_none_can_be_is_a_wrong_value_and_no_unknown_option() {
        for words in
            [&["text", "d", "/t", "-1", "0"][..], &["text", "d", "/t", "0", "-1"], &["log", "d", "-n", "-1"]]
        {
            let error = parse(words).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation, "{words:?}: {error}");
            assert!(error.to_string().contains("'-1'"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        for words in [
            &["fly"][..],
            &["get"],
            &["get", "d", "no-slash"],
            &["set", "d", "/a"],
            &["set", "d", "/a", "1", "--string", "x"],
            &["set", "d", "/a~2", "1"],
            &["text", "d", "/t", "-1", "0"],
            &["increment", "d", "/n", "99999999999999999999"],
            &["apply", "d", "--batch", "0"],
            &["new", "--id", "7"],
            &["completions", "cmd"],
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }

    /// Issue 10, 12: `<JSON|--string <TEXT>>` stood before the document.
    #[test]
    fn usage_lines_show_arguments_in_the_order_in_which_they_are_typed() {
        for command in Cli::command().get_subcommands_mut() {
            let usage = command.render_usage().to_string();
            let shown: Vec<usize> = command
                .get_positionals()
                .map(|argument| {
                    let name = argument.get_value_names().map_or("", |names| names[0].as_str());
                    let places = ["<", "["].iter().flat_map(|open| usage.find(&format!("{open}{name}")));
                    places.min().unwrap_or_else(|| panic!("no {name} in {usage}"))
                })
                .collect();
            assert!(shown.is_sorted(), "{usage}");
        }
    }

    /// Every command, and those of `queue` and the like.
    fn each_command(command: &clap::Command, each: &mut dyn FnMut(&clap::Command)) {
        each(command);
        command.get_subcommands().for_each(|sub| each_command(sub, each));
    }

    #[test]
    fn every_command_has_examples() {
        let root = Cli::command();
        let all = root.get_subcommands().chain(root.get_subcommands().flat_map(|sub| sub.get_subcommands()));
        for command in all.filter(|command| command.get_name() != "help") {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn examples_are_not_broken_on_a_terminal_of_80_columns() {
        each_command(&Cli::command(), &mut |command| {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in examples.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        });
    }
}
