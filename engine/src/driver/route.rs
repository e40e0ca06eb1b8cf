//! Whether this machine's way to the world changed: then it is worth trying again before a wait is over.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The addresses this machine would send from, IPv4 and IPv6. A route is looked up and nothing is sent; the
/// destinations are reserved for documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Routes(Option<IpAddr>, Option<IpAddr>);

impl Routes {
    pub(super) fn now() -> Self {
        Self(from(([0, 0, 0, 0], 0).into(), ([192, 0, 2, 1], 9).into()), {
            from(([0_u16; 8], 0).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into())
        })
    }

    /// Whether there is a way now that was not there before.
    pub(super) fn opened_since(&self, before: &Self) -> bool {
        (self.0.is_some() && self.0 != before.0) || (self.1.is_some() && self.1 != before.1)
    }
}

fn from(any: SocketAddr, somewhere: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(somewhere).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_opens_is_noticed_and_one_that_closes_is_not() {
        let at = |last| Some(IpAddr::from([10, 0, 0, last]));
        let none = Routes(None, None);
        assert!(Routes(at(1), None).opened_since(&none));
        assert!(Routes(at(2), None).opened_since(&Routes(at(1), None)));
        assert!(!Routes(at(1), None).opened_since(&Routes(at(1), None)));
        assert!(!none.opened_since(&Routes(at(1), None)));
    }
}
