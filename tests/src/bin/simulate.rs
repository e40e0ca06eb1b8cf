//! Runs the simulator: many seeds, or one with its trace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use rejoin_tests::sim::{self, Options, Report, Strikes};

/// Simulates clients, a server and everything that can go wrong between them.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replay this one, and print what happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Switch a bug on in the shipped code, to see it found.
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Go on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    sim::quiet();
    let arguments = Arguments::parse();
    let bug = match arguments.plant.as_deref().map(|name| (name, sim::bug_named(name))) {
        Some((name, None)) => {
            eprintln!("There is no bug called {name:?}. There are: {:?}.", sim::BUGS);
            return ExitCode::from(2);
        }
        Some((_, bug)) => bug,
        None => None,
    };
    match arguments.seed {
        Some(seed) => replay(seed, Options { bug, keep_trace: true }),
        None => many(&arguments, Options { bug, keep_trace: false }),
    }
}

fn replay(seed: u64, options: Options) -> ExitCode {
    let report = sim::run(seed, options);
    for line in &report.trace {
        println!("{line}");
    }
    println!("trace {:016x}", report.trace_hash);
    verdict(&report, options)
}

fn verdict(report: &Report, options: Options) -> ExitCode {
    match &report.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("seed {}: {violation}", report.seed);
            println!("replay: {}", sim::replay_command(report.seed, options.bug));
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments, options: Options) -> ExitCode {
    let (mut strikes, mut actions, mut undos, mut failed) = (Strikes::default(), 0, 0, 0_u64);
    let started = Instant::now();
    for report in sim::run_many(arguments.from..arguments.from + arguments.seeds, options) {
        strikes.add(&report.strikes);
        actions += report.actions;
        undos += report.undos;
        if report.violation.is_some() {
            verdict(&report, options);
            failed += 1;
            if !arguments.keep_going {
                break;
            }
        }
    }
    print!("{}", strikes.to_table());
    println!(
        "{actions} actions, of these {undos} undos and redos, {failed} seeds failed, {:.1} s",
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
