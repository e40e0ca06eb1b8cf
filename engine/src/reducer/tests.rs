//! Tests of the JSON slice: each action, and each mistake with its message.

use automerge::{ActorId, Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue, transaction::Transactable};
use serde_json::{Value, json};

use super::*;
use crate::{Action, container::ContainerSet, container::make, state};

struct Doc {
    doc: Automerge,
    held: ContainerSet,
}

impl Doc {
    fn new() -> Self {
        Self {
            doc: Automerge::new().with_actor(ActorId::from(b"me".to_vec())),
            held: ContainerSet::default(),
        }
    }

    /// What has one of everything.
    fn rich() -> Self {
        let mut doc = Self::new();
        doc.set("/map", json!({"x": {"y": 1}}));
        doc.set("/list", json!([1, "two", {"three": 3}, 2.5]));
        doc.set("/string", json!("plain"));
        doc.set("/null", json!(null));
        doc.set("/int", json!(7));
        doc.set("/float", json!(1.5));
        doc.set("/bool", json!(true));
        doc.act(json!({"type":"splice","path":"/text","pos":0,"insert":"h\u{e9}\u{1f600}o"})).unwrap();
        doc.act(json!({"type":"increment","path":"/counter","by":5})).unwrap();
        doc
    }

    fn set(&mut self, path: &str, value: Value) {
        self.act(json!({"type":"set","path":path,"value":value})).unwrap();
    }

    /// Plans, makes containers, reduces: and sees that a plan that succeeds is never followed by a failure, and
    /// that one that fails is what reducing says too.
    fn act(&mut self, action: Value) -> Result<(), String> {
        let action: Action = serde_json::from_value(action).unwrap();
        let prepared = match prepare(&self.doc, &self.held, &action) {
            Ok(prepared) => prepared,
            Err(error) => {
                let mut tx = self.doc.transaction();
                let reduced = reduce(&mut tx, &action).unwrap_err();
                assert_eq!(reduced.to_string(), error.to_string());
                assert_eq!(tx.pending_ops(), 0, "a failing action changes nothing");
                return Err(error.to_string());
            }
        };
        for spec in prepared.containers() {
            let change = make(spec);
            self.doc.apply_changes([Change::try_from(&change.bytes[..]).unwrap()]).unwrap();
            self.held.note(&change.actor);
        }
        let mut tx = self.doc.transaction();
        prepared.reduce(&mut tx).unwrap();
        tx.commit();
        Ok(())
    }

    fn get(&self, path: &str) -> Value {
        state::to_json(&self.doc, path, None).unwrap()
    }

    fn fails(&mut self, action: Value, sentence: &str) {
        let before = (self.get(""), self.doc.get_heads());
        assert_eq!(self.act(action).unwrap_err(), sentence);
        assert_eq!((self.get(""), self.doc.get_heads()), before, "a failing action changes nothing");
    }
}

#[test]
fn missing_parents_become_maps() {
    let mut doc = Doc::new();
    doc.set("/a/0/-", json!(1));
    assert_eq!(doc.get(""), json!({"a":{"0":{"-":1}}}));
    doc.set("/a/0/-", json!("again"));
    assert_eq!(doc.get("/a/0/-"), json!("again"));
}

#[test]
fn escapes_empty_and_numeric_keys_are_keys() {
    let mut doc = Doc::new();
    doc.set("/a~1b/m~0n/", json!(1));
    doc.set("/01", json!(2));
    doc.set("//x", json!(3));
    assert_eq!(doc.get(""), json!({"":{"x":3},"01":2,"a/b":{"m~n":{"":1}}}));
    assert_eq!(doc.get("/a~1b/m~0n/"), json!(1));
}

#[test]
fn every_json_value_reads_back_as_it_was_set() {
    let value = json!({
        "n": null, "t": true, "i": -5, "min": i64::MIN, "u": u64::MAX, "f": 0.1, "whole": 2.0, "big": 1e300,
        "s": "h\u{e9}\u{1f600}\n", "l": [[], {}, [1, [2]], ""], "m": {"": {"a": {}}}
    });
    let mut doc = Doc::new();
    doc.set("/v", value.clone());
    assert_eq!(doc.get("/v"), value);
    assert_eq!(doc.get("/v/l/2/1/0"), json!(2));
    doc.set("/v/l/2", value.clone());
    assert_eq!(doc.get("/v/l/2"), value);
}

#[test]
fn a_string_is_a_plain_value() {
    let doc = Doc::rich();
    assert!(matches!(doc.doc.get(ROOT, "string").unwrap().unwrap().0, automerge::Value::Scalar(_)));
    assert!(matches!(doc.doc.get(ROOT, "text").unwrap().unwrap().0, automerge::Value::Object(ObjType::Text)));
}

