//! What a shell asks while somebody types: documents, places in them, and changes, from the store as it is. It is read and
//! never made, nothing is written, nothing is said of what goes wrong, and nobody waits for long.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap::{ArgMatches, Command, CommandFactory as _};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate};
use rejoin::{DocumentId, DocumentInfo, HistoryEntry, store::Core};
use serde_json::Value;

use crate::cli::Cli;
use crate::commands::queue::describe;
use crate::format::{moment, printable, shorten};

/// Set by the scripts that `rejoin completions` prints, to the shell's name.
pub(crate) const VARIABLE: &str = "REJOIN_COMPLETE";
/// By which the scripts say which word is asked for.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// How long a person at a shell may be kept waiting.
const PATIENCE: Duration = Duration::from_millis(700);
/// Most candidates: more of them help nobody.
const MOST: usize = 200;
/// Arguments by what they name.
const DOCUMENTS: [&str; 2] = ["doc", "docs"];
const POINTERS: [&str; 1] = ["pointer"];
const QUEUED: [&str; 1] = ["id"];
const CHANGES: [&str; 5] = ["change", "from", "to", "at", "take"];

/// Answers a shell, where one asks. Whether one did.
pub(crate) fn answer() -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    rejoin::untrusted::install_panic_hook();
    let words = typed(std::env::args_os());
    let directory = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(|| command(&words))
        .var(VARIABLE)
        .completer("rejoin")
        .try_complete(std::env::args_os(), directory.as_deref());
    // A shell that is told nothing offers nothing.
    drop(answered);
    true
}

/// The words before the one that is asked for.
fn typed(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = arguments.skip_while(|word| word != "--").skip(1).collect();
    let index = std::env::var(INDEX).ok().and_then(|text| text.parse().ok());
    words.truncate(index.unwrap_or(words.len().saturating_sub(1)));
    words
}

/// The command line, each argument that names something in the store with what there is.
fn command(words: &[OsString]) -> Command {
    let names: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    names.into_iter().fold(Cli::command(), |root, name| {
        root.mut_subcommand(name, |command| {
            let deleted = matches!(command.get_name(), "undelete" | "discard");
            let command =
                with(command, &DOCUMENTS, words, move |asked, current| documents(asked, current, deleted));
            let command = with(command, &POINTERS, words, pointers);
            let command = with(command, &CHANGES, words, changes);
            if command.get_name() == "queue" { with_queued(command, words) } else { command }
        })
    })
}

/// The commands of `queue`, with what waits.
fn with_queued(command: Command, words: &[OsString]) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| {
            let sub = with(sub, &DOCUMENTS, words, |asked: &mut Asked, current: &str| {
                documents(asked, current, false)
            });
            with(sub, &QUEUED, words, queued)
        })
    })
}

type Candidates = Vec<CompletionCandidate>;

/// Gives the arguments of these names a completer. An argument that is touched goes behind all others: so each is.
fn with(
    command: Command,
    names: &[&str],
    words: &[OsString],
    find: impl Fn(&mut Asked, &str) -> Option<Candidates> + Clone + Send + Sync + 'static,
) -> Command {
    let ids: Vec<String> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
    ids.into_iter().fold(command, |command, id| {
        let (words, find) = (words.to_vec(), find.clone());
        let named = names.contains(&id.as_str());
        let completer = ArgValueCompleter::new(move |current: &OsStr| look(&words, current, find.clone()));
        command.mut_arg(id, |argument| if named { argument.add(completer) } else { argument })
    })
}

/// Looks into the store, on a thread that is left behind where it takes too long.
fn look(
    words: &[OsString],
    current: &OsStr,
    find: impl FnOnce(&mut Asked, &str) -> Option<Candidates> + Send + 'static,
) -> Candidates {
    let Some(current) = current.to_str().map(str::to_owned) else { return Vec::new() };
    let words = words.to_vec();
    let (sender, receiver) = mpsc::channel();
    let looking = move || {
        let found = Asked::of(words).and_then(|mut asked| find(&mut asked, &current));
        // Who has gone needs no answer.
        let _ = sender.send(found.unwrap_or_default());
    };
    if std::thread::Builder::new().spawn(looking).is_err() {
        return Vec::new();
    }
    receiver.recv_timeout(PATIENCE).unwrap_or_default()
}

/// The store that was typed, and the document.
struct Asked {
    core: Core,
    doc: Option<String>,
}

impl Asked {
    fn of(words: Vec<OsString>) -> Option<Self> {
        let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
        let store = store_of(&matches)?;
        rejoin::store::check_log(&store).ok()?;
        let core = Core::open_to_read(&store).ok()?;
        let sub = matches.subcommand().map(|(_, sub)| sub);
        let doc = sub.and_then(|sub| sub.try_get_one::<String>("doc").ok().flatten());
        Some(Self { core, doc: doc.cloned() })
    }

