//! The project's own mutator: real changes spoilt in one place or a few, with checksums that fit again, and what
//! comes after them told their new names. What it makes is a function of its seed.

mod extremes;
mod history;
mod parts;

pub use history::honest;
pub use parts::Parts;

use std::collections::HashMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{ChangeHash, fence::frame};

/// A log with one spoilt change in it.
#[derive(Debug, Clone)]
pub struct Spoilt {
    /// What comes before it: honest.
    pub before: Vec<Vec<u8>>,
    /// The spoilt change.
    pub change: Vec<u8>,
    /// What comes after it, some of which depends on it: honest, with the dependencies repaired.
    pub after: Vec<Vec<u8>>,
    /// What was done to it.
    pub how: Vec<&'static str>,
}

impl Spoilt {
    /// What this seed makes: of one of these logs, where there are any, or of one made here.
    pub fn of_seed(seed: u64, logs: &[Vec<u8>]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let given =
            (!logs.is_empty() && rng.random_ratio(1, 3)).then(|| &logs[rng.random_range(0..logs.len())]);
        let log: Vec<Vec<u8>> = match given.and_then(|log| frame(log).ok()) {
            Some(frames) if !frames.is_empty() => frames.iter().map(|frame| frame.bytes.to_vec()).collect(),
            _ => honest(&mut rng, 3, 12),
        };
        let at = rng.random_range(0..log.len());
        let (change, how) = spoil(&log[at], &log[..at], &mut rng);
        let after = renamed(&log[at..], &change);
        Self { before: log[..at].to_vec(), change, after, how }
    }

    /// The log from its beginning to its end.
    pub fn log(&self) -> Vec<u8> {
        let all = self.before.iter().chain([&self.change]).chain(&self.after);
        all.flatten().copied().collect()
    }
}

/// The changes after the first, as they are when the first has become another: with its new hash, and those of the
/// others that have new hashes by that.
fn renamed(changes: &[Vec<u8>], first: &[u8]) -> Vec<Vec<u8>> {
    let mut names: HashMap<ChangeHash, ChangeHash> = HashMap::new();
    let Some((was, rest)) = changes.split_first() else { return Vec::new() };
    if let (Some(was), Some(is)) = (hash_of(was), hash_of(first)) {
        names.insert(was, is);
    }
    let mut renamed = Vec::new();
    for change in rest {
        let Some(mut parts) = taken_apart(change) else { continue };
        let before = parts.hash();
        for dep in &mut parts.deps {
            *dep = names.get(dep).copied().unwrap_or(*dep);
        }
        parts.deps.sort_unstable();
        names.insert(before, parts.hash());
        renamed.push(parts.chunk());
    }
    renamed
}

fn hash_of(chunk: &[u8]) -> Option<ChangeHash> {
    let frames = frame(chunk).ok()?;
    frames.first().map(|frame| parts::hash(parts::body_of(frame.bytes)))
}

fn taken_apart(chunk: &[u8]) -> Option<Parts> {
    frame(chunk).ok()?.first().and_then(Parts::of)
}

/// Spoils a change in one to three ways.
fn spoil(change: &[u8], before: &[Vec<u8>], rng: &mut StdRng) -> (Vec<u8>, Vec<&'static str>) {
    let Some(mut parts) = taken_apart(change) else { return (change.to_vec(), vec![]) };
    let mut how = Vec::new();
    for _ in 0..rng.random_range(1..4) {
        how.push(match rng.random_range(0..14) {
            0 => spoil_deps(&mut parts, before, rng),
            1 => spoil_actors(&mut parts, rng),
            2 => spoil_counts(&mut parts, rng),
            3 => spoil_columns(&mut parts, rng),
            4..7 => spoil_runs(&mut parts, rng),
            10..13 => extremes::spoil_header(&mut parts, rng),
            13 => extremes::spoil_values(&mut parts, rng),
            _ => spoil_data(&mut parts, rng),
        });
    }
    let chunk = parts.chunk();
    // Now and then bytes anywhere in the body, whatever they mean.
    if rng.random_ratio(1, 6) {
        how.push("bytes");
        return (parts::chunk(&bytes(parts::body_of(&chunk).to_vec(), rng)), how);
    }
    (chunk, how)
}

