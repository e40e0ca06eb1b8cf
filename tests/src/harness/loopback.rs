//! Also taken, by its path, by the tests of other crates.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU8, Ordering},
};

/// A loopback address that nobody else uses: a port that a server gives up there is still free when the server comes back,
/// for no outgoing connection ever takes it. Systems other than Linux have one loopback address.
#[allow(unreachable_pub, reason = "in the other crates it is a module of a test")]
pub fn own_loopback() -> IpAddr {
    static CALLS: AtomicU8 = AtomicU8::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // 127.0.0.0/8, less the network that everybody uses.
    Ipv4Addr::new(127, 64 + CALLS.fetch_add(1, Ordering::Relaxed) % 128, high, low.clamp(1, 254)).into()
}
