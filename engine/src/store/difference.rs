//! What differs between two states, as the smallest places that say it all.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Difference;
use crate::revision::differences;

impl Difference {
    /// What differs between two values, as places whose values differ: the smallest that say it all. Maps are compared key
    /// by key and lists element by element; everything else as a whole. Of lists, an element that went is named by its index
    /// in the list before, and every other by its index in the list after.
    ///
    /// ```
    /// use rejoin::Difference;
    /// use serde_json::json;
    /// let (before, after) = (json!({"list": ["tent", "rope"]}), json!({"list": ["tent", "soup", "rope"]}));
    /// let found = Difference::between(&before, &after);
    /// assert_eq!((found[0].path.as_str(), &found[0].after), ("/list/1", &Some(json!("soup"))));
    /// assert_eq!(found.len(), 1);
    /// ```
    pub fn between(before: &Value, after: &Value) -> Vec<Self> {
        let mut comparison = Comparison { path: String::new(), found: Vec::new() };
        comparison.values(Some(before), Some(after));
        comparison.found
    }
}

struct Comparison {
    path: String,
    found: Vec<Difference>,
}

impl Comparison {
    fn values(&mut self, before: Option<&Value>, after: Option<&Value>) {
        if before == after {
            return;
        }
        match (before, after) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                    self.below(key, before.get(key), after.get(key));
                }
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => self.lists(before, after),
            _ => {
                let (path, before, after) = (self.path.clone(), before.cloned(), after.cloned());
                self.found.push(Difference { path, before, after });
            }
        }
    }

    fn below(&mut self, part: &str, before: Option<&Value>, after: Option<&Value>) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&part.replace('~', "~0").replace('/', "~1"));
        self.values(before, after);
        self.path.truncate(length);
    }

    /// Elements that stand where others stood are compared with those; the rest went or came.
    fn lists(&mut self, before: &[Value], after: &[Value]) {
        let begin = before.iter().zip(after).take_while(|(one, other)| one == other).count();
        let (old, new) = (before.get(begin..).unwrap_or_default(), after.get(begin..).unwrap_or_default());
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
        let text = |list: &[Value]| -> Vec<String> {
            list.get(..list.len() - end).unwrap_or_default().iter().map(Value::to_string).collect()
        };
        for part in differences(&text(old), &text(new)) {
            let both = part.old.len().min(part.new.len());
            let (old, new) = (part.old.start + begin, part.new.start + begin);
            for nth in 0..both {
                self.below(&(new + nth).to_string(), before.get(old + nth), after.get(new + nth));
            }
            for at in old + both..part.old.end + begin {
                self.below(&at.to_string(), before.get(at), None);
            }
            for at in new + both..part.new.end + begin {
                self.below(&at.to_string(), None, after.get(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let tell = |d: Difference| {
            let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
            format!("{} {} {}", d.path, text(d.before), text(d.after))
        };
        Difference::between(before, after).into_iter().map(tell).collect()
    }

    #[test]
    fn of_a_list_the_elements_that_differ_are_told_and_no_others() {
        let many: Vec<usize> = (0..3_000).collect();
        let mut more = many.clone();
        more.insert(1_500, 7);
        assert_eq!(told(&json!(many), &json!(more)), ["/1500 - 7"]);
        assert_eq!(told(&json!(more), &json!(many)), ["/1500 7 -"]);
        let (one, two) = (json!([{"a": 1, "b": 2}, "x"]), json!([{"a": 1, "b": 3}, "x", []]));
        assert_eq!(told(&one, &two), ["/0/b 2 3", "/2 - []"]);
        assert_eq!(
            told(&json!({"a/b": [1, 2, 3]}), &json!({"a/b": [2, 9, 3]})),
            ["/a~1b/0 1 -", "/a~1b/1 - 9"]
        );
        assert_eq!(told(&json!([[1]]), &json!([{}])), ["/0 [1] {}"]);
    }
}
