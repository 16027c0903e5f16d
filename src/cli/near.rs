//! A listener of this machine, as it is reached from this machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whoever listens on all addresses listens on loopback, too.
pub(super) fn nearby(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    listen
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn all_addresses_are_reached_at_loopback_and_one_where_it_is() {
        for (listen, near) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")] {
            assert_eq!(nearby(listen.parse().unwrap()), near.parse().unwrap());
        }
    }
}
