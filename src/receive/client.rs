//! Who sent a request, behind proxies too.

use ipnet::IpNet;
use std::net::IpAddr;

/// The client's address: the peer, or, when the peer is a trusted proxy, the right-most address of `X-Forwarded-For` that is not
/// one. Whatever stands left of that was written by the client and is never believed.
///
/// `forwarded` are the values of the header in the order they came.
pub fn address<'a>(peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    for entry in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = parse(entry.trim()) else { break };
        nearest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    nearest
}

/// Some proxies add a port, and brackets to IPv6.
fn parse(entry: &str) -> Option<IpAddr> {
    let plain = entry.parse::<IpAddr>().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn from(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        address(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_header_is_ignored() {
        assert_eq!(from("203.0.113.9", &["138.91.187.181"], &[]), "203.0.113.9");
        assert_eq!(from("203.0.113.9", &["138.91.187.181"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn behind_proxies_the_right_most_stranger_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(from("10.0.0.1", &["138.91.187.181, 203.0.113.9"], &trusted), "203.0.113.9", "the left-most was made up by the client");
        assert_eq!(from("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(from("10.0.0.1", &["203.0.113.9", "10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(from("::ffff:10.0.0.1", &["[2001:db8::1]:443"], &trusted), "2001:db8::1");
        assert_eq!(from("10.0.0.1", &["nonsense"], &trusted), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[], &trusted), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn what_a_client_writes_never_changes_the_result(spoof in "[0-9a-f.:, ]{0,60}") {
            prop_assert_eq!(from("10.0.0.1", &[&format!("{spoof}, 203.0.113.9")], &["10.0.0.0/8"]), "203.0.113.9");
        }
    }
}
