//! What the engines of the store must do alike for a body that could not be verified.

use super::{QuarantineClass, QuarantineLimits, Refused};
use sha2::{Digest, Sha256};

/// What a row takes beyond header and body, about, with its place in the indexes.
const ROW_BYTES: usize = 512;

/// A longer signature header is malformed anyway, and would be a way to fill the disk.
const KEPT_HEADER_BYTES: usize = 2_048;

impl Refused {
    /// The header counts too: an attacker who repeats a body under a wrong signature must not replace the right one.
    pub(super) fn digest(&self) -> [u8; 32] {
        let header = self.header.as_deref().unwrap_or_default();
        Sha256::new().chain_update(header.len().to_le_bytes()).chain_update(header).chain_update(&self.body).finalize().into()
    }

    /// As much of the header as is kept, as every engine can hold it: PostgreSQL knows no U+0000.
    pub(super) fn kept_header(&self) -> Option<String> {
        self.header.as_deref().map(|header| header[..header.floor_char_boundary(KEPT_HEADER_BYTES)].replace('\0', "\u{fffd}"))
    }

    /// All that its row takes, about.
    pub(super) fn size(&self) -> i64 {
        i64::try_from(self.body.len() + self.kept_header().map_or(0, |header| header.len()) + ROW_BYTES).unwrap_or(i64::MAX)
    }
}

impl QuarantineClass {
    /// Its number in the store.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Hopeless => 0,
            Self::Refused => 1,
            Self::Promised => 2,
        }
    }
}

impl QuarantineLimits {
    /// Bytes that all bodies of one source in this class may take.
    pub(super) fn most(self, class: QuarantineClass) -> i64 {
        let most = i64::try_from(self.max_bytes).unwrap_or(i64::MAX);
        if class == QuarantineClass::Hopeless { most / 16 } else { most }
    }
}
