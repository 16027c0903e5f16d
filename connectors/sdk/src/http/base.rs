//! The address of an API, as a configuration gives it.

use super::is_loopback;
use crate::settings::Fault;
use url::Url;

/// The address with these parts at the end of its path, each escaped: what a visitor typed leads to no other place.
///
/// ```
/// # use leadwire_connector::{http, reexport::Url};
/// let base = Url::parse("https://crm.example/api/").unwrap();
/// assert_eq!(http::join(&base, &["contacts", "a/b?c"]).as_str(), "https://crm.example/api/contacts/a%2Fb%3Fc");
/// ```
#[must_use]
pub fn join(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // An address that takes no path does not get past `base_faults`.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// What is wrong with the address at `key` that requests are made of by [`join`]: `unusable` when nothing can be joined to it, and
/// credentials within it, which would get into logs.
#[must_use]
pub fn base_faults(key: &str, url: &Url, unusable: Fault) -> Vec<Fault> {
    let is_usable = matches!(url.scheme(), "http" | "https") && url.query().is_none();
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let credentials = || Fault::new([key], "the address holds credentials, which belong into `token`");
    (!is_usable).then_some(unusable).into_iter().chain(has_credentials.then(credentials)).collect()
}

/// The warning for the address at `key`, when `what` is sent to it could be read on the way. On this machine it cannot.
///
/// ```
/// # use leadwire_connector::http;
/// let told = http::in_the_clear("url", &"http://crm.example".parse().unwrap(), "the leads");
/// assert_eq!(told.unwrap(), "`url` is not https: the leads travel in the clear");
/// assert_eq!(http::in_the_clear("url", &"http://127.0.0.1:9090".parse().unwrap(), "the leads"), None);
/// ```
#[must_use]
pub fn in_the_clear(key: &str, url: &Url, what: &str) -> Option<String> {
    let is_open = url.scheme() == "http" && !is_loopback(url);
    is_open.then(|| format!("`{key}` is not https: {what} travel in the clear"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn an_address_must_take_a_path_and_hold_no_credentials() {
        let told = |url: &str| base_faults("base_url", &url.parse().unwrap(), Fault::new(["base_url"], "unusable"));
        assert!(told("https://crm.example/api").is_empty());
        for wrong in ["ftp://crm.example", "mailto:a@b.example", "https://crm.example/?a=b"] {
            assert_eq!(told(wrong)[0].message, "unusable", "{wrong}");
        }
        let faults = told("https://u:hunter2@crm.example");
        assert!(faults.len() == 1 && faults[0].message.contains("credentials") && !format!("{faults:?}").contains("hunter2"));
    }
}
