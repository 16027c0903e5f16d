//! One connection of a [`Server`](super::Server): requests one after the other, each answered as the faults want it.

use super::server::{Shared, lock};
use super::wire::{self, Incoming, Refusal};
use super::{FaultKind, Request, Response, control};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What becomes of a request.
enum Outcome {
    Answer(Response, Manner),
    Reset,
    Hang,
}

/// How an answer is written.
enum Manner {
    Whole,
    Slow(Duration),
    Huge(u64),
    /// Whole, then closed as soon as the connection is used again.
    Last,
}

struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    shared: Arc<Shared>,
    stopped: watch::Receiver<()>,
}

/// Serves until the client closes, the server is dropped, or a fault ends the connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, stopped: watch::Receiver<()>) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { stream, buffer: BytesMut::new(), shared, stopped };
    // An error is the client's end of the connection, which is the client's business.
    while let Ok(true) = connection.turn().await {}
}

impl Connection {
    /// One request and its answer. False ends the connection.
    async fn turn(&mut self) -> io::Result<bool> {
        let read = tokio::select! {
            biased;
            read = wire::read_request(&mut self.stream, &mut self.buffer) => read,
            _ = self.stopped.changed() => return Ok(false),
        };
        let incoming = match read {
            Ok(incoming) => incoming,
            Err(Refusal::Gone) => return Ok(false),
            Err(Refusal::Status(status)) => {
                let answer = Response::json(status, &json!({"error": "the request cannot be read"}));
                wire::write_response(&mut self.stream, &answer, "", false).await?;
                return Ok(false);
            }
        };
        match control::answer(&self.shared, &incoming.request) {
            Some(answer) => self.write(&answer, &incoming.request.method, incoming.keep_alive).await,
            None => self.treat(incoming).await,
        }
    }

    async fn treat(&mut self, Incoming { request, keep_alive }: Incoming) -> io::Result<bool> {
        let at = Timestamp::now();
        let (delay, fault) = lock(&self.shared.faults).draw(&request, lock(&self.shared.service).as_ref());
        let outcome = self.decide(&request, fault);
        let status = match &outcome {
            Outcome::Answer(response, _) => Some(response.status),
            Outcome::Reset | Outcome::Hang => None,
        };
        let method = if request.method == "HEAD" { "HEAD" } else { "" };
        self.shared.log(request, status, at);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match outcome {
            Outcome::Answer(response, manner) => self.respond(response, manner, method, keep_alive).await,
            Outcome::Reset => self.stream.set_zero_linger().map(|()| false),
            Outcome::Hang => self.wait_for_input().await.map(|()| false),
        }
    }

    fn decide(&self, request: &Request, fault: Option<FaultKind>) -> Outcome {
        let answer = |manner| Outcome::Answer(lock(&self.shared.service).answer(request), manner);
        match fault {
            // Latency never gets here: it is drawn as a delay.
            None | Some(FaultKind::Latency(_)) => answer(Manner::Whole),
            Some(FaultKind::Status(status)) => {
                let own = lock(&self.shared.service).failing(status);
                Outcome::Answer(with_location(own.unwrap_or_else(|| plain_status(status))), Manner::Whole)
            }
            Some(FaultKind::InvalidField(field)) => Outcome::Answer(lock(&self.shared.service).invalid_field(&field), Manner::Whole),
            Some(FaultKind::RateLimit { retry_after }) => {
                let response = lock(&self.shared.service).rate_limited();
                let response = match retry_after {
                    Some(value) => response.header("Retry-After", value),
                    None => response,
                };
                Outcome::Answer(response, Manner::Whole)
            }
            Some(FaultKind::DayIsSpent) => Outcome::Answer(lock(&self.shared.service).day_is_spent(), Manner::Whole),
            Some(FaultKind::SearchLag) => Outcome::Answer(lock(&self.shared.service).finds_nothing(request), Manner::Whole),
            Some(FaultKind::ResetBefore) => Outcome::Reset,
            Some(FaultKind::ResetAfterWrite) => {
                lock(&self.shared.service).answer(request);
                Outcome::Reset
            }
            Some(FaultKind::ErrorInside) => Outcome::Answer(lock(&self.shared.service).error_inside(), Manner::Whole),
            Some(FaultKind::Echo) => Outcome::Answer(echo(request), Manner::Whole),
            Some(FaultKind::WrongType) => Outcome::Answer(as_html(lock(&self.shared.service).answer(request)), Manner::Whole),
            Some(FaultKind::Garbage) => Outcome::Answer(garbage(), Manner::Whole),
            Some(FaultKind::SlowBody(pace)) => answer(Manner::Slow(pace)),
            Some(FaultKind::HugeBody(bytes)) => answer(Manner::Huge(bytes)),
            Some(FaultKind::Hang) => Outcome::Hang,
            Some(FaultKind::CloseIdle) => answer(Manner::Last),
        }
    }

    async fn respond(&mut self, response: Response, manner: Manner, method: &str, keep_alive: bool) -> io::Result<bool> {
        let has_body = wire::has_body(method, response.status);
        match manner {
            Manner::Slow(pace) if has_body => self.write_slowly(&response, pace, keep_alive).await,
            Manner::Huge(bytes) if has_body => self.write_huge(&response, bytes, keep_alive).await,
            Manner::Last => {
                self.write(&response, method, true).await?;
                self.wait_for_input().await.map(|()| false)
            }
            _ => self.write(&response, method, keep_alive).await,
        }
    }

    async fn write(&mut self, response: &Response, method: &str, keep_alive: bool) -> io::Result<bool> {
        wire::write_response(&mut self.stream, response, method, keep_alive).await?;
        Ok(keep_alive)
    }

    async fn write_slowly(&mut self, response: &Response, pace: Duration, keep_alive: bool) -> io::Result<bool> {
        let head = wire::head(response, response.body.len() as u64, keep_alive);
        self.stream.write_all(head.as_bytes()).await?;
        for byte in &response.body {
            tokio::time::sleep(pace).await;
            self.stream.write_u8(*byte).await?;
        }
        Ok(keep_alive)
    }

    async fn write_huge(&mut self, response: &Response, bytes: u64, keep_alive: bool) -> io::Result<bool> {
        self.stream.write_all(wire::head(response, bytes, keep_alive).as_bytes()).await?;
        tokio::io::copy(&mut tokio::io::repeat(b'x').take(bytes), &mut self.stream).await?;
        Ok(keep_alive)
    }

    /// Ends when the client sends something or closes, or the server is dropped.
    async fn wait_for_input(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            return Ok(());
        }
        tokio::select! {
            readable = self.stream.readable() => readable,
            _ = self.stopped.changed() => Ok(()),
        }
    }
}

fn plain_status(status: u16) -> Response {
    Response::json(status, &json!({"error": "a fault that was ordered", "status": status}))
}

fn with_location(response: Response) -> Response {
    if (300..400).contains(&response.status) { response.header("Location", "/moved") } else { response }
}

fn as_html(mut response: Response) -> Response {
    response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    response.header("Content-Type", "text/html; charset=utf-8")
}

fn echo(request: &Request) -> Response {
    let mut text = format!("{} {}\n", request.method, request.target);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&String::from_utf8_lossy(&request.body));
    let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
    Response { status: 400, headers, body: text.into() }
}

fn garbage() -> Response {
    let body = Bytes::from_static(b"<!doctype html><title>Welcome</title><p>This page was put here by a proxy.");
    Response { status: 200, headers: vec![("Content-Type".to_owned(), "text/html".to_owned())], body }
}