    fn document(&mut self) -> Option<DocumentId> {
        let doc = self.doc.as_deref()?;
        self.core.find(doc).ok()
    }
}

fn store_of(matches: &ArgMatches) -> Option<PathBuf> {
    let of = |matches: &ArgMatches| matches.try_get_one::<PathBuf>("store").ok().flatten().cloned();
    let typed = matches.subcommand().and_then(|(_, sub)| of(sub)).or_else(|| of(matches));
    typed.filter(|path| !path.as_os_str().is_empty()).or_else(crate::context::Context::usual_store_path)
}

/// Names; and ids where there is no name that can be typed as it is, or where an id was begun.
fn documents(asked: &mut Asked, current: &str, deleted: bool) -> Option<Candidates> {
    let mut found = Vec::new();
    let mut add = |id: DocumentId, name: Option<&str>, help: String| {
        let (name, id) = (name.filter(|name| is_plain(name)), id.to_string());
        let shown = match name {
            Some(name) if name.starts_with(current) => name.to_owned(),
            Some(_) if current.is_empty() || !id.starts_with(current) => return,
            _ if id.starts_with(current) => id,
            _ => return,
        };
        found.push(CompletionCandidate::new(shown).help(Some(help.into())));
    };
    if deleted {
        let kept = asked.core.list_deleted().ok()?;
        kept.iter().for_each(|d| add(d.id, d.name.as_deref(), "deleted".to_owned()));
    } else {
        let told = |d: &DocumentInfo| crate::format::count(d.changes, "change");
        let documents = asked.core.documents().ok()?;
        documents.iter().for_each(|d| add(d.id, d.name.as_deref(), told(d)));
    }
    found.truncate(MOST);
    Some(found)
}

/// The places one level below what is typed of a pointer.
fn pointers(asked: &mut Asked, current: &str) -> Option<Candidates> {
    let id = asked.document()?;
    let (parent, _) = current.rsplit_once('/').unwrap_or(("", ""));
    let parts: Vec<String> = match asked.core.state(id, parent, None).ok()? {
        Value::Object(map) => map.keys().map(|key| key.replace('~', "~0").replace('/', "~1")).collect(),
        Value::Array(items) => (0..items.len()).map(|nth| nth.to_string()).collect(),
        _ => return None,
    };
    let whole = parts.into_iter().map(|part| format!("{parent}/{part}"));
    let fitting = whole.filter(|pointer| pointer.starts_with(current) && is_plain(pointer));
    Some(fitting.take(MOST).map(CompletionCandidate::new).collect())
}

/// The newest changes; of several that are separated by commas, the last.
fn changes(asked: &mut Asked, current: &str) -> Option<Candidates> {
    let id = asked.document()?;
    let (before, last) = current.rsplit_once(',').map_or(("", current), |(before, last)| (before, last));
    let before = if before.is_empty() { String::new() } else { format!("{before},") };
    let history = asked.core.history(id, Some(MOST)).ok()?;
    let mut found = Vec::new();
    for entry in history.iter().rev() {
        let hash: String = entry.hash.to_string().chars().take(12.max(last.len())).collect();
        if hash.starts_with(last) {
            found.push(CompletionCandidate::new(format!("{before}{hash}")).help(Some(told(entry).into())));
        }
    }
    Some(found)
}

/// The numbers of what waits, with what it is; the starts of hashes where one was begun that is no number.
fn queued(asked: &mut Asked, current: &str) -> Option<Candidates> {
    let mut found = Vec::new();
    for entry in asked.core.queue(None).ok()?.iter().take(MOST) {
        let hash: String = entry.change_hash.to_string().chars().take(12.max(current.len())).collect();
        let (number, help) = (entry.position.to_string(), describe(entry, 60));
        let shown = if number.starts_with(current) { number } else { hash };
        if shown.starts_with(current) {
            found.push(CompletionCandidate::new(shown).help(Some(help.into())));
        }
    }
    Some(found)
}

fn told(entry: &HistoryEntry) -> String {
    let action = entry.action_type.as_deref().unwrap_or("a change");
    let author = entry.author.as_deref().map(|name| format!(" by {name}")).unwrap_or_default();
    let told = format!("{} {action}{author}", moment(entry.made_at));
    shorten(&printable(&told), 60)
}

/// Nothing in it that a shell would take for more than text.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || "/-_.:~@+,=%".contains(c);
    !text.starts_with('-') && !text.starts_with('~') && text.chars().all(harmless)
}
