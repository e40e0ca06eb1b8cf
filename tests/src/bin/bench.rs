//! What rejoin costs, beside a floor measured in the same run. `cargo run --release -p rejoin-tests --bin bench`

use clap::{Parser, Subcommand};
use rejoin_tests::bench;

#[derive(Debug, Parser)]
#[command(about = "What rejoin costs, beside a floor measured in the same run")]
struct Args {
    /// A tenth of the sizes, for CI
    #[arg(long)]
    small: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_parser = bench::parts())]
    only: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A client in a process of its own, told what to do on standard input
    #[command(hide = true)]
    Worker,
}

fn main() {
    let args = Args::parse();
    match args.command {
        Some(Command::Worker) => bench::worker(),
        None => bench::run(&bench::Options { small: args.small, json: args.json, only: args.only }),
    }
}
