//! A live view that follows another process on the same store file: it starts itself once more as the writer, prints
//! what it hears, and draws the list anew each time. Nothing but the file is between the two.
//!
//! `cargo run -p rejoin --example live_view`. It asserts what it shows and ends by itself.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{path::Path, process::Stdio};

use rejoin::{
    Origin, Store,
    slice::{Draft, EntityMap, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A packing list.
struct Packing;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PackingAction {
    Added { item: String },
    Packed { item: String },
}

#[derive(Debug, Default, Deserialize)]
struct PackingList {
    #[serde(default)]
    items: EntityMap<Item>,
}

#[derive(Debug, Clone, Deserialize)]
struct Item {
    #[serde(default)]
    packed: bool,
}

impl Slice for Packing {
    const NAME: &'static str = "packing";
    /// So that the view knows what was added, and not only that something was.
    const PAYLOAD: bool = true;
    type State = PackingList;
    type Action = PackingAction;

    fn reduce(draft: &mut Draft<'_>, action: &PackingAction) -> Result<(), Rejection> {
        match action {
            PackingAction::Added { item } => {
                draft.entities("/items").upsert(item, json!({"packed": false})).map(drop)
            }
            PackingAction::Packed { item } => {
                draft.entities("/items").upsert(item, json!({"packed": true})).map(drop)
            }
        }
    }
}

const LIST: &str = "holiday";
/// As fast as somebody packs, about.
const PACE: std::time::Duration = std::time::Duration::from_millis(150);
const ITEMS: [&str; 3] = ["map", "rope", "tent"];

async fn open(path: &Path) -> rejoin::Result<Store> {
    Store::builder(path).slice::<Packing>().open().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        return write(Path::new(&path)).await;
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("list.db");
    let store = open(&path).await?;
    let id = store.create(None, Some(LIST)).await?;
    let list = store.slice::<Packing>(id);
    // Before the other one begins: nothing of it is missed.
    let mut events = store.subscribe();
    store.documents().await?;

    let mut writer = tokio::process::Command::new(std::env::current_exe()?)
        .arg(&path)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    println!("this is process {}; process {} writes", std::process::id(), writer.id().unwrap_or_default());

    let mut heard = 0;
    while heard < 2 * ITEMS.len() {
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), events.recv()).await??;
        assert_eq!((event.document, event.origin), (id, Origin::Local));
        for change in &event.changes {
            heard += 1;
            let (who, what) = (change.author.as_deref(), change.action_type.as_deref());
            let item = change.payload.as_ref().and_then(|payload| payload["item"].as_str());
            println!("{}: {} {}", who.unwrap_or("?"), what.unwrap_or("?"), item.unwrap_or("?"));
            assert!(item.is_some(), "what was done is known, and not only that something was");
        }
        let state = list.state().await?;
        let drawn = state
            .items
            .iter()
            .map(|(name, item)| format!("[{}] {name}", if item.packed { 'x' } else { ' ' }));
        println!("    {}", drawn.collect::<Vec<_>>().join("  "));
    }
    assert!(writer.wait().await?.success());
    let state = list.state().await?;
    assert!(ITEMS.iter().all(|name| state.items.get(name).is_some_and(|item| item.packed)), "{state:?}");
    println!("everything is packed");
    Ok(())
}

/// The other process.
async fn write(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = open(path).await?;
    store.set_author(Some("Ada")).await?;
    let list = store.slice::<Packing>(store.find(LIST).await?);
    for item in ITEMS {
        list.dispatch(PackingAction::Added { item: item.to_owned() }).await?;
        tokio::time::sleep(PACE).await;
    }
    for item in ITEMS {
        list.dispatch(PackingAction::Packed { item: item.to_owned() }).await?;
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
