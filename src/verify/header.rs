//! The header `X-Webhook-Signature: t=<unix seconds>,v1=<hex>`.

use super::Refusal;

const MAX_BYTES: usize = 1_024;
const MAX_SIGNATURES: usize = 5;

/// What the header says. It holds signatures, so it is not `Debug`.
pub(super) struct Header<'a> {
    /// The literal text of `t`, which is what the sender signs: `01` is not `1`.
    pub(super) t: &'a str,
    /// `t` as unix seconds.
    pub(super) seconds: i64,
    /// One signature, or several while the sender changes its key; never empty.
    pub(super) signatures: Vec<[u8; 32]>,
}

impl<'a> Header<'a> {
    /// Reads the header's value. Unknown items are ignored, so that a later version of the scheme can add some; so are signatures
    /// that are not 64 hexadecimal digits, and those after the fifth.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], or [`Refusal::Milliseconds`] when `t` has 13 digits.
    pub(super) fn parse(value: &'a str) -> Result<Self, Refusal> {
        if value.len() > MAX_BYTES {
            return malformed("it is longer than 1 KiB");
        }
        let items = || value.split(',').filter_map(|item| item.trim_matches([' ', '\t']).split_once('='));
        let mut times = items().filter(|(key, _)| *key == "t").map(|(_, time)| time);
        let t = match (times.next(), times.next()) {
            (Some(t), None) => t,
            (None, _) => return malformed("it has no `t=`"),
            (Some(_), Some(_)) => return malformed("it has more than one `t=`, so it may have been sent twice"),
        };
        let seconds = seconds(t)?;
        let signatures: Vec<_> =
            items().filter(|(key, _)| *key == "v1").filter_map(|(_, hex)| signature(hex)).take(MAX_SIGNATURES).collect();
        if signatures.is_empty() {
            return malformed("it has no `v1=` of 64 hexadecimal digits");
        }
        Ok(Self { t, seconds, signatures })
    }
}

fn malformed<T>(detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Malformed { detail })
}

/// Only digits: `parse` alone would take a sign.
fn seconds(t: &str) -> Result<i64, Refusal> {
    let is_digits = t.bytes().all(|byte| byte.is_ascii_digit());
    match t.len() {
        1..=12 if is_digits => t.parse().or_else(|_| malformed("its `t` is no number")),
        13 if is_digits => Err(Refusal::Milliseconds),
        _ => malformed("its `t` is not 1 to 12 digits"),
    }
}

fn signature(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn refused(value: &str) -> Refusal {
        Header::parse(value).err().unwrap()
    }

    fn ab() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn white_space_unknown_items_and_their_order_do_not_matter() {
        let header = format!("\tv1={0} , v0=zz,t2=5,, t=0123 ,v1={1}, v1=beef, flag", ab(), "AB".repeat(32));
        let header = Header::parse(&header).unwrap();
        assert_eq!((header.t, header.seconds), ("0123", 123));
        assert_eq!(header.signatures, [[0xab; 32], [0xab; 32]]);
    }

    #[test]
    fn there_is_exactly_one_time() {
        assert_eq!(refused(&format!("v1={}", ab())).code(), "malformed_header");
        assert_eq!(refused(&format!("t=1,v1={0}, t=1,v1={0}", ab())).code(), "malformed_header");
        assert_eq!(refused(&format!("T=1,v1={}", ab())).code(), "malformed_header");
    }

    #[test]
    fn the_time_is_one_to_twelve_digits() {
        for t in ["", "-1", "+1", "1.5", "1e3", "0x1", "12345678901234", "１", "1 2", "1=2", "123456789012x"] {
            assert_eq!(refused(&format!("t={t},v1={}", ab())).code(), "malformed_header", "{t}");
        }
        assert_eq!(Header::parse(&format!("t=999999999999,v1={}", ab())).unwrap().seconds, 999_999_999_999);
    }

    #[test]
    fn milliseconds_are_named_as_such() {
        assert_eq!(refused(&format!("t=1492774577000,v1={}", ab())), Refusal::Milliseconds);
    }

    #[test]
    fn a_signature_is_sixty_four_hexadecimal_digits() {
        for v1 in ["", "abc", &ab()[1..], &format!("{}00", ab()), &format!("{}=", ab()), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(refused(&format!("t=1,v1={v1}")).code(), "malformed_header", "{v1}");
        }
    }

    #[test]
    fn five_signatures_are_read_and_a_kibibyte_of_header() {
        let many = format!("t=1{}", format!(",v1={}", ab()).repeat(7));
        assert_eq!(Header::parse(&many).unwrap().signatures.len(), 5);
        let long = |spaces| format!("t=1,v1={}{}", ab(), " ".repeat(spaces));
        let room = MAX_BYTES - long(0).len();
        assert!(Header::parse(&long(room)).is_ok());
        assert_eq!(refused(&long(room + 1)).code(), "malformed_header");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(t=|v1=|[0-9a-fA-F]{1,64}|,|=| |\\PC){0,20}") {
            let _ = Header::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(t in "[0-9]{1,12}", signatures in prop::collection::vec(any::<[u8; 32]>(), 1..=5), upper: bool) {
            let hex = |bytes: &[u8; 32]| if upper { hex::encode_upper(bytes) } else { hex::encode(bytes) };
            let items: Vec<String> = signatures.iter().map(|bytes| format!("v1={}", hex(bytes))).collect();
            let value = format!("t={t},{}", items.join(", "));
            let header = Header::parse(&value).unwrap();
            prop_assert_eq!(header.t, t.as_str());
            prop_assert_eq!(header.seconds, t.parse::<i64>().unwrap());
            prop_assert_eq!(header.signatures, signatures);
        }
    }
}
