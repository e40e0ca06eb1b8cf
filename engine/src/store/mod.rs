//! The store: one SQLite file with many documents. [`Core`] does the work, synchronously and alone;
//! [`crate::Store`] and [`crate::blocking::Store`] give it a thread of its own.

mod append;
mod arrive;
mod blame;
mod claims;
mod classes;
mod conflicts;
mod core;
mod counts;
mod difference;
mod dispatch;
mod documents;
mod edits;
mod files;
mod foreign;
mod fork;
mod heal;
mod home;
mod intake;
mod jobs;
#[cfg(feature = "sync")]
mod listed;
mod listeners;
mod lost;
mod make;
mod mark;
mod meet;
mod migrate;
mod open;
mod poison;
mod problem;
mod prove;
mod pushers;
mod quarantine;
mod queue;
mod queued;
mod reach;
mod read;
mod read_only;
mod record;
mod replica;
mod restore;
mod retry;
mod revise;
mod rows;
mod salvage;
mod slices;
mod snapshot;
mod steps;
mod syncing;
mod transact;
mod trash;
mod types;
mod underneath;
mod undo;
mod views;

pub use self::core::Core;
pub use crate::session::{Batch, BatchBounds, BatchRow, Facts, Failure, HealNode, Page, PageOutcome};
pub use blame::{Blame, Writer};
pub use conflicts::{Choice, Conflict, ConflictValue};
pub use jobs::{EffectDrop, LeaseTerms, Leased};
pub use listeners::{Claim, HeardFailure, Reacted, Work, WorkTerms};
pub use problem::{SyncProblem, SyncProblemKind};
pub use pushers::Pushers;
pub use restore::{check_log, check_log_thoroughly, count_queued, restore};
pub use trash::{DeletedDocument, TrashLimits, UnsentChange};
pub use types::{
    CheckReport, Difference, DocumentInfo, DropPlan, Durability, Event, EventChange, HistoryEntry, Millis,
    Origin, QuarantinedChange, QueueEntry, QueueState, Receipt, Salvaged, Settings,
};
pub use undo::{NextStep, UndoKind, Undone, UndoneBeside, UndonePart};

#[cfg(feature = "sync")]
pub(crate) use listed::InStep;
pub(crate) use types::as_hex;
pub(crate) use views::{Parts, SeenPart};
