//! Version 1 of a contact has `name` and a list of phones; version 2 has `full_name`, and a map of phones.

use std::collections::BTreeMap;

use rejoin::{
    DocumentId, Error, Store,
    slice::{Draft, Migration, Newer, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::slices::support::Server;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Act {
    Put { id: String, contact: Value },
}

fn put(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
    let Act::Put { id, contact } = action;
    draft.entities("/people").upsert(id, contact)
}

struct V1;

impl Slice for V1 {
    const NAME: &'static str = "contacts";
    type State = Value;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        put(draft, action)
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Person {
    full_name: String,
    phones: BTreeMap<String, bool>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct People {
    people: BTreeMap<String, Person>,
}

struct V2;

impl Slice for V2 {
    const NAME: &'static str = "contacts";
    const VERSION: u32 = 2;
    type State = People;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        put(draft, action)
    }
    fn migrate(from: u32, contacts: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        assert_eq!(from, 1);
        for id in contacts.keys("/people")? {
            let at = |field: &str| format!("/people/{id}/{field}");
            contacts.rename(&at("name"), &at("full_name"))?;
            if let Some(Value::Array(phones)) = contacts.get(&at("phones"))? {
                contacts.delete(&at("phones"))?;
                for phone in phones.iter().filter_map(Value::as_str) {
                    contacts.put(&at(&format!("phones/{phone}")), true)?;
                }
            }
        }
        Ok(())
    }
}

struct Stubborn;

impl Slice for Stubborn {
    const NAME: &'static str = "contacts";
    const VERSION: u32 = 2;
    type State = Value;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        put(draft, action)
    }
    fn migrate(_: u32, contacts: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        contacts.put("/half", true)?;
        Err("the moon is full".into())
    }
}

/// Version 1 with its own types, and a choice: it writes no more once a newer version has written.
struct Careful;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct OldPerson {
    name: String,
    phones: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct OldPeople {
    people: BTreeMap<String, OldPerson>,
}

impl Slice for Careful {
    const NAME: &'static str = "contacts";
    const NEWER: Newer = Newer::ReadOnly;
    type State = OldPeople;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        put(draft, action)
    }
}

fn contact(id: &str, fields: Value) -> Act {
    Act::Put { id: id.to_owned(), contact: fields }
}

async fn open<S: Slice>(place: &tempfile::TempDir, name: &str) -> Store {
    Store::builder(place.path().join(name)).slice::<S>().open().await.unwrap()
}

async fn two_old(place: &tempfile::TempDir, server: &Server) -> DocumentId {
    let (a, b) = (open::<V1>(place, "a.db").await, open::<V1>(place, "b.db").await);
    let id = a.create(None, None).await.unwrap();
    b.join(id, None, None).await.unwrap();
    let ada = contact("ada", json!({"name": "Ada", "phones": ["1", "2"]}));
    a.slice::<V1>(id).dispatch(ada).await.unwrap();
    server.sync(&[&a, &b]).await;
    id
}

#[tokio::test]
async fn two_devices_that_migrate_at_once_converge_without_doubling() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (a, b) = (open::<V2>(&place, "a.db").await, open::<V2>(&place, "b.db").await);
    // Both migrate offline, the one by reading and the other by writing.
    let read = a.slice::<V2>(id).state().await.unwrap();
    assert_eq!(read.people["ada"].full_name, "Ada");
    b.slice::<V2>(id).dispatch(contact("ben", json!({"full_name": "Ben"}))).await.unwrap();
    server.sync(&[&a, &b]).await;
    let state = a.slice::<V2>(id).state().await.unwrap();
    assert_eq!(state, b.slice::<V2>(id).state().await.unwrap());
    let phones = BTreeMap::from([("1".to_owned(), true), ("2".to_owned(), true)]);
    assert_eq!(state.people["ada"], Person { full_name: "Ada".into(), phones });
    assert_eq!(state.people["ben"].full_name, "Ben");
    let kinds = |store: &Store| {
        let store = store.clone();
        async move {
            let history = store.history(id, None).await.unwrap();
            history.iter().filter(|line| line.action_type.as_deref() == Some("contacts/@migrate")).count()
        }
    };
    assert_eq!((kinds(&a).await, kinds(&b).await), (2, 2), "each migrated once");
}

#[tokio::test]
async fn what_an_older_app_writes_later_is_migrated_when_it_comes() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (new, old) = (open::<V2>(&place, "a.db").await, open::<V1>(&place, "b.db").await);
    new.slice::<V2>(id).state().await.unwrap();
    old.slice::<V1>(id).dispatch(contact("eve", json!({"name": "Eve", "phones": ["3"]}))).await.unwrap();
    server.sync(&[&new, &old]).await;
    let state = new.slice::<V2>(id).state().await.unwrap();
    assert_eq!(state.people["eve"].full_name, "Eve");
    assert_eq!(state.people["ada"].full_name, "Ada");
    let before = new.history(id, None).await.unwrap().len();
    new.slice::<V2>(id).state().await.unwrap();
    assert_eq!(new.history(id, None).await.unwrap().len(), before, "nothing is migrated twice");
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing_and_says_why() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let store = open::<Stubborn>(&place, "a.db").await;
    let before = store.state(id, "").await.unwrap();
    let error = store.slice::<Stubborn>(id).state().await.unwrap_err();
    assert!(matches!(&error, Error::Rejected { action, .. } if action == "contacts/@migrate"), "{error}");
    let error = store.slice::<Stubborn>(id).dispatch(contact("x", json!({}))).await.unwrap_err();
    assert!(error.to_string().contains("the moon is full"), "{error}");
    assert_eq!(store.state(id, "").await.unwrap(), before);
}

