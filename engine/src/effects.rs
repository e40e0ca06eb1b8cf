//! Effects: what an action asks of the outside, an HTTP request say. Recorded in the transaction of the action,
//! sent when there is a connection, followed by a commit action or by a rollback.
//!
//! # What is promised
//! - An action and its effects are both there or both not.
//! - **At-least-once sending, exactly-once recording.** Nobody can promise to send exactly once across a network:
//!   a process that dies between sending and recording sends again. It does so under the same key, the effect's
//!   [`EffectId`], which the HTTP handler sends as `Idempotency-Key`: a receiver that remembers keys does the work
//!   once. *Here* the outcome is recorded exactly once, in one transaction with the commit action or the rollback.
//! - First in, first out within a lane; lanes run side by side. Nothing in one lane waits for another, unless an
//!   effect says that it comes [after](EffectRequest::after) others.
//! - Attempts, delays and the last error are in the file: a restart goes on where it was.
//! - Each effect is sent by one process at a time, which holds a lease on it. When that process dies the lease
//!   ends: at once where its death can be seen from here, otherwise when it runs out.
//! - Being offline costs no attempts. Who comes online sends at once what reached nobody: a
//!   [watch](crate::Store::watch) sees to it when its server answers again, others call
//!   [`Store::hurry_effects`](crate::Store::hurry_effects).
//! - What is refused for good is a dead letter: it stays, it can be seen, sent again, or dropped.
//! - A guarded rollback takes back what the action wrote only where that still stands: never another's write.
//!
//! ```
//! use rejoin::effects::{EffectHandlers, EffectOptions, EffectRequest, EffectState, Outcome, handler};
//! use rejoin::{Action, Store};
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! let store = Store::open(dir.path().join("shop.db")).await?;
//! let cart = store.create(None, Some("cart")).await?;
//!
//! // The order is in the document at once, and goes to the shop when it can.
//! let ordered = Action::Set { path: "/order".into(), value: json!("sent") };
//! let order = EffectRequest::new("shop", json!({"buy": "tent"}))
//!     .commit(Action::Set { path: "/order".into(), value: json!("confirmed") })
//!     .roll_back_guarded();
//! let id = order.id();
//! store.dispatch_with(cart, ordered, vec![order]).await?;
//!
//! // The app's own way of sending; HTTP comes with the feature `sync`.
//! let shop = handler(|effect| async move {
//!     assert_eq!(effect.request["buy"], "tent");
//!     Outcome::Done(json!({"number": 7}))
//! });
//! let handlers = EffectHandlers::new().with("shop", shop);
//! store.run_effects_until_idle(handlers, EffectOptions::default()).await?;
//! assert_eq!(store.effect(&id.to_string()).await?.state, EffectState::Done);
//! assert_eq!(store.state(cart, "/order").await?, "confirmed");
//! # Ok::<(), rejoin::Error>(()) }).unwrap();
//! ```

pub use crate::job::{
    Effect, EffectId, EffectRequest, EffectState, FollowUp, InvalidEffectId, LONGEST_WAIT, Outcome, Rollback,
    Schedule, Tries, Verdict, judge,
};
#[cfg(feature = "sync")]
pub use crate::runner::HttpEffects;
pub use crate::runner::{EffectHandler, EffectHandlers, EffectOptions, handler};
