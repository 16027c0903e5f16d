//! The bytes of a segment: record after record, each with its length and a checksum. Pure.
//!
//! `magic (4) | length (4, little endian) | the length's complement (4) | SHA-256 of the payload (first 16 bytes) | payload`.
//! The payload is JSON, thus UTF-8, and the complement of a length that is possible holds the byte 0xFF, which UTF-8 never does:
//! nothing that a sender wrote can look like the beginning of a record.

use sha2::{Digest, Sha256};
use std::ops::Range;

const MAGIC: [u8; 4] = *b"LWS1";
const HEAD: usize = 28;
/// A body is at most 1 GiB, and in JSON it grows; longer than this is no length.
const LONGEST: usize = 1 << 24 << 7;

/// What a segment is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole record: where it begins, and its payload.
    Record { at: usize, payload: Range<usize> },
    /// Bytes that were a record and are damaged.
    Broken(Range<usize>),
    /// The beginning of a record at the end of the segment: the process died while it wrote, and its sender was told nothing.
    Torn(usize),
}

/// Appends a record.
pub(super) fn encode(payload: &[u8], into: &mut Vec<u8>) -> Result<(), TooLong> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() < LONGEST).ok_or(TooLong)?;
    into.reserve(HEAD + payload.len());
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&(!length).to_le_bytes());
    into.extend_from_slice(&checksum(payload));
    into.extend_from_slice(payload);
    Ok(())
}

/// The payload is longer than a record can be.
#[derive(Debug)]
pub(super) struct TooLong;

/// Takes a segment apart. After damage it goes on at the next whole record.
pub(super) fn scan(bytes: &[u8]) -> Vec<Piece> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if let Some(payload) = record_at(bytes, at) {
            pieces.push(Piece::Record { at, payload: payload.clone() });
            at = payload.end;
            continue;
        }
        match (at + 1..bytes.len()).find(|start| record_at(bytes, *start).is_some()) {
            Some(next) => {
                pieces.push(Piece::Broken(at..next));
                at = next;
            }
            None if is_torn(bytes.get(at..).unwrap_or_default()) => {
                pieces.push(Piece::Torn(at));
                break;
            }
            None => {
                pieces.push(Piece::Broken(at..bytes.len()));
                break;
            }
        }
    }
    pieces
}

fn record_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = bytes.get(at..)?;
    let length = read_length(rest)?;
    let sum = rest.get(12..HEAD)?;
    let payload = rest.get(HEAD..HEAD.checked_add(length)?)?;
    (checksum(payload) == sum).then(|| at + HEAD..at + HEAD + length)
}

fn read_length(head: &[u8]) -> Option<usize> {
    let number = |range: Range<usize>| Some(u32::from_le_bytes(head.get(range)?.try_into().ok()?));
    let (length, complement) = (number(4..8)?, number(8..12)?);
    (head.starts_with(&MAGIC) && length == !complement).then(|| usize::try_from(length).ok())?
}

/// Cut off: a head that is not whole, a whole head with too little after it, or nothing but zeros, which some file systems leave
/// after a power failure. A record of its full length with a wrong checksum is damage, also at the end.
fn is_torn(rest: &[u8]) -> bool {
    let is_cut_head = rest.len() < HEAD && MAGIC.iter().zip(rest).all(|(wanted, found)| wanted == found);
    let is_cut_payload = read_length(rest).is_some_and(|length| rest.len() < HEAD + length);
    is_cut_head || is_cut_payload || rest.iter().all(|byte| *byte == 0)
}

fn checksum(payload: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(payload).into();
    let mut sum = [0; 16];
    sum.copy_from_slice(digest.split_at(16).0);
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn segment(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        payloads.iter().for_each(|payload| encode(payload, &mut bytes).unwrap());
        bytes
    }

    fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
        let whole = |piece| if let Piece::Record { payload, .. } = piece { Some(bytes[payload].to_vec()) } else { None };
        scan(bytes).into_iter().filter_map(whole).collect()
    }

    fn some() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec("[ -~]{0,80}|LWS1LWS1[ -~]{0,9}".prop_map(String::into_bytes), 1..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in some()) {
            prop_assert_eq!(payloads(&segment(&written)), written);
        }

        #[test]
        fn a_segment_that_was_cut_off_loses_its_last_record_only(written in some(), cut in 1_usize..200) {
            let mut bytes = segment(&written);
            let last = HEAD + written.last().unwrap().len();
            bytes.truncate(bytes.len() - cut.min(last));
            prop_assert_eq!(&payloads(&bytes), &written[..written.len() - 1]);
            prop_assert!(!scan(&bytes).iter().any(|piece| matches!(piece, Piece::Broken(_))));
        }

        #[test]
        fn one_wrong_byte_costs_one_record_and_is_never_silent(written in some(), place in 0_usize..10_000, flip in 1_u8..=255) {
            let mut bytes = segment(&written);
            let place = place % bytes.len();
            bytes[place] ^= flip;
            let read = payloads(&bytes);
            prop_assert_eq!(read.len(), written.len() - 1);
            prop_assert!(scan(&bytes).iter().any(|piece| matches!(piece, Piece::Broken(_))));
        }

        #[test]
        fn any_bytes_can_be_scanned(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            scan(&bytes);
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_tear() {
        let mut bytes = segment(&[b"{}".to_vec()]);
        let end = bytes.len();
        bytes.extend([0; 40]);
        assert_eq!(scan(&bytes)[1], Piece::Torn(end));
    }
}
