//! Loads of leads: each request is unique and signed, and the numbers of those that were answered with success are written down.

use hdrhistogram::Histogram;
use leadwire::verify::{SigningKey, sign};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const KEY: &str = "bench-signing-key-0123456789";
pub(crate) const HOOK: &str = "/hooks/bench";
const SUCCESS: &[u8] = b"{\"status\":\"success\"}";
/// Times are counted in nanoseconds, three digits exact.
const DIGITS: u8 = 3;

/// How times are spread.
pub(crate) type Times = Histogram<u64>;

pub(crate) fn no_times() -> Times {
    Histogram::new(DIGITS).unwrap()
}

pub(crate) fn record(times: &mut Times, time: Duration) {
    times.record(u64::try_from(time.as_nanos()).unwrap()).unwrap();
}

/// Of an open load, so much at the beginning is not counted: connections are made then, and nothing has run before.
const WARM_UP: Duration = Duration::from_secs(1);

/// How hard, and for how long.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection posts its next lead when the last one is answered, for so long.
    Closed(Duration),
    /// The same until so many leads were posted.
    Count(u64),
    /// So many leads a second for so long after warming up, whatever the answers do. What is late because an answer was, counts from when it was due.
    Open(u32, Duration),
}

/// What a load saw.
pub(crate) struct Load {
    pub(crate) started: Instant,
    pub(crate) lasted: Duration,
    /// The leads that were answered with success: their numbers, and when they were due.
    pub(crate) accepted: Vec<(u64, Instant)>,
    pub(crate) refused: u64,
    pub(crate) answered_in: Times,
}

struct Seen {
    accepted: Vec<(u64, Instant)>,
    refused: u64,
    answered_in: Times,
}

impl Load {
    /// The connections are dealt out to the addresses in turn. Leads are numbered from `first` on.
    pub(crate) async fn run(addresses: &[SocketAddr], path: &'static str, connections: usize, first: u64, pace: Pace) -> Self {
        let started = Instant::now();
        let next = Arc::new(AtomicU64::new(first));
        let deal = |(slot, address): (usize, &SocketAddr)| {
            let turns = Turns { pace, started, first, slot, slots: connections, next: Arc::clone(&next) };
            tokio::spawn(post_all(*address, path, turns))
        };
        let tasks: Vec<_> = addresses.iter().cycle().take(connections).enumerate().map(deal).collect();
        let mut all = Seen { accepted: Vec::new(), refused: 0, answered_in: no_times() };
        for task in tasks {
            let seen = task.await.unwrap();
            all.accepted.extend(seen.accepted);
            all.answered_in.add(seen.answered_in).unwrap();
            all.refused += seen.refused;
        }
        Self { started, lasted: started.elapsed(), accepted: all.accepted, refused: all.refused, answered_in: all.answered_in }
    }

    /// Those of an open load that were posted when it had warmed up.
    pub(crate) fn warm(&self) -> Vec<(u64, Instant)> {
        self.accepted.iter().copied().filter(|(_, sent)| *sent >= self.started + WARM_UP).collect()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted.len() as f64 / self.lasted.as_secs_f64()
    }
}

/// Which leads a connection posts, and when.
struct Turns {
    pace: Pace,
    started: Instant,
    first: u64,
    slot: usize,
    slots: usize,
    next: Arc<AtomicU64>,
}

impl Turns {
    /// Whether the time of a lead that was posted then says anything.
    fn counts(&self, sent: Instant) -> bool {
        !matches!(self.pace, Pace::Open(..)) || sent >= self.started + WARM_UP
    }

    /// The number of the next lead, and when it is due if that is not now.
    fn next(&mut self) -> Option<(u64, Option<Instant>)> {
        match self.pace {
            Pace::Closed(lasts) => {
                let is_open = self.started.elapsed() < lasts;
                is_open.then(|| (self.next.fetch_add(1, Ordering::Relaxed), None))
            }
            Pace::Count(count) => {
                let n = self.next.fetch_add(1, Ordering::Relaxed);
                (n < self.first + count).then_some((n, None))
            }
            Pace::Open(per_second, lasts) => {
                let due = Duration::from_secs_f64(self.slot as f64 / f64::from(per_second));
                let n = self.first + self.slot as u64;
                self.slot += self.slots;
                (due < WARM_UP + lasts).then(|| (n, Some(self.started + due)))
            }
        }
    }
}

async fn post_all(address: SocketAddr, path: &'static str, mut turns: Turns) -> Seen {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let key = SigningKey::new(KEY);
    let mut buffer = vec![0; 4_096];
    let mut seen = Seen { accepted: Vec::new(), refused: 0, answered_in: no_times() };
    while let Some((n, due)) = turns.next() {
        let is_late = due.is_some_and(|due| due < Instant::now());
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let request = request(path, &key, n);
        // Timers wake within a millisecond; that is the generator's own delay, and not the answer's.
        let sent = due.filter(|_| is_late).unwrap_or_else(Instant::now);
        stream.write_all(&request).await.unwrap();
        let is_accepted = read_answer(&mut stream, &mut buffer).await;
        if turns.counts(sent) {
            record(&mut seen.answered_in, sent.elapsed());
        }
        match is_accepted {
            true => seen.accepted.push((n, sent)),
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
    head(path, key, body.as_bytes())
}

/// A signed request with this body.
pub(crate) fn head(path: &str, key: &SigningKey, body: &[u8]) -> Vec<u8> {
    let signature = sign(key, &jiff::Timestamp::now().as_second().to_string(), body);
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-Webhook-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Posts one body, and returns whether it was taken.
pub(crate) async fn post(address: SocketAddr, body: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&head(HOOK, &SigningKey::new(KEY), body)).await.unwrap();
    read_answer(&mut stream, &mut vec![0; 4_096]).await
}

/// Posts one small lead; false also when nobody listens yet.
pub(crate) async fn knock(address: SocketAddr, n: u64) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    stream.write_all(&request(HOOK, &SigningKey::new(KEY), n)).await.is_ok() && read_answer(&mut stream, &mut vec![0; 4_096]).await
}

/// Whether the answer is the success the platform wants. Answers here are small and have a length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap_or(0);
        if read == 0 {
            return false;
        }
        filled += read;
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
