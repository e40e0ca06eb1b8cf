//! Effects and thunks are one table: a file of before is moved over, and shows what it showed.

use std::time::Duration;

use rejoin::{
    effects::{EffectId, EffectState, Verdict},
    store::{Core, LeaseTerms, WorkTerms},
    work::{ThunkCause, ThunkId, ThunkState},
};
use rejoin_migrations::ENGINE;
use rusqlite::{Connection, types::Value};
use serde_json::json;

/// The last schema in which effects and thunks had a table each.
const BEFORE: usize = 15;

/// A file of that schema, with nothing in it.
fn old() -> Connection {
    let raw = Connection::open_in_memory().unwrap();
    for step in &ENGINE.migrations[..BEFORE] {
        raw.execute_batch(step.sql).unwrap();
    }
    raw.pragma_update(None, "application_id", ENGINE.application_id).unwrap();
    raw.pragma_update(None, "user_version", i64::try_from(BEFORE).unwrap()).unwrap();
    raw
}

/// What a view shows, with the names of its columns first.
fn shown(raw: &Connection, view: &str) -> Vec<Vec<Value>> {
    let mut statement = raw.prepare(&format!("SELECT * FROM {view}")).unwrap();
    let names = statement.column_names().map(|name| Value::Text(name.to_owned())).collect::<Vec<_>>();
    let width = names.len();
    let rows =
        statement.query_map([], |row| (0..width).map(|nth| row.get::<_, Value>(nth)).collect()).unwrap();
    std::iter::once(names).chain(rows.map(Result::unwrap)).collect()
}

fn id(nth: u8) -> EffectId {
    EffectId::from_bytes([nth; 16])
}

