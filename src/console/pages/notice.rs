//! What came of an action, shown once on the next page.

use crate::console::access::cookie;
use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const COOKIE: &str = "leadwire_notice";
/// A cookie holds 4 KiB.
const LONGEST: usize = 1_500;

/// A sentence about the action that led to the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether it was done.
    pub is_good: bool,
    /// For people.
    pub text: String,
}

impl Notice {
    /// It was done.
    #[must_use]
    pub fn good(text: impl Into<String>) -> Self {
        Self { is_good: true, text: text.into() }
    }

    /// It was not.
    #[must_use]
    pub fn bad(text: impl Into<String>) -> Self {
        Self { is_good: false, text: text.into() }
    }

    pub(super) fn class(&self) -> &'static str {
        if self.is_good { "fine" } else { "bad" }
    }

    pub(super) fn role(&self) -> &'static str {
        if self.is_good { "status" } else { "alert" }
    }

    /// The cookie that brings it to the next page, so that any bridge can show it and none has to remember it.
    #[must_use]
    pub fn cookie(&self, is_https: bool) -> String {
        let text = &self.text[..self.text.floor_char_boundary(LONGEST)];
        let value = format!("{}{}", if self.is_good { '+' } else { '-' }, URL_SAFE_NO_PAD.encode(text));
        cookie::set(COOKIE, &value, Some(60), is_https)
    }

    /// What the page before left, if anything.
    pub(super) fn read(request: &HttpRequest) -> Option<Self> {
        let value = cookie::get(request.headers(), COOKIE)?;
        let (is_good, encoded) = value.strip_prefix('+').map(|rest| (true, rest)).or(value.strip_prefix('-').map(|rest| (false, rest)))?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        Some(Self { is_good, text })
    }

    /// Takes it away once it was shown.
    pub(super) fn forget(is_https: bool) -> String {
        cookie::set(COOKIE, "", Some(0), is_https)
    }
}
