//! Puts a [`Service`] on a socket.

use super::{FaultRule, Faults, Request, Service, connection};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

const LOG_LIMIT: usize = 100_000;

/// A request as the server saw it, and how it was answered.
#[derive(Debug, Clone)]
pub struct Logged {
    /// As it was sent.
    pub request: Request,
    /// `None` when it was left without an answer.
    pub status: Option<u16>,
    /// When it had arrived.
    pub at: Timestamp,
}

/// A running simulated service. Dropping it stops it: no new connection is taken, answers under way are finished, idle
/// connections are closed.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    url: Url,
    acceptor: JoinHandle<()>,
    stop: watch::Sender<()>,
}

impl Server {
    /// Binds `address` (port 0 takes a free one) and serves on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(service: Box<dyn Service>, address: SocketAddr, faults: Faults) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
        let log = Log { limit: LOG_LIMIT, total: 0, last: VecDeque::new() };
        let shared = Arc::new(Shared { service: Mutex::new(service), faults: Mutex::new(faults), log: Mutex::new(log) });
        let (stop, stopped) = watch::channel(());
        let acceptor = tokio::spawn(accept(listener, shared.clone(), stopped));
        Ok(Self { shared, address, url, acceptor, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as `http://ADDRESS/`.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The last 100,000 requests, or as many as [`set_log_limit`](Self::set_log_limit) says, oldest first.
    /// Those to `/_simulator/` are not among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        lock(&self.shared.log).last.iter().cloned().collect()
    }

    /// How many requests there were, also those no longer in [`requests`](Self::requests).
    #[must_use]
    pub fn count(&self) -> u64 {
        lock(&self.shared.log).total
    }

    /// How many requests are kept; 0, for benchmarks, keeps none.
    pub fn set_log_limit(&self, limit: usize) {
        let mut log = lock(&self.shared.log);
        log.limit = limit;
        log.trim();
    }

    /// Adds a fault below those already ordered.
    pub fn order(&self, rule: FaultRule) {
        lock(&self.shared.faults).rules.push(rule);
    }

    /// Ends all faults and the added latency.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Adds this to every answer.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.shared.faults).latency = latency;
    }

    /// Everything the service holds.
    #[must_use]
    pub fn state(&self) -> Value {
        lock(&self.shared.service).state()
    }

    /// Stops, and returns once the address is free again.
    pub async fn stop(self) {
        drop(self.stop);
        // An error means that the task is gone already, and with it the listener.
        let _ = self.acceptor.await;
    }
}

/// What all connections of a server share. No lock is held while another is taken, or across an `await`.
pub(super) struct Shared {
    pub(super) service: Mutex<Box<dyn Service>>,
    pub(super) faults: Mutex<Faults>,
    log: Mutex<Log>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn clear_faults(&self) {
        let mut faults = lock(&self.faults);
        faults.rules.clear();
        faults.latency = Duration::ZERO;
    }

    pub(super) fn log(&self, request: Request, status: Option<u16>, at: Timestamp) {
        let mut log = lock(&self.log);
        log.total += 1;
        if log.limit > 0 {
            log.last.push_back(Logged { request, status, at });
            log.trim();
        }
    }

    /// How many requests there were, and the last `most`.
    pub(super) fn logged(&self, most: usize) -> (u64, Vec<Logged>) {
        let log = lock(&self.log);
        let skipped = log.last.len().saturating_sub(most);
        (log.total, log.last.iter().skip(skipped).cloned().collect())
    }
}

struct Log {
    limit: usize,
    total: u64,
    last: VecDeque<Logged>,
}

impl Log {
    fn trim(&mut self) {
        while self.last.len() > self.limit {
            self.last.pop_front();
        }
    }
}

