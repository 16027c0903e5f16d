//! HTTP/1.1 on the wire, as much of it as a simulated service needs: requests in, answers out, sizes capped.

use super::{Request, Response};
use bytes::{Buf, Bytes, BytesMut};
use std::fmt::Write as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
const MAX_BODY: usize = 64 << 20;
const READ_AT_ONCE: usize = 8 << 10;

/// Why a request cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The client is gone.
    Gone,
    /// To be answered with this status, then the connection ends.
    Status(u16),
}

/// A whole request, and whether another may follow on the connection.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) request: Request,
    pub(super) keep_alive: bool,
}

struct Head {
    request: Request,
    version: u8,
    length: Length,
}

#[derive(Clone, Copy)]
enum Length {
    Known(usize),
    Chunked,
}

/// The next request on the connection; bytes beyond it stay in `buffer`.
pub(super) async fn read_request<S>(stream: &mut S, buffer: &mut BytesMut) -> Result<Incoming, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Head { mut request, version, length } = read_head(stream, buffer).await?;
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Refusal::Gone)?;
    }
    request.body = match length {
        Length::Known(length) => take(stream, buffer, length).await?,
        Length::Chunked => read_chunks(stream, buffer).await?,
    };
    let closes = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Incoming { request, keep_alive: version == 1 && !closes })
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<Head, Refusal> {
    loop {
        if let Some((head, used)) = parse_head(buffer)? {
            buffer.advance(used);
            return Ok(head);
        }
        if buffer.len() > MAX_HEAD {
            return Err(Refusal::Status(431));
        }
        fill(stream, buffer).await?;
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::Status(431)),
        Err(_) => return Err(Refusal::Status(400)),
    };
    let text = |header: &httparse::Header<'_>| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed.headers.iter().map(text).collect(),
        body: Bytes::new(),
    };
    let length = body_length(&request)?;
    Ok(Some((Head { request, version: parsed.version.unwrap_or_default(), length }, used)))
}

/// RFC 9112, 6.3; a request that gives its length in two ways is refused, since two readers could disagree about its end.
fn body_length(request: &Request) -> Result<Length, Refusal> {
    let all = |name: &str| {
        let same = request.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
        ([], []) => Ok(Length::Known(0)),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => match length.parse() {
            Ok(length) if length <= MAX_BODY => Ok(Length::Known(length)),
            _ if length.is_empty() => Err(Refusal::Status(400)),
            _ => Err(Refusal::Status(413)),
        },
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Length::Chunked),
        _ => Err(Refusal::Status(400)),
    }
}

async fn read_chunks<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    loop {
        let size = read_chunk_size(stream, buffer).await?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BODY - body.len()).ok_or(Refusal::Status(413))?;
        body.extend_from_slice(&take(stream, buffer, size).await?);
        if take(stream, buffer, 2).await? != b"\r\n"[..] {
            return Err(Refusal::Status(400));
        }
    }
    skip_trailers(stream, buffer).await?;
    Ok(body.freeze())
}

async fn read_chunk_size<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<u64, Refusal> {
    loop {
        match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((used, size))) => {
                buffer.advance(used);
                return Ok(size);
            }
            Ok(httparse::Status::Partial) if buffer.len() <= MAX_HEAD => fill(stream, buffer).await?,
            _ => return Err(Refusal::Status(400)),
        }
    }
}

async fn skip_trailers<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<(), Refusal> {
    let mut seen = 0;
    while seen <= MAX_HEAD {
        let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
            if buffer.len() > MAX_HEAD {
                break;
            }
            fill(stream, buffer).await?;
            continue;
        };
        buffer.advance(end + 2);
        if end == 0 {
            return Ok(());
        }
        seen += end;
    }
    Err(Refusal::Status(431))
}

async fn take<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut, length: usize) -> Result<Bytes, Refusal> {
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    Ok(buffer.split_to(length).freeze())
}

async fn fill<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<(), Refusal> {
    buffer.reserve(READ_AT_ONCE);
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Refusal::Gone),
        Ok(_) => Ok(()),
    }
}

/// The head of an answer whose body has `length` bytes.
pub(super) fn head(response: &Response, length: u64, keep_alive: bool) -> String {
    let mut head = format!("HTTP/1.1 {} \r\n", response.status);
    for (name, value) in response.headers.iter().filter(|(_, value)| !value.contains(char::is_control)) {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !matches!(response.status, 204 | 304) {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
    head
}

/// Whether the answer to such a request carries its body.
pub(super) fn has_body(method: &str, status: u16) -> bool {
    method != "HEAD" && !matches!(status, 204 | 304)
}

/// A whole answer, in one write.
pub(super) async fn write_response<S>(stream: &mut S, response: &Response, method: &str, keep_alive: bool) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let mut answer = head(response, response.body.len() as u64, keep_alive).into_bytes();
    if has_body(method, response.status) {
        answer.extend_from_slice(&response.body);
    }
    stream.write_all(&answer).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    /// Reads requests from these bytes, which arrive in pieces of `piece`, until the end or a refusal.
    async fn read_all(input: &[u8], piece: usize) -> (Vec<Incoming>, Refusal) {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let input = input.to_vec();
        let sender = tokio::spawn(async move {
            for part in input.chunks(piece) {
                near.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            near.shutdown().await.unwrap();
            near
        });
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        let refusal = loop {
            match read_request(&mut far, &mut buffer).await {
                Ok(incoming) => read.push(incoming),
                Err(refusal) => break refusal,
            }
        };
        drop(sender.await.unwrap());
        (read, refusal)
    }

    #[tokio::test]
    async fn pipelined_requests_are_read_one_by_one_however_they_arrive() {
        let input = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
            POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n\
            GET /d HTTP/1.1\r\nConnection: close\r\n\r\n";
        for piece in [1, 7, 1000] {
            let (read, end) = read_all(input, piece).await;
            assert_eq!(end, Refusal::Gone);
            let told: Vec<_> = read
                .iter()
                .map(|one| (one.request.method.as_str(), one.request.target.as_str(), &one.request.body[..], one.keep_alive))
                .collect();
            assert_eq!(told, [("POST", "/a?b", &b"abc"[..], true), ("POST", "/c", &b"hello"[..], true), ("GET", "/d", &b""[..], false)]);
        }
    }

    #[tokio::test]
    async fn a_request_that_is_none_or_too_large_is_refused() {
        for (input, status) in [
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: \r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_owned(), 413),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff0\r\n".to_owned(), 413),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc".to_owned(), 400),
            (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD)), 431),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1)), 431),
            (format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "X: y\r\n".repeat(MAX_HEAD)), 431),
        ] {
            assert_eq!(read_all(input.as_bytes(), 4096).await.1, Refusal::Status(status), "{}", &input[..60.min(input.len())]);
        }
    }

    #[test]
    fn an_answer_cannot_smuggle_a_header() {
        let response = Response { status: 200, headers: Vec::new(), body: Bytes::new() }.header("A", "1\r\nB: 2").header("C", "3");
        assert_eq!(head(&response, 0, true), "HTTP/1.1 200 \r\nC: 3\r\nContent-Length: 0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), chunked in any::<bool>()) {
            let mut input = if chunked { b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec() } else { Vec::new() };
            input.extend(bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(read_all(&input, 50));
        }
    }
}
