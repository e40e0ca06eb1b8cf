//! Saved at once, sent when there is a connection: redux-offline and redux-persist, in one file.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rejoin::Store;
use rejoin::effects::{EffectHandlers, EffectOptions, EffectRequest, FollowUp, Outcome, handler};
use rejoin::slice::{ActionInfo, Draft, Rejection, Slice};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum DataAction {
    Saved { text: String },
    Confirmed { number: u64 },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataState {
    text: String,
    confirmed: Option<u64>,
}

struct Data;
impl Slice for Data {
    const NAME: &'static str = "data";
    type State = DataState;
    type Action = DataAction;
    fn reduce(draft: &mut Draft<'_>, action: &DataAction) -> Result<(), Rejection> {
        match action {
            DataAction::Saved { text } => draft.set("/text", text),
            DataAction::Confirmed { number } => draft.set("/confirmed", number),
        }
    }
    fn effects(action: &DataAction, _: &ActionInfo) -> Vec<EffectRequest> {
        let DataAction::Saved { text } = action else { return Vec::new() };
        let confirmed = FollowUp::of::<Data>(DataAction::Confirmed { number: 0 }).put("/number", "/number");
        vec![EffectRequest::new("api", json!({"text": text})).commit(confirmed).roll_back_guarded()]
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let open = || Store::builder(dir.path().join("app.db")).slice::<Data>().open();
    let store = open().await?;
    let data = store.slice::<Data>(store.create(None, Some("data")).await?);
    data.dispatch(DataAction::Saved { text: "Hello".to_owned() }).await?;
    store.close().await?;
    let store = open().await?; // started again
    let data = store.slice::<Data>(store.find("data").await?);
    let api = handler(|effect| async move {
        println!("sending {} under the key {}", effect.request, effect.id);
        if effect.attempts > 1 {
            Outcome::Done(json!({"number": 7}))
        } else {
            Outcome::Unreachable("offline".into())
        }
    });
    let handlers = EffectHandlers::new().with("api", api);
    for online in [false, true] {
        store.hurry_effects().await?;
        store.run_effects_until_idle(handlers.clone(), EffectOptions::default()).await?;
        let state = data.state().await?;
        println!("online: {online}, {state:?}");
        assert_eq!(state.confirmed, online.then_some(7));
    }
    Ok(())
}
