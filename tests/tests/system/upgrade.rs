//! What one release of the library could not take is tried again by the next.

use rejoin::{
    Action, DocumentId,
    fence::{Limits, check, frame},
    planted::{Bug, plant},
    store::{Core, Durability, Page},
    untrusted::install_panic_hook,
};
use rejoin_tests::harness::{Place, corpus};
use serde_json::json;

#[test]
fn a_client_tries_what_is_quarantined_again_after_an_upgrade() {
    install_panic_hook();
    let Some(dir) = corpus() else { return };
    let place = Place::new();
    let quarantined = |core: &mut Core, document| core.document(document).unwrap().quarantined;
    // One that the library is given: others are refused before.
    let found = (1..=40).find_map(|number| {
        let read = |kind: &str| std::fs::read(dir.join(format!("panics/{number:03}.{kind}"))).unwrap();
        let (base, document) = (read("base"), DocumentId::random());
        let log = [base.clone(), read("bad")].concat();
        let changes = frame(&log).unwrap().iter().map(|f| check(f, &Limits::default())).collect();
        let changes: Vec<_> = Result::<_, _>::ok(changes)?;
        let (path, count) = (place.path(format!("{number}.db")), changes.len() as u64);
        let mut core = Core::open(&path, Durability::Normal).unwrap();
        core.join(document, None, None).unwrap();
        // As by a release that could take none of these.
        plant(Some(Bug::BadChangeFailsBatch));
        core.store_page(document, Page { changes, at_end: true, ..Page::default() }).unwrap();
        plant(None);
        (count > 3 && quarantined(&mut core, document) == count)
            .then_some((base, document, path, core, count))
    });
    let (base, document, path, mut core, count) = found.expect("some get as far as the library");
    let open = || Core::open(&path, Durability::Normal).unwrap();
    let edit = Action::Set { path: "/edited".to_owned(), value: json!(true) };
    core.dispatch(&[(document, edit)]).unwrap().remove(0).unwrap();
    drop(core);
    assert_eq!(quarantined(&mut open(), document), count, "the same release does not try again");
    let file = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(file.execute("UPDATE meta SET value = 'older' WHERE key = 'library'", []).unwrap(), 1);
    drop(file);
    let mut core = open();
    assert_eq!(quarantined(&mut core, document), 1, "the one that is bad");
    let state = core.state(document, "", None).unwrap();
    assert_eq!(state["edited"], true, "{state}");
    let mut expected = automerge::Automerge::new();
    let good = frame(&base).unwrap();
    expected.apply_changes(good.iter().map(|f| automerge::Change::try_from(f.bytes).unwrap())).unwrap();
    assert!(expected.get_heads().iter().all(|head| core.resolve_hash(document, &head.to_string()).is_ok()));
    assert!(state.as_object().unwrap().len() > 1, "what was good is there: {state}");
    drop(core);
    assert_eq!(open().state(document, "", None).unwrap(), state, "and when it is opened again");
}