#[test]
fn set_replaces_whatever_is_there() {
    for value in [json!({"k":1}), json!({}), json!([]), json!("s"), json!(1.5), json!(null)] {
        let mut doc = Doc::rich();
        for path in ["/map", "/list", "/text", "/string", "/counter", "/list/2", "/list/0"] {
            doc.set(path, value.clone());
            assert_eq!(doc.get(path), value, "{path}");
            doc.set(path, json!([0, 1, 2]));
            if path == "/list" {
                doc.set(path, json!([0, 1, {}]));
            }
        }
    }
}

#[test]
fn the_whole_document_can_be_set_to_a_map() {
    let mut doc = Doc::rich();
    doc.set("", json!({"counter":1,"new":[1],"map":{}}));
    assert_eq!(doc.get(""), json!({"counter":1,"map":{},"new":[1]}));
    let sentence = "the whole document can be set to a map, and nothing else can be done to it at once";
    doc.fails(json!({"type":"set","path":"","value":[1]}), sentence);
    doc.fails(json!({"type":"delete","path":""}), sentence);
    doc.fails(json!({"type":"increment","path":""}), sentence);
    doc.fails(json!({"type":"insert","path":"","value":1}), sentence);
}

#[test]
fn delete_removes_keys_and_elements() {
    let mut doc = Doc::rich();
    for path in ["/map/x", "/list/1", "/text", "/counter", "/null"] {
        doc.act(json!({"type":"delete","path":path})).unwrap();
    }
    assert_eq!(
        doc.get(""),
        json!({"map":{},"list":[1,{"three":3},2.5],"string":"plain","int":7,"float":1.5,"bool":true})
    );
    doc.fails(json!({"type":"delete","path":"/text"}), r#"there is nothing at "/text""#);
    doc.fails(json!({"type":"delete","path":"/no/such/thing"}), r#"there is nothing at "/no""#);
}

#[test]
fn increment_counts_and_makes_counters_of_integers() {
    let mut doc = Doc::rich();
    let mut add = |path: &str, by: i64, now: i64| {
        doc.act(json!({"type":"increment","path":path,"by":by})).unwrap();
        assert_eq!(doc.get(path), json!(now), "{path}");
        let (value, _) = match path {
            "/list/0" => doc.doc.get(doc.doc.get(ROOT, "list").unwrap().unwrap().1, 0usize),
            _ => doc.doc.get(ROOT, &path[1..]),
        }
        .unwrap()
        .unwrap();
        assert!(value.is_counter(), "{path}");
    };
    add("/counter", -7, -2);
    add("/int", 3, 10);
    add("/int", 1, 11);
    add("/list/0", 4, 5);
    add("/list/0", 4, 9);
    add("/fresh", 0, 0);
    add("/fresh", 2, 2);
}

#[test]
fn an_integer_set_on_a_counter_is_a_new_counter_of_that_value() {
    let mut doc = Doc::new();
    doc.act(json!({"type":"increment","path":"/n","by":5})).unwrap();
    // 0 is what the counter began with, 5 is what it reads, 9 is neither; twice the same, too.
    for n in [0, 5, 9, 9, 0] {
        let before = doc.doc.get(ROOT, "n").unwrap().unwrap().1;
        doc.set("/n", json!(n));
        let (value, now) = doc.doc.get(ROOT, "n").unwrap().unwrap();
        assert_eq!((value.as_scalar(), doc.get("/n")), (Some(&ScalarValue::counter(n)), json!(n)));
        assert_ne!(before, now, "it is a new one");
        doc.act(json!({"type":"increment","path":"/n","by":5})).unwrap();
        assert_eq!(doc.get("/n"), json!(n + 5));
    }
    doc.set("/n", json!("x"));
    assert_eq!(doc.get("/n"), json!("x"));
}

#[test]
fn a_sum_or_number_past_64_bits_is_refused() {
    let mut doc = Doc::rich();
    doc.set("/int", json!(u64::MAX));
    doc.act(json!({"type":"increment","path":"/counter","by":i64::MAX - 5})).unwrap();
    let sentence = |path: &str| format!("the number for {path:?} is outside the range of 64-bit integers");
    doc.fails(json!({"type":"increment","path":"/counter"}), &sentence("/counter"));
    doc.fails(json!({"type":"increment","path":"/int","by":-1}), &sentence("/int"));
    doc.fails(json!({"type":"set","path":"/counter","value":u64::MAX}), &sentence("/counter"));
}

#[test]
fn insert_goes_before_an_index_or_to_the_end() {
    let mut doc = Doc::new();
    for (path, value) in [("/l/-", "a"), ("/l/-", "c"), ("/l/1", "b"), ("/l/0", "0"), ("/l/4", "d")] {
        doc.act(json!({"type":"insert","path":path,"value":value})).unwrap();
    }
    assert_eq!(doc.get("/l"), json!(["0", "a", "b", "c", "d"]));
    doc.act(json!({"type":"insert","path":"/made/deep/0","value":{"a":[1]}})).unwrap();
    assert_eq!(doc.get("/made"), json!({"deep":[{"a":[1]}]}));
    let past = |n: u64, path: &str, len: u64| {
        format!("position {n} is past the end of {path:?}, whose length is {len}")
    };
    doc.fails(json!({"type":"insert","path":"/l/6","value":1}), &past(6, "/l", 5));
    doc.fails(json!({"type":"insert","path":"/none/1","value":1}), &past(1, "/none", 0));
    doc.fails(json!({"type":"set","path":"/l/5","value":1}), &past(5, "/l", 5));
    for part in ["x", "-1", "01", "1.0", "", "+1"] {
        let sentence = format!("{part:?} is no index into the list at \"/l\"");
        doc.fails(json!({"type":"insert","path":format!("/l/{part}"),"value":1}), &sentence);
        doc.fails(json!({"type":"set","path":format!("/l/{part}"),"value":1}), &sentence);
    }
    doc.fails(json!({"type":"set","path":"/l/-","value":1}), "\"-\" is no index into the list at \"/l\"");
}

#[test]
fn splice_counts_code_points() {
    let mut doc = Doc::rich();
    let mut splice = |pos: u64, delete: u64, insert: &str, now: &str| {
        doc.act(json!({"type":"splice","path":"/text","pos":pos,"delete":delete,"insert":insert})).unwrap();
        assert_eq!(doc.get("/text"), json!(now));
    };
    splice(3, 0, "y", "h\u{e9}\u{1f600}yo");
    splice(1, 2, "", "hyo");
    splice(3, 0, "!", "hyo!");
    splice(0, 4, "\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}");
    splice(3, 0, "x", "\u{1f468}\u{200d}\u{1f469}x");
    splice(4, 0, "", "\u{1f468}\u{200d}\u{1f469}x");
    let past = |n: u64, path: &str, len: u64| {
        format!("position {n} is past the end of {path:?}, whose length is {len}")
    };
    doc.fails(json!({"type":"splice","path":"/text","pos":5,"insert":"x"}), &past(5, "/text", 4));
    doc.fails(json!({"type":"splice","path":"/text","pos":2,"delete":3}), &past(5, "/text", 4));
    doc.fails(json!({"type":"splice","path":"/text","pos":1,"delete":u64::MAX}), &past(u64::MAX, "/text", 4));
    doc.fails(json!({"type":"splice","path":"/no/text","pos":5,"insert":"x"}), &past(5, "/no/text", 0));
    doc.fails(json!({"type":"splice","path":"/no/text","pos":0,"delete":1}), &past(1, "/no/text", 0));
}

#[test]
fn a_wrong_type_is_named_with_its_path() {
    let mut doc = Doc::rich();
    let cases = [
        (
            json!({"type":"set","path":"/string/x","value":1}),
            "\"/string\" is a plain string, not a map or a list",
        ),
        (json!({"type":"set","path":"/null/x/y","value":1}), "\"/null\" is null, not a map or a list"),
        (
            json!({"type":"set","path":"/counter/x","value":1}),
            "\"/counter\" is a counter, not a map or a list",
        ),
        (
            json!({"type":"set","path":"/text/0","value":1}),
            "\"/text\" is collaborative text, not a map or a list",
        ),
        (
            json!({"type":"set","path":"/list/3/x","value":1}),
            "\"/list/3\" is a number with a fraction, not a map or a list",
        ),
        (json!({"type":"delete","path":"/text/0"}), "\"/text\" is collaborative text, not a map or a list"),
        (
            json!({"type":"insert","path":"/text/0","value":"x"}),
            "\"/text\" is collaborative text, not a list",
        ),
        (json!({"type":"insert","path":"/map/-","value":1}), "\"/map\" is a map, not a list"),
        (json!({"type":"insert","path":"/int/-","value":1}), "\"/int\" is an integer, not a list"),
        (json!({"type":"insert","path":"/-","value":1}), "\"\" is a map, not a list"),
        (
            json!({"type":"increment","path":"/string"}),
            "\"/string\" is a plain string, not a counter or an integer",
        ),
        (
            json!({"type":"increment","path":"/float"}),
            "\"/float\" is a number with a fraction, not a counter or an integer",
        ),
        (json!({"type":"increment","path":"/map"}), "\"/map\" is a map, not a counter or an integer"),
        (
            json!({"type":"splice","path":"/string","pos":0,"insert":"x"}),
            "\"/string\" is a plain string, not collaborative text",
        ),
        (
            json!({"type":"splice","path":"/list","pos":0,"insert":"x"}),
            "\"/list\" is a list, not collaborative text",
        ),
        (json!({"type":"splice","path":"","pos":0,"insert":"x"}), "\"\" is a map, not collaborative text"),
        (
            json!({"type":"splice","path":"/bool","pos":0}),
            "\"/bool\" is true or false, not collaborative text",
        ),
    ];
    for (action, sentence) in cases {
        doc.fails(action, sentence);
    }
}

#[test]
fn a_bad_pointer_is_refused() {
    let mut doc = Doc::rich();
    doc.fails(
        json!({"type":"set","path":"a","value":1}),
        "\"a\" is not a JSON Pointer: it is neither empty nor begins with \"/\"",
    );
    doc.fails(
        json!({"type":"set","path":"/a~2","value":1}),
        "\"/a~2\" is not a JSON Pointer: \"~\" must be followed by 0 or 1",
    );
}

#[test]
fn depth_is_bounded_path_and_value_together() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |value, _| json!([value]));
    let mut doc = Doc::new();
    doc.set("/a", nested(119));
    let text = json!({"around": [doc.get("")]}).to_string();
    assert!(
        serde_json::from_str::<Value>(&text).is_ok(),
        "what can be set can be read, with levels around it"
    );
    doc.fails(
        json!({"type":"set","path":"/a","value":nested(120)}),
        "\"/a\" would be deeper than 120 levels",
    );
    doc.fails(
        json!({"type":"insert","path":"/l/-","value":nested(119)}),
        "\"/l/-\" would be deeper than 120 levels",
    );
    let path = "/x".repeat(121);
    doc.fails(json!({"type":"increment","path":path}), &format!("{path:?} would be deeper than 120 levels"));
    doc.set(&"/x".repeat(120), json!(1));
    assert_eq!(doc.get(&"/x".repeat(120)), json!(1));
}

