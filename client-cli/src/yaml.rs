//! JSON values as YAML: what YAML 1.1 and 1.2 both read as the same value, with nothing in it that steers a terminal.

use serde_json::Value;

use crate::format::printable;

/// Words that some YAML takes for something else than a text.
const RESERVED: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"];

/// The value as a document, without a line break at its end.
pub(crate) fn yaml(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => block(value, 0).join("\n"),
        value => scalar(value, 0),
    }
}

/// The lines of a map or list.
fn block(value: &Value, depth: usize) -> Vec<String> {
    let spaces = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let entries =
                map.iter().flat_map(|(key, value)| entry(&format!("{spaces}{}:", quoted(key)), value, depth));
            entries.collect()
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().flat_map(|item| entry(&format!("{spaces}-"), item, depth)).collect()
        }
        value => vec![format!("{spaces}{}", scalar(value, depth))],
    }
}

/// What stands behind a key or a dash: in the same line where it is one, else in the next ones.
fn entry(head: &str, value: &Value, depth: usize) -> Vec<String> {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        let mut lines = vec![head.to_owned()];
        lines.extend(block(value, depth + 1));
        return lines;
    }
    vec![format!("{head} {}", scalar(value, depth + 1))]
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) => literal(text, depth).unwrap_or_else(|| quoted(text)),
        Value::Number(number) if number.is_f64() => float(&number.to_string()),
        // An empty map or list, and what is written as in JSON.
        value => value.to_string(),
    }
}

/// A number with an exponent has a point and a sign: older YAML reads it as a text otherwise.
fn float(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// A text of several lines, as it is; `None` where it is better quoted.
fn literal(text: &str, depth: usize) -> Option<String> {
    let calm = text.lines().all(|line| printable(line) == line && !line.contains('\t'));
    if !text.contains('\n') || text.contains('\r') || text.starts_with([' ', '\n']) || !calm || depth == 0 {
        return None;
    }
    let (body, mark) = match text.strip_suffix('\n') {
        Some(body) if body.ends_with('\n') => return None,
        Some(body) => (body, "|"),
        None => (text, "|-"),
    };
    let spaces = "  ".repeat(depth);
    let lines =
        body.split('\n').map(|line| if line.is_empty() { String::new() } else { format!("{spaces}{line}") });
    Some(std::iter::once(mark.to_owned()).chain(lines).collect::<Vec<_>>().join("\n"))
}

/// A text in one line: plain where that cannot be mistaken.
fn quoted(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/');
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(word)
        && !text.ends_with(' ')
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if printable(c.encode_utf8(&mut [0; 4])) == c.to_string() => out.push(c),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_reads_as_yaml() {
        let value = json!({
            "title": "Alps", "no": "yes", "n": 3, "big": 1e20, "none": null, "list": ["tent", {"a": [1, []]}, "1"],
            "note": "two\nlines", "people": {"ada ": {"train": true}}, "empty": {}, "say": "a: b # c",
            "evil": "\u{1b}[31m\u{e0041}",
        });
        let wanted = "\
title: Alps
\"no\": \"yes\"
\"n\": 3
big: 1.0e+20
none: null
list:
  - tent
  -
    a:
      - 1
      - []
  - \"1\"
note: |-
  two
  lines
people:
  \"ada \":
    train: true
empty: {}
say: \"a: b # c\"
evil: \"\\u001b[31m\\U000e0041\"";
        assert_eq!(yaml(&value), wanted);
        assert_eq!(yaml(&json!("a")), "a");
        assert_eq!(yaml(&json!([])), "[]");
        assert_eq!(yaml(&json!("a\nb")), "\"a\\nb\"");
    }
}
