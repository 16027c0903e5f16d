//! Cookies: one way to read them, one way to set them.

use actix_web::http::header::{COOKIE, HeaderMap};

/// On https, names have the prefix that browsers take from this very host only (RFC 6265bis, 4.1.3).
const HOST_PREFIX: &str = "__Host-";

/// The value of `name`, whichever way it was set. The host-only one wins, since no neighbour in the domain could have set it.
pub(in crate::console) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = || headers.get_all(COOKIE).filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let find = |is_it: &dyn Fn(&str) -> bool| pairs().filter_map(|pair| pair.trim().split_once('=')).find(|(found, _)| is_it(found));
    let safe = find(&|found| found.strip_prefix(HOST_PREFIX) == Some(name));
    safe.or_else(|| find(&|found| found == name)).map(|(_, value)| value)
}

/// Whether the cookie was set over https.
pub(in crate::console) fn is_host_only(headers: &HeaderMap, name: &str) -> bool {
    get(headers, &format!("{HOST_PREFIX}{name}")).is_some()
}

/// A `Set-Cookie` that no script reads and no other site's page sends. `seconds` 0 takes it away; `None` lasts until the browser closes.
pub(in crate::console) fn set(name: &str, value: &str, seconds: Option<u64>, is_https: bool) -> String {
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let (prefix, secure) = if is_https { (HOST_PREFIX, "; Secure") } else { ("", "") };
    format!("{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}{secure}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_cookie_of_this_very_host_wins() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b=2;c = 3; x"));
        assert_eq!((get(&headers, "b"), get(&headers, "x"), is_host_only(&headers, "a")), (Some("2"), None, false));
        headers.append(COOKIE, HeaderValue::from_static("__Host-a=4"));
        assert_eq!((get(&headers, "a"), is_host_only(&headers, "a")), (Some("4"), true));
    }

    #[test]
    fn no_script_reads_it_and_no_other_site_sends_it() {
        assert_eq!(set("a", "1", Some(9), true), "__Host-a=1; Path=/; HttpOnly; SameSite=Strict; Max-Age=9; Secure");
        assert_eq!(set("a", "1", None, false), "a=1; Path=/; HttpOnly; SameSite=Strict");
    }
}
