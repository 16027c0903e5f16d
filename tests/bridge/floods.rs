//! Floods of all kinds at the door. While each goes on, an honest sender is answered soon, and the bridge stays small: whoever keeps it
//! waiting makes room for whoever comes, and has only so much time anyway.

use crate::harness::{Bridge, KEY, Setup, eventually, lead, signature};
use crate::tls::{Authority, secured};
use serde_json::Value;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Places at the door in these stories, and who wants one: many more.
const PLACES: usize = 32;
const ATTACKERS: usize = 300;
/// Honest leads during each flood.
const LEADS: u64 = 20;
/// For one of them, from the connection to the answer, on a machine that does much else besides.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// What a flood may add to the memory of the bridge.
const GROWTH_MIB: u64 = 48;
/// Where attackers come from; an honest sender is at 127.0.0.1.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

fn narrow() -> Setup {
    let mut setup = Setup::new();
    setup.write();
    setup.replace("[server]\n", &format!("[server]\nmax_connections = {PLACES}\nworkers = 2\n"));
    setup
}

fn address(bridge: &Bridge) -> SocketAddr {
    bridge.url.split_once("://").unwrap().1.parse().unwrap()
}

async fn connect(to: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    socket.connect(to).await
}

/// A signed lead, as bytes.
fn request(n: u64) -> Vec<u8> {
    signed(&lead(n))
}

/// One whose remark takes several reads.
fn long_request(n: u64) -> Vec<u8> {
    let mut lead = lead(n);
    lead["Content"] = "What can I help you with today? ".repeat(20_000).into();
    signed(&lead)
}

fn signed(lead: &Value) -> Vec<u8> {
    let body = lead.to_string();
    let header = signature(KEY, body.as_bytes());
    let length = body.len();
    format!("POST /hooks/acme HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Webhook-Signature: {header}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> io::Result<String> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    // Some ends of TLS are rude.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// One lead over a connection of its own, as the platform posts.
async fn post(bridge: &Bridge, n: u64, tls: Option<&TlsConnector>) -> io::Result<String> {
    let tcp = connect(address(bridge), Ipv4Addr::LOCALHOST).await?;
    match tls {
        None => talk(tcp, &request(n)).await,
        Some(tls) => talk(tls.connect("localhost".try_into().unwrap(), tcp).await?, &request(n)).await,
    }
}

/// Connections to the door that the bridge has accepted and not closed.
fn open_sockets(bridge: &Bridge) -> usize {
    let links = std::fs::read_dir(format!("/proc/{}/fd", bridge.pid())).unwrap().flatten();
    links.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))).count()
}

/// Attackers who do the same again and again, each as soon as it was cut off.
struct Flood {
    attackers: JoinSet<()>,
    rounds: Arc<AtomicUsize>,
}

