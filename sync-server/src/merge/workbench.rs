use std::time::Instant;

use rejoin::{state::to_json, untrusted::guarded};

use super::{
    cache::Cache,
    merged::Merged,
    source::Source,
    task::{Merge, Outcome, Shape, Task, Unsound},
};
use crate::rules::Fault;

/// Where documents are merged, one after another: with the documents that were kept for the next question.
#[derive(Debug)]
pub(super) struct Workbench {
    cache: Cache,
}

impl Workbench {
    pub(super) fn new(cache_bytes: usize) -> Self {
        Self { cache: Cache::new(cache_bytes) }
    }

    /// Does one task. What the library cannot do is an outcome; a fault is one of the log.
    pub(super) fn work(
        &mut self,
        task: &Task,
        source: &mut dyn Source,
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
        let kept = if task.keep { self.cache.take(task.document) } else { None };
        let mut merged = match kept.filter(|kept| kept.serves(task)) {
            Some(merged) => merged,
            None => Merged::begin(source, task.expelled.clone(), task.upto)?,
        };
        if !merged.advance(source, task.upto, deadline)? {
            return Ok(Outcome::Unsound(Unsound::of_resources("it takes too long to merge")));
        }
        let left_out = merged.left_out.clone();
        let written = if task.keep {
            let written = write(&merged, task.shape);
            self.cache.put(task.document, merged);
            written
        } else {
            examine(merged)
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

fn write(merged: &Merged, shape: Shape) -> Result<Vec<u8>, Unwritten> {
    match shape {
        Shape::File => merged.to_file().map_err(Unwritten::Unsound),
        Shape::Json => write_json(merged),
    }
}

fn write_json(merged: &Merged) -> Result<Vec<u8>, Unwritten> {
    match guarded(|| to_json(&merged.document, "", None)) {
        Ok(Ok(state)) => Ok(crate::rules::to_json(&state)),
        Ok(Err(too_deep)) => Err(Unwritten::TooDeep(too_deep.to_string())),
        Err(why) => Err(Unwritten::Unsound(why)),
    }
}

/// Everything that is ever asked of a document works: JSON, and a file that was loaded again and found equal.
fn examine(merged: Merged) -> Result<Vec<u8>, Unwritten> {
    match write_json(&merged) {
        Ok(_) | Err(Unwritten::TooDeep(_)) => merged.into_file().map_err(Unwritten::Unsound),
        Err(unsound) => Err(unsound),
    }
}
