//! How the story is shown: headings, what is typed, what it said; with time to read it, on a terminal.

use std::time::{Duration, Instant};

use comfy_table::{Attribute, Cell, Color, LineStyle, Table, TableStyle};

use super::person::{Person, Ran};
use crate::error::{Exit, Result};
use crate::format::printable;
use crate::output::{Output, Paint};

/// What all pauses may take together: the story is to be over within ten seconds, whatever the machine.
const PAUSES: Duration = Duration::from_millis(6_500);

/// Columns, where the terminal does not say.
const WIDTH: u16 = 80;

const MERGE: TableStyle = TableStyle::new()
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .row_separator(LineStyle::none().fill('╌').junction('╌'));

/// The stage, or none of it with `--json`.
pub(super) struct Stage<'a> {
    out: &'a mut Output,
    shown: bool,
    paced: bool,
    begun: Instant,
    paused: Duration,
}

impl<'a> Stage<'a> {
    pub(super) fn new(out: &'a mut Output) -> Self {
        let shown = !out.is_json();
        let paced = shown && out.is_terminal() && !out.is_quiet();
        Self { out, shown, paced, begun: Instant::now(), paused: Duration::ZERO }
    }

    pub(super) fn out(&mut self) -> &mut Output {
        self.out
    }

    pub(super) fn paused(&self) -> Duration {
        self.paused
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Time to read, on a terminal; less where the machine was slow.
    pub(super) async fn pause(&mut self, milliseconds: u64) -> Result<()> {
        let pause = Duration::from_millis(milliseconds);
        let slow = self.elapsed() + pause > Duration::from_secs(9);
        if self.paced && !slow && self.paused + pause <= PAUSES {
            self.out.flush()?;
            tokio::time::sleep(pause).await;
            self.paused += pause;
        }
        Ok(())
    }

    pub(super) async fn chapter(&mut self, number: u8, title: &str) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        self.pause(500).await?;
        let title = self.out.paint(Paint::Bold, format_args!("{number}. {title}"));
        self.out.line("")?;
        self.out.line(title)
    }

    /// What happens, in words.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        for line in text.lines() {
            self.out.line(format_args!("   {line}"))?;
        }
        Ok(())
    }

    /// Columns beside what stands before every line.
    fn room(&self, behind: &str) -> usize {
        usize::from(self.out.width()).saturating_sub(6 + behind.len())
    }

    /// What a person types.
    pub(super) async fn typed(&mut self, person: &Person, words: &[&str]) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        let name = self.out.paint(person.paint, format_args!("{:>3} $", person.name));
        let words: Vec<_> = words.iter().map(|w| quote(w)).collect();
        let line = format!("rejoin {}", words.join(" "));
        let mut lines = wrap(&line, self.room("ada \\")).into_iter().peekable();
        let mut before = name;
        while let Some(part) = lines.next() {
            let more = if lines.peek().is_some() { " \\" } else { "" };
            self.out.line(format_args!("   {before} {part}{more}"))?;
            before = " ".to_owned();
        }
        self.pause(90).await
    }

    /// What a command printed, and how it ended where that was not well.
    pub(super) fn printed(&mut self, ran: &Ran) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        let room = self.room("");
        for line in ran
            .stdout
            .lines()
            .flat_map(|line| if line.starts_with(' ') { vec![line] } else { wrap(line, room) })
        {
            self.out.line(format_args!("     {line}"))?;
        }
        if let Some(error) = &ran.error {
            let text = format!("error: {}", printable(error.what()));
            for line in wrap(&text, room) {
                let line = self.out.paint(Paint::Red, line);
                self.out.line(format_args!("     {line}"))?;
            }
        }
        if ran.exit != Exit::Done {
            let code = self.out.paint(Paint::Dim, format_args!("exit code {}", ran.exit.code()));
            self.out.line(format_args!("     {code}"))?;
        }
        Ok(())
    }

    /// A person types something that prints, and it is shown.
    pub(super) async fn show(&mut self, person: &Person, words: &[&str]) -> Result<Ran> {
        self.typed(person, words).await?;
        let ran = person.run(words).await?;
        self.printed(&ran)?;
        Ok(ran)
    }

    /// A person types edits, one after another; each is durable when the next is typed.
    pub(super) async fn edit(&mut self, person: &Person, edits: &[&[&str]]) -> Result<()> {
        for words in edits {
            self.typed(person, words).await?;
            person.ok(words).await?;
        }
        Ok(())
    }

    /// What each side wrote beside what both now read.
    pub(super) fn merge(&mut self, header: [&str; 5], rows: Vec<[String; 5]>) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        let mut table = Table::new();
        table.force_no_tty().load_style(MERGE).set_width(WIDTH).set_header(header.map(Cell::new));
        for [what, before, ada, ben, both] in rows {
            table.add_row([
                Cell::new(what).add_attribute(Attribute::Bold),
                Cell::new(before).add_attribute(Attribute::Dim),
                Cell::new(ada).fg(Color::Cyan),
                Cell::new(ben).fg(Color::Magenta),
                Cell::new(both).fg(Color::Green),
            ]);
        }
        self.out.line("")?;
        self.out.draw(table)?;
        self.out.line("")
    }

    /// One thing that must hold, and whether it does.
    pub(super) fn check(&mut self, name: &str, holds: bool, detail: &str) -> Result<()> {
        if !self.shown {
            return Ok(());
        }
        let mark =
            if holds { self.out.paint(Paint::Green, "yes") } else { self.out.paint(Paint::Red, " NO") };
        self.out.line(format_args!("   {mark}  {name}: {detail}"))
    }
}

/// The line in parts of so many characters, cut at spaces; a word that is longer stands alone.
fn wrap(line: &str, room: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while rest.chars().count() > room {
        let fits = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
        let cut = rest.get(..fits).and_then(|head| head.rfind(' ')).or_else(|| rest.find(' '));
        let Some((part, after)) = cut.and_then(|at| rest.split_at_checked(at)) else { break };
        parts.push(part);
        rest = after.trim_start();
    }
    parts.push(rest);
    parts
}

/// The word as a shell takes it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.:,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_spaces_and_words_are_whole() {
        assert_eq!(wrap("rejoin join http://a --name trip", 12), ["rejoin join", "http://a", "--name trip"]);
        assert_eq!(wrap("rejoin http://a/very/long", 8), ["rejoin", "http://a/very/long"]);
        assert_eq!(wrap("short", 8), ["short"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        assert_eq!(quote("by train"), "'by train'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote("/bring/-"), "/bring/-");
    }
}
