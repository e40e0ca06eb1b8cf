//! What changes did, in words for people.

use rejoin::{Edit, Edits, HistoryEntry};
use serde_json::Value;

use crate::format::{place, printable, short_hash, shorten};

/// How much of a value is told in a line.
const VALUE: usize = 60;
/// How many edits of one change are told in a line.
const FEW: usize = 3;

/// What a change did, in one line: the action and where, with the beginning of the value.
pub(crate) fn deed(entry: &HistoryEntry, edits: &Edits) -> String {
    let told = list(&edits.edits);
    let of = edits.of.map(|of| format!(" {}", short_hash(&of))).unwrap_or_default();
    match (&entry.action_type, &edits.message) {
        (Some(action), _) => match edits.edits.as_slice() {
            [edit] if edit.kind() == action => told,
            [] if edits.already_so => format!("{}{of} {}", printable(action), nothing_done(action)),
            [] => format!("{}{of}", printable(action)),
            _ => format!("{}{of}: {told}", printable(action)),
        },
        (None, Some(message)) => printable(message.trim_end()),
        (None, None) if told.is_empty() => "(another program's)".to_owned(),
        (None, None) => told,
    }
}

/// What is said of a change that did nothing.
pub(crate) fn nothing_done(action: &str) -> &'static str {
    match action {
        "undo" | "redo" | "revert" | "reset" => "(nothing was left to change)",
        _ => "(already so)",
    }
}

/// The first few, and how many more there are.
fn list(edits: &[Edit]) -> String {
    let mut told: Vec<String> = edits.iter().take(FEW).map(|edit| sentence(edit, VALUE)).collect();
    if edits.len() > FEW {
        told.push(format!("{} more", edits.len() - FEW));
    }
    told.join("; ")
}

/// One edit: `set /title "plan"`, `splice /note at 12 +"ten"`. Values are cut to so many characters.
pub(crate) fn sentence(edit: &Edit, most: usize) -> String {
    let path = place(edit.path());
    let value = |value: &Value| shorten(&printable(&value.to_string()), most);
    let quoted = |text: &str| shorten(&printable(&Value::from(text).to_string()), most);
    let rest = match edit {
        Edit::Set { value: new, .. } | Edit::Insert { value: new, .. } => format!(" {}", value(new)),
        Edit::Increment { by, .. } => format!(" {by:+}"),
        Edit::Splice { pos, insert, deleted, .. } => {
            let minus = if deleted.is_empty() { String::new() } else { format!(" -{}", quoted(deleted)) };
            let plus = if insert.is_empty() { String::new() } else { format!(" +{}", quoted(insert)) };
            format!(" at {pos}{minus}{plus}")
        }
        Edit::Mark { name, value: new, .. } => format!(" {} {}", shorten(&printable(name), most), value(new)),
        _ => String::new(),
    };
    format!("{} {path}{rest}", edit.kind())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edit_is_told_as_a_person_would_say_it() {
        let told = |json: Value| {
            let (path, text) = (json["path"].as_str().unwrap().to_owned(), |k: &str| {
                json[k].as_str().unwrap_or_default().to_owned()
            });
            let edit = match json["type"].as_str().unwrap() {
                "set" => Edit::Set { path, value: json["value"].clone() },
                "increment" => Edit::Increment { path, by: json["by"].as_i64().unwrap() },
                _ => Edit::Splice {
                    path,
                    pos: 12,
                    delete: 4,
                    insert: text("insert"),
                    deleted: text("deleted"),
                },
            };
            sentence(&edit, 12)
        };
        assert_eq!(told(json!({"type": "set", "path": "/title", "value": "plan"})), r#"set /title "plan""#);
        assert_eq!(told(json!({"type": "increment", "path": "/n", "by": -2})), "increment /n -2");
        let splice =
            json!({"type": "splice", "path": "/note", "insert": "ten", "deleted": "nine o'clock sharp"});
        assert_eq!(told(splice), r#"splice /note at 12 -"nine o'clo… +"ten""#);
    }
}
