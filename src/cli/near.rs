//! A listener of this machine, as it is reached from this machine.

use super::Failure;
use leadwire_connector::http::HttpSettings;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use url::Url;

/// Whoever listens on all addresses listens on loopback, too.
pub(super) fn nearby(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    listen
}

/// The address of a listener of this configuration. `or_else` says how else it can be given.
///
/// # Errors
/// `Usage` when only the bridge knows its port.
pub(super) fn own(scheme: &str, listen: SocketAddr, what: &str, or_else: &str) -> Result<Url, Failure> {
    if listen.port() == 0 {
        return Err(Failure::Usage(format!("the {what} listens on a port that only it knows (port 0); give its address with {or_else}")));
    }
    let url = format!("{scheme}://{}", nearby(listen));
    url.parse().map_err(|_| Failure::Failed(format!("`{url}` is no address")))
}

/// For requests to [`own`] addresses alone. The certificate is for the name that others know this machine by, so it never fits the
/// address; and it may be one that was renewed a moment ago, or that has expired, which is what is to be found out. Nothing leaves the
/// machine: whoever could listen there in the bridge's place could as well do so without TLS.
pub(super) fn as_neighbour(settings: HttpSettings) -> HttpSettings {
    HttpSettings { any_certificate: true, ..settings }
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
