//! Text that others wrote, for a person's eyes: nothing in it moves a terminal's cursor, changes its colours or turns
//! the order of what is read around. For whoever prints: command lines, logs.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// Whether this character steers a terminal or a reader instead of being read: the control characters C0, DEL and
/// C1, the separators of lines and paragraphs, and what nobody sees: the format characters (general category Cf) with
/// the marks, embeddings, overrides and isolates that change the direction of text, the soft hyphen, spaces without
/// width, the byte order mark and tags. Signs of Arabic, Syriac and Kaithi that stand before a number are of that
/// category too, but are seen: they stay.
pub const fn steers(c: char) -> bool {
    c.is_ascii_control()
        || matches!(
            c,
            '\u{80}'..='\u{9f}'
                | '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether a joiner belongs where it stands: between two characters of scripts that are written with it (Persian,
/// Hindi) or of an emoji. Between others nobody sees it, and one name passes for another.
fn joins(c: char, before: Option<char>, after: Option<char>) -> bool {
    let of_such = |c: Option<char>| c.is_some_and(|c| c >= '\u{590}' && !steers(c));
    matches!(c, '\u{200c}' | '\u{200d}') && of_such(before) && of_such(after)
}

/// The text in one line, with everything that steers written out.
///
/// ```
/// use rejoin_protocol::printable::printable;
/// assert_eq!(printable("a\u{1b}[31m\u{9b}\u{202e}b\n"), "a\\u{1b}[31m\\u{9b}\\u{202e}b\\n");
/// assert_eq!(printable("ad\u{200b}a\u{ad}\u{feff}"), "ad\\u{200b}a\\u{ad}\\u{feff}");
/// assert_eq!(printable("tent 日本 👩‍👩‍👧"), "tent 日本 👩‍👩‍👧");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_, _| false, |c, out| out.extend(c.escape_default()))
}

/// The same for text of several lines. `colours`: it may set colours as ECMA-48 does, and nothing else.
///
/// ```
/// use rejoin_protocol::printable::printable_lines;
/// let text = "\u{1b}[1;31merror:\u{1b}[0m no\u{1b}[2J\n";
/// assert_eq!(printable_lines(text, true), "\u{1b}[1;31merror:\u{1b}[0m no\\u{1b}[2J\n");
/// assert_eq!(printable_lines(text, false), "\\u{1b}[1;31merror:\\u{1b}[0m no\\u{1b}[2J\n");
/// ```
pub fn printable_lines(text: &str, colours: bool) -> Cow<'_, str> {
    let stays = |c, rest: &str| c == '\n' || (colours && c == '\u{1b}' && sets_colour(rest));
    escaped(text, stays, |c, out| out.extend(c.escape_default()))
}

/// JSON that means the same, with everything that steers as `\u00xx`. Lines between its parts stay.
///
/// ```
/// use rejoin_protocol::printable::printable_json;
/// let text = serde_json::to_string("a\u{9b}\u{202e}\n").unwrap();
/// let shown = printable_json(&text);
/// assert_eq!(shown, r#""a\u009b\u202e\n""#);
/// assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\u{9b}\u{202e}\n");
/// ```
pub fn printable_json(text: &str) -> Cow<'_, str> {
    // What steers is in a string, where JSON takes this for the same character; in a string no line ends.
    let write = |c: char, out: &mut String| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    };
    escaped(text, |c, _| c == '\n', write)
}

fn escaped(
    text: &str,
    stays: impl Fn(char, &str) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars();
    let mut before = None;
    while let Some(c) = rest.next() {
        if steers(c) && !stays(c, rest.as_str()) && !joins(c, before, rest.clone().next()) {
            write(c, &mut out);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    Cow::Owned(out)
}

/// Whether what follows an ESC makes it one that sets colours.
fn sets_colour(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('[') else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
    end.is_some_and(|end| end <= 16 && rest.as_bytes().get(end) == Some(&b'm'))
}

/// Passes on what is written as [`printable_lines`], a whole write at a time: for logs, whose lines each come in one.
#[derive(Debug)]
pub struct PrintableWriter<W> {
    inner: W,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Lines { colours: bool },
    Json,
}

impl<W: Write> PrintableWriter<W> {
    /// One that writes there.
    pub fn new(inner: W, colours: bool) -> Self {
        Self { inner, form: Form::Lines { colours } }
    }

    /// One that is given JSON, and writes what means the same.
    pub fn json(inner: W) -> Self {
        Self { inner, form: Form::Json }
    }
}

impl<W: Write> Write for PrintableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = match self.form {
            Form::Lines { colours } => printable_lines(&text, colours),
            Form::Json => printable_json(&text),
        };
        self.inner.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_is_left_in_what_is_printed() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let controls = 33 + 32;
        let format = 1 + 1 + 1 + 5 + 7 + 16 + 1 + 3 + 16 + 4 + 8 + 128;
        assert_eq!(all.chars().filter(|c| steers(*c)).count(), controls + format);
        assert!(!printable(&all).contains(steers));
        assert!(!printable_lines(&all, true).replace('\n', "").contains(steers));
        let json = serde_json::to_string(&all).unwrap();
        let shown = printable_json(&json);
        assert!(!shown.contains(steers));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), all);
    }

    #[test]
    fn a_joiner_stays_where_it_is_written_and_nowhere_else() {
        for honest in ["\u{645}\u{6cc}\u{200c}\u{62e}\u{648}", "👩\u{200d}🚀", "❤\u{fe0f}\u{200d}🔥"]
        {
            assert_eq!(printable(honest), honest);
            assert_eq!(printable_json(honest), honest);
        }
        for (hidden, shown) in [
            ("ad\u{200d}a", "ad\\u{200d}a"),
            ("\u{200c}ada", "\\u{200c}ada"),
            ("日\u{200d}", "日\\u{200d}"),
            ("日\u{200d}\u{200d}本", "日\\u{200d}\\u{200d}本"),
        ] {
            assert_eq!(printable(hidden), shown);
        }
    }

    #[test]
    fn only_colours_pass_for_colours() {
        for steering in
            ["\u{1b}[2K", "\u{1b}]0;x\u{7}", "\u{1b}[", "\u{1b}", "\u{1b}[11111111111111111m", "\u{1b}[?m"]
        {
            assert!(!printable_lines(steering, true).contains('\u{1b}'), "{steering:?}");
        }
        let mut written = Vec::new();
        PrintableWriter::new(&mut written, false).write_all("a\u{85}b\n".as_bytes()).unwrap();
        assert_eq!(written, b"a\\u{85}b\n");
        let mut written = Vec::new();
        PrintableWriter::json(&mut written).write_all("{\"a\":\"\u{85}\"}\n".as_bytes()).unwrap();
        assert_eq!(written, b"{\"a\":\"\\u0085\"}\n");
    }
}