impl Flood {
    fn begin<F, A>(attack: F) -> Self
    where
        F: Fn() -> A + Clone + Send + 'static,
        A: Future<Output = io::Result<()>> + Send + 'static,
    {
        let rounds = Arc::new(AtomicUsize::new(0));
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            let (attack, rounds) = (attack.clone(), Arc::clone(&rounds));
            attackers.spawn(async move {
                loop {
                    // Being cut off is what an attacker expects.
                    let _ = attack().await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self { attackers, rounds }
    }

    /// Honest senders post meanwhile, one after the other.
    async fn endure(mut self, bridge: &Bridge, tls: Option<&TlsConnector>) {
        eventually("the flood to be on", async || (self.rounds.load(Ordering::Relaxed) > ATTACKERS / 4).then_some(())).await;
        let before = bridge.of_process("VmRSS:") / 1_024;
        let mut slowest = Duration::ZERO;
        for n in 0..LEADS {
            let begun = Instant::now();
            let answer = tokio::time::timeout(ANSWERED_WITHIN, post(bridge, n, tls)).await;
            let answer = answer.unwrap_or_else(|_| panic!("lead {n} was not answered within {ANSWERED_WITHIN:?}")).unwrap();
            assert!(answer.ends_with("{\"status\":\"success\"}"), "lead {n}: {answer}");
            slowest = slowest.max(begun.elapsed());
            assert!(open_sockets(bridge) < PLACES * 2 + 40, "{} sockets are open", open_sockets(bridge));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (rounds, after) = (self.rounds.load(Ordering::Relaxed), bridge.of_process("VmHWM:") / 1_024);
        self.attackers.shutdown().await;
        eprintln!("slowest lead {slowest:?}, {rounds} rounds of the flood, {before} MiB before and {after} at the peak");
        assert!(after < before + GROWTH_MIB, "it grew from {before} to {after} MiB");
    }
}

/// Everything that was answered with success is in the store, and the bridge is well.
async fn assert_kept(bridge: &Bridge) {
    assert_eq!(bridge.json(&["events", "list", "--limit", "1000"]).as_array().unwrap().len(), usize::try_from(LEADS).unwrap());
    bridge.assert_audit();
    assert!(
        post(bridge, 1, None).await.is_ok_and(|answer| answer.ends_with("{\"status\":\"success\"}")) || bridge.url.starts_with("https")
    );
}

/// Writes so many bytes, one at a time.
async fn dribble(mut stream: impl AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_hold_up_nobody() {
    let bridge = narrow().start();
    let to = address(&bridge);
    let flood = Flood::begin(move || async move {
        let mut stream = connect(to, ELSEWHERE).await?;
        stream.write_all(b"POST /hooks/acme HTTP/1.1\r\nHost: x\r\nX-A: ").await?;
        dribble(stream, b"a").await
    });
    flood.endure(&bridge, None).await;
    assert_kept(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_hold_up_nobody() {
    let bridge = narrow().start();
    let to = address(&bridge);
    let flood = Flood::begin(move || async move {
        let mut stream = connect(to, ELSEWHERE).await?;
        stream
            .write_all(b"POST /hooks/acme HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: t=1,v1=00\r\nContent-Length: 100000\r\n\r\n{")
            .await?;
        dribble(stream, b" ").await
    });
    flood.endure(&bridge, None).await;
    assert_kept(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_bounded_and_make_room() {
    let bridge = narrow().start();
    let to = address(&bridge);
    let flood = Flood::begin(move || async move {
        let mut stream = connect(to, ELSEWHERE).await?;
        stream.read_u8().await.map(drop)
    });
    flood.endure(&bridge, None).await;
    assert_kept(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_from_an_honest_senders_own_address_make_room_too() {
    let bridge = narrow().start();
    let to = address(&bridge);
    let flood = Flood::begin(move || async move {
        let mut stream = connect(to, Ipv4Addr::LOCALHOST).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        // Here nothing but its age tells an honest connection from the others, so that these must not be ten thousand a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    flood.endure(&bridge, None).await;
    assert_kept(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_come_in_the_same_moment_are_all_heard_though_they_are_more_than_the_places() {
    let bridge = narrow().start();
    for round in 0..3 {
        bridge.signal("STOP");
        let mut waiting = JoinSet::new();
        for n in 0..LEADS * 5 {
            // The kernel takes connections and what is sent over them while the bridge does nothing.
            let mut stream = connect(address(&bridge), Ipv4Addr::LOCALHOST).await.unwrap();
            let request = if n % 10 == 0 { long_request } else { request };
            let sent = tokio::time::timeout(ANSWERED_WITHIN, stream.write_all(&request(round * 1_000 + n))).await;
            sent.expect("the kernel takes it").unwrap();
            waiting.spawn(async move { talk(stream, b"").await.unwrap() });
        }
        bridge.signal("CONT");
        while let Some(answer) = waiting.join_next().await {
            let answer = answer.unwrap();
            assert!(answer.ends_with("{\"status\":\"success\"}"), "{answer}");
        }
    }
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_are_refused_and_take_no_memory() {
    let bridge = narrow().start();
    let to = address(&bridge);
    let head = |headers: &str| format!("POST /hooks/acme HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    let many = head(&(0..2_000).map(|n| format!("X-{n}: a\r\n")).collect::<String>());
    let long = head(&format!("X-A: {}\r\n", "a".repeat(1 << 20)));
    let ask = async |bytes: &[u8]| {
        let mut stream = connect(to, ELSEWHERE).await.unwrap();
        // It is refused before it was all sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = [0; 12];
        let _ = stream.read_exact(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for bytes in [&many, &long] {
        eventually("a refusal", async || ask(bytes).await.ends_with(" 431").then_some(())).await;
    }
    let (many, long) = (Arc::new(many), Arc::new(long));
    let flood = Flood::begin(move || {
        let (many, long) = (Arc::clone(&many), Arc::clone(&long));
        async move {
            connect(to, ELSEWHERE).await?.write_all(&many).await?;
            connect(to, ELSEWHERE).await?.write_all(&long).await?;
            // Those that write it need the processor as much as the one that refuses it.
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        }
    });
    flood.endure(&bridge, None).await;
    assert_kept(&bridge).await;
    assert!(!bridge.log().contains("ERROR"), "whoever can connect could fill the log:\n{}", bridge.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_left_half_open_hold_up_nobody() {
    let authority = Authority::new();
    let bridge = secured(narrow(), &authority.pair(), "").start();
    let to = address(&bridge);
    let flood = Flood::begin(move || async move {
        let mut stream = connect(to, ELSEWHERE).await?;
        // The beginning of a record that is to hold a hello.
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]).await?;
        dribble(stream, &[7]).await
    });
    let tls = authority.connector();
    flood.endure(&bridge, Some(&tls)).await;
    assert_kept(&bridge).await;
}

/// How long the bridge leaves a connection open on which this was sent, and then a byte now and then.
async fn left_open(bridge: &Bridge, first: &[u8], then: &[u8]) -> Duration {
    let mut stream = connect(address(bridge), ELSEWHERE).await.unwrap();
    stream.write_all(first).await.unwrap();
    let begun = Instant::now();
    let (mut reading, writing) = stream.split();
    let cut = async {
        // Bytes that come back are none of a closed connection.
        tokio::io::copy(&mut reading, &mut tokio::io::sink()).await.map(drop)
    };
    let _ =
        tokio::time::timeout(Duration::from_secs(60), futures_util::future::select(Box::pin(cut), Box::pin(dribble(writing, then)))).await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_head_of_a_connection_has_its_time_and_no_more() {
    let bridge = Setup::new().request_timeout("1s").start();
    for first in [
        b"".as_slice(),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n{",
    ] {
        let open = left_open(&bridge, first, b"a").await;
        assert!(open < Duration::from_secs(20), "{open:?} after {}", first.escape_ascii());
    }
    let authority = Authority::new();
    let bridge = secured(Setup::new().request_timeout("1s"), &authority.pair(), "").start();
    let open = left_open(&bridge, &[0x16, 0x03, 0x01, 0x02, 0x00], &[7]).await;
    assert!(open < Duration::from_secs(20), "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_what_is_answered_is_cut_off() {
    let bridge = Setup::new().request_timeout("1s").start();
    let mut stream = connect(address(&bridge), ELSEWHERE).await.unwrap();
    let requests = b"GET /hooks/acme HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    // Until the bridge takes no more, and then until it closes the connection: never reading a byte.
    let begun = Instant::now();
    let cut = async { while stream.write_all(&requests).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(30), cut).await.is_ok(), "it was waited for");
    eprintln!("cut off after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_the_console_keeps_nobody_out() {
    let bridge = Setup::new().start();
    let to: SocketAddr = bridge.console.trim_start_matches("http://").parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..2 * 256 {
        idle.push(connect(to, ELSEWHERE).await.unwrap());
    }
    for _ in 0..5 {
        let begun = Instant::now();
        let stream = connect(to, Ipv4Addr::LOCALHOST).await.unwrap();
        let answer = talk(stream, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
    }
    assert_eq!(bridge.get("/readyz").await.status, 200);
}
