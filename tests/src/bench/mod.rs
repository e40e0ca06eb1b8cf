//! The benchmarks: server and clients are processes of their own, durability is the default, files lie on the
//! real disk, and each figure stands beside a floor of the same run.

mod dispatch;
mod floor;
mod growth;
mod online;
mod packs;
mod reducers;
mod table;
mod typist;
mod worker;

use std::time::{Duration, Instant};

pub use worker::worker;

use table::Table;

use crate::harness::binaries;

/// What is to be measured.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A tenth of the sizes.
    pub small: bool,
    /// JSON instead of a table.
    pub json: bool,
    /// Only these parts; empty for all.
    pub only: Vec<String>,
}

impl Options {
    /// `full`, or a tenth of it in a small run.
    fn size(&self, full: usize) -> usize {
        if self.small { full / 10 } else { full }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|p| p == part)
    }
}

/// One part of the benchmark: it adds its lines to the table.
type Part = fn(&Options, &mut Table);

const PARTS: [(&str, Part); 6] = [
    ("dispatch", dispatch::run),
    ("w1", online::w1),
    ("w3", online::w3),
    ("growth", growth::run),
    ("reducers", reducers::run),
    ("packs", packs::run),
];

/// What the parts are called.
pub fn parts() -> [&'static str; 6] {
    PARTS.map(|(name, _)| name)
}

/// Measures, and prints a table. Panics, and so ends with a failure, where something did not work: a slow
/// figure is none.
pub fn run(options: &Options) {
    // Now, and not in the middle of a figure: it takes minutes where nothing was built yet.
    eprintln!("bench: building server and clients as they ship …");
    binaries();
    let began = Instant::now();
    let mut table = Table::new(options.json);
    floor::flush(&mut table);
    for (name, part) in PARTS {
        if options.wants(name) {
            eprintln!("bench: {name} …");
            part(options, &mut table);
        }
    }
    table.print(began.elapsed());
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle one; of an even number the lower.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
