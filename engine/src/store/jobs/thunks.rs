//! Starting thunks, looking at them, aborting them, telling of them.

use serde_json::json;

use super::{
    super::{Core, core::Writing},
    lease::unknown_slice,
    rows,
    settle::Ending,
};
use crate::{
    Error, Result,
    job::{Job, JobKind, ThunkCause, ThunkGround, ThunkId, ThunkInfo, ThunkRequest},
    slice::{Registry, Scope},
    state,
    store::make::caught,
};

impl Core {
    /// Starts a thunk: when this returns it is durably pending. `None`: its condition does not hold.
    ///
    /// # Errors
    /// [`Error::InvalidThunk`], [`Error::UnknownSlice`], [`Error::UnknownDocument`], and what its action for `pending` fails
    /// with: nothing was started.
    pub fn start_thunk(&mut self, request: &ThunkRequest) -> Result<Option<ThunkId>> {
        self.write(&[], |w| w.start_thunk(request))
    }

    /// All thunks that are kept, in the order of their starts.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn thunks(&mut self) -> Result<Vec<ThunkInfo>> {
        let all = rows::read_all(&self.connection, JobKind::Thunk)?;
        Ok(all.into_iter().map(Job::into_thunk).collect())
    }

    /// One thunk.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`].
    pub fn thunk_info(&mut self, id: ThunkId) -> Result<ThunkInfo> {
        let job = rows::read_one(&self.connection, id)?;
        job.map(Job::into_thunk).ok_or_else(|| Error::UnknownThunk(id.to_string()))
    }

    /// Aborts a thunk; whoever runs it drops it. `false`: it was settled before.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`]; [`Error::UnknownSlice`] where the slice of the action that follows is not registered.
    pub fn abort_thunk(&mut self, id: ThunkId) -> Result<bool> {
        self.write(&[], |w| {
            let job = rows::read_one(w.tx, id)?.ok_or_else(|| Error::UnknownThunk(id.to_string()))?;
            if job.state.is_settled() {
                return Ok(false);
            }
            w.abort(job, ThunkCause::Aborted, "aborted".to_owned())?;
            Ok(true)
        })
    }

    /// Tells those who listen what happened to thunks since the last call, here and in other processes.
    pub(crate) fn tell_thunks(&mut self) {
        self.tell_thunks_from(None);
    }

    /// As [`Core::tell_thunks`]; `own`: this store's own commit, from which on a new listener is told.
    pub(in super::super) fn tell_thunks_from(&mut self, own: Option<i64>) {
        if self.thunk_events.receiver_count() == 0 {
            self.thunks_told = None;
            return;
        }
        let told = match (self.thunks_told, own) {
            (Some(told), _) => Ok(told),
            (None, Some(own)) => Ok(own - 1),
            (None, None) => rows::last_changed(&self.connection),
        };
        let changed = told.and_then(|told| rows::read_changed(&self.connection, told));
        match changed {
            Ok((changed, last)) => {
                self.thunks_told = Some(last);
                for info in changed {
                    // Nobody listens: nothing is lost.
                    let _ = self.thunk_events.send(info);
                }
            }
            Err(error) => tracing::warn!(%error, "what happened to thunks could not be read"),
        }
    }
}

impl Writing<'_> {
    /// Starts a thunk in the open transaction, which is given up where that fails.
    pub(in super::super) fn start_thunk(&mut self, request: &ThunkRequest) -> Result<Option<ThunkId>> {
        let argument = request.check()?;
        check_slices(request, self.registry)?;
        let (name, key) = (request.name, request.options.key.as_deref());
        if rows::read_state_of(self.tx, request.id)?.is_some() {
            return Err(Error::InvalidThunk(format!("{name:?}: its id {} was used before", request.id)));
        }
        let pending = rows::read_open_of(self.tx, name, key)?;
        if !self.holds(request, !pending.is_empty())? {
            return Ok(None);
        }
        if request.options.latest_only {
            for mut job in pending {
                let why = format!("superseded by the later {}", request.id);
                job.replaced_by = Some(request.id.0);
                self.abort(job, ThunkCause::Superseded, why)?;
            }
        }
        // After those of the older ones: what is read in the end is that this one is pending.
        if let (Some(follow), Some(document)) = (&request.follow.pending, request.options.document) {
            self.follow(document, follow, &json!({"id": request.id}))??;
        }
        rows::insert(self.tx, &request.job(argument, self.now), Some(self.ordinal))?;
        self.worked = true;
        Ok(Some(request.id))
    }

    /// Whether its condition holds.
    fn holds(&mut self, request: &ThunkRequest, pending: bool) -> Result<bool> {
        let argument = request.check()?;
        let document = request.options.document;
        let replica = match document {
            Some(document) => Some(self.replicas.get(self.tx, document, self.actor)?),
            None => None,
        };
        let read = |pointer: &str| match &replica {
            Some(replica) => Ok(state::to_json(&replica.am, pointer, None)?),
            None => Err(Error::InvalidThunk(format!("{:?} names no document", request.name))),
        };
        let ground = ThunkGround { document, state: &read, pending };
        match caught(request.name, || (request.condition)(argument, &ground)) {
            Err(Error::ReducerPanicked { reason, .. }) => {
                Err(Error::InvalidThunk(format!("{:?}: its condition panicked: {reason}", request.name)))
            }
            held => held,
        }
    }

    /// Its result, if there will be one, is not wanted: "a late older reply never overwrites a newer one".
    fn abort(&mut self, job: Job, cause: ThunkCause, why: String) -> Result<()> {
        if let Some(slice) = unknown_slice(&job, cause, self.registry) {
            return Err(Error::UnknownSlice(slice.to_owned()));
        }
        self.end_job(job, Ending::failed(cause, why))
    }
}

/// "An action that follows never fails at the end for where its slice lives": one that is in memory, or is not
/// registered here, is told at the start.
fn check_slices(request: &ThunkRequest, registry: &Registry) -> Result<()> {
    for (what, follow) in request.follow.all() {
        let Some(slice) = follow.slice() else { continue };
        if registry.slice(slice)?.scope() == Scope::Memory {
            return Err(Error::InvalidThunk(format!(
                "{:?}: its action for {what} is of the slice {slice:?}, which lives in memory, where another process \
                 that settles the thunk cannot reach it: make it of a slice that is synced or local",
                request.name
            )));
        }
    }
    Ok(())
}
