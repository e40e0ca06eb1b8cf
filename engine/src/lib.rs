//! An offline-first store: actions dispatched to [Automerge](https://automerge.org) documents in one SQLite
//! file, synced without conflict.
//!
//! Offline, each change waits in a queue that anyone can read with `sqlite3`. When connectivity returns, a small
//! server (the crate `rejoin-server`) merges the change sets, and every replica ends with the same state: nothing
//! lost, nothing doubled, nobody asked to resolve anything.
//!
//! ```
//! use rejoin::{Store, SyncOptions, slice::{Draft, Rejection, Slice}};
//!
//! #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")]
//! enum Act { Noted { text: String }, Liked }
//!
//! struct Notes;
//! impl Slice for Notes {
//!     const NAME: &'static str = "notes";
//!     type State = serde_json::Value;
//!     type Action = Act;
//!     fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
//!         match action {
//!             Act::Noted { text } => draft.insert("/lines/-", text),
//!             Act::Liked => draft.increment("/likes", 1),
//!         }
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> rejoin::Result<()> {
//!     # let dir = tempfile::tempdir().unwrap();
//!     # std::env::set_current_dir(&dir).unwrap();
//!     let store = Store::builder("notes.db").slice::<Notes>().open().await?;
//!     let notes = store.slice::<Notes>(store.create(None, Some("notes")).await?);
//!     notes.dispatch(Act::Noted { text: "Hello".into() }).await?; // durable when it returns, online or not
//!     println!("{} and {} waiting", notes.state().await?, store.queue(None).await?.len());
//!     # assert_eq!(notes.state().await?, serde_json::json!({"lines": ["Hello"]}));
//!     let synced = store.sync(SyncOptions::default().server("http://127.0.0.1:4810")).await?;
//!     if let Err(error) = synced.reached() {
//!         println!("not in step yet: {error}"); // without a connection nothing is lost
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Begin here
//! Whole programs, to be read in this order; each runs by itself and checks what it shows. `cargo run -p rejoin --example NAME`:
//!
//! | example | what it is |
//! |---|---|
//! | `counter` | a counter on two devices that count while apart, with a server in the same process |
//! | `user` | `createAsyncThunk`: a user is fetched by a worker on the same file, and the state says pending, fulfilled or rejected |
//! | `offline` | what was saved offline is sent after a restart, once there is a connection |
//! | `notes` | an app: three slices, entities, text, a counter, middleware, a listener, undo, conflicts, a migration |
//! | `todo`, `outbox`, `thunk`, `live_view`, `field_notes` | more of each: two devices, a receiver that fails, aborts and deaths, another process, a terminal app |
//!
//! # The parts
//! - [`Store`] is the handle for asynchronous callers, [`blocking::Store`] the same for others. Both are `Send`,
//!   `Sync` and cheap to clone. A verb that was asked for, so that its future was polled once, is carried out even when
//!   the future is dropped then: only the answer is lost.
//! - [`slice::Slice`] is a named part of a document with a state type, actions and a reducer. [`Store::builder`] gives it
//!   to the store, with [middleware](slice::Middleware) and kinds of documents. [`Action`] is what the built-in JSON
//!   slice understands, which needs no registration. An action makes exactly one change.
//! - [`effects`] is the outbox: what actions ask of the outside, sent when there is a connection.
//! - [`work`] has thunks, which outlive the process that began them, and listeners, which resume where they stopped.
//!   [`Store::run`] does all of that, effects included.
//! - [`Store::undo`], [`Store::blame`] and [`Store::conflicts`] look at who did what, and take it back.
//! - [`Store::sync`] pushes and pulls once, [`Store::watch`] stays in step, [`Store::subscribe`] tells what
//!   happened, after it is durable.
//! - [`Error::kind`] tells what can be done about an error.
//! - Under the handles one thread does the work. The rules that it shares with the server are the crate `rejoin-protocol`:
//!   what a change is, what keeps hostile bytes from the library, what two sides say to each other. What else of this crate is
//!   public and not shown here is for its own tests, and changes without notice.
//!
//! # Limits
//! | what | at most | what happens beyond |
//! |---|---|---|
//! | one action with what it writes | 1,032,192 bytes, 100,000 operations, 120 levels | the dispatch fails, and nothing is changed. Make several actions of it; keep files outside, with their address in the document |
//! | a number | `i64`, `u64`, finite `f64` | the dispatch fails |
//! | argument and result of a thunk, the request of an effect | 1 MiB of JSON | it is refused when it is asked for; a result is a rejection |
//! | the reply to an effect over HTTP | 256 KiB are kept | the rest is left out |
//! | a subscriber that does not listen | 1,024 events | the oldest are lost, and it is told to read again |
//!
//! The server has limits of its own; it tells them at `/v1/limits`.
//!
//! # Coming from Redux Toolkit
//! | there | here | what differs |
//! |---|---|---|
//! | `createSlice` | [`slice::Slice`] | the reducer is an exhaustive `match`; it writes on a [`slice::Draft`], with no clock and no I/O |
//! | `configureStore` | [`Store::builder`] | one file with many documents; a slice is registered once and used in any of them |
//! | `dispatch` | [`slice::SliceHandle::dispatch`], [`dispatch_soon`](slice::SliceHandle::dispatch_soon) | ready when the action is on disk; [`Error::Rejected`] where the reducer refused |
//! | `getState`, `createSelector` | [`slice::SliceHandle::state`], [`select`](slice::SliceHandle::select), [`select2`](slice::SliceHandle::select2) | a selector is computed again only when its part of the state changed; its inputs may be of several slices |
//! | `subscribe` | [`slice::SliceHandle::changes`], [`Store::subscribe`] | with where a change came from |
//! | `extraReducers` | [`slice::ExtraReducer`] | what it writes is in the same change as the action |
//! | `batch`, one thunk with several dispatches | [`Store::transact`] | all or none, one commit, one step of undo over all its documents |
//! | `useSelector` | [`slice::SliceHandle::latest`], [`snapshot`](slice::SliceHandle::snapshot), [`slice::Selector::results`] | kept read by the store; never behind `state` |
//! | `createEntityAdapter` | [`slice::Draft::entities`], [`slice::EntityMap`], [`slice::EntityList`] | `upsert` merges field by field, across devices too; a sorted and filtered list reads only what changed |
//! | middleware | [`slice::Middleware`] | before an action: continue, reject, replace; after it is durable: see it, dispatch soon |
//! | `createAsyncThunk` | [`work::Thunk`] | `pending` is a row that no death leaves behind, and an action where you name one; an abort stops the work; `rejectWithValue` is [`work::Thunk::Error`] |
//! | listener middleware | [`Builder::listener`], [`work::Heard`] | resumes where it stopped; `dispatch`, `state`, `take`, `fork`, which ends with the handler |
//! | redux-offline's `meta.offline` | [`slice::Slice::effects`], [`effects`] | lanes, leases, one `Idempotency-Key` for each effect |
//! | redux-persist | nothing to add | every action is a row; [`slice::Scope`] says what stays on the device or in memory |
//! | redux-undo | [`Store::undo`], [`slice::Slice::undo_step`] | a new change: what others wrote stays; `groupBy` and `filter` are [`UndoStep`] |
//! | DevTools | [`Store::history`], [`Store::diff`], [`slice::SliceHandle::state_at`] | of every replica, from the data itself |
//!
//! # Panics
//! A reducer, a handler or a hostile change that panics fails alone: the panic is caught and becomes an error. The
//! process's panic hook hears of it first, and by default prints; [`install_panic_hook`] sends what is caught
//! to `tracing` instead. A terminal app should call it, or have its own hook tell threads apart.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `sync` (default) | the driver that speaks HTTP, and with it reqwest and the network of tokio. Without it tokio has no `net`, no `process`, no `signal` and no thread pool |
//! | `bundled-sqlite` (default) | SQLite itself, compiled with a C compiler. Without it the SQLite that the system or the app links is used: 3.45 or later, and better 3.51.3 or later, for those before can lose a commit in WAL mode (a warning says so) |
//! | `allow-panic-abort` | builds under `panic = "abort"`, which is refused otherwise, for then hostile bytes could end the process |
//! | `openapi` | schemas of what goes over the wire |
//! | `planted-bugs` | for the project's own tests |
//!
//! # What it costs to build
//! | features | crates | processor time | binary |
//! |---|---|---|---|
//! | default | 150 | 437 s | 15.6 MB |
//! | `default-features = false, features = ["bundled-sqlite"]` | 79 | 253 s | 8.0 MB |
//!
//! The app has fifteen lines: it opens a store, dispatches, reads, and syncs where it can. It was built by
//! `cargo build --release` from nothing, with the default profile and `strip = true`. Crates are those of
//! `cargo tree -e normal --prefix none`, each counted once. Measured on 27 November 2026 with 2 cores, which others used too. So the time is
//! that of the processors, SQLite's C code included, and not the time that somebody waits.
//!
//! # Beside other crates
//! - **automerge** is in the API: use [`automerge`] as this crate re-exports it, and no version of your own.
//! - **SQLite.** Cargo links one `libsqlite3-sys` into a program. rusqlite 0.41, which this crate uses, has 0.39; sqlx 0.9 wants
//!   0.37 and diesel 2.3 wants 0.38, so Cargo refuses them beside it ("links to the native library `sqlite3`"). Use
//!   rusqlite 0.41 for the app's own tables, or keep the two in two programs. The feature `bundled-sqlite` does not
//!   change that: it says whose SQLite is linked, and not which bindings.
//! - **tokio** 1: verbs of [`Store`] run under any executor. Runners ([`Store::run`], [`Store::run_effects`]) need tokio's with
//!   time enabled, a sync and [`Store::watch`] with time and I/O: else they say [`Error::NoRuntime`].
//!   [`blocking::Store`] needs none.
//!
//! # Systems
//! Linux is tested. For the others `cargo check` passes without `sync`: `x86_64-pc-windows-gnu`, `aarch64-apple-darwin`,
//! `aarch64-apple-ios`, `aarch64-linux-android` (27 November 2026). What differs there: a process that died is seen by a
//! lock that its death frees, where Linux shows its processes. The process that tries what servers send
//! ([`Builder::verify_command`]) has a limit of time, and outside Unix no limit of memory. Phones start no such process.
//! Certificates are those of the system. On Android the verifier of rustls must be told of the app's context once, before
//! the first sync (`rustls_platform_verifier::android::init_with_env`); or trust certificates of your own
//! ([`HttpOptions::ca_certificates`]).

pub mod blocking;
#[cfg(feature = "sync")]
pub mod driver;
#[doc(hidden)]
pub mod edits;
pub mod effects;
#[doc(hidden)]
pub mod reducer;
#[doc(hidden)]
pub mod revision;
pub mod slice;
#[doc(hidden)]
pub mod store;
pub mod work;

mod action;
mod api;
mod builder;
mod error;
mod job;
mod runner;
mod runtime;
mod transaction;
mod undo_step;

/// The library of the documents: its types are in this API.
pub use automerge;

pub use rejoin_protocol::{Actor, ChangeHash, Cursor, DocumentId, InvalidDocumentId, Message};
#[doc(hidden)]
pub use rejoin_protocol::{
    InvalidAddress, ServerAddress, container, fence, message, pack, planted, printable, quarantine, rewrite,
    same_server, session, state, undo, untrusted, wire,
};
#[doc(hidden)]
pub use rejoin_storage::files;
#[doc(hidden)]
pub use rejoin_verifier as verify;

pub use reducer::{ActionError, Kind};
#[doc(inline)]
pub use rejoin_protocol::fence::{Refusal, RefusalCode};
#[doc(inline)]
pub use rejoin_protocol::untrusted::install_panic_hook;
#[doc(inline)]
pub use rejoin_verifier::{ProcessFailures, VerifyCommand, verify_child};

pub use action::Action;
pub use api::{FailedDispatch, Store, WeakStore};
pub use builder::Builder;
#[cfg(feature = "sync")]
pub use driver::{
    DocumentReport, HttpOptions, Reached, RemoteDocument, SyncOptions, SyncProgress, SyncReport, SyncState,
    Token, WatchOptions, list_remote, probe,
};
pub use edits::{Edit, Edits};
pub use error::{Error, ErrorKind, Result};
pub use revision::{Revised, Revision, TextSplice};
pub use slice::{Scope, Slice};
pub use store::{
    Blame, CheckReport, Choice, Conflict, ConflictValue, DeletedDocument, Difference, DocumentInfo, DropPlan,
    Durability, Event, EventChange, HistoryEntry, Millis, NextStep, Origin, QuarantinedChange, QueueEntry,
    QueueState, Receipt, Salvaged, Settings, SyncProblem, SyncProblemKind, TrashLimits, UndoKind, Undone,
    UndoneBeside, UndonePart, UnsentChange, Writer,
};
pub use transaction::Transaction;
pub use undo_step::UndoStep;
