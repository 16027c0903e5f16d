//! What an event is known by: its content, and its person.

use jiff::Timestamp;
use leadwire_connector::Event;
use sha2::{Digest, Sha256};

/// The content of an event within its source: its `created_at` in microseconds, then half of the SHA-256 of its canonical JSON.
///
/// The bytes sort by time, so that an index of them grows at its end. A platform's retry has the same body and so the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentKey(pub [u8; 24]);

impl ContentKey {
    /// `canonical` in pieces. Without a time the key starts with zeros.
    pub(super) fn new(created_at: Option<Timestamp>, canonical: &[&str]) -> Self {
        let mut key = [0; 24];
        let (time, digest) = key.split_at_mut(8);
        if let Some(at) = created_at {
            // With the sign bit flipped, negative times sort before others.
            time.copy_from_slice(&(at.as_microsecond() ^ i64::MIN).to_be_bytes());
        }
        digest.copy_from_slice(&half_sha256(canonical));
        Self(key)
    }

    /// A key that sorts before those of everything that happened at this moment or later, and after those of what happened before.
    #[must_use]
    pub fn before(at: Timestamp) -> Self {
        let mut key = Self::new(Some(at), &[]).0;
        key.iter_mut().skip(8).for_each(|byte| *byte = 0);
        Self(key)
    }

    /// The `created_at` in it.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        let time: [u8; 8] = self.0.first_chunk().copied()?;
        if time == [0; 8] { None } else { Timestamp::from_microsecond(i64::from_be_bytes(time) ^ i64::MIN).ok() }
    }
}

/// The person an event is about: by e-mail, else phone, else (source, chatbot, session). A fingerprint, not the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonKey(pub [u8; 16]);

impl PersonKey {
    /// `None` when the event has none of the three.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        if let Some(email) = &event.person.email {
            // Mail servers may tell `A@x` from `a@x`; in practice none does, and people write either.
            return Some(Self(half_sha256(&["email", &email.to_lowercase()])));
        }
        if let Some(phone) = &event.person.phone {
            let digits: String = phone.chars().filter(|c| c.is_numeric() || *c == '+').collect();
            return Some(Self(half_sha256(&["phone", &digits])));
        }
        let session = event.session_id.as_ref()?;
        Some(Self(half_sha256(&["session", &event.source, event.chatbot_id.as_deref().unwrap_or_default(), session])))
    }
}

/// NUL between the parts, which none of them holds, keeps `ab`, `c` apart from `a`, `bc`.
fn half_sha256(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update([0]);
        }
        hash.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    half
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn content_keys_sort_by_time_and_differ_by_content() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let keys = [None, at(-5), at(0), at(1), at(1_700_000_000)].map(|at| ContentKey::new(at, &["{}"]));
        assert!(keys.is_sorted());
        assert_ne!(ContentKey::new(at(1), &["{}"]), ContentKey::new(at(1), &["[]"]));
        let digest = "44136fa355b3678a1146ad16f7e8649e";
        assert_eq!(keys[0].0.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), format!("{}{digest}", "0".repeat(16)));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(half_sha256(&["ab", "c"]), half_sha256(&["a", "bc"]));
    }
}
