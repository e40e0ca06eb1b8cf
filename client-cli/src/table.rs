//! Tables that are never wider than the terminal: what names something is cut with an ellipsis, ids and hashes never
//! break, and where a table does not fit at all each row becomes a few lines.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::Paint;

/// Below this many columns nothing is cut: a table with longer words is told as lines.
const LEAST: usize = 8;
/// The same, for what is wrapped.
const LEAST_WRAPPED: usize = 14;
/// How much of an id is shown where the whole one does not fit: enough to be typed back.
const SHORT_ID: usize = 8;

/// What may be done to the words of a column where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Nothing: a number, a word of the program's own.
    Whole,
    /// It is a name or a text: cut, with an ellipsis.
    Cut,
    /// It is an id or a hash: its first digits, which can be typed back.
    Id,
    /// It is a sentence: it goes on in the next line. For the last column.
    Wrap,
}

/// One value of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub(crate) fn new(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), paint: None }
    }

    /// The same, emphasised where colour is on.
    pub(crate) fn paint(mut self, paint: Paint) -> Self {
        self.paint = Some(paint);
        self
    }
}

/// A table as text, without a line break at its end. `width`: the terminal's columns, or as wide as it comes.
pub(crate) fn render(
    columns: &[(&str, Fit)],
    rows: &[Vec<Cell>],
    width: Option<usize>,
    painted: impl Fn(Paint, &str) -> String,
) -> String {
    let natural = natural(columns, rows);
    for (margin, gap) in [(1, 3), (0, 2)] {
        let frame = 2 * margin + gap * columns.len().saturating_sub(1);
        let room = width.map(|width| width.saturating_sub(frame));
        // Only the second is tight: the first shows everything or nothing.
        let widths = match room {
            None => Some(natural.clone()),
            Some(room) if natural.iter().sum::<usize>() <= room => Some(natural.clone()),
            Some(_) if margin > 0 => None,
            Some(room) => squeezed(columns, &natural, room),
        };
        if let Some(widths) = widths {
            return table((columns, rows), &widths, (margin, gap), painted);
        }
    }
    cards(columns, rows, width.unwrap_or(usize::MAX), painted)
}

fn natural(columns: &[(&str, Fit)], rows: &[Vec<Cell>]) -> Vec<usize> {
    let widest = |nth: usize| rows.iter().filter_map(|row| row.get(nth)).map(|c| c.text.width()).max();
    columns.iter().enumerate().map(|(nth, (head, _))| head.width().max(widest(nth).unwrap_or(0))).collect()
}

/// Widths that fit into `room`: ids give way first, then names and sentences, the widest first; `None` where that does
/// not do.
fn squeezed(columns: &[(&str, Fit)], natural: &[usize], room: usize) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    let least: Vec<usize> = columns
        .iter()
        .zip(natural)
        .map(|((head, fit), natural)| match fit {
            Fit::Whole => *natural,
            Fit::Cut => (*natural).min(LEAST.max(head.width())),
            Fit::Id => (*natural).min(SHORT_ID.max(head.width())),
            Fit::Wrap => (*natural).min(LEAST_WRAPPED.max(head.width())),
        })
        .collect();
    let over = |widths: &[usize]| widths.iter().sum::<usize>() > room;
    // A name of some length says more than the end of an id.
    let comfortable = |fit: Fit, least: usize| if fit == Fit::Cut { least.max(16) } else { least.max(24) };
    for hard in [false, true] {
        while over(&widths) {
            let may = |nth: &usize| {
                let (Some((_, fit)), Some(now), Some(least)) =
                    (columns.get(*nth), widths.get(*nth), least.get(*nth))
                else {
                    return false;
                };
                let least = if hard { *least } else { comfortable(*fit, *least) };
                matches!(fit, Fit::Cut | Fit::Wrap) && *now > least
            };
            let widest = (0..widths.len()).filter(may).max_by_key(|nth| widths.get(*nth).copied());
            match widest.and_then(|nth| widths.get_mut(nth)) {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        if over(&widths) && !hard {
            for ((width, least), (_, fit)) in widths.iter_mut().zip(&least).zip(columns) {
                if *fit == Fit::Id {
                    *width = *least;
                }
            }
        }
    }
    (!over(&widths)).then_some(widths)
}

fn table(
    (columns, rows): (&[(&str, Fit)], &[Vec<Cell>]),
    widths: &[usize],
    (margin, gap): (usize, usize),
    painted: impl Fn(Paint, &str) -> String,
) -> String {
    let (margin_text, gap_text) = (" ".repeat(margin), " ".repeat(gap));
    let line = |cells: Vec<(String, Option<Paint>)>| {
        let cells = cells.iter().zip(widths).map(|((text, paint), width)| {
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let text = paint.map_or_else(|| text.clone(), |paint| painted(paint, text));
            format!("{text}{padding}")
        });
        format!("{margin_text}{}", cells.collect::<Vec<_>>().join(&gap_text)).trim_end().to_owned()
    };
    let total = widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1) + 2 * margin;
    let head = line(columns.iter().map(|(head, _)| ((*head).to_owned(), None)).collect());
    let mut lines = vec![head, "─".repeat(total)];
    for row in rows {
        let fitted = row.iter().zip(columns).zip(widths);
        let parts: Vec<Vec<String>> =
            fitted.map(|((cell, (_, fit)), width)| fit_to(&cell.text, *fit, *width)).collect();
        for nth in 0..parts.iter().map(Vec::len).max().unwrap_or(0) {
            let cells = parts.iter().zip(row);
            let cells = cells.map(|(part, cell)| (part.get(nth).cloned().unwrap_or_default(), cell.paint));
            lines.push(line(cells.collect()));
        }
    }
    lines.join("\n")
}