#[tokio::test]
async fn an_older_version_says_that_a_newer_one_has_written_and_not_how_its_types_differ() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (new, old) = (open::<V2>(&place, "a.db").await, open::<Careful>(&place, "b.db").await);
    let contacts = old.slice::<Careful>(id);
    let phones = contacts.select("/people/ada/phones", |phones: &Vec<String>| phones.len());
    assert_eq!((*phones.get().await.unwrap(), contacts.newer_version().await.unwrap()), (2, None));
    new.slice::<V2>(id).state().await.unwrap();
    server.sync(&[&new, &old]).await;
    let said = "slice contacts was written by version 2; this is version 1";
    assert_eq!(contacts.state().await.unwrap_err().to_string(), said);
    assert_eq!(phones.get().await.unwrap_err().to_string(), said);
    assert_eq!(contacts.newer_version().await.unwrap(), Some(2));
    old.close().await.unwrap();
    let read = move || {
        let store = Store::builder(place.path().join("b.db")).slice::<Careful>().open_blocking().unwrap();
        store.slice::<Careful>(id).state().unwrap_err().to_string()
    };
    assert_eq!(tokio::task::spawn_blocking(read).await.unwrap(), said);
}

#[tokio::test]
async fn whether_an_older_version_goes_on_writing_is_the_apps_choice() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (new, old) = (open::<V2>(&place, "a.db").await, open::<Careful>(&place, "b.db").await);
    let contacts = old.slice::<Careful>(id);
    contacts.dispatch(contact("bob", json!({"name": "Bob"}))).await.unwrap();
    new.slice::<V2>(id).state().await.unwrap();
    server.sync(&[&new, &old]).await;
    let before = old.history(id, None).await.unwrap().len();
    let refused = contacts.dispatch(contact("bob", json!({"name": "Rob"}))).await.unwrap_err();
    assert!(matches!(refused, Error::NewerSlice { written: 2, version: 1, .. }), "{refused}");
    assert_eq!(old.history(id, None).await.unwrap().len(), before);
    drop(contacts);
    old.close().await.unwrap();
    // The same version that chose otherwise.
    let old = open::<V1>(&place, "b.db").await;
    old.slice::<V1>(id).dispatch(contact("bob", json!({"name": "Rob"}))).await.unwrap();
    server.sync(&[&new, &old]).await;
    assert_eq!(new.slice::<V2>(id).state().await.unwrap().people["bob"].full_name, "Rob");
}

/// Writes as if it were then, in seconds after a moment.
async fn write_at<S: Slice<Action = Act>>(store: &Store, id: DocumentId, (second, fields): (i64, Value)) {
    let then = 1_900_000_000_000 + second * 1_000;
    store
        .with_core(move |core| {
            core.set_clock(Box::new(move || then));
            Ok(())
        })
        .await
        .unwrap();
    store.slice::<S>(id).dispatch(contact("ada", fields)).await.unwrap();
}

#[tokio::test]
async fn an_older_devices_earlier_edit_does_not_go_over_a_newer_devices_later_one() {
    for (old_at, new_at, stays) in [(10, 20, "new"), (20, 10, "old"), (10, 10, "new")] {
        let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
        let id = two_old(&place, &server).await;
        let (new, old) = (open::<V2>(&place, "a.db").await, open::<V1>(&place, "b.db").await);
        new.slice::<V2>(id).state().await.unwrap();
        write_at::<V1>(&old, id, (old_at, json!({"name": "old"}))).await;
        write_at::<V2>(&new, id, (new_at, json!({"full_name": "new"}))).await;
        server.sync(&[&new, &old]).await;
        let state = new.slice::<V2>(id).state().await.unwrap();
        assert_eq!(state.people["ada"].full_name, stays, "{old_at} {new_at}");
        server.sync(&[&new, &old]).await;
        assert_eq!(old.state(id, "/contacts").await.unwrap(), new.state(id, "/contacts").await.unwrap());
    }
}

