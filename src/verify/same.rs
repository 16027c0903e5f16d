//! How what somebody shows is compared with what only we know: signatures, tokens, and what is in the forms of the console.

use subtle::{Choice, ConstantTimeEq as _};

/// Whether both are the same bytes, in a time that depends on nothing but their lengths: `==` ends at the first byte that differs, and so
/// tells a patient stranger how many were right. Nothing secret is compared in any other way, which `scripts/architecture.py` looks after.
#[must_use]
pub fn same(shown: &[u8], known: &[u8]) -> Choice {
    shown.ct_eq(known)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_same_bytes_are_the_same() {
        for (shown, known, is_same) in
            [("", "", true), ("a token", "a token", true), ("a token", "a tokem", false), ("a", "a token", false)]
        {
            assert_eq!(bool::from(same(shown.as_bytes(), known.as_bytes())), is_same, "{shown} {known}");
        }
    }
}
