//! What the driver and the runners need of the caller's runtime, asked before it is needed: tokio panics where it is
//! missing.

use std::time::Duration;

use crate::{Error, Result, untrusted::contained};

/// # Errors
/// [`Error::NoRuntime`] outside tokio, and where its timers are off.
pub(crate) fn needs_timers() -> Result<()> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::NoRuntime("this thread has none"));
    }
    let timers = contained(|| drop(tokio::time::sleep(Duration::ZERO)));
    timers.map_err(|_| Error::NoRuntime("its timers are off: build it with `enable_all`"))
}

/// # Errors
/// As [`needs_timers`], and where its network is off.
#[cfg(feature = "sync")]
pub(crate) fn needs_network() -> Result<()> {
    needs_timers()?;
    // Where no socket can be had, the first request says why.
    let Ok(socket) = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)) else { return Ok(()) };
    let network = contained(|| {
        // Errors are the socket's own.
        drop(socket.set_nonblocking(true).and_then(|()| tokio::net::UdpSocket::from_std(socket)));
    });
    network.map_err(|_| Error::NoRuntime("its network is off: build it with `enable_all`"))
}

#[cfg(test)]
#[cfg(feature = "sync")]
mod tests {
    use super::*;

    fn within(build: impl FnOnce(&mut tokio::runtime::Builder) -> &mut tokio::runtime::Builder) -> [bool; 2] {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = build(&mut builder).build().unwrap();
        runtime.block_on(async { [needs_timers().is_ok(), needs_network().is_ok()] })
    }

    #[test]
    fn what_the_runtime_lacks_is_an_error_and_no_panic() {
        assert_eq!([needs_timers().is_ok(), needs_network().is_ok()], [false, false]);
        assert_eq!(within(|builder| builder), [false, false]);
        assert_eq!(within(|builder| builder.enable_io()), [false, false]);
        assert_eq!(within(|builder| builder.enable_time()), [true, false]);
        assert_eq!(within(|builder| builder.enable_all()), [true, true]);
    }
}