#[tokio::test]
async fn an_older_devices_edit_is_kept_where_only_a_migration_wrote_the_new_place() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (new, old) = (open::<V2>(&place, "a.db").await, open::<V1>(&place, "b.db").await);
    write_at::<V1>(&old, id, (10, json!({"name": "old"}))).await;
    // Later by the clock, and nobody's edit.
    write_at::<V2>(&new, id, (20, json!({"note": "x"}))).await;
    server.sync(&[&new, &old]).await;
    assert_eq!(new.state(id, "/contacts/people/ada/full_name").await.unwrap(), "Ada");
    new.slice::<V2>(id).dispatch(contact("ben", json!({}))).await.unwrap();
    assert_eq!(new.state(id, "/contacts/people/ada/full_name").await.unwrap(), "old");
}

/// Two people who renamed Ada while apart: the one in the old app, and later or earlier the one in the new.
async fn renamed_apart(place: &tempfile::TempDir, old_is_later: bool) -> (Server, Store, Store, DocumentId) {
    let server = Server::start().await;
    let id = two_old(place, &server).await;
    let (new, old) = (open::<V2>(place, "a.db").await, open::<V1>(place, "b.db").await);
    new.slice::<V2>(id).state().await.unwrap();
    let (old_at, new_at) = if old_is_later { (20, 10) } else { (10, 20) };
    write_at::<V1>(&old, id, (old_at, json!({"name": "A. Lovelace"}))).await;
    write_at::<V2>(&new, id, (new_at, json!({"full_name": "Ada King"}))).await;
    server.sync(&[&new, &old]).await;
    (server, new, old, id)
}

#[tokio::test]
async fn what_lost_in_a_rename_is_listed_as_a_conflict_until_one_is_taken_or_written_over() {
    for (old_is_later, reads, lost) in [(false, "Ada King", "A. Lovelace"), (true, "A. Lovelace", "Ada King")]
    {
        let place = tempfile::tempdir().unwrap();
        let (server, new, old, id) = renamed_apart(&place, old_is_later).await;
        let name = async || new.slice::<V2>(id).state().await.unwrap().people["ada"].full_name.clone();
        assert_eq!(name().await, reads);
        server.sync(&[&new, &old]).await;
        // Every replica lists it: the migration's change says so.
        for store in [&new, &old] {
            let found = store.conflicts(id, "/contacts/people").await.unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].path, "/contacts/people/ada/full_name");
            let values: Vec<_> = found[0].values.iter().map(|value| value.value.clone()).collect();
            assert_eq!(values, [json!(reads), json!(lost)]);
            let kinds = found[0].values.iter().map(|value| value.writer.action_type.as_deref());
            assert!(kinds.into_iter().all(|kind| kind == Some("contacts/put")), "{found:?}");
            assert!(store.conflicts(id, "/contacts/people/ada/phones").await.unwrap().is_empty());
        }
        let path = "/contacts/people/ada/full_name";
        // The one that lost, by its place; the one that reads, by its change.
        if old_is_later {
            let hash = new.conflicts(id, path).await.unwrap()[0].values[0].writer.hash;
            new.take(id, path, hash).await.unwrap();
        } else {
            new.take(id, path, 1).await.unwrap();
        }
        assert_eq!(name().await, "A. Lovelace");
        server.sync(&[&new, &old]).await;
        for store in [&new, &old] {
            assert!(store.conflicts(id, "").await.unwrap().is_empty());
            assert!(matches!(store.take(id, path, 0).await, Err(Error::NoConflict(_))));
        }
        new.undo(id).await.unwrap();
        assert_eq!(name().await, reads);
    }
}

#[tokio::test]
async fn an_edit_that_was_made_knowing_the_other_is_no_conflict_and_writing_over_one_settles_it() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let id = two_old(&place, &server).await;
    let (new, old) = (open::<V2>(&place, "a.db").await, open::<V1>(&place, "b.db").await);
    new.slice::<V2>(id).dispatch(contact("ada", json!({"full_name": "Ada King"}))).await.unwrap();
    server.sync(&[&new, &old]).await;
    old.slice::<V1>(id).dispatch(contact("ada", json!({"name": "A. Lovelace"}))).await.unwrap();
    server.sync(&[&new, &old]).await;
    new.slice::<V2>(id).state().await.unwrap();
    assert!(new.conflicts(id, "").await.unwrap().is_empty());

    let place = tempfile::tempdir().unwrap();
    let (_server, new, _old, id) = renamed_apart(&place, false).await;
    new.slice::<V2>(id).state().await.unwrap();
    assert_eq!(new.conflicts(id, "").await.unwrap().len(), 1);
    new.slice::<V2>(id).dispatch(contact("ada", json!({"full_name": "Ada"}))).await.unwrap();
    assert!(new.conflicts(id, "").await.unwrap().is_empty());
}
