//! The whole square: one inserts, the other deletes what was inserted or a part of it, and each undoes and redoes their
//! own, in every order; on a text and a list, against a model that knows only what stands.

use rejoin::{Action, DocumentId, store::Core};
use serde_json::{Value, json};

use crate::undo::support::*;

/// One kind of place, the two actions there, and what reads where they stand.
struct Square {
    name: &'static str,
    before: Vec<Action>,
    inserts: Action,
    deletes: Action,
    /// What reads, by whether the first and the second action stand.
    reads: fn(bool, bool) -> Value,
}

fn squares() -> Vec<Square> {
    let text = |all: bool, part: bool| match (all, part) {
        (true, false) => json!({"t": "[abcd]"}),
        (true, true) => json!({"t": "[ad]"}),
        (false, _) => json!({"t": "[]"}),
    };
    let whole = |all: bool, part: bool| json!({"t": if all && !part { "[abcd]" } else { "[]" }});
    let list =
        |all: bool, gone: bool| json!({"l": if all && !gone { json!([0, {"a": 1}]) } else { json!([0]) }});
    let square = |name, before, inserts, deletes, reads| Square { name, before, inserts, deletes, reads };
    vec![
        square(
            "part of a text",
            vec![splice("/t", 0, 0, "[]")],
            splice("/t", 1, 0, "abcd"),
            splice("/t", 2, 2, ""),
            text,
        ),
        square(
            "all of a text",
            vec![splice("/t", 0, 0, "[]")],
            splice("/t", 1, 0, "abcd"),
            splice("/t", 1, 4, ""),
            whole,
        ),
        square("list", vec![insert("/l/-", json!(0))], insert("/l/-", json!({"a": 1})), delete("/l/1"), list),
    ]
}

/// Two people, and whether the action of each stands.
struct Pair {
    people: [Core; 2],
    id: DocumentId,
    stands: [bool; 2],
}

impl Pair {
    fn of(square: &Square) -> Self {
        let (mut a, mut b, id) = two(square.before.clone());
        act(&mut a, id, square.inserts.clone());
        sync(&mut a, &mut b, id);
        act(&mut b, id, square.deletes.clone());
        sync(&mut a, &mut b, id);
        Self { people: [a, b], id, stands: [true, true] }
    }

    /// Undoes what this person did, or does it again.
    fn turn(&mut self, who: usize) {
        let done = match self.stands[who] {
            true => self.people[who].undo(self.id),
            false => self.people[who].redo(self.id),
        };
        assert!(done.unwrap().is_some(), "it is possible");
        self.stands[who] = !self.stands[who];
    }

    fn read(&mut self) -> Value {
        let [a, b] = &mut self.people;
        sync(a, b, self.id)
    }
}

/// Who turns, in every order of so many.
fn orders(length: u32) -> impl Iterator<Item = Vec<usize>> {
    (0..1_usize << length).map(move |n| (0..length).map(|nth| (n >> nth) & 1).collect())
}

/// The first order of six turns after which it does not read as it should.
fn first_that_does_not_hold() -> Option<String> {
    for square in squares() {
        for turns in orders(6) {
            let mut pair = Pair::of(&square);
            for (nth, who) in turns.iter().enumerate() {
                pair.turn(*who);
                let [all, gone] = pair.stands;
                let (read, wanted) = (pair.read(), (square.reads)(all, gone));
                if read != wanted {
                    return Some(format!("{}: {:?}: {read}, not {wanted}", square.name, &turns[..=nth]));
                }
            }
        }
    }
    None
}

#[test]
fn what_an_undo_took_away_of_a_text_or_list_stays_away_unless_its_own_redo_brings_it_back_in_every_order() {
    assert_eq!(first_that_does_not_hold(), None);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn an_undo_that_brings_back_what_was_undone_is_found() {
    use rejoin::planted::{Bug, plant};

    plant(Some(Bug::UndoneComesBack));
    let found = first_that_does_not_hold();
    plant(None);
    assert!(found.is_some());
}

/// Where both turn before they meet, nobody can know what the other does: but nothing is there twice, and a turn and its
/// return leave everything as it was.
#[test]
fn what_is_undone_and_redone_at_once_is_there_once_at_most_and_a_turn_and_back_changes_nothing() {
    for square in squares() {
        for turns in orders(4) {
            let mut pair = Pair::of(&square);
            turns.iter().for_each(|who| pair.turn(*who));
            let read = pair.read();
            let mut there: Vec<char> = read["t"].as_str().unwrap_or("").chars().collect();
            there.sort_unstable();
            let all = there.len();
            there.dedup();
            assert_eq!(all, there.len(), "{}: {turns:?}: {read}", square.name);
            for who in [0, 1] {
                pair.turn(who);
                pair.read();
                pair.turn(who);
                assert_eq!(pair.read(), read, "{}: {turns:?}, {who} and back", square.name);
            }
        }
    }
}
