//! What waits: the queue, effects, thunks and listeners.

use super::super::Store;
#[allow(unused_imports, reason = "the pages below name its kinds")]
use crate::Error;
use crate::{
    DocumentId, Result, blocking,
    job::{Effect, ListenerInfo, ThunkId, ThunkInfo},
    store::{DropPlan, EffectDrop, QueueEntry},
};

verbs! {
    /// All thunks that are kept, in the order of their starts: the pending ones, and the newest thousand of each way
    /// to end.
    ///
    /// # Errors
    /// The file's.
    thunks() -> Vec<ThunkInfo> { |core| core.thunks() }
    /// One thunk.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`].
    thunk_info(id: ThunkId = id) -> ThunkInfo { |core| core.thunk_info(id) }
    /// Aborts a thunk, and drops its future wherever it runs; its [`Thunk::aborted`](crate::work::Thunk::aborted) is
    /// dispatched in the same transaction. `false`: it was settled before.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`]; [`Error::UnknownSlice`] where the slice of that action is not registered here: then it is
    /// not aborted; the file's.
    abort_thunk(id: ThunkId = id) -> bool { |core| core.abort_thunk(id) }
    /// How far each listener that was ever registered has heard each document.
    ///
    /// # Errors
    /// The file's.
    listeners() -> Vec<ListenerInfo> { |core| core.listeners() }
    /// Lets a listener that failed try again now, on one document or on all. Returns on how many.
    ///
    /// # Errors
    /// [`Error::UnknownListener`]; the file's.
    resume_listener(name: &str = name.to_owned(), document: Option<DocumentId> = document) -> u64 {
        |core| core.resume_listener(&name, document)
    }
    /// Lets a listener go on after the action of this document on which it failed, without hearing it. Returns on how
    /// many actions: 0 where it failed on none, 2 where it failed in a local-only slice as well.
    ///
    /// # Errors
    /// [`Error::UnknownListener`]; the file's.
    skip_listener(name: &str = name.to_owned(), document: DocumentId = document) -> u64 {
        |core| core.skip_listener(&name, document)
    }
    /// Forgets a listener that is no longer registered, with its positions. `false`: there is none of this name.
    ///
    /// # Errors
    /// The file's.
    forget_listener(name: &str = name.to_owned()) -> bool { |core| core.forget_listener(&name) }
    /// What waits, in order; of one document or of all.
    ///
    /// # Errors
    /// The file's.
    queue(id: Option<DocumentId> = id) -> Vec<QueueEntry> { |core| core.queue(id) }
    /// One queue row, by position or by a prefix of its change's hash (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    find_queued(id: &str = id.to_owned()) -> QueueEntry { |core| core.find_queued(&id) }
    /// The raw change of a queue row: a plain Automerge chunk.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    queued_bytes(id: &str = id.to_owned()) -> Vec<u8> { |core| core.queued_bytes(&id) }
    /// Has a row tried again at once, with those that wait for it. Returns how many that are.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    retry(id: &str = id.to_owned()) -> u64 { |core| core.retry(&id) }
    /// What dropping this row would take along.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`]; [`Error::AlreadySent`] when the server holds it.
    plan_drop(id: &str = id.to_owned()) -> DropPlan { |core| core.plan_drop(&id) }
    /// Removes the row's change from queue and document, with those later ones that touch what it made; the
    /// other later ones are written again without it.
    ///
    /// # Errors
    /// As [`Store::plan_drop`].
    drop_queued(id: &str = id.to_owned()) -> DropPlan { |core| core.drop_queued(&id) }
    /// All effects that are kept, in the order in which they were asked for: what waits and what is dead, and the
    /// newest thousand of those that are done and of those that were dropped.
    ///
    /// # Errors
    /// The file's.
    effects() -> Vec<Effect> { |core| core.effects() }
    /// One effect, by its position, its id or the beginning of it (4 characters or more).
    ///
    /// # Errors
    /// [`Error::UnknownEffect`].
    effect(id: &str = id.to_owned()) -> Effect { |core| core.effect(&id) }
    /// Sends an effect now, also one that is held or dead, with those dead ones that it comes after: under the
    /// same keys. Returns how many. A dead letter has its attempts anew and no deadline; what its rollback took
    /// back stays taken back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done or was dropped.
    retry_effect(id: &str = id.to_owned()) -> u64 { |core| core.retry_effect(&id) }
    /// What dropping this effect would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Store::drop_effect`].
    plan_effect_drop(id: &str = id.to_owned()) -> EffectDrop { |core| core.plan_effect_drop(&id) }
    /// Takes an effect off: it is not sent any more. What its action wrote stays, unless `roll_back`. Those that
    /// come after it become dead letters, and are rolled back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done, was dropped, or is being sent.
    drop_effect(id: &str = id.to_owned(), roll_back: bool = roll_back) -> EffectDrop {
        |core| core.drop_effect(&id, roll_back)
    }
    /// Sends again what is held for want of credentials: to be called when there are new ones. Returns how many.
    ///
    /// # Errors
    /// The file's.
    release_held_effects() -> u64 { |core| core.release_held_effects() }
    /// Sends now what waits for its next time: to be called when there is a connection again. Returns how many. A
    /// [watch](Store::watch) does it by itself, for what reached nobody, when its server answers again.
    ///
    /// # Errors
    /// The file's.
    hurry_effects() -> u64 { |core| core.hurry_effects() }
}
