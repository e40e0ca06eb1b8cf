//! Reducers on a typed value.
#![cfg(feature = "autosurgeon")]

use std::collections::BTreeMap;

use autosurgeon::{Hydrate, Reconcile};
use rejoin::{
    Store,
    slice::{Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};

use crate::support::Server;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Hydrate, Reconcile)]
#[serde(default)]
struct Board {
    #[autosurgeon(missing = "Default::default")]
    title: String,
    #[autosurgeon(missing = "Default::default")]
    cards: BTreeMap<String, Card>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Hydrate, Reconcile)]
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
        // Two devices may make it at once.
        draft.object("/cards", rejoin::container::ContainerKind::Map)?;
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
