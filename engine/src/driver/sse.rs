//! Server-sent events, as far as they are needed: the lines of a stream put together to events.

/// The largest event that is taken, in bytes. One of ours holds some 16 KiB of changes and a few hashes.
const EVENT_BYTES: usize = 256 * 1024;

/// An event: its name and its data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// The stream says more at once than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Takes a stream in pieces of any size, as HTML's "parsing an event stream" has it. `id` and `retry` are not used:
/// cursors say where a client stands, and backoff when it comes again.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    event: Event,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    returned: bool,
    begun: bool,
}

impl Parser {
    /// The events that end within this piece.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for byte in piece {
            let follows = std::mem::replace(&mut self.returned, *byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.event.data.len() > EVENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.trim_start_matches('\u{feff}') } else { &line };
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            event.data.pop()?;
            return Some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            // A comment among them: the field has no name then.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        "\u{feff}retry: 5\r\n: here\r\n\r\nevent: changes\ndata: {\ndata:  1}\n\n:\n\nevent: none\n\n\
                            data\r\rid: 7\ndata: ü\n\ndata: cut"
            .as_bytes();

    fn told() -> Vec<Event> {
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        vec![event("changes", "{\n 1}"), event("", ""), event("", "ü")]
    }

    #[test]
    fn a_stream_reads_the_same_in_pieces_of_any_size() {
        for size in 1..=STREAM.len() {
            let mut parser = Parser::default();
            let events: Vec<_> = STREAM.chunks(size).flat_map(|piece| parser.feed(piece).unwrap()).collect();
            assert_eq!(events, told(), "pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_collected() {
        let mut parser = Parser::default();
        let fed = (0..1_000).try_for_each(|_| parser.feed(&[b'x'; 1_024]).map(drop));
        assert_eq!(fed, Err(TooLong));
        let mut parser = Parser::default();
        let fed = (0..1_000_000).try_for_each(|_| parser.feed(b"data: x\n").map(drop));
        assert_eq!(fed, Err(TooLong));
    }
}
