//! Where words go: results to standard output, everything else to standard error, colour and progress only
//! to a terminal. `demo` gives the commands an [`Output`] that is kept instead of shown.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
use rejoin::printable::{printable_json, printable_lines};
use serde::Serialize;

use crate::cli::Globals;
use crate::error::{CliError, Result};
use crate::pager::Pager;
use crate::table::{self, Cell, Fit};

/// Whether colour is wanted on a stream that is, or is not, a terminal (<https://no-color.org>).
pub(crate) fn colour_on(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// A kind of emphasis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Magenta,
    Cyan,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

/// What a command printed, kept for `demo`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// What was printed so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The two streams and how they are to be used.
pub(crate) struct Output {
    sink: Box<dyn Write + Send>,
    json: bool,
    quiet: bool,
    /// Standard output is a terminal.
    terminal: bool,
    /// Colour on standard output.
    colour: bool,
    /// Standard error is a terminal, and progress is wanted on it.
    progress: bool,
    /// How wide a table may be; `None`: as wide as it comes, for other programs.
    width: Option<u16>,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn to_stdout(globals: &Globals) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            sink: Box::new(BufWriter::with_capacity(64 * 1024, io::stdout())),
            json: globals.json,
            quiet: globals.quiet,
            terminal,
            colour: colour_on(terminal),
            progress: io::stderr().is_terminal() && !globals.quiet && !globals.json,
            width: terminal.then(|| Table::new().width().unwrap_or(80).max(40)),
        }
    }

    /// Kept instead of shown, in so many columns.
    pub(crate) fn to_memory(json: bool, colour: bool, width: u16) -> (Self, Kept) {
        let kept = Kept::default();
        let output = Self {
            sink: Box::new(kept.clone()),
            json,
            quiet: true,
            terminal: false,
            colour: colour && !json,
            progress: false,
            width: Some(width),
        };
        (output, kept)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Colour on standard error.
    pub(crate) fn stderr_colour(&self) -> bool {
        colour_on(io::stderr().is_terminal())
    }

    /// Colour on standard output.
    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    /// Columns of the terminal, or 80.
    pub(crate) fn width(&self) -> u16 {
        self.width.unwrap_or(80)
    }

    /// Columns of the terminal; `None` where it is another program that reads.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// The text with an emphasis, where colour is on.
    pub(crate) fn paint(&self, paint: Paint, text: impl std::fmt::Display) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_string() }
    }

    /// One line of the result, or several. Whatever others wrote, nothing in it steers a terminal: what was not
    /// made printable before is here.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let text = text.to_string();
        writeln!(self.sink, "{}", printable_lines(&text, self.colour)).map_err(CliError::stdout)
    }

    /// Bytes of the result, as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink.write_all(bytes).map_err(CliError::stdout)
    }

    /// One JSON value on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|e| CliError::stdout(e.into()))?;
        self.line(printable_json(&text))
    }

    /// One JSON value for people, indented.
    pub(crate) fn pretty(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|e| CliError::stdout(e.into()))?;
        self.line(printable_json(&text))
    }

    /// What follows goes through a pager, where standard output is a terminal.
    pub(crate) fn page(&mut self) {
        if !self.terminal || self.json || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            return;
        }
        if let Some(pager) = Pager::start() {
            // An interrupt is for the pager: it goes on showing what was read, and this process with it.
            ignore_interrupts();
            self.sink = Box::new(BufWriter::new(pager));
        }
    }

    /// The end: everything is with the reader, and a pager was left.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let flushed = self.flush();
        self.sink = Box::new(io::sink());
        flushed
    }

    /// What was printed is on its way to the reader.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.sink.flush().map_err(CliError::stdout)
    }

    /// A table with a header, as wide as the terminal at most.
    pub(crate) fn table(&mut self, columns: &[(&str, Fit)], rows: &[Vec<Cell>]) -> Result<()> {
        let text =
            table::render(columns, rows, self.width.map(usize::from), |paint, text| self.paint(paint, text));
        self.line(text)
    }

    /// The text, cut to the terminal's width with an ellipsis where it is longer and `taken` columns are used already; as
    /// it is for other programs.
    pub(crate) fn cut(&self, text: &str, taken: usize) -> String {
        match self.width {
            Some(width) => table::cut(text, usize::from(width).saturating_sub(taken).max(1)),
            None => text.to_owned(),
        }
    }

    /// A sentence of the result: folded between words where the terminal is narrower.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let text = self.folded(&text.to_string());
        self.line(text)
    }

    /// The text in lines of the terminal's width, each but the first with this many blanks before it; as it is for other
    /// programs. Nothing of it is left out.
    pub(crate) fn wrapped(&self, text: &str, indent: usize) -> String {
        self.width.map_or_else(|| text.to_owned(), |width| table::wrap_all(text, usize::from(width), indent))
    }

    fn folded(&self, text: &str) -> String {
        self.width.map_or_else(|| text.to_owned(), |width| table::folded(text, usize::from(width)))
    }

    /// The terminal is too narrow for a line with a hash, a time, a name and what was done.
    pub(crate) fn is_narrow(&self) -> bool {
        self.width.is_some_and(|width| width < 72)
    }

    /// A table of one's own making, as wide as the terminal at most; it says how wide where there is none.
    pub(crate) fn draw(&mut self, mut table: Table) -> Result<()> {
        if self.colour {
            table.enforce_styling();
        }
        if let Some(width) = self.width.or(table.width()) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let text = table.trim_fmt();
        self.line(text)
    }

    /// A remark, on standard error.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // A remark that nobody can read any more is none.
            let text = self.folded(&text.to_string());
            let _ = writeln!(io::stderr().lock(), "{}", printable_lines(&text, self.stderr_colour()));
        }
    }

    /// What a long work says where there is no terminal for a progress bar. With `--json` it says nothing.
    pub(crate) fn remark_on_work(&self, text: impl std::fmt::Display) {
        if !self.json {
            self.note(text);
        }
    }

    /// A progress bar towards `total` bytes, or a spinner; invisible where it would not be a terminal's.
    pub(crate) fn progress(&self, total: Option<u64>, what: &'static str) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match total {
            Some(_) => "{msg} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {eta}",
            None => "{spinner:.cyan} {msg} {elapsed:.dim}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Asks on the terminal. `None` where there is nobody to ask.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Option<bool>> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        self.flush()?;
        let mut err = io::stderr().lock();
        let question = printable_lines(question, self.stderr_colour());
        let asked = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
        asked.map_err(|e| CliError::io("the question could not be asked", e))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|e| CliError::io("the answer could not be read", e))?;
        Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
    }
}

/// With a handler that does nothing, an interrupt does not end the process.
fn ignore_interrupts() {
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("json", &self.json).finish_non_exhaustive()
    }
}
