//! One task, done: a log merged, written, and tried.

use std::time::Instant;

use super::{
    cache::Cache,
    merged::Merged,
    source::Source,
    task::{Merge, Outcome, Shape, Task, Unsound},
};
use rejoin_protocol::{
    state::to_json,
    untrusted::{examine_next, guarded},
};

/// Where documents are merged, one after another: with the documents that were kept for the next question.
#[derive(Debug)]
pub(super) struct Workbench {
    cache: Cache,
}

impl Workbench {
    pub(super) fn new(cache_bytes: usize) -> Self {
        Self { cache: Cache::new(cache_bytes) }
    }

    /// Does one task. What the library cannot do is an outcome.
    ///
    /// # Errors
    /// The log's.
    pub(super) fn work<S: Source>(
        &mut self,
        task: &Task,
        source: &mut S,
        deadline: Instant,
    ) -> Result<Outcome, S::Error> {
        let key = (task.document, task.epoch);
        let kept = if task.keep { self.cache.take(key) } else { None };
        let mut merged = match kept.filter(|kept| kept.serves(task)) {
            Some(merged) => merged,
            None => Merged::begin(source, task.expelled.clone(), task.upto)?,
        };
        if !merged.advance(source, task.upto, deadline)? {
            return Ok(Outcome::Unsound(Unsound::of_resources("it takes too long to merge")));
        }
        let left_out = merged.left_out.clone();
        let written = if task.keep {
            let written = write(&merged, task);
            self.cache.put(key, merged);
            written
        } else {
            write_last(merged, task)
        };
        Ok(match written {
            Ok(bytes) => {
                Outcome::Written(Merge { bytes, left_out, peak: 0, cached: self.cache.used() as u64 })
            }
            Err(Unwritten::TooDeep(why)) => Outcome::TooDeep(why),
            Err(Unwritten::Unsound(why)) => Outcome::Unsound(Unsound::of_library(why)),
        })
    }
}

/// Why there are no bytes.
enum Unwritten {
    TooDeep(String),
    Unsound(String),
}

/// Writes a document that goes on living.
fn write(merged: &Merged, task: &Task) -> Result<Vec<u8>, Unwritten> {
    let json = if task.examine { Some(read_all(merged)?) } else { None };
    if task.examine {
        examine_next(&merged.document).map_err(Unwritten::Unsound)?;
    }
    let file = if task.examine || task.shape == Shape::File {
        Some(merged.to_file().map_err(Unwritten::Unsound)?)
    } else {
        None
    };
    match (task.shape, json, file) {
        (Shape::Nothing, ..) => Ok(Vec::new()),
        (Shape::File, _, file) => Ok(file.unwrap_or_default()),
        (Shape::Json, Some(json), _) => json,
        (Shape::Json, None, _) => write_json(merged),
    }
}

/// As [`write`]; a file then takes less memory.
fn write_last(merged: Merged, task: &Task) -> Result<Vec<u8>, Unwritten> {
    if task.shape == Shape::Json || !(task.examine || task.shape == Shape::File) {
        return write(&merged, task);
    }
    if task.examine {
        drop(read_all(&merged)?);
        examine_next(&merged.document).map_err(Unwritten::Unsound)?;
    }
    let file = merged.into_file().map_err(Unwritten::Unsound)?;
    Ok(if task.shape == Shape::File { file } else { Vec::new() })
}

/// A document that is nested too deep for JSON is sound: what it is written as then is that.
fn read_all(merged: &Merged) -> Result<Result<Vec<u8>, Unwritten>, Unwritten> {
    match write_json(merged) {
        Err(Unwritten::Unsound(why)) => Err(Unwritten::Unsound(why)),
        written => Ok(written),
    }
}

fn write_json(merged: &Merged) -> Result<Vec<u8>, Unwritten> {
    match guarded(|| to_json(&merged.document, "", None)) {
        Ok(Ok(state)) => serde_json::to_vec(&state).map_err(|error| Unwritten::Unsound(error.to_string())),
        Ok(Err(too_deep)) => Err(Unwritten::TooDeep(too_deep.to_string())),
        Err(why) => Err(Unwritten::Unsound(why)),
    }
}
