//! What differs between two states, a line a place.

use rejoin::Difference;
use serde_json::Value;

use crate::format::{place, printable};
use crate::output::{Output, Paint};

/// Texts that are longer than this together are told by the part that differs.
const SHORT: usize = 80;

/// One place: what was there, and what is there. On a terminal in lines of its width, the first of which begins behind so
/// many blanks.
pub(crate) fn line(out: &Output, difference: &Difference, indent: usize) -> String {
    let (paint, text) = tell(difference);
    let text = out.wrapped(&format!("{}{text}", " ".repeat(indent)), indent + 4);
    match paint {
        Some(paint) => text.lines().map(|line| out.paint(paint, line)).collect::<Vec<_>>().join("\n"),
        None => text,
    }
}

fn tell(difference: &Difference) -> (Option<Paint>, String) {
    let path = place(&difference.path);
    let value = |value: &Value| printable(&value.to_string());
    match (&difference.before, &difference.after) {
        (None, Some(after)) => (Some(Paint::Green), format!("+ {path}  {}", value(after))),
        (Some(before), None) => (Some(Paint::Red), format!("- {path}  {}", value(before))),
        (Some(Value::String(before)), Some(Value::String(after))) if before.len() + after.len() > SHORT => {
            let (at, before, after) = middle(before, after);
            let (before, after) = (value(&before.into()), value(&after.into()));
            (Some(Paint::Yellow), format!("~ {path} at {at}  {before} -> {after}"))
        }
        (Some(before), Some(after)) => {
            (Some(Paint::Yellow), format!("~ {path}  {} -> {}", value(before), value(after)))
        }
        (None, None) => (None, format!("  {path}")),
    }
}

/// The parts of two texts between what they begin and end with alike, in whole words, and at which character they begin.
fn middle<'a>(before: &'a str, after: &'a str) -> (usize, &'a str, &'a str) {
    let same = |(a, b): &(char, char)| a == b;
    let in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let begin: String = before.chars().zip(after.chars()).take_while(same).map(|(c, _)| c).collect();
    let rest = |text: &'a str, begin: &str| text.get(begin.len()..).unwrap_or("");
    let splits = [before, after].iter().any(|text| in_word(rest(text, &begin).chars().next()));
    let begin = if splits { begin.trim_end_matches(char::is_alphanumeric) } else { &begin };
    let (before, after) = (rest(before, begin), rest(after, begin));
    let end: String =
        before.chars().rev().zip(after.chars().rev()).take_while(same).map(|(c, _)| c).collect();
    let head = |text: &'a str, end: &str| text.get(..text.len() - end.len()).unwrap_or(text);
    let splits = [before, after].iter().any(|text| in_word(head(text, &end).chars().next_back()));
    let end = if splits { end.trim_end_matches(char::is_alphanumeric) } else { &end };
    (begin.chars().count(), head(before, end), head(after, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_texts_the_part_that_differs_is_told() {
        assert_eq!(middle("We leave at nine, all", "We leave at ten, all"), (12, "nine", "ten"));
        assert_eq!(middle("aaa", "aaaa"), (0, "aaa", "aaaa"));
        assert_eq!(middle("die größe da", "die große da"), (4, "größe", "große"));
        assert_eq!(middle("a b", "a new b"), (2, "", "new "));
        assert_eq!(middle("we are.", "we are."), (7, "", ""));
    }
}
