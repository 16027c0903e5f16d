//! Reading a body: bounded in size, before and after inflating, and in time.

use super::answer::Answer;
use super::budget::{Busy, Reservation};
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use std::io::Read as _;
use std::time::Duration;

/// No byte of deflate stands for more (zlib's technical details, "Maximum Expansion Factor").
const DEFLATE_RATIO: usize = 1_032;

/// Reads the whole body, inflated if it was sent with gzip. No more than `limit` bytes are ever held, and no more than `reserved`
/// has been given.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
    timeout: Duration,
    reserved: &mut Reservation,
) -> Result<Bytes, Answer> {
    let is_gzip = match request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase()) {
        None => false,
        Some(encoding) if encoding.is_empty() || encoding == "identity" => false,
        Some(encoding) if encoding == "gzip" || encoding == "x-gzip" => true,
        Some(_) => return Err(Answer::UnsupportedEncoding),
    };
    let whole = async {
        let bytes = collect(payload, limit, reserved).await?;
        if !is_gzip {
            return Ok(bytes);
        }
        // How far it inflates is not known before, but deflate has a bound.
        let at_most = bytes.len().saturating_mul(DEFLATE_RATIO).min(limit);
        reserved.grow_to(bytes.len() + at_most).await.map_err(|Busy| Answer::Busy)?;
        let kept = reserved.clone();
        // A few bytes may become many, which is no work for a thread that others wait for.
        let work = move || {
            let _kept = kept;
            inflate(&bytes, limit)
        };
        web::block(work).await.unwrap_or(Err(Answer::Unreadable("the body could not be inflated"))).map(Bytes::from)
    };
    tokio::time::timeout(timeout, whole).await.map_err(|_| Answer::TooSlow)?
}

async fn collect(mut payload: web::Payload, limit: usize, reserved: &mut Reservation) -> Result<Bytes, Answer> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Answer::Unreadable("the body broke off before its end"))?;
        if first.len() + whole.len() + piece.len() > limit {
            return Err(Answer::TooLarge { limit });
        }
        reserved.grow_to(first.len() + whole.len() + piece.len()).await.map_err(|Busy| Answer::Busy)?;
        // Most leads arrive in one piece, which is then not copied.
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Answer> {
    let mut inflated = Vec::with_capacity(size_as_told(bytes).min(bytes.len().saturating_mul(DEFLATE_RATIO)).min(limit));
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(room)
        .read_to_end(&mut inflated)
        .map_err(|_| Answer::Unreadable("the body is not the gzip it is said to be"))?;
    if inflated.len() > limit { Err(Answer::TooLarge { limit }) } else { Ok(inflated) }
}

/// What the end of a gzip says of its size (RFC 1952, 2.3.1, ISIZE). Growing by steps instead takes more than twice the memory; a size
/// that is not true costs no more than that.
fn size_as_told(bytes: &[u8]) -> usize {
    let told = bytes.last_chunk().map_or(0, |end| u32::from_le_bytes(*end));
    usize::try_from(told).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_gzip_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 1 << 20), Err(Answer::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn what_says_its_size_takes_that_much_and_what_lies_takes_no_more_than_it_could_be() {
        let honest = inflate(&gzip(&[b'x'; 100_000]), 1 << 20).unwrap();
        assert_eq!((honest.len(), honest.capacity()), (100_000, 100_000));
        for told in [0, u32::MAX] {
            let mut lying = gzip(&[b'x'; 100_000]);
            let end = lying.len() - 4;
            lying[end..].copy_from_slice(&told.to_le_bytes());
            assert_eq!(inflate(&lying, 1 << 20), Err(Answer::Unreadable("the body is not the gzip it is said to be")));
        }
        assert_eq!(size_as_told(b"abc"), 0);
    }

    #[test]
    fn what_fits_is_inflated_whole() {
        assert_eq!(inflate(&gzip(b"{}"), 2), Ok(b"{}".to_vec()));
        assert_eq!(inflate(b"{}", 100), Err(Answer::Unreadable("the body is not the gzip it is said to be")));
    }
}