/// Effects in every state: each of them once with everything that can be in a row, and once with nothing of it.
fn add_effects(raw: &Connection, document: &str) {
    let commit = r#"{"action":{"type":"set","path":"/saved"},"put":[{"from":"","into":"/value"}]}"#;
    let action = r#"{"action":{"action":{"type":"set","path":"/failed","value":true}}}"#;
    let states = ["waiting", "running", "held", "done", "dead", "dropped"];
    for (nth, state) in (1..).zip(states.iter().flat_map(|state| [state, state])) {
        let full = nth % 2 == 0;
        let rollback = match nth % 3 {
            0 => Some("\"guarded\""),
            _ => full.then_some(action),
        };
        let sql = "INSERT INTO effect (id, document, change_hash, action_type, action, kind, lane, request, coalesce_key,
                replaced_by, commit_action, rollback, rolled_back, state, attempts, failures, charged, attempt_limit,
                timeout, next_attempt_at, created_at, deadline_at, owner, lease_until, last_error, outcome, settled_at,
                settled_change)
            VALUES (?1, ?2, zeroblob(32), ?3, ?4, 'test', 'lane ' || ?5, '{\"n\": 1.50}', ?6, ?7, ?8, ?9, ?10, ?11, ?12, 2,
                1, 32, 60000, ?13, 1800000000123, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";
        let params = rusqlite::params![
            id(nth).to_string(),
            document,
            full.then_some("set"),
            full.then_some(r#"{"type": "set", "value": null}"#),
            state,
            full.then_some("key"),
            (*state == "dropped").then(|| id(1).to_string()),
            full.then_some(commit),
            rollback,
            *state == "dead" && full,
            state,
            i64::from(nth),
            full.then_some(1_900_000_000_456_i64),
            full.then_some(4_000_000_000_000_i64),
            (*state == "running").then_some("gone 1"),
            (*state == "running").then_some(1),
            full.then_some("nobody was reached: x"),
            full.then_some(r#"{"status": 201, "body": 1.0}"#),
            full.then_some(1_800_000_009_000_i64),
            full.then(|| vec![7_u8; 32]),
        ];
        raw.execute(sql, params).unwrap();
    }
    let sql = "INSERT INTO effect_after (effect, after) VALUES (?1, ?2), (?1, ?3)";
    raw.execute(sql, [id(5).to_string(), id(7).to_string(), id(8).to_string()]).unwrap();
}

/// Thunks in every state, and for every cause.
fn add_thunks(raw: &Connection, document: &str) {
    let follow = r#"{"action":{"type":"set","path":"/ended","value":null}}"#;
    let ends = [
        ("pending", None, None),
        ("pending", None, None),
        ("fulfilled", None, Some(r#"{"out": 2.50}"#)),
        ("fulfilled", None, Some("null")),
        ("rejected", Some("returned"), Some(r#"{"Quota": 3}"#)),
        ("rejected", Some("panicked"), None),
        ("rejected", Some("timed_out"), None),
        ("rejected", Some("unreadable"), None),
        ("rejected", Some("orphaned"), None),
        ("aborted", Some("aborted"), None),
        ("aborted", Some("superseded"), None),
    ];
    for (nth, (state, cause, came)) in (0_i64..).zip(ends) {
        for full in [false, true] {
            let sql = "INSERT INTO thunk (id, name, key, document, argument, on_death, fulfilled, rejected, state, attempts,
                    deaths, owner, lease_until, result, error, created_at, started_at, settled_at, settled_change,
                    superseded_by, changed, aborted, superseded, orphaned, cause, rejection, follow_error)
                VALUES (?1, 'work', ?2, ?3, '{\"a\": 1.0}', ?4, ?5, ?5, ?6, ?7, 3, ?8, ?9, ?10, ?11, 1800000000123, ?12, ?13,
                    ?14, ?15, ?16, ?5, ?5, ?5, ?17, ?18, ?19)";
            let running = state == "pending" && nth == 1;
            let params = rusqlite::params![
                ThunkId::random().to_string(),
                full.then_some("key"),
                full.then_some(document),
                if full { "reject" } else { "resume" },
                full.then_some(follow),
                state,
                nth,
                running.then_some("gone 1"),
                running.then_some(1),
                came.filter(|_| state == "fulfilled"),
                (state != "pending" && state != "fulfilled").then_some("why"),
                full.then_some(1_800_000_001_000_i64),
                (state != "pending").then_some(1_800_000_002_000_i64),
                full.then(|| vec![9_u8; 32]),
                (cause == Some("superseded")).then(|| ThunkId::random().to_string()),
                nth + 1,
                cause,
                came.filter(|_| cause == Some("returned")),
                full.then_some("no such place"),
            ];
            raw.execute(sql, params).unwrap();
        }
    }
}

#[test]
fn effects_and_thunks_of_an_older_file_are_moved_into_one_table_and_shown_as_before() {
    let raw = old();
    let document = "9d0f3a40-6a52-4d0e-9a60-3f0f6a3c1b11";
    add_effects(&raw, document);
    add_thunks(&raw, document);
    let before = [shown(&raw, "effects"), shown(&raw, "thunks")];
    assert_eq!(before.each_ref().map(Vec::len), [1 + 12, 1 + 22]);

    let mut core = Core::open_connection(raw).unwrap();
    let (effects, thunks) = (core.effects().unwrap(), core.thunks().unwrap());
    let raw = core.into_connection();
    assert_eq!([shown(&raw, "effects"), shown(&raw, "thunks")], before);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('effect', 'thunk')";
    assert_eq!(raw.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap(), 0);

    // What the views do not show is the same, too.
    assert_eq!(effects.iter().map(|e| e.position).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert_eq!(effects[4].after, [id(7), id(8)]);
    assert_eq!((effects[1].failures, effects[1].charged, effects[1].timeout), (2, 1, 60_000));
    assert_eq!(thunks.iter().map(|t| t.position).collect::<Vec<_>>(), (1..=22).collect::<Vec<_>>());
    assert_eq!(thunks.iter().filter(|t| t.running).count(), 2);
    assert_eq!((thunks[4].state, &thunks[4].result), (ThunkState::Fulfilled, &Some(json!({"out": 2.5}))));
    assert_eq!(
        (thunks[8].cause, &thunks[8].rejection),
        (Some(ThunkCause::Returned), &Some(json!({"Quota": 3})))
    );
    assert_eq!((thunks[20].state, thunks[20].superseded_by.is_some()), (ThunkState::Aborted, true));
}

#[test]
fn jobs_of_an_older_file_go_on_where_they_stood() {
    let raw = old();
    let mut core = Core::open_in_memory().unwrap();
    let document = core.create(None, None).unwrap();
    add_effects(&raw, &document.to_string());
    add_thunks(&raw, &document.to_string());
    let mut core = Core::open_connection(raw).unwrap();

    // Of each lane the first: what waits, and what a process left that is gone. What is held waits for credentials.
    let terms = LeaseTerms { kinds: vec!["test".into()], most: 9, lease: Duration::from_secs(30) };
    let leased = core.lease_effects(&terms).unwrap().effects;
    assert_eq!(leased.iter().map(|(effect, _)| effect.id).collect::<Vec<_>>(), [id(1), id(3)]);
    assert_eq!((leased[1].0.attempts, leased[1].0.failures, leased[1].0.charged), (4, 3, 2));
    for (effect, lease) in &leased {
        assert!(core.settle_effect(effect.id, lease, Verdict::Done { reply: json!(1) }).unwrap());
        assert_eq!(core.effect(&effect.id.to_string()).unwrap().state, EffectState::Done);
    }

    // The one that must not be begun twice ends, with its process; the other has had three of five.
    let terms = WorkTerms {
        thunks: vec!["work".into()],
        listeners: Vec::new(),
        most_thunks: 9,
        most_listeners: 0,
        lease: Duration::from_secs(30),
    };
    let work = core.lease_work(&terms).unwrap();
    assert_eq!(work.thunks.iter().map(|(info, _)| info.position).collect::<Vec<_>>(), [1, 2, 3]);
    let orphan = core.thunks().unwrap().remove(3);
    assert_eq!((orphan.state, orphan.cause), (ThunkState::Rejected, Some(ThunkCause::Orphaned)));
    assert!(orphan.follow_error.is_some(), "its document is not in this file");
}
