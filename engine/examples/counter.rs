//! The Redux classic: a counter. Run it several times: it goes on where it stopped.
//!
//! `cargo run --release -p rejoin --example counter -- [FILE] [BY]`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example shows what it does")]

use rejoin::{
    Store,
    slice::{Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};

/// What can be done. The `match` in the reducer is exhaustive: a new action cannot be forgotten.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CounterAction {
    Added { by: i64 },
    Reset,
}

/// What is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CounterState {
    value: i64,
    resets: i64,
}

struct Counter;

impl Slice for Counter {
    const NAME: &'static str = "counter";
    type State = CounterState;
    type Action = CounterAction;

    fn reduce(draft: &mut Draft<'_>, action: &CounterAction) -> Result<(), Rejection> {
        match action {
            CounterAction::Added { by: 0 } => Err("adding nothing is no action".into()),
            // A counter, not a number: what two devices add offline is added up.
            CounterAction::Added { by } => draft.increment("/value", *by),
            CounterAction::Reset => {
                draft.increment("/resets", 1)?;
                draft.set("/value", 0)
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scratch = tempfile::tempdir()?;
    let file = arguments.next().map_or_else(|| scratch.path().join("counter.db"), Into::into);
    let by = arguments.next().map_or(Ok(1), |text| text.parse())?;

    let store = Store::builder(&file).slice::<Counter>().open().await?;
    let document = match store.find("counter").await {
        Ok(document) => document,
        Err(_) => store.create(None, Some("counter")).await?,
    };
    let counter = store.slice::<Counter>(document);
    let parity = counter.select("/value", |value: &i64| if value % 2 == 0 { "even" } else { "odd" });

    println!("it was {:?}", counter.state().await?);
    counter.dispatch(CounterAction::Added { by }).await?;
    println!("it is  {:?}, which is {}", counter.state().await?, parity.get().await?);

    let refused = counter.dispatch(CounterAction::Added { by: 0 }).await.unwrap_err();
    println!("{refused}");
    counter.dispatch(CounterAction::Reset).await?;
    store.undo(document).await?;
    let state = counter.state().await?;
    println!("reset and undone: {state:?}");
    assert_eq!(state.resets, 0);
    println!(
        "{} actions wait in the queue: sqlite3 -readonly {} 'select * from queue'",
        store.queue(None).await?.len(),
        file.display()
    );
    Ok(())
}
