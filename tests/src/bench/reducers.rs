//! The two ways to write a reducer, on a slice of 100 and of 10,000 things.

use std::{collections::BTreeMap, time::Instant};

use rejoin::{
    Store,
    blocking::SliceHandle,
    slice::{Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};

use super::{Options, ms, table::Table};
use crate::harness::Place;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Act {
    /// Makes so many things.
    Filled { n: usize },
    /// Changes one.
    Renamed { nth: usize, name: String },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Thing {
    name: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Things {
    items: BTreeMap<String, Thing>,
}

fn fill(draft: &mut Draft<'_>, n: usize) -> Result<(), Rejection> {
    draft.set("/items", (0..n).map(|i| (i.to_string(), Thing::default())).collect::<BTreeMap<_, _>>())
}

struct Direct;

impl Slice for Direct {
    const NAME: &'static str = "direct";
    type State = Things;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        match action {
            Act::Filled { n } => fill(draft, *n),
            Act::Renamed { nth, name } => draft.set(&format!("/items/{nth}/name"), name),
        }
    }
}

struct Typed;

impl Slice for Typed {
    const NAME: &'static str = "typed";
    type State = Things;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        match action {
            Act::Filled { n } => fill(draft, *n),
            Act::Renamed { nth, name } => draft.edit(|things: &mut Things| {
                let thing = things.items.get_mut(&nth.to_string()).ok_or("there is no such thing")?;
                thing.name.clone_from(name);
                Ok(())
            }),
        }
    }
}

/// Milliseconds for an action that changes one thing of `n`, flushes shared by none.
fn one<S: Slice<Action = Act, State = Things>>(n: usize, actions: usize) -> f64 {
    let place = Place::new();
    let store = Store::builder(place.path("store.db")).durability(rejoin::Durability::Normal).slice::<S>();
    let store = store.open_blocking().expect("the store opens");
    let id = store.create(None, None).expect("it is made");
    let things: SliceHandle<S> = store.slice(id);
    things.dispatch(Act::Filled { n }).expect("it is filled");
    let began = Instant::now();
    for i in 0..actions {
        let name = format!("name {i}");
        things.dispatch(Act::Renamed { nth: i * 7 % n, name }).expect("it is renamed");
    }
    ms(began.elapsed()) / actions as f64
}

/// Milliseconds after a change of one of `n` things for a sorted list of them, and for all of the state.
fn listed(n: usize, actions: usize) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = rejoin::Builder::in_memory().slice::<Direct>().open().await.expect("the store opens");
        let things = store.slice::<Direct>(store.create(None, None).await.expect("it is made"));
        things.dispatch(Act::Filled { n }).await.expect("it is filled");
        let list = things.entities::<Thing>("/items").sort_by(|thing| thing.name.clone()).list();
        list.get().await.expect("it is listed");
        let (mut of_list, mut of_state) = (0.0, 0.0);
        for i in 0..actions {
            let renamed = Act::Renamed { nth: i * 7 % n, name: format!("name {i}") };
            things.dispatch(renamed).await.expect("it is renamed");
            let began = Instant::now();
            assert_eq!(list.get().await.expect("it is listed").len(), n);
            of_list += ms(began.elapsed());
            let began = Instant::now();
            assert_eq!(things.state().await.expect("it is read").items.len(), n);
            of_state += ms(began.elapsed());
        }
        (of_list / actions as f64, of_state / actions as f64)
    })
}

pub(super) fn run(options: &Options, table: &mut Table) {
    let actions = options.size(200);
    let (list, state) = listed(5_000, actions.min(50));
    let note = format!("1/{:.0} of reading all of them", state / list);
    table.add("sorted list of 5,000 entities after a change", (list * 1e3, "µs"), note);
    for n in [100, 10_000] {
        let (direct, typed) = (one::<Direct>(n, actions), one::<Typed>(n, actions));
        table.add(format!("reducer on the transaction, {n} things"), (direct * 1e3, "µs/action"), "no flush");
        let note = format!("{:.0} × the transaction's", typed / direct);
        table.add(format!("reducer on a typed value, {n} things"), (typed * 1e3, "µs/action"), note);
    }
}
