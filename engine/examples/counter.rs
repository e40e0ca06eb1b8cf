//! The Redux classic, a counter, in a distributed system: two devices count while they are apart.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rejoin::slice::{Draft, Rejection, Slice};
use rejoin::{Store, SyncOptions};
use rejoin_server::{AppState, ServerConfig, serve};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CounterAction {
    Incremented,
    Decremented,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct CounterState {
    value: i64,
}

struct Counter;
impl Slice for Counter {
    const NAME: &'static str = "counter";
    type State = CounterState;
    type Action = CounterAction;
    fn reduce(draft: &mut Draft<'_>, action: &CounterAction) -> Result<(), Rejection> {
        match action {
            CounterAction::Incremented => draft.increment("/value", 1),
            CounterAction::Decremented => draft.increment("/value", -1),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let state = AppState::open(ServerConfig::new(dir.path().join("server.db")))?;
    tokio::spawn(serve(listener, state, std::future::pending()));

    let open = |name| Store::builder(dir.path().join(name)).slice::<Counter>().open();
    let (phone, laptop) = (open("phone.db").await?, open("laptop.db").await?);
    let id = phone.create(None, Some("counter")).await?;
    laptop.join(id, Some("counter"), None).await?;
    let (here, there) = (phone.slice::<Counter>(id), laptop.slice::<Counter>(id));
    here.dispatch(CounterAction::Incremented).await?;
    here.dispatch(CounterAction::Incremented).await?;
    there.dispatch(CounterAction::Decremented).await?;
    println!("apart: {:?} and {:?}", here.state().await?, there.state().await?);
    for store in [&phone, &laptop, &phone] {
        store.sync(SyncOptions::default().server(&server)).await?.reached()?;
    }
    println!("together: {:?} and {:?}", here.state().await?, there.state().await?);
    assert_eq!((here.state().await?.value, there.state().await?.value), (1, 1));
    Ok(())
}
