//! Signatures by Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): symmetric, version 1.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Keys are pasted with and without the padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The recommended least length of a key.
const LEAST_BYTES: usize = 24;

/// A signing key, ready for use.
#[derive(Clone)]
pub struct Key {
    keyed: Hmac<Sha256>,
    bytes: usize,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

impl Key {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// What is wrong and what would be right, and nothing of the key.
    pub fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        const MAKE: &str = "make a key with: echo \"whsec_$(openssl rand -base64 32)\"";
        let Some(encoded) = text.trim().strip_prefix("whsec_") else {
            return Err(("a signing key starts with `whsec_`, and this does not", MAKE));
        };
        let key = BASE64
            .decode(encoded)
            .map_err(|_| ("what follows `whsec_` is not base64", "copy the key again, from its first to its last character"))?;
        if key.is_empty() {
            return Err(("nothing follows `whsec_`", MAKE));
        }
        // HMAC takes keys of any length; the error cannot happen.
        let keyed = Hmac::new_from_slice(&key).map_err(|_| ("this key cannot be used", MAKE))?;
        Ok(Self { keyed, bytes: key.len() })
    }

    /// Whether it is shorter than the specification recommends.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.bytes < LEAST_BYTES
    }

    fn over(&self, id: &str, seconds: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut hmac = self.keyed.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            hmac.update(part);
        }
        hmac
    }

    /// The value of `webhook-signature`.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        format!("v1,{}", BASE64.encode(self.over(id, seconds, body).finalize().into_bytes()))
    }

    /// Whether any of the space-separated signatures is right, compared in constant time.
    #[must_use]
    pub fn verifies(&self, signatures: &str, id: &str, seconds: &str, body: &[u8]) -> bool {
        signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .filter_map(|one| BASE64.decode(one).ok())
            .any(|one| self.over(id, seconds, body).verify_slice(&one).is_ok())
    }
}
