//! The one error of the command line: what happened, what to do, and the exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// How a command ended, as its exit code tells (README.md: Exit codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Usage,
    Unreachable,
    Unauthorized,
    NeedsPerson,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Unauthorized => 4,
            Self::NeedsPerson => 5,
        }
    }

    /// Where several hold, 4 before 3 before 5 before 1.
    pub(crate) fn and(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NeedsPerson => 2,
            Self::Unreachable => 3,
            Self::Unauthorized => 4,
            Self::Usage => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    what: String,
    hint: String,
    /// The reader of our output is gone: nobody is there to be told.
    silent: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A result of the command line.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    fn new(exit: Exit, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: hint.into(), silent: false, source: None }
    }

    /// What the engine says, and what to do about it.
    pub(crate) fn of(error: &rejoin::Error) -> Self {
        Self::new(exit_of(error), error.to_string(), hint_of(error))
    }

    /// It was asked for wrongly: exit 2.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, hint)
    }

    /// It was asked for rightly and did not work: exit 1.
    pub(crate) fn failed(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what, hint)
    }

    /// A file or stream failed; `what` is a clause without a full stop.
    pub(crate) fn io(what: impl fmt::Display, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "check who may read and write there",
            io::ErrorKind::StorageFull => "make room on the disk and try again",
            _ => "check the file and its disk, and try again",
        };
        let mut error = Self::failed(format!("{what}: {source}"), hint);
        error.source = Some(Box::new(source));
        error
    }

    /// Standard output could not be written to.
    pub(crate) fn stdout(source: io::Error) -> Self {
        let silent = source.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::io("standard output could not be written", source) }
    }

    /// The same, after something else that is to be told first.
    pub(crate) fn prefixed(mut self, prefix: impl fmt::Display) -> Self {
        self.what = format!("{prefix}: {}", self.what);
        self
    }

    /// The same, with an exit code that goes before its own.
    pub(crate) fn at_least(mut self, exit: Exit) -> Self {
        self.exit = self.exit.and(exit);
        self
    }

    /// The same, with another way out.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, with no more than the beginning of what was wrong: it repeats a part of a file.
    pub(crate) fn shortened(mut self) -> Self {
        self.what = crate::format::shorten(&self.what, 300);
        self
    }

    /// What happened, as a clause.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The exit code. A reader that had enough (`rejoin log trip | head`) is no failure.
    pub(crate) fn exit(&self) -> Exit {
        if self.silent { Exit::Done } else { self.exit }
    }

    /// One sentence of what happened and one of what to do, on standard error.
    pub(crate) fn report(&self, colour: bool) {
        if self.silent {
            return;
        }
        let (red, cyan, plain) = if colour { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        // When standard error is gone too there is nobody left to tell.
        let _ = writeln!(
            io::stderr().lock(),
            "{red}error:{plain} {}\n {cyan}hint:{plain} {}",
            sentence(&self.what),
            sentence(&self.hint)
        );
        let mut cause = self.source.as_deref().and_then(StdError::source);
        while let Some(error) = cause {
            tracing::info!("because: {error}");
            cause = error.source();
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", capitals(&sentence(&self.what)), capitals(&sentence(&self.hint)))
    }
}

impl StdError for CliError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}

/// The sentences as a remark that stands by itself has them: each begins with a capital letter, but for what begins with
/// an address, a place or a command.
fn capitals(what: &str) -> String {
    let mut letters = what.chars();
    match letters.next() {
        Some(first) if !what.split(' ').next().is_some_and(|word| word.contains(['/', ':', '`'])) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => what.to_owned(),
    }
}

