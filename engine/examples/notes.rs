//! A notes app on two devices: three slices, and all that an app wants of them. `cargo run -p rejoin --example notes`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rejoin::slice::{Before, Draft, EntityMap, Middleware, Migration, Rejection, Slice, Verdict, pointer};
use rejoin::work::{Listener, Reaction, WorkOptions};
use rejoin::{Store, SyncOptions};
use rejoin_server::{AppState, ServerConfig, serve};
use serde::{Deserialize, Serialize};
use serde_json::json;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The notes, each an entity under its id.
struct Notes;
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum NotesAction {
    Added { id: String, title: String },
    Renamed { id: String, title: String },
    Pinned { id: String, pinned: bool },
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Note {
    title: String,
    pinned: bool,
}

impl Slice for Notes {
    const NAME: &'static str = "notes";
    const VERSION: u32 = 2;
    type State = EntityMap<Note>;
    type Action = NotesAction;
    fn reduce(draft: &mut Draft<'_>, action: &NotesAction) -> Result<(), Rejection> {
        let mut items = draft.entities("");
        let found = match action {
            NotesAction::Added { id, title } => items.add(id, json!({"title": title}))?,
            NotesAction::Renamed { id, title } => items.update(id, json!({"title": title}))?,
            NotesAction::Pinned { id, pinned } => items.update(id, json!({"pinned": pinned}))?,
        };
        if found { Ok(()) } else { Err("there is no such note, or there is already".into()) }
    }
    /// Version 1 called the title a name.
    fn migrate(_: u32, migration: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        for id in migration.keys("")? {
            migration.rename(&pointer([&id, "name"]), &pointer([&id, "title"]))?;
        }
        Ok(())
    }
}

/// The notes as the app's first version wrote them.
struct OldNotes;
impl Slice for OldNotes {
    const NAME: &'static str = "notes";
    type State = serde_json::Value;
    type Action = NotesAction;
    fn reduce(draft: &mut Draft<'_>, action: &NotesAction) -> Result<(), Rejection> {
        let NotesAction::Added { id, title } = action else { return Err("not in version 1".into()) };
        draft.entities("").add(id, json!({"name": title})).map(drop)
    }
}

/// What is in the notes: text in which several people write at once.
struct Pages;
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PagesAction {
    Typed { id: String, text: String },
}

impl Slice for Pages {
    const NAME: &'static str = "pages";
    type State = EntityMap<String>;
    type Action = PagesAction;
    fn reduce(draft: &mut Draft<'_>, PagesAction::Typed { id, text }: &PagesAction) -> Result<(), Rejection> {
        draft.update_text(&pointer([id]), text)
    }
}

/// How many notes were ever added, on all devices.
struct Stats;
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StatsAction {
    Counted { by: i64 },
}

impl Slice for Stats {
    const NAME: &'static str = "stats";
    type State = EntityMap<i64>;
    type Action = StatsAction;
    fn reduce(draft: &mut Draft<'_>, StatsAction::Counted { by }: &StatsAction) -> Result<(), Rejection> {
        draft.increment("/added", *by)
    }
}

/// No note without a title.
struct Titled;
impl Middleware for Titled {
    fn before(&self, action: &Before<'_>) -> Verdict {
        match action.action_of::<Notes>() {
            Some(NotesAction::Added { title, .. }) if title.is_empty() => {
                Verdict::Reject("it needs a title".into())
            }
            _ => Verdict::Continue,
        }
    }
}

async fn open(path: &std::path::Path) -> Result<Store> {
    let counts = Listener::new("counts").types(["notes/added"]).local();
    let builder = Store::builder(path).slice::<Notes>().slice::<Pages>().slice::<Stats>().middleware(Titled);
    let count = |_| async { Ok(Reaction::none().dispatch::<Stats>(StatsAction::Counted { by: 1 })) };
    Ok(builder.listener(counts, count).open().await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let dir = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let state = AppState::open(ServerConfig::new(dir.path().join("server.db")))?;
    tokio::spawn(serve(listener, state, std::future::pending()));
    let (phone, laptop) = (dir.path().join("phone.db"), dir.path().join("laptop.db"));
    let old = Store::builder(&phone).slice::<OldNotes>().open().await?;
    let book = old.create(None, Some("notebook")).await?;
    let added = |id: &str, title: &str| NotesAction::Added { id: id.into(), title: title.into() };
    old.slice::<OldNotes>(book).dispatch(added("trip", "The trip")).await?;
    old.close().await?;
    let (phone, laptop) = (open(&phone).await?, open(&laptop).await?);
    laptop.join(book, Some("notebook"), None).await?;
    let (here, there) = (phone.slice::<Notes>(book), laptop.slice::<Notes>(book));
    println!("migrated: {:?}", here.state().await?);
    assert_eq!(here.state().await?["trip"].title, "The trip");
    println!("middleware: {}", here.dispatch(added("food", "")).await.err().ok_or("it went through")?);
    here.dispatch(added("food", "Food")).await?;
    let typed = |text: &str| PagesAction::Typed { id: "trip".into(), text: text.into() };
    phone.slice::<Pages>(book).dispatch(typed("We leave at nine.")).await?;
    sync(&[&phone, &laptop], &server).await?;

    let renamed = |title: &str| NotesAction::Renamed { id: "trip".into(), title: title.into() };
    here.dispatch(renamed("Our trip")).await?;
    there.dispatch(renamed("Norway")).await?;
    phone.slice::<Pages>(book).dispatch(typed("We leave at ten.")).await?;
    laptop.slice::<Pages>(book).dispatch(typed("We leave at nine. Bring soup.")).await?;
    there.dispatch(added("wine", "Wine")).await?;
    sync(&[&phone, &laptop, &phone], &server).await?;
    let pages = phone.slice::<Pages>(book).state().await?;
    let stats = phone.slice::<Stats>(book).state().await?;
    println!("text: {}; counted by listeners: {}", pages["trip"], stats["added"]);
    assert_eq!((&*pages["trip"], stats["added"]), ("We leave at ten. Bring soup.", 2));

    for conflict in phone.conflicts(book, "").await? {
        let values: Vec<_> = conflict.values.iter().map(|value| value.value.to_string()).collect();
        println!("conflict at {}: {}", conflict.path, values.join(" or "));
        phone.take(book, &conflict.path, 1).await?;
    }
    assert!(phone.conflicts(book, "").await?.is_empty());
    here.dispatch(NotesAction::Pinned { id: "food".into(), pinned: true }).await?;
    let undone = phone.undo(book).await?.ok_or("nothing to undo")?;
    println!("undone: {}", undone.action_type.unwrap_or_default());
    sync(&[&phone, &laptop], &server).await?;
    assert_eq!(here.state().await?, there.state().await?);
    for (_, note) in here.entities::<Note>("").sort_by(|note| note.title.clone()).list().get().await?.iter() {
        println!("[{}] {}", if note.pinned { '*' } else { ' ' }, note.title);
        assert!(!note.pinned);
    }
    Ok(())
}

async fn sync(stores: &[&Store], server: &str) -> Result {
    for store in stores {
        store.run_until_idle(WorkOptions::default()).await?; // the listener
        store.sync(SyncOptions::default().server(server)).await?.reached()?;
    }
    Ok(())
}
