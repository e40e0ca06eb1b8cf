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

/// The parts of two texts between what they begin and end with alike, and at which character they begin.
fn middle<'a>(before: &'a str, after: &'a str) -> (usize, &'a str, &'a str) {
    let same = |(a, b): &(char, char)| a == b;
    let begin = before.chars().zip(after.chars()).take_while(same);
    let (at, bytes) = begin.fold((0, 0), |(at, bytes), (c, _)| (at + 1, bytes + c.len_utf8()));
    let (before, after) = (before.get(bytes..).unwrap_or(""), after.get(bytes..).unwrap_or(""));
    let end = before.chars().rev().zip(after.chars().rev()).take_while(same);
    let end: usize = end.map(|(c, _)| c.len_utf8()).sum();
    let head = |text: &'a str| text.get(..text.len() - end).unwrap_or(text);
    (at, head(before), head(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_texts_the_part_that_differs_is_told() {
        assert_eq!(middle("We leave at nine, all", "We leave at ten, all"), (12, "nine", "ten"));
        assert_eq!(middle("aaa", "aaaa"), (3, "", "a"));
        assert_eq!(middle("größe", "große"), (2, "ö", "o"));
        assert_eq!(middle("same", "same"), (4, "", ""));
    }
}