/// The clause as one line that ends with a full stop, with nothing in it that moves a terminal.
fn sentence(clause: &str) -> String {
    let mut text = crate::format::printable(clause.trim());
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

impl From<rejoin::Error> for CliError {
    fn from(error: rejoin::Error) -> Self {
        let mut cli = Self::of(&error);
        cli.source = Some(Box::new(error));
        cli
    }
}

fn exit_of(error: &rejoin::Error) -> Exit {
    use rejoin::ErrorKind as K;
    match (error, error.kind()) {
        (rejoin::Error::Unreachable(_), _) => Exit::Unreachable,
        (_, K::Usage) => Exit::Usage,
        (_, K::Unauthorized) => Exit::Unauthorized,
        _ => Exit::Failed,
    }
}

/// What to do about each error of the engine, in one place.
fn hint_of(error: &rejoin::Error) -> &'static str {
    use rejoin::Error as E;
    match error {
        E::UnknownDocument(_) => {
            "`rejoin ls` lists the documents here; `rejoin join` takes part in another's"
        }
        E::AmbiguousDocument(_) => "type more of the id; `rejoin ls` lists them",
        E::InvalidName { .. } => "choose another name, a word such as trip",
        E::DocumentExists(_) => "choose another name or id; `rejoin ls` lists those that are taken",
        E::Deleted(_) => "it cannot come back, and nothing of it is kept here",
        E::Trashed(_) => {
            "`rejoin ls --deleted` shows what is kept; `rejoin undelete` makes a new document of it, `rejoin export` \
             writes it to a file, `rejoin discard` forgets it"
        }
        E::Action(rejoin::reducer::ActionError::OutOfRange { .. }) => {
            "nothing was changed; whole numbers go from -2^63 to 2^63-1, a counter's sum too: `rejoin increment` with a negative \
             number counts back, `rejoin set` begins a new counter"
        }
        E::Action(_) => "nothing was changed; `rejoin get` shows what is there",
        E::AmbiguousChange(_) => "type more of its hash; `rejoin log --json` has them whole",
        E::ShortHash(_) => "type more of its hash; `rejoin log` shows the first 12 digits",
        E::UnknownChange(_) => "`rejoin log` lists the changes of the document",
        E::NotOwn(_) => "its author can undo it there; or change the document again",
        E::NoConflict(_) => "`rejoin conflicts` lists the places where writes met, and their values",
        E::UnknownQueueRow(_) => {
            "`rejoin queue` lists what waits: use its number, or the start of its change's hash"
        }
        E::AlreadySent(_) => "change the document again instead: the change is everybody's by now",
        E::UnknownEffect(_) => "`rejoin effects ls --all` lists them: use its number, or the start of its id",
        E::EffectSettled { .. } => "nothing was changed; `rejoin effects show` tells more",
        E::InvalidEffect(_) => "nothing was changed; it is the app that asks for effects",
        E::Refused(refusal) => hint_of_refusal(refusal.code),
        E::Library(_) => {
            "`rejoin sync` leaves out what the library cannot take, then try again; if it stays so `rejoin export` and \
             `rejoin import` make a new document of it"
        }
        E::NotAStore { .. } => "it was left alone; give another file with --store",
        E::NewerSchema { .. } => {
            "it was left alone; use the newer release of rejoin, or another file with --store"
        }
        E::ReadOnly => {
            "nothing was changed; check who may write to its file and its directory, or work on a copy: `rejoin backup FILE`, \
             then --store FILE"
        }
        E::ForeignLog { .. } => {
            "nothing was touched; it was left by the file that stood here before: `rejoin doctor` says what to do"
        }
        E::BadBackup { .. } => "nothing was changed; give a file that `rejoin backup` wrote",
        E::InUse { .. } => {
            "nothing was changed; stop the other one (`rejoin sync --watch`, the service, an app), and try again"
        }
        E::Corrupt(_) => {
            "`rejoin doctor` tells what can be saved; `rejoin export --salvage DOC FILE` writes what can still be read of a \
             document"
        }
        E::Import(_) => "give an Automerge file or a JSON file",
        E::DiskFull => "nothing was changed; make room on the disk and try again",
        E::Storage(_) => "try again, and if it stays so ask `rejoin doctor`",
        E::Io { .. } => "check the path, who may read and write it, and its disk",
        E::Closed => "try again",
        E::NoServer => "name one with --server URL, or save one with `rejoin init --server URL`",
        E::InvalidServer(_) => "it looks like http://127.0.0.1:4810 or https://sync.example.org",
        E::PlainHttp(_) => {
            "give its https:// address; or say --allow-http, once here or with `rejoin init` for good"
        }
        E::InvalidCertificates(_) => "give a PEM file with --ca-cert FILE",
        // What `openssl req -x509` makes where nobody says otherwise.
        E::Unreachable(why) if why.contains("CaUsedAsEndEntity") => {
            "nothing is lost, the queue is kept; the server shows the certificate of an authority: make it one of its \
             own, with basicConstraints CA:FALSE"
        }
        E::Unreachable(why) if why.contains("certificate") => {
            "nothing is lost, the queue is kept; check the address, and where the server's certificate is its own, \
             name it with --ca-cert FILE"
        }
        E::Unreachable(why) if why.contains("it redirects to ") => {
            "nothing is lost, the queue is kept; if the server has moved there, say so with `rejoin init --server URL`, and \
             with `rejoin join URL/v1/documents/ID` for a document that was joined by its address"
        }
        E::Unreachable(why) if why.contains("is not a sync server") => {
            "nothing is lost, the queue is kept; check the address: `rejoin init --server URL` saves another, and `rejoin join \
             URL/v1/documents/ID` for a document that was joined by its address"
        }
        E::Unreachable(_) => "nothing is lost, the queue is kept; `rejoin sync` tries again",
        E::Unauthorized(_) => {
            "the queue is kept; save a valid token with `rejoin init --token -`, then `rejoin sync`"
        }
        E::Forbidden(why) if why.contains("to delete it for everyone") => {
            "it stays deleted here; whoever looks after the server gives this token the right with `rejoin-server token \
             grant NAME --document ID --access admin`, or `rejoin join ID` takes the deletion back"
        }
        E::Forbidden(why) if why.contains(rejoin::session::NOT_BEGUN) => {
            "the queue is kept; a token with `create` or `admin` may begin documents: whoever looks after the server makes one \
             with `rejoin-server token create --name NAME --document '*' --access create`, or begins the document with \
             another token and grants `write` on it; then `rejoin sync`"
        }
        E::Forbidden(_) => {
            "the queue is kept; this token is valid, and may not do this: whoever looks after the server gives it the \
             right with `rejoin-server token grant NAME --document ID --access write`, then `rejoin sync`"
        }
        E::Protocol(_) => "check that the address is a sync server's; the queue is kept",
        E::LogTooLarge { of: "bytes", .. } => {
            "what waits is kept; if it may be as large as that, `rejoin sync --document-bytes 4GiB`, and otherwise \
             `rejoin leave` forgets it here"
        }
        E::LogTooLarge { .. } => {
            "what waits is kept; if so many may write in it, `rejoin sync --document-actors 200000`, and otherwise \
             `rejoin leave` forgets it here"
        }
        E::Bug(_) => "please report it; `rejoin backup` keeps what is here",
        _ => "`rejoin doctor` checks the store",
    }
}

