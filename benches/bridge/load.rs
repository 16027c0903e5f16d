//! A closed-loop load: each connection posts its next lead when the last one is answered.

use leadwire::verify::{SigningKey, sign};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const KEY: &str = "bench-signing-key-0123456789";
const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

/// What a load saw.
pub(crate) struct Load {
    pub(crate) started: Instant,
    pub(crate) lasted: Duration,
    /// The numbers of the leads that were answered with success.
    pub(crate) accepted: Vec<u64>,
    pub(crate) refused: u64,
    latencies: Vec<Duration>,
}

#[derive(Default)]
struct Seen {
    accepted: Vec<u64>,
    refused: u64,
    latencies: Vec<Duration>,
}

impl Load {
    /// The connections are dealt out to the addresses in turn.
    pub(crate) async fn run(addresses: &[SocketAddr], path: &'static str, connections: usize, lasts: Duration) -> Self {
        let started = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = addresses
            .iter()
            .cycle()
            .take(connections)
            .map(|address| tokio::spawn(post_until(*address, path, Arc::clone(&next), started + lasts)))
            .collect();
        let mut all = Seen::default();
        for task in tasks {
            let seen = task.await.unwrap();
            all.accepted.extend(seen.accepted);
            all.latencies.extend(seen.latencies);
            all.refused += seen.refused;
        }
        let lasted = started.elapsed();
        all.latencies.sort_unstable();
        Self { started, lasted, accepted: all.accepted, refused: all.refused, latencies: all.latencies }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted.len() as f64 / self.lasted.as_secs_f64()
    }

    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

async fn post_until(address: SocketAddr, path: &'static str, next: Arc<AtomicU64>, end: Instant) -> Seen {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let key = SigningKey::new(KEY);
    let mut buffer = vec![0; 4_096];
    let mut seen = Seen::default();
    while Instant::now() < end {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let request = request(path, &key, n);
        let sent = Instant::now();
        stream.write_all(&request).await.unwrap();
        let is_accepted = read_answer(&mut stream, &mut buffer).await;
        seen.latencies.push(sent.elapsed());
        match is_accepted {
            true => seen.accepted.push(n),
            false => seen.refused += 1,
        }
    }
    seen
}

fn request(path: &str, key: &SigningKey, n: u64) -> Vec<u8> {
    let body = format!(
        "{{\"SerialNumber\":\"59001dd73709417321c58b11693183a2\",\"Type\":\"Lead\",\"FirstName\":\"David\",\"LastName\":\"Garcia\",\
         \"Email\":\"david{n}@example.com\",\"PhoneNumber\":\"\",\"CreateTime\":\"2026-11-22T{:02}:{:02}:{:02}.{:06}Z\",\"Content\":\"test {n}\",\
         \"SessionID\":{n},\"URI\":\"www.google.com\"}}",
        n / 3_600_000_000 % 24,
        n / 60_000_000 % 60,
        n / 1_000_000 % 60,
        n % 1_000_000
    );
    let signature = sign(key, &jiff::Timestamp::now().as_second().to_string(), body.as_bytes());
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-Webhook-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Whether the answer is the success the platform wants. Answers here are small and have a length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        let answer = &buffer[..filled];
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        if filled >= head + 4 + length_of(&answer[..head]) {
            return answer.ends_with(SUCCESS);
        }
    }
}

fn length_of(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap()
}
