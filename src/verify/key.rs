//! A signing key of a source.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// A key as the chatbot platform shows it. Its `Debug` shows dots.
///
/// HMAC's two key blocks are hashed once, here, and not once for each request.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// The key's bytes are the UTF-8 of the displayed text: the platform's own sample hands the text to `createHmac` as it is.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        // HMAC takes a key of any length (RFC 2104, section 2), so there is no error to pass on.
        Self(Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length"))
    }

    /// The MAC of `t`, a full stop, and `body`.
    pub(super) fn mac(&self, t: &str, body: &[u8]) -> [u8; 32] {
        let mac = self.0.clone().chain_update(t).chain_update(".").chain_update(body);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(••••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", SigningKey::new("hunter2")), "SigningKey(••••)");
    }

    #[test]
    fn a_key_may_have_any_length() {
        assert_ne!(SigningKey::new("").mac("1", b"{}"), SigningKey::new(&"k".repeat(1_000)).mac("1", b"{}"));
    }
}
