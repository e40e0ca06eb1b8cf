//! Reducers on a typed value.

use std::collections::BTreeMap;

use rejoin::{
    Store,
    slice::{Counter, Draft, Rejection, Slice, Text},
};
use serde::{Deserialize, Serialize};

use crate::slices::support::Server;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Board {
    title: String,
    cards: BTreeMap<String, Card>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Card {
    text: String,
    votes: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Act {
    Titled { title: String },
    Put { id: String, text: String },
    Voted { id: String },
}

struct Boards;

impl Slice for Boards {
    const NAME: &'static str = "board";
    type State = Board;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        draft.edit(|board: &mut Board| {
            match action {
                Act::Titled { title } => board.title.clone_from(title),
                Act::Put { id, text } => board.cards.entry(id.clone()).or_default().text.clone_from(text),
                Act::Voted { id } => board.cards.get_mut(id).ok_or("there is no such card")?.votes += 1,
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_reducer_on_a_typed_value_writes_what_differs() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let open = |name: &str| Store::builder(place.path().join(name)).slice::<Boards>().open();
    let (a, b) = (open("a.db").await.unwrap(), open("b.db").await.unwrap());
    let id = a.create(None, None).await.unwrap();
    b.join(id, None, None).await.unwrap();
    let (on_a, on_b) = (a.slice::<Boards>(id), b.slice::<Boards>(id));
    let put = |id: &str, text: &str| Act::Put { id: id.into(), text: text.into() };
    on_a.dispatch(put("x", "bread")).await.unwrap();
    on_b.dispatch(put("y", "milk")).await.unwrap();
    server.sync(&[&a, &b]).await;
    on_a.dispatch(Act::Titled { title: "shop".into() }).await.unwrap();
    on_b.dispatch(Act::Voted { id: "x".into() }).await.unwrap();
    let error = on_b.dispatch(Act::Voted { id: "z".into() }).await.unwrap_err();
    assert!(error.to_string().contains("there is no such card"), "{error}");
    server.sync(&[&a, &b]).await;
    let board = on_a.state().await.unwrap();
    assert_eq!(board, on_b.state().await.unwrap());
    assert_eq!(
        (board.title.as_str(), board.cards["x"].votes, board.cards["y"].text.as_str()),
        ("shop", 1, "milk")
    );
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Page {
    heading: Text,
    views: Counter,
    by_day: BTreeMap<String, Counter>,
    tags: Vec<String>,
    settings: Look,
    blocks: Vec<Block>,
    owner: Option<Look>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Look {
    colour: String,
    size: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    text: Text,
    likes: Counter,
}

/// An edit as data: what the page becomes.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Becomes {
    Page { page: Box<Page> },
}

struct Pages;

impl Slice for Pages {
    const NAME: &'static str = "page";
    type State = Page;
    type Action = Becomes;
    fn reduce(draft: &mut Draft<'_>, Becomes::Page { page }: &Becomes) -> Result<(), Rejection> {
        draft.edit(|now: &mut Page| {
            now.clone_from(page);
            Ok(())
        })
    }
}

/// Two devices, not knowing of each other, that edit what is there to this; what both then read.
async fn merged(before: Option<Page>, one: impl FnOnce(&mut Page), two: impl FnOnce(&mut Page)) -> Page {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let open = |name: &str| Store::builder(place.path().join(name)).slice::<Pages>().open();
    let (a, b) = (open("a.db").await.unwrap(), open("b.db").await.unwrap());
    let id = a.create(None, None).await.unwrap();
    b.join(id, None, None).await.unwrap();
    let (on_a, on_b) = (a.slice::<Pages>(id), b.slice::<Pages>(id));
    if let Some(before) = before {
        on_a.dispatch(Becomes::Page { page: Box::new(before) }).await.unwrap();
        server.sync(&[&a, &b]).await;
    }
    let (mut page_a, mut page_b) = (on_a.state().await.unwrap(), on_b.state().await.unwrap());
    one(&mut page_a);
    two(&mut page_b);
    for (handle, page) in [(&on_a, page_a), (&on_b, page_b)] {
        handle.dispatch(Becomes::Page { page: Box::new(page.clone()) }).await.unwrap();
        assert_eq!(handle.state().await.unwrap(), page, "it reads as it was edited");
    }
    server.sync(&[&a, &b]).await;
    assert_eq!(on_a.state().await.unwrap(), on_b.state().await.unwrap());
    on_a.state().await.unwrap()
}

#[tokio::test]
async fn an_empty_slice_is_edited_from_the_types_default() {
    let page = merged(None, |page| page.settings.size = 3, |_| {}).await;
    assert_eq!(page, Page { settings: Look { size: 3, ..Look::default() }, ..Page::default() });
}

#[tokio::test]
async fn two_devices_that_begin_offline_lose_and_double_nothing() {
    let page = merged(
        None,
        |page| {
            page.heading.push_str("plan");
            page.views.add(1);
            page.by_day.entry("2026-11-27".into()).or_default().add(1);
            page.tags.push("a".into());
            page.settings.colour = "red".into();
        },
        |page| {
            page.heading.push_str("trip");
            page.views.add(1);
            page.by_day.entry("2026-11-27".into()).or_default().add(1);
            page.tags.push("b".into());
            page.settings.size = 2;
        },
    )
    .await;
    assert!(page.heading.contains("plan") && page.heading.contains("trip"), "{page:?}");
    assert_eq!((page.views.value(), page.by_day["2026-11-27"].value()), (2, 2));
    assert_eq!((page.tags.len(), page.settings), (2, Look { colour: "red".into(), size: 2 }));
}

#[tokio::test]
async fn what_differs_of_lists_texts_and_counters_merges() {
    let block = |text: &str| Block { text: text.into(), likes: 1.into() };
    let before = Page {
        heading: "one two three".into(),
        tags: ["a", "b", "c"].map(String::from).into(),
        blocks: vec![block("first"), block("second")],
        ..Page::default()
    };
    let page = merged(
        Some(before),
        |page| {
            *page.heading = "one 2 three".into();
            page.tags.remove(1);
            page.blocks[0].likes.add(2);
            page.blocks[1].text.push_str(" part");
        },
        |page| {
            page.heading.push_str(" four");
            page.tags.insert(0, "z".into());
            page.blocks[0].likes.add(-1);
            page.blocks.insert(1, block("between"));
            page.owner = Some(Look { colour: "blue".into(), size: 1 });
        },
    )
    .await;
    assert_eq!((&**page.heading, page.tags.join("")), ("one 2 three four", "zac".to_owned()));
    assert_eq!(page.blocks[0].likes.value(), 2);
    let texts: Vec<&str> = page.blocks.iter().map(|block| block.text.as_str()).collect();
    assert_eq!(texts, ["first", "between", "second part"]);
    assert_eq!(page.owner.unwrap().colour, "blue");
}

/// A field of another program, or of a newer version, is no part of this type, and an edit leaves it alone.
#[tokio::test]
async fn an_edit_leaves_alone_what_its_type_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).slice::<Pages>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let set = |path: &str, value| rejoin::Action::Set { path: path.into(), value };
    store.dispatch(id, set("/page", serde_json::json!({"newer": [1], "views": 4}))).await.unwrap();
    let page = Page { views: 6.into(), ..Page::default() };
    store.slice::<Pages>(id).dispatch(Becomes::Page { page: Box::new(page) }).await.unwrap();
    assert_eq!(store.state(id, "/page").await.unwrap(), serde_json::json!({"newer": [1], "views": 6}));
}
