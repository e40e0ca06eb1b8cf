//! Long lines in a narrow window.

use ratatui::text::Span;

/// A line on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where it begins in the text, in Unicode code points.
    pub(crate) start: usize,
    /// What is shown: as many code points as the text has there.
    pub(crate) text: String,
}

/// How many columns a character takes.
pub(crate) fn columns(c: char) -> u16 {
    if c.is_ascii() {
        return 1;
    }
    u16::try_from(Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width()).unwrap_or(1)
}

/// The text in lines of at most `width` columns, broken after spaces where there are any. What a terminal could take
/// for a command is shown as a space.
pub(crate) fn wrap(text: &str, width: u16) -> Vec<Row> {
    let width = width.max(1);
    let mut rows = vec![Row { start: 0, text: String::new() }];
    let mut used = 0;
    for (at, c) in text.chars().enumerate() {
        let Some(row) = rows.last_mut() else { break };
        if c == '\n' {
            rows.push(Row { start: at + 1, text: String::new() });
            used = 0;
            continue;
        }
        let c = if c.is_control() { ' ' } else { c };
        if used + columns(c) > width && !row.text.is_empty() {
            let carried = match row.text.rfind(' ') {
                Some(space) => row.text.split_off(space + 1),
                None => String::new(),
            };
            used = carried.chars().map(columns).sum();
            rows.push(Row { start: at - carried.chars().count(), text: carried });
            // A wide character may not even fit beside what was carried over.
            if used > 0 && used + columns(c) > width {
                rows.push(Row { start: at, text: String::new() });
                used = 0;
            }
        }
        used += columns(c);
        if let Some(row) = rows.last_mut() {
            row.text.push(c);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_after_spaces_and_lose_nothing() {
        let text = "a grey heron\nstood-in-the-weir 渡り鳥\tlong";
        for width in 1..30 {
            let rows = wrap(text, width);
            let shown: Vec<String> = rows.iter().map(|row| row.text.clone()).collect();
            assert_eq!(shown.concat(), text.replace('\n', "").replace('\t', " "), "{width}");
            for row in &rows {
                let columns: u16 = row.text.chars().map(columns).sum();
                assert!(columns <= width || row.text.chars().count() == 1, "{row:?} in {width}");
            }
        }
        assert_eq!(wrap("a grey heron", 7).iter().map(|row| row.start).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(wrap("a grey heron", 6)[1], Row { start: 2, text: "grey ".into() });
    }
}
