//! Effects of typed slices: asked for by the slice itself, followed by its own actions.

use rejoin::{
    DocumentId, Scope, Store,
    effects::{EffectHandlers, EffectOptions, EffectRequest, EffectState, FollowUp, Outcome, handler},
    slice::{ActionInfo, Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OrderAction {
    Placed { thing: String },
    Confirmed { thing: String, reply: Value },
    Refused { thing: String, reply: Value },
}

/// An order is sent to the shop as it is placed.
struct Orders;

impl Slice for Orders {
    const NAME: &'static str = "orders";
    type State = Value;
    type Action = OrderAction;

    fn reduce(draft: &mut Draft<'_>, action: &OrderAction) -> Result<(), Rejection> {
        match action {
            OrderAction::Placed { thing } => draft.set(&format!("/{thing}"), "placed"),
            OrderAction::Confirmed { thing, reply } => draft.set(&format!("/{thing}"), reply.clone()),
            OrderAction::Refused { thing, reply } => draft.set(&format!("/{thing}"), reply.clone()),
        }
    }

    fn effects(action: &OrderAction, _: &ActionInfo) -> Vec<EffectRequest> {
        let OrderAction::Placed { thing } = action else { return Vec::new() };
        let (confirmed, refused) = (
            OrderAction::Confirmed { thing: thing.clone(), reply: Value::Null },
            OrderAction::Refused { thing: thing.clone(), reply: Value::Null },
        );
        let order = EffectRequest::new("shop", json!({"thing": thing}))
            .commit(FollowUp::of::<Self>(confirmed).put_reply())
            .roll_back(FollowUp::of::<Self>(refused).put_reply());
        vec![order, EffectRequest::new("shop", json!({"thing": "receipt"})).lane("seen").commit(seen(thing))]
    }
}

/// What was shown on this device: nobody else's business.
struct Seen;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SeenAction {
    Shown { thing: String },
}

impl Slice for Seen {
    const NAME: &'static str = "seen";
    const SCOPE: Scope = Scope::Local;
    type State = Value;
    type Action = SeenAction;

    fn reduce(draft: &mut Draft<'_>, SeenAction::Shown { thing }: &SeenAction) -> Result<(), Rejection> {
        draft.set(&format!("/{thing}"), true)
    }
}

fn seen(thing: &str) -> FollowUp {
    FollowUp::of::<Seen>(SeenAction::Shown { thing: thing.to_owned() })
}

async fn open(path: &std::path::Path) -> (Store, DocumentId) {
    let store = Store::builder(path).slice::<Orders>().slice::<Seen>().open().await.unwrap();
    let id = match store.documents().await.unwrap().first() {
        Some(document) => document.id,
        None => store.create(None, None).await.unwrap(),
    };
    (store, id)
}

async fn run(store: &Store) {
    let shop = handler(|effect| async move {
        match effect.request["thing"].as_str() {
            Some("boat") => Outcome::Refused { why: "none left".into(), reply: json!("sold out") },
            _ => Outcome::Done(json!("number 7")),
        }
    });
    let handlers = EffectHandlers::new().with("shop", shop);
    store.run_effects_until_idle(handlers, EffectOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_slice_asks_with_its_action_and_hears_of_the_outcome_by_its_own_actions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (store, id) = open(&path).await;
    for thing in ["tent", "boat"] {
        store.slice::<Orders>(id).dispatch(OrderAction::Placed { thing: thing.into() }).await.unwrap();
    }
    run(&store).await;
    drop(store);
    let (store, id) = open(&path).await;
    let orders = store.slice::<Orders>(id).state().await.unwrap();
    assert_eq!(orders, json!({"tent": "number 7", "boat": "sold out"}));
    let seen = store.slice::<Seen>(id).state().await.unwrap();
    assert_eq!(
        seen,
        json!({"tent": true, "boat": true}),
        "a commit action may be of a slice of this device alone"
    );
    let types: Vec<_> =
        store.history(id, None).await.unwrap().into_iter().map(|h| h.action_type.unwrap()).collect();
    assert_eq!(types, ["orders/placed", "orders/placed", "orders/confirmed", "orders/refused"]);
}

#[tokio::test]
async fn what_only_another_process_can_record_is_left_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (app, id) = open(&path).await;
    app.slice::<Orders>(id).dispatch(OrderAction::Placed { thing: "boat".into() }).await.unwrap();
    let order = app.effects().await.unwrap()[0].id.to_string();
    // Knows how to send, and not what follows.
    let other = Store::open(&path).await.unwrap();
    run(&other).await;
    assert_eq!(other.effect(&order).await.unwrap().attempts, 0);
    let refused = other.drop_effect(&order, true).await.unwrap_err();
    assert!(matches!(refused, rejoin::Error::UnknownSlice(_)), "{refused}");
    run(&app).await;
    assert_eq!(app.effect(&order).await.unwrap().state, EffectState::Dead);
    assert_eq!(app.slice::<Orders>(id).state().await.unwrap(), json!({"boat": "sold out"}));
}
