//! Reads actions, a JSON object a line, on a thread of its own: while one group is being made durable the
//! next is read and parsed. It hands on what is there and never waits for more than that.

use std::io::{BufRead, BufReader, Read};

use rejoin::Action;
use tokio::sync::mpsc;

use crate::error::{CliError, Result};
use crate::input::BYTE_ORDER_MARK;
use crate::numbers::check_integers;

/// How much is read at once, and so how many actions a chunk has at most.
const BUFFER: usize = 64 * 1024;

/// The longest line, in bytes: more than a change may have, and a bound on memory for an input without lines.
const LONGEST: usize = 8 * 1024 * 1024;

/// How many chunks are read ahead.
const AHEAD: usize = 16;

/// An action and the number of its line, from 1.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) action: Action,
}

/// What one read brought.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) lines: Vec<Line>,
    /// How much of the input is behind it.
    pub(crate) bytes: u64,
    /// The line after them that is no action, or the input's end in failure.
    pub(crate) stop: Option<Stop>,
}

/// Why reading stopped before the input's end.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) number: u64,
    pub(crate) error: CliError,
}

/// Begins to read. The channel ends with the input, or after a chunk with a `stop`.
pub(crate) fn read(input: impl Read + Send + 'static) -> Result<mpsc::Receiver<Chunk>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut reader = LineReader::new(input);
    let run = move || {
        while let Some(chunk) = reader.next_chunk() {
            let last = chunk.stop.is_some();
            // A receiver that is gone wants no more.
            if sender.blocking_send(chunk).is_err() || last {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("apply-read".to_owned())
        .spawn(run)
        .map_err(|e| CliError::io("the reading thread could not start", e))?;
    Ok(receiver)
}

struct LineReader<R> {
    input: BufReader<R>,
    /// The beginning of a line whose end is not there yet.
    partial: Vec<u8>,
    number: u64,
}

impl<R: Read> LineReader<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(BUFFER, input), partial: Vec::new(), number: 0 }
    }

    /// The lines that one read completes; `None` at the end.
    fn next_chunk(&mut self) -> Option<Chunk> {
        let mut chunk = Chunk::default();
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => {
                    let error = CliError::io("the input could not be read", error);
                    chunk.stop = Some(Stop { number: self.number + 1, error });
                    return Some(chunk);
                }
            };
            if buffer.is_empty() {
                return self.last_line(chunk);
            }
            let mut taken = std::mem::take(&mut self.partial);
            taken.extend_from_slice(buffer);
            let read = buffer.len();
            self.input.consume(read);
            chunk.bytes += read as u64;
            self.split(taken, &mut chunk);
            if chunk.stop.is_some() || !chunk.lines.is_empty() {
                return Some(chunk);
            }
        }
    }

    /// A last line without a line feed is a line.
    fn last_line(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        let line = std::mem::take(&mut self.partial);
        self.take_line(&line, &mut chunk);
        let empty = chunk.lines.is_empty() && chunk.stop.is_none();
        (!empty).then_some(chunk)
    }

    fn split(&mut self, bytes: Vec<u8>, chunk: &mut Chunk) {
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.take_line(line, chunk);
            if chunk.stop.is_some() {
                return;
            }
        }
        if rest.len() > LONGEST {
            let error = CliError::failed(format!("the line is longer than {LONGEST} bytes"), "");
            chunk.stop = Some(Stop { number: self.number + 1, error });
        }
        self.partial = rest.to_vec();
    }

    fn take_line(&mut self, line: &[u8], chunk: &mut Chunk) {
        self.number += 1;
        let mark = if self.number == 1 { BYTE_ORDER_MARK } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line).trim_ascii();
        if line.is_empty() {
            return;
        }
        let wrong = std::str::from_utf8(line).ok().and_then(|text| check_integers(text).err());
        if let Some(why) = wrong {
            chunk.stop = Some(Stop { number: self.number, error: CliError::failed(why, "") });
            return;
        }
        match serde_json::from_slice(line) {
            Ok(action) => chunk.lines.push(Line { number: self.number, action }),
            Err(error) => {
                let error = CliError::failed(format!("this is no action: {error}"), "");
                chunk.stop = Some(Stop { number: self.number, error });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An input that gives its parts one read at a time, as a pipe does.
    struct Parts(Vec<&'static str>);

    impl Read for Parts {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0).as_bytes();
            into[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn chunks(parts: &[&'static str]) -> Vec<(Vec<u64>, Option<u64>)> {
        let mut reader = LineReader::new(Parts(parts.to_vec()));
        let next = || reader.next_chunk();
        std::iter::from_fn(next)
            .map(|c| (c.lines.iter().map(|l| l.number).collect(), c.stop.map(|s| s.number)))
            .take(parts.len() + 1)
            .collect()
    }

    #[test]
    fn what_is_there_is_handed_on_before_more_comes() {
        let (one, half, rest) =
            ("{\"type\":\"delete\",\"path\":\"/a\"}\n", "{\"type\":\"delete\",", "\"path\":\"/b\"}");
        assert_eq!(chunks(&[one, half, rest]), [(vec![1], None), (vec![2], None)]);
        assert_eq!(chunks(&["\n \r\n", one, "\n"]), [(vec![3], None)]);
        assert_eq!(chunks(&[]), []);
        assert_eq!(chunks(&["\u{feff}{\"type\":\"delete\",\"path\":\"/a\"}\n"]), [(vec![1], None)]);
    }

    #[test]
    fn a_bad_line_is_named_and_what_is_before_it_is_kept() {
        let two = "{\"type\":\"delete\",\"path\":\"/a\"}\nnonsense\n{\"type\":\"delete\",\"path\":\"/a\"}\n";
        assert_eq!(chunks(&[two]).first(), Some(&(vec![1], Some(2))));
        for bad in [
            "{\"type\":\"fly\"}",
            "[]",
            "{}",
            "{\"type\":\"delete\",\"path\":\"/a\",\"path\":\"/b\"}",
            "\u{feff}nonsense",
            "{\"type\":\"set\",\"path\":\"/a\",\"value\":99999999999999999999}",
        ] {
            assert_eq!(chunks(&[bad]).first(), Some(&(vec![], Some(1))), "{bad}");
        }
    }
}
