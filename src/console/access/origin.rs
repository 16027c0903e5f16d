//! Where a request comes from: which page, under which name, over which protocol.

use crate::receive::client_address;
use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::http::uri::Authority;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};
use url::{Host, Url};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a request may change something by its method.
pub(super) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether no page of another site made the browser send this. Programs say nothing of it, and no browser has them as its tool.
pub(super) fn is_same(request: &HttpRequest, trusted: &[IpNet]) -> bool {
    let headers = request.headers();
    match (text(headers, &FETCH_SITE), text(headers, &ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
            let forwarded = comes_by_proxy(request, trusted).then(|| last(headers, &FORWARDED_HOST)).flatten();
            [text(headers, &HOST), forwarded].into_iter().flatten().any(|host| host.eq_ignore_ascii_case(authority))
        }
        (None, None) => true,
    }
}

/// Whether every name that the request gives this machine means the machine itself. A name of the attacker's that resolves to loopback
/// makes a foreign page ours in the eyes of a browser (DNS rebinding), but says so here.
pub(super) fn names_loopback(request: &HttpRequest) -> bool {
    let target = request.uri().authority().map(Authority::as_str);
    let mut hosts = request.headers().get_all(HOST).map(|value| value.to_str().unwrap_or_default()).chain(target).peekable();
    hosts.peek().is_some() && hosts.all(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    let is_plain = authority.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    let url = Url::parse(&format!("http://{authority}/")).ok().filter(|_| is_plain);
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether the browser speaks https: with a proxy that we trust, or by its own account.
pub(super) fn is_https(request: &HttpRequest, trusted: &[IpNet]) -> bool {
    let headers = request.headers();
    let by_proxy =
        comes_by_proxy(request, trusted) && last(headers, &FORWARDED_PROTO).is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    by_proxy || text(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
}

/// Who asks, behind proxies too.
pub(super) fn client(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let forwarded: Vec<&str> = request.headers().get_all(&FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
    client_address(peer(request), forwarded.into_iter(), trusted)
}

fn comes_by_proxy(request: &HttpRequest, trusted: &[IpNet]) -> bool {
    let peer = peer(request).to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

fn peer(request: &HttpRequest) -> IpAddr {
    // Only requests of tests have none.
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// A value that cannot be read is one that does not fit.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// What the proxy before us wrote; whatever stands before may be the client's own.
fn last<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get_all(name).last()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use actix_web::test::TestRequest;

    fn request(headers: &[(&'static str, &'static str)]) -> HttpRequest {
        let request = headers.iter().fold(TestRequest::get(), |request, header| request.append_header(*header));
        request.peer_addr("10.0.0.1:1".parse().unwrap()).to_http_request()
    }

    #[test]
    fn a_page_of_another_site_is_known_by_what_the_browser_says() {
        let proxies: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
        let is = |headers: &[(&'static str, &'static str)]| is_same(&request(headers), &proxies);
        assert!(is(&[]) && is(&[("sec-fetch-site", "same-origin"), ("origin", "https://a.example")]));
        assert!(!is(&[("sec-fetch-site", "cross-site")]) && !is(&[("sec-fetch-site", "same-site")]));
        assert!(is(&[("host", "a.example:81"), ("origin", "http://A.example:81")]));
        for origin in ["null", "http://b.example", "http://a.example", "http://a.example:81.b.example", ""] {
            assert!(!is(&[("host", "a.example:81"), ("origin", origin)]), "{origin}");
        }
        let forwarded = [("host", "inside"), ("x-forwarded-host", "evil, a.example"), ("origin", "https://a.example")];
        assert!(is(&forwarded) && !is_same(&request(&forwarded), &[]));
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "127.8.9.1", "[::1]:8081", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "[::2]",
            "127.0.0.1@evil",
            "a/b",
            "localhost/..",
            "::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(!names_loopback(&request(&[])), "a browser always names the host");
        assert!(!names_loopback(&request(&[("host", "localhost"), ("host", "evil.example")])));
    }

    #[test]
    fn https_is_believed_from_a_trusted_proxy() {
        let proxies: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
        let secure = request(&[("x-forwarded-proto", "http, https")]);
        assert!(is_https(&secure, &proxies) && !is_https(&secure, &[]));
        assert!(!is_https(&request(&[("x-forwarded-proto", "https, http")]), &proxies));
    }
}
