//! Work that outlives the process that began it: thunks, and listeners with a durable position.
//!
//! # Thunks
//! A [`Thunk`] has a name and a serialisable argument. Starting it makes a durable row, `pending`; some process on
//! the store in which it is registered leases the row, runs it, and settles it: `fulfilled`, `rejected`, or
//! `aborted`. Each of these is an event ([`Store::thunk_events`](crate::Store::thunk_events)) and a line in the SQL
//! view `thunks`.
//!
//! - **No `pending` for ever.** A process that runs a thunk holds a lease on it. When it dies, another runs it again,
//!   or it is rejected, as [`Thunk::ON_DEATH`] says: at once where the death can be seen from here, else when the
//!   lease runs out. A panic and a deadline reject, and are told apart from an error that the thunk returned
//!   ([`ThunkCause`]).
//! - **An abort stops the work**: its future is dropped, at once in this process and within a second in another.
//! - **Only the latest counts** under a key ([`StartOptions::latest_only`]): an older one is aborted in the
//!   transaction that starts the newer, and what it gives afterwards is discarded in the one that would record it.
//! - **The state follows.** A thunk names an action for its start ([`Thunk::pending`]) and for each way to end; the action
//!   is recorded in the transaction in which that happens, exactly once, by whichever process does it.
//!   The work itself is done *at least* once, unless it is [`Orphan::Reject`]: then it is begun once at most.
//!
//! ```
//! use rejoin::{Action, Store, effects::FollowUp};
//! use rejoin::work::{StartOptions, Thunk, ThunkContext, ThunkError, WorkOptions};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! struct Weather;
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Unknown { Town(String) }
//!
//! impl Thunk for Weather {
//!     const NAME: &'static str = "weather";
//!     type Argument = String;
//!     type Output = i64;
//!     type Error = Unknown;
//!     async fn run(&self, _: ThunkContext, town: String) -> Result<i64, Unknown> {
//!         if town == "Bergen" { Ok(12) } else { Err(Unknown::Town(town)) }
//!     }
//!     fn pending(town: &String) -> Option<FollowUp> {
//!         Some(FollowUp::new(json!({"type": "set", "path": format!("/{town}"), "value": "asked"})))
//!     }
//!     fn fulfilled(town: &String) -> Option<FollowUp> {
//!         Some(FollowUp::new(json!({"type": "set", "path": format!("/{town}")})).put("", "/value"))
//!     }
//!     fn rejected(town: &String) -> Option<FollowUp> {
//!         Some(FollowUp::new(json!({"type": "set", "path": format!("/{town}")})).put("/error", "/value"))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! let store = Store::builder(dir.path().join("app.db")).thunk(Weather).open().await?;
//! let towns = store.create(None, None).await?;
//! let asked = StartOptions::new().latest_only("weather").document(towns);
//! let handle = store.start::<Weather>("Bergen".to_owned(), asked).await?.expect("it has no condition");
//! assert_eq!(store.state(towns, "/Bergen").await?, "asked");
//! // An app has `store.run(…)` in a task instead.
//! store.run_until_idle(WorkOptions::default()).await?;
//! assert_eq!(handle.unwrap().await.unwrap(), 12);
//! assert_eq!(store.state(towns, "/Bergen").await?, 12);
//!
//! let asked = StartOptions::new().document(towns);
//! let handle = store.start::<Weather>("Ys".to_owned(), asked).await?.expect("it has no condition");
//! store.run_until_idle(WorkOptions::default()).await?;
//! assert!(matches!(handle.unwrap().await, Err(ThunkError::Rejected(Unknown::Town(town))) if town == "Ys"));
//! assert_eq!(store.state(towns, "/Ys").await?, json!({"Town": "Ys"}));
//! # Ok::<(), rejoin::Error>(()) }).unwrap();
//! ```
//!
//! # Listeners
//! A [`Listener`] has a name, under which its position in each document is kept. It hears the actions of this store
//! and those that arrive from others, each once; after a restart it goes on where it stopped. See
//! [`Builder::listener`](crate::Builder::listener) for an example.
//!
//! - What a handler returns, a [`Reaction`] of actions, effects and thunks, is recorded in one transaction with the
//!   new position: **exactly once for each action and listener of this store**. What the handler does by itself (its
//!   own I/O) is done *at least* once: its process may die before the position moves. [`Heard::key`] serves as an
//!   idempotency key there. Where several devices have the listener, each reacts: see [`Listener::local`].
//! - A change that is written again after a fork, or because a queued one before it was taken back, is not heard
//!   again. One that is quarantined is not heard, for it is not in the document.
//! - Actions of slices that live in memory only are not heard: there is no history of them.
//! - A document is heard in its order, by one process at a time, which holds a lease; documents do not wait for each
//!   other. A handler that fails, panics or takes too long is tried again on the same action, later and later, and
//!   after a limit parked with its error: [`Store::listeners`](crate::Store::listeners) shows it,
//!   [`Store::resume_listener`](crate::Store::resume_listener) and
//!   [`Store::skip_listener`](crate::Store::skip_listener) let it go on.
//!
//! # Who does the work
//! [`Store::run`](crate::Store::run), in as many processes as one likes. Without any, thunks and positions wait.

pub use crate::job::{
    Heard, InvalidThunkId, Listener, ListenerInfo, Orphan, Reaction, StartOptions, ThunkCause, ThunkFailure,
    ThunkGround, ThunkId, ThunkInfo, ThunkRequest, ThunkState,
};
pub use crate::runner::{
    Fork, HandlerError, Settled, Thunk, ThunkContext, ThunkError, ThunkHandle, WorkOptions,
};
