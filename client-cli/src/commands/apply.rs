//! `rejoin apply`: apply actions from a file or standard input, one JSON object a line, each one change.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use rejoin::{DocumentId, Receipt, Store};
use serde_json::json;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::count;
use crate::lines::{self, Chunk, Line, Stop};

/// Apply actions from a file or standard input, one JSON object a line, each one change
///
/// A bad line stops it with the line's number; what came before that line is kept. Blank lines are skipped.
/// At most N actions share a flush to the disk; from a slow input, each is flushed when it comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Lines:
  {\"type\":\"set\",\"path\":\"/a\",\"value\":1}
  {\"type\":\"delete\",\"path\":\"/a\"}
  {\"type\":\"increment\",\"path\":\"/n\",\"by\":1}
  {\"type\":\"insert\",\"path\":\"/list/-\",\"value\":\"tent\"}
  {\"type\":\"splice\",\"path\":\"/text\",\"pos\":0,\"delete\":0,\"insert\":\"x\"}

Examples:
  rejoin apply trip actions.ndjson
  generate | rejoin apply trip --ack           a hash once a change is durable")]
pub(crate) struct ApplyArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The file, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Print each change's hash once it is durable, and not before
    #[arg(long)]
    ack: bool,
    /// How many actions share a flush at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

pub(crate) async fn run(context: &mut Context, args: ApplyArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let (chunks, size) = open(context, &args.file)?;
    let progress = context.out.progress(size, "applying");
    let mut apply = Apply { store, id, input: Input::new(chunks, progress), ack: args.ack, applied: 0 };
    let result = apply.all(context, args.batch as usize).await;
    apply.input.progress.finish_and_clear();
    apply.summarise(context, result.as_ref().err())?;
    result.map(|()| Exit::Done).map_err(|stop| stop.error)
}

/// The input, being read already, and its size where that is known.
fn open(context: &Context, path: &Path) -> Result<(mpsc::Receiver<Chunk>, Option<u64>)> {
    if path.as_os_str() == "-" {
        if std::io::stdin().is_terminal() {
            context.out.note("Reading actions from the terminal, a JSON object a line; Ctrl-D ends.");
        }
        return Ok((lines::read(std::io::stdin())?, None));
    }
    let unreadable = |e| CliError::io(format!("{} could not be read", path.display()), e);
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    Ok((lines::read(file)?, Some(size)))
}

/// The lines that were read and are not yet applied.
struct Input {
    chunks: mpsc::Receiver<Chunk>,
    waiting: VecDeque<Line>,
    /// What stopped the reading, to be told when the lines before it are applied.
    stop: Option<Stop>,
    progress: ProgressBar,
}

impl Input {
    fn new(chunks: mpsc::Receiver<Chunk>, progress: ProgressBar) -> Self {
        Self { chunks, waiting: VecDeque::new(), stop: None, progress }
    }

    /// The next lines, at most `most`: waits for the first of them only. Empty at the end.
    async fn next(&mut self, most: usize) -> Vec<Line> {
        while self.waiting.len() < most {
            let chunk = match self.waiting.is_empty() {
                true => self.chunks.recv().await,
                false => self.chunks.try_recv().ok(),
            };
            let Some(chunk) = chunk else { break };
            self.progress.inc(chunk.bytes);
            self.waiting.extend(chunk.lines);
            self.stop = chunk.stop;
        }
        let take = most.min(self.waiting.len());
        self.waiting.drain(..take).collect()
    }
}

struct Apply {
    store: Store,
    id: DocumentId,
    input: Input,
    ack: bool,
    applied: u64,
}

impl Apply {
    /// Applies to the end, or to the first line that cannot be.
    async fn all(&mut self, context: &mut Context, batch: usize) -> Result<(), Stop> {
        loop {
            let lines = self.input.next(batch).await;
            let Some(last) = lines.last().map(|l| l.number) else { break };
            self.group(context, lines).await?;
            // What was printed is durable: now it may be read, and before the next group is begun it is.
            context.out.flush().map_err(|error| self.unprinted(last, error))?;
        }
        match self.input.stop.take() {
            Some(Stop { number, error }) => Err(self.stopped(number, error)),
            None => Ok(()),
        }
    }

    /// Applies lines that share a flush.
    async fn group(&mut self, context: &mut Context, lines: Vec<Line>) -> Result<(), Stop> {
        let (numbers, actions): (Vec<_>, Vec<_>) = lines.into_iter().map(|l| (l.number, l.action)).unzip();
        let first = numbers.first().copied().unwrap_or_default();
        // The whole group failed: nothing of it is kept.
        let results =
            self.store.dispatch_in_turn(self.id, actions).await.map_err(|e| self.stopped(first, e.into()))?;
        for (number, result) in numbers.into_iter().zip(results) {
            let receipt = result.map_err(|error| self.stopped(number, error.into()))?;
            self.applied += 1;
            if self.ack {
                print(context, number, &receipt).map_err(|error| self.unprinted(number, error))?;
            }
        }
        Ok(())
    }

    fn stopped(&self, number: u64, error: CliError) -> Stop {
        let hint = match self.applied {
            0 => "nothing was applied; mend the line and try again".to_owned(),
            n => format!("{} kept; mend the line and apply the rest from there", before(n)),
        };
        Stop { number, error: error.prefixed(format_args!("line {number}")).with_hint(hint) }
    }

    /// Nobody reads the hashes any more: to go on would be to apply what nobody knows of.
    fn unprinted(&self, number: u64, error: CliError) -> Stop {
        let what = format!("after line {number}, {}", error.what().trim_end_matches('.'));
        Stop {
            number,
            error: CliError::failed(what, "what was applied until then is kept; `rejoin log` shows it"),
        }
    }

    fn summarise(&self, context: &mut Context, stop: Option<&Stop>) -> Result<()> {
        if self.ack {
            return Ok(());
        }
        if context.out.is_json() {
            let line = stop.map(|s| s.number);
            return context
                .out
                .json(&json!({ "document": self.id, "applied": self.applied, "stopped_at": line }));
        }
        if stop.is_none() {
            context.out.line(format_args!("{} applied", count(self.applied, "action")))?;
        }
        Ok(())
    }
}

/// `the 3 actions before it are`.
fn before(n: u64) -> String {
    format!("the {} before it {}", count(n, "action"), if n == 1 { "is" } else { "are" })
}

fn print(context: &mut Context, number: u64, receipt: &Receipt) -> Result<()> {
    let hash = receipt.hash.to_string();
    if context.out.is_json() {
        context.out.json(&json!({ "line": number, "hash": hash }))
    } else {
        context.out.line(hash)
    }
}