/// A service that panicked keeps answering: its state is what a test then looks at.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Nothing is ever sent: the wait ends when the server is dropped.
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(connection::serve(stream, shared.clone(), stopped.clone()))),
            // Out of file descriptors, most likely: others must close before another try makes sense.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::simulator::{FaultKind, Response};
    use serde_json::json;
    use std::io::ErrorKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Answers with the number of requests it has seen.
    #[derive(Default)]
    struct Counter(u64);

    impl Service for Counter {
        fn answer(&mut self, _: &Request) -> Response {
            self.0 += 1;
            Response::json(200, &json!({"seen": self.0}))
        }

        fn error_inside(&self) -> Response {
            Response::json(200, &json!({"ok": false}))
        }

        fn rate_limited(&self) -> Response {
            Response::json(429, &json!({"slow": "down"}))
        }

        fn state(&self) -> Value {
            json!(self.0)
        }
    }

    async fn start(rules: &[&str]) -> Server {
        let faults = Faults::new(rules.iter().map(|rule| rule.parse().unwrap()));
        Server::start(Box::<Counter>::default(), "127.0.0.1:0".parse().unwrap(), faults).await.unwrap()
    }

    struct Peer(TcpStream);

    impl Peer {
        async fn connect(server: &Server) -> Self {
            Self(TcpStream::connect(server.address()).await.unwrap())
        }

        async fn send(&mut self, method: &str, target: &str, body: &str) {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            self.0.write_all(request.as_bytes()).await.unwrap();
        }

        async fn try_receive(&mut self, is_head: bool) -> io::Result<(String, String)> {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await?);
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; if is_head { 0 } else { length }];
            self.0.read_exact(&mut body).await?;
            Ok((head, String::from_utf8(body).unwrap()))
        }

        async fn call(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
            self.send(method, target, body).await;
            let (head, body) = self.try_receive(method == "HEAD").await.unwrap();
            (head[9..12].parse().unwrap(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
        }

        async fn get(&mut self) -> (u16, Value) {
            self.call("GET", "/", "").await
        }
    }

    #[tokio::test]
    async fn requests_on_one_connection_are_answered_and_logged_in_order() {
        let server = start(&[]).await;
        let mut peer = Peer::connect(&server).await;
        assert_eq!(peer.call("POST", "/a", "{\"b\":1}").await, (200, json!({"seen": 1})));
        assert_eq!(peer.call("HEAD", "/c", "").await, (200, json!("")));
        assert_eq!(peer.get().await, (200, json!({"seen": 3})));
        let log = server.requests();
        assert_eq!((log[0].request.json(), log[1].request.target.as_str(), log[2].status), (json!({"b": 1}), "/c", Some(200)));
        assert_eq!((server.count(), server.state()), (3, json!(3)));
    }

    #[tokio::test]
    async fn the_log_keeps_the_last_requests_and_counts_all() {
        let server = start(&[]).await;
        server.set_log_limit(2);
        let mut peer = Peer::connect(&server).await;
        for target in ["/1", "/2", "/3"] {
            peer.call("GET", target, "").await;
        }
        assert_eq!(server.requests().iter().map(|logged| logged.request.path().to_owned()).collect::<Vec<_>>(), ["/2", "/3"]);
        assert_eq!(server.count(), 3);
        server.set_log_limit(0);
        peer.get().await;
        assert!(server.requests().is_empty());
    }

    #[tokio::test]
    async fn answers_of_faults_do_not_reach_the_service() {
        let server = start(&["503x1", "302x1", "429:30x1", "error-inside x1", "garbage x1"]).await;
        let mut peer = Peer::connect(&server).await;
        assert_eq!(peer.get().await.0, 503);
        peer.send("GET", "/", "").await;
        assert!(peer.try_receive(false).await.unwrap().0.contains("Location: /moved\r\n"));
        peer.send("GET", "/", "").await;
        assert!(peer.try_receive(false).await.unwrap().0.contains("Retry-After: 30\r\n"));
        assert_eq!(peer.get().await, (200, json!({"ok": false})));
        assert!(peer.get().await.1.as_str().unwrap().starts_with("<!doctype html>"));
        assert_eq!(server.state(), json!(0));
        assert_eq!(peer.get().await, (200, json!({"seen": 1})));
    }

    #[tokio::test]
    async fn a_reset_before_is_not_seen_by_the_service_and_a_reset_after_write_is() {
        let server = start(&["reset-before x1", "reset-after-write x1"]).await;
        for seen in [0, 1] {
            let mut peer = Peer::connect(&server).await;
            peer.send("POST", "/", "x").await;
            let error = peer.try_receive(false).await.unwrap_err();
            assert_eq!((error.kind(), server.state()), (ErrorKind::ConnectionReset, json!(seen)));
        }
        assert_eq!(server.requests().iter().map(|logged| logged.status).collect::<Vec<_>>(), [None, None]);
    }

    #[tokio::test]
    async fn a_kept_connection_is_closed_just_as_it_is_used_again() {
        let server = start(&["close-idle x1"]).await;
        let mut peer = Peer::connect(&server).await;
        peer.send("GET", "/", "").await;
        let (head, _) = peer.try_receive(false).await.unwrap();
        assert!(!head.contains("Connection: close"), "{head}");
        peer.send("GET", "/", "").await;
        assert!(peer.try_receive(false).await.is_err());
        assert_eq!(server.state(), json!(1));
    }

    #[tokio::test]
    async fn slow_and_huge_bodies_arrive_whole() {
        let server = start(&["slow-body:1ms x1", "huge-body:300000 x1"]).await;
        let mut peer = Peer::connect(&server).await;
        assert_eq!(peer.get().await.1, json!({"seen": 1}));
        assert_eq!(peer.get().await.1.as_str().unwrap().len(), 300_000);
        assert_eq!(peer.get().await.1, json!({"seen": 3}));
    }

    #[tokio::test]
    async fn a_hanging_request_ends_with_the_client_and_latency_delays_the_answer_only() {
        let server = start(&["hang x1"]).await;
        let mut hanging = Peer::connect(&server).await;
        hanging.send("GET", "/", "").await;
        assert!(tokio::time::timeout(Duration::from_millis(50), hanging.try_receive(false)).await.is_err());
        assert_eq!(server.state(), json!(0));
        server.set_latency(Duration::from_millis(40));
        server.order(FaultRule::always(FaultKind::Latency(Duration::from_millis(20))));
        let started = std::time::Instant::now();
        let mut peer = Peer::connect(&server).await;
        assert_eq!(peer.get().await.1, json!({"seen": 1}));
        assert!(started.elapsed() >= Duration::from_millis(60));
        server.clear_faults();
        assert_eq!(lock(&server.shared.faults).latency, Duration::ZERO);
    }

    #[tokio::test]
    async fn faults_are_ordered_and_looked_at_over_http() {
        let server = start(&[]).await;
        let mut peer = Peer::connect(&server).await;
        assert_eq!(peer.call("POST", "/_simulator/faults", "{\"rule\":\"503x3\"}").await.1["rules"], json!(["503 x3"]));
        assert_eq!(peer.get().await.0, 503);
        assert_eq!(peer.call("GET", "/_simulator/faults", "").await.1["rules"], json!(["503 x2"]));
        assert_eq!(peer.call("DELETE", "/_simulator/faults", "").await.1["rules"], json!([]));
        assert_eq!(peer.get().await, (200, json!({"seen": 1})));
        assert_eq!(peer.call("GET", "/_simulator/state", "").await, (200, json!(1)));
        let requests = peer.call("GET", "/_simulator/requests", "").await.1;
        assert_eq!((&requests["count"], &requests["last"][0]["status"]), (&json!(2), &json!(503)));
        for (body, told) in [("{}", "the body is to be"), ("{\"rule\":\"boom\"}", "unknown fault")] {
            let (status, answer) = peer.call("POST", "/_simulator/faults", body).await;
            assert_eq!(status, 400);
            assert!(answer["error"].as_str().unwrap().starts_with(told), "{answer}");
        }
        assert_eq!(peer.call("GET", "/_simulator/else", "").await.0, 404);
    }

    #[tokio::test]
    async fn credentials_in_the_log_are_masked_over_http() {
        let server = start(&[]).await;
        let mut peer = Peer::connect(&server).await;
        peer.0.write_all(b"GET / HTTP/1.1\r\nAuthorization: Bearer hunter2\r\n\r\n").await.unwrap();
        peer.try_receive(false).await.unwrap();
        let log = peer.call("GET", "/_simulator/requests", "").await.1.to_string();
        assert!(log.contains("••••") && !log.contains("hunter2"), "{log}");
    }

    #[tokio::test]
    async fn a_stopped_server_frees_its_address_and_closes_idle_connections() {
        let server = start(&[]).await;
        let address = server.address();
        let mut peer = Peer::connect(&server).await;
        peer.get().await;
        server.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
        assert!(peer.try_receive(false).await.is_err());
        let again = Server::start(Box::<Counter>::default(), address, Faults::default()).await.unwrap();
        assert_eq!(Peer::connect(&again).await.get().await, (200, json!({"seen": 1})));
        assert_eq!(again.url().as_str(), format!("http://{address}/"));
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_read_is_refused_and_the_connection_closed() {
        let server = start(&[]).await;
        let mut peer = Peer::connect(&server).await;
        peer.0.write_all(b"nonsense\r\n\r\n").await.unwrap();
        assert!(peer.try_receive(false).await.unwrap().0.starts_with("HTTP/1.1 400 "));
        assert_eq!(peer.0.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