/// What to do where the fence does not let a change of this store through.
fn hint_of_refusal(code: rejoin::fence::RefusalCode) -> &'static str {
    use rejoin::fence::RefusalCode as C;
    match code {
        C::TooLarge => {
            "nothing was changed; write it in parts: a long text with several `rejoin append DOC POINTER @FILE` of at most \
             100,000 characters, a large map or list key by key with `rejoin set` and `rejoin insert`"
        }
        C::TooManyOperations => {
            "nothing was changed; write it in parts: each character of a text is an operation, and several `rejoin append` of \
             at most 100,000 characters do it"
        }
        C::OutOfRange => {
            "nothing was changed; `rejoin sync` leaves out what counted so far, then try again, and if it stays so \
             `rejoin export` and `rejoin import` make a new document of it"
        }
        _ => "nothing was changed; `rejoin doctor` checks the store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_several_exit_codes_hold_the_order_is_4_3_5_1() {
        let order = [Exit::Unauthorized, Exit::Unreachable, Exit::NeedsPerson, Exit::Failed, Exit::Done];
        for (at, first) in order.iter().enumerate() {
            for second in order.get(at..).unwrap() {
                assert_eq!(first.and(*second), *first);
                assert_eq!(second.and(*first), *first);
            }
        }
        assert_eq!(order.map(Exit::code), [4, 3, 5, 1, 0]);
    }

    #[test]
    fn an_error_is_two_sentences_and_moves_no_terminal() {
        let error = CliError::failed("it \x1b[31mbroke", "mend it");
        assert_eq!(error.to_string(), "It \\u{1b}[31mbroke. Mend it.");
    }
}
