//! Which addresses are public, and a resolver that gives no others. What a name resolves to is looked at when it is connected to, so
//! that a name which answers differently the second time gets nobody inside.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Refused, because it is not public.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address, and `block_private_addresses` is set")]
pub(super) struct Blocked(pub(super) String);

/// Resolves by the system, and gives public addresses only.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(Blocked(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// An address in digits is never resolved, so it is looked at here.
pub(super) fn check_literal(url: &Url) -> Result<(), Blocked> {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        _ => return Ok(()),
    };
    if is_public(literal) { Ok(()) } else { Err(Blocked(literal.to_string())) }
}

/// Whether the address is one of the public internet: none of the special purpose registries of IANA (RFC 6890), whatever is inside an
/// IPv6 address that stands for an IPv4 one.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // IPv4-mapped, NAT64 and 6to4 carry an IPv4 address.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => inner(g, h),
        (0x2002, high, low, _, _, _) => inner(high, low),
        // Teredo, benchmarks, ORCHID, documentation.
        (0x2001, 0..=0x01ff | 0x0db8, _, _, _, _) | (0x3fff, 0..=0x0fff, _, _, _, _) => false,
        // Only this is given out as unicast to the internet.
        (0x2000..=0x3fff, _, _, _, _, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.170",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "::127.0.0.1",
            "fec0::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn digits_in_any_notation_are_looked_at() {
        for url in ["http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://017700000001/"] {
            assert!(check_literal(&url.parse().unwrap()).is_err(), "{url}");
        }
        assert!(check_literal(&"http://8.8.8.8/".parse().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves_to_nothing() {
        let Err(error) = PublicOnly.resolve("localhost".parse().unwrap()).await else { panic!("localhost was resolved") };
        assert!(error.downcast_ref::<Blocked>().is_some(), "{error}");
    }

    proptest! {
        #[test]
        fn an_address_is_as_public_as_what_it_stands_for(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(is_public(IpAddr::V6(v4.to_ipv6_mapped())), is_public(IpAddr::V4(v4)));
            prop_assert!(!is_public(IpAddr::V6(v4.to_ipv6_compatible())));
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_documentation() {
                prop_assert!(!is_public(IpAddr::V4(v4)));
            }
        }
    }
}