#[test]
fn what_is_already_so_needs_no_operation() {
    let mut doc = Doc::rich();
    doc.set("/empty", json!({}));
    let heads = doc.doc.get_heads();
    doc.set("/string", json!("plain"));
    doc.set("/empty", json!({}));
    doc.act(json!({"type":"splice","path":"/text","pos":0})).unwrap();
    assert_eq!(doc.doc.get_heads(), heads);
}

#[test]
#[ignore = "a measurement"]
fn measure_what_planning_adds_to_a_commit() {
    let mut doc = Doc::new();
    doc.act(json!({"type":"splice","path":"/deep/er/text","pos":0,"insert":"x"})).unwrap();
    let (_, deep) = doc.doc.get(ROOT, "deep").unwrap().unwrap();
    let (_, er) = doc.doc.get(&deep, "er").unwrap().unwrap();
    let (_, text) = doc.doc.get(&er, "text").unwrap().unwrap();
    let actions: Vec<Action> = (0..20_000_u64)
        .map(|n| {
            serde_json::from_value(
                json!({"type":"splice","path":"/deep/er/text","pos":n * 7919 % (n + 1),"insert":"y"}),
            )
            .unwrap()
        })
        .collect();
    for round in 0..5 {
        let started = std::time::Instant::now();
        for action in &actions {
            let mut tx = doc.doc.transaction();
            let Action::Splice { pos, insert, .. } = action else { unreachable!() };
            tx.splice_text(&text, *pos as usize, 0, insert).unwrap();
            tx.commit();
        }
        let bare = started.elapsed() / 20_000;
        let started = std::time::Instant::now();
        for action in &actions {
            let prepared = prepare(&doc.doc, &doc.held, action).unwrap();
            let mut tx = doc.doc.transaction();
            prepared.reduce(&mut tx).unwrap();
            tx.commit();
        }
        println!("round {round}: bare {bare:?}, planned and reduced {:?}", started.elapsed() / 20_000);
    }
}

/// Two devices may each add what fits, and together more. The library adds with checks where the profile has
/// them, and then panics whenever the counter is read; without them the sum wraps, on all replicas alike.
#[test]
#[ignore = "needs overflow-checks = false for the package automerge in the profile"]
fn a_counter_whose_sum_passes_64_bits_can_be_read() {
    let mut one = Doc::new();
    one.act(json!({"type":"increment","path":"/n","by":1})).unwrap();
    let mut other = one.doc.fork();
    one.act(json!({"type":"increment","path":"/n","by":i64::MAX - 1})).unwrap();
    let mut tx = other.transaction();
    tx.increment(ROOT, "n", 1).unwrap();
    tx.commit();
    one.doc.merge(&mut other).unwrap();
    assert_eq!(one.get("/n"), json!(i64::MIN));
    assert_eq!(
        state::to_json(&Automerge::load(&one.doc.save()).unwrap(), "/n", None).unwrap(),
        json!(i64::MIN)
    );
}