/// One to three bytes changed, put in, taken out or moved about.
fn bytes(mut bytes: Vec<u8>, rng: &mut StdRng) -> Vec<u8> {
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            return vec![rng.random()];
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.insert(at, rng.random()),
            3 => drop(bytes.remove(at)),
            4 => bytes[at] = bytes[at].wrapping_add(1),
            _ => {
                let other = rng.random_range(0..bytes.len());
                bytes.swap(at, other);
            }
        }
    }
    bytes
}

fn spoil_deps(parts: &mut Parts, before: &[Vec<u8>], rng: &mut StdRng) -> &'static str {
    let known = before.get(rng.random_range(0..before.len().max(1))).and_then(|chunk| hash_of(chunk));
    match (rng.random_range(0..4), known) {
        (0, _) => drop(parts.deps.pop()),
        (1, Some(known)) => parts.deps.push(known),
        (2, Some(known)) => parts.deps = vec![known],
        _ => parts.deps.reverse(),
    }
    "dependencies"
}

fn spoil_actors(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    let count = parts.others.len();
    match rng.random_range(0..6) {
        0 => parts.others.push(parts.actor.clone()),
        1 => parts.others.push(vec![rng.random(); 16]),
        2 => drop(parts.others.pop()),
        3 if count > 1 => parts.others.swap(0, count - 1),
        4 if count > 0 => parts.others.push(parts.others[0].clone()),
        _ => parts.actor = bytes(parts.actor.clone(), rng),
    }
    "actors"
}

fn spoil_counts(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    let by = [1, 2, 1 << 20, u64::from(u32::MAX), u64::MAX >> 1][rng.random_range(0..5)];
    match rng.random_range(0..4) {
        0 => parts.seq = parts.seq.wrapping_add(1),
        1 => parts.start_op = parts.start_op.wrapping_add(by),
        2 => parts.start_op = rng.random_range(0..parts.start_op.saturating_add(1)),
        _ => parts.time = vec![0x7f],
    }
    "counts"
}

fn spoil_columns(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    if parts.columns.is_empty() {
        parts.columns.push((rng.random_range(0..256), vec![rng.random(); 3]));
        return "columns";
    }
    let at = rng.random_range(0..parts.columns.len());
    let other = rng.random_range(0..parts.columns.len());
    match rng.random_range(0..6) {
        0 => drop(parts.columns.remove(at)),
        1 => parts.columns[at].0 ^= 1 << rng.random_range(0..8),
        2 => parts.columns.swap(at, other),
        3 => parts.columns.insert(at, parts.columns[other].clone()),
        4 => parts.columns[at].1 = parts.columns[other].1.clone(),
        _ => {
            parts.columns[at].0 =
                [0x01, 0x02, 0x11, 0x13, 0x15, 0x21, 0x23, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73]
                    [rng.random_range(0..14)]
        }
    }
    "columns"
}

/// The first number of a run in a column: how long the run is, or that what follows is literal.
fn spoil_runs(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    if parts.columns.is_empty() {
        return spoil_counts(parts, rng);
    }
    let at = rng.random_range(0..parts.columns.len());
    let data = &mut parts.columns[at].1;
    let Some(length) = data.iter().position(|byte| byte & 0x80 == 0).map(|end| end + 1) else {
        return "runs";
    };
    let run: &[u8] = match rng.random_range(0..6) {
        0 => &[0x00],
        1 => &[0x02],
        2 => &[0x7e],
        3 => &[0xff, 0x00],
        4 => &[0x80, 0x80, 0x80, 0x80, 0x08],
        _ => &[0x7f],
    };
    data.splice(..length, run.iter().copied());
    "runs"
}

fn spoil_data(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    if parts.columns.is_empty() {
        return spoil_counts(parts, rng);
    }
    let at = rng.random_range(0..parts.columns.len());
    parts.columns[at].1 = bytes(parts.columns[at].1.clone(), rng);
    "data"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_taken_apart_is_put_together_as_it_was() {
        for change in honest(&mut StdRng::seed_from_u64(1), 3, 40) {
            assert_eq!(taken_apart(&change).unwrap().chunk(), change);
        }
    }

    #[test]
    fn a_seed_makes_the_same_again_and_what_comes_after_is_named_anew() {
        let mut differs = 0;
        for seed in 0..50 {
            let (one, same) = (Spoilt::of_seed(seed, &[]), Spoilt::of_seed(seed, &[]));
            assert_eq!(one.log(), same.log());
            let hash = hash_of(&one.change).unwrap();
            differs +=
                usize::from(one.after.iter().any(|after| taken_apart(after).unwrap().deps.contains(&hash)));
        }
        assert!(differs > 10, "{differs}");
    }
}