/// The lines of one cell.
fn fit_to(text: &str, fit: Fit, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    match fit {
        Fit::Whole => vec![text.to_owned()],
        Fit::Cut => vec![cut(text, width)],
        Fit::Id => vec![text.chars().take(SHORT_ID).collect()],
        Fit::Wrap => wrapped(text, width),
    }
}

/// The text in so many columns of a terminal, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// The words in lines of so many columns; a word that is longer is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

/// A text of several words in lines of at most so many columns, the next ones indented like the first. Words stay whole,
/// however long: somebody may want to copy them.
pub(crate) fn folded(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        lines.push(indent.clone());
        let mut begun = false;
        for word in line.trim_start_matches(' ').split(' ') {
            let Some(last) = lines.last_mut() else { break };
            if begun && visible(last) + 1 + visible(word) > width {
                lines.push(format!("{indent}{word}"));
                continue;
            }
            if std::mem::replace(&mut begun, true) {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join("\n")
}

/// All of a text in lines of at most so many columns: broken between words, and inside those that have no room in a line,
/// but for ids and hashes.
pub(crate) fn wrap_all(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut used, before) = (0, " ".repeat(indent.min(width / 2)));
    for word in text.split_inclusive(' ') {
        if used > before.len() && used + word.trim_end().width() > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&before);
            used = before.len();
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > width && c != ' ' && !is_id(word) {
                out.push('\n');
                out.push_str(&before);
                used = before.len();
            }
            out.push(c);
            used += wide;
        }
    }
    out
}

/// A hash, an id or an actor: somebody wants to copy it whole.
fn is_id(word: &str) -> bool {
    let word = word.trim_end();
    word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// How wide a text is on a terminal, its colours left out.
fn visible(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().map_or(0, str::width);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.width())).sum::<usize>()
}

/// Each row as a few lines: its first value, and the others under it with their names.
fn cards(
    columns: &[(&str, Fit)],
    rows: &[Vec<Cell>],
    width: usize,
    painted: impl Fn(Paint, &str) -> String,
) -> String {
    let label = columns.iter().skip(1).map(|(head, _)| head.width()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for row in rows {
        for (nth, (cell, (head, fit))) in row.iter().zip(columns).enumerate() {
            let paint = |text: &str| cell.paint.map_or_else(|| text.to_owned(), |p| painted(p, text));
            if nth == 0 {
                let mark = if *head == "#" { "#" } else { "" };
                lines.push(paint(&format!("{mark}{}", cut(&cell.text, width.saturating_sub(mark.len())))));
                continue;
            }
            let indent = label + 4;
            let room = width.saturating_sub(indent);
            let name = format!("  {head:<label$}  ");
            // An id in a line of its own is better than a part of it.
            if *fit == Fit::Id && cell.text.width() > room && cell.text.width() + 2 <= width {
                lines.push(format!("  {}", paint(&cell.text)));
                continue;
            }
            let fit = if *fit == Fit::Whole { Fit::Wrap } else { *fit };
            for (nth, part) in fit_to(&cell.text, fit, room).iter().enumerate() {
                let before = if nth == 0 { name.clone() } else { " ".repeat(indent) };
                lines.push(format!("{before}{}", paint(part)).trim_end().to_owned());
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[(&str, Fit)] =
        &[("name", Fit::Cut), ("id", Fit::Id), ("queued", Fit::Whole), ("in step", Fit::Wrap)];

    fn rendered(name: &str, step: &str, width: usize) -> String {
        let id = "9c03443c-9e03-4aca-a131-0ac431257945";
        let row = vec![Cell::new(name), Cell::new(id), Cell::new(12), Cell::new(step)];
        render(COLUMNS, &[row.clone(), row], Some(width), |_, text| text.to_owned())
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_no_id_breaks() {
        for width in 40..140 {
            for name in
                ["trip", "a name that is as long as a sentence is", "旅行の計画と持ち物の一覧、みんなで"]
            {
                for step in ["yes", "3 changes queued, not allowed: this token may not write here; and more"]
                {
                    let text = rendered(name, step, width);
                    assert!(text.lines().all(|l| l.width() <= width), "{width}:\n{text}");
                    for word in text.split_whitespace().filter(|w| w.starts_with("9c0")) {
                        assert!(
                            ["9c03443c", "9c03443c-9e03-4aca-a131-0ac431257945"].contains(&word),
                            "{text}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_cut_ends_with_an_ellipsis() {
        assert_eq!(cut("holidays", 8), "holidays");
        assert_eq!(cut("holidays", 5), "holi…");
        assert_eq!(cut("旅行の計画", 5), "旅行…");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }

    #[test]
    fn all_of_a_long_value_is_shown_in_lines_of_the_terminals_width() {
        let text = format!("set /a {} end", "x".repeat(50));
        let wrapped = wrap_all(&text, 20, 4);
        assert!(wrapped.lines().all(|line| line.width() <= 20), "{wrapped}");
        let all: String = wrapped.split_whitespace().collect();
        assert_eq!(all, text.split_whitespace().collect::<String>());
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    ")), "{wrapped}");
        assert_eq!(wrap_all("one two", 20, 4), "one two");
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(wrap_all(&format!("change {hash}"), 40, 4), format!("change\n    {hash}"));
    }

    #[test]
    fn a_sentence_is_folded_between_words_and_its_colours_take_no_room() {
        assert_eq!(folded("  one two three", 9), "  one two\n  three");
        assert_eq!(folded("short\n\nlong-as-it-is", 8), "short\n\nlong-as-it-is");
        assert_eq!(folded("a \u{1b}[31mred\u{1b}[0m", 5), "a \u{1b}[31mred\u{1b}[0m");
    }
}
