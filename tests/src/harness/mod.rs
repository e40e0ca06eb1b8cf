//! What the end-to-end tests and the benchmarks stand on: the real binaries, processes that are killed, a
//! proxy that counts and cuts, and temporary places for files on a real disk.
//!
//! A failure here is a failure of the test: everything panics with what happened.

mod binaries;
mod changes;
mod client;
mod disk;
mod held;
mod http;
mod impostor;
mod killer;
mod locks;
mod lookup;
mod loopback;
mod power;
mod process;
mod proxy;
mod server;
mod size;
mod skipped;

pub use binaries::{Binaries, binaries};
pub use changes::{foreign_change, push};
pub use client::{Client, Ran, Running, check_file};
pub use disk::{Limit, Place, limited, unlimit};
pub use held::{Held, place};
pub use http::{Answer, get, post, runtime};
pub use impostor::{Asked, Reply, impostor};
pub use killer::{Killer, Moment, Torn, Victim};
pub use locks::is_writing;
pub use lookup::{corpus, traces};
pub use loopback::own_loopback;
pub use power::{Disk, Power};
pub use process::{PeakWatch, Proc};
pub use proxy::{Counts, Proxy};
pub use server::Server;
pub use size::size;
pub use skipped::skipped;
