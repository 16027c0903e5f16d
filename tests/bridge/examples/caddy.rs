//! One bridge behind Caddy: the story plays the proxy, and the real one where it is installed.

use super::{SUCCESS, at, david, example, lead, people, post_from, secret, serving};
use crate::harness::{Bridge, Setup, eventually, free_address, signature};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::Server;
use leadwire_connector_hubspot::simulator::Simulator as HubSpot;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// One that the file lets in.
const LISTED: &str = "138.91.187.181";

async fn setup() -> (Server, Setup) {
    let crm = serving(HubSpot::accepting(secret("HUBSPOT_TOKEN"))).await;
    let setup = at(example("behind-caddy"), "crm", "BASE_URL", crm.url().as_str());
    (crm, setup)
}

/// Posts a lead from this address of this machine, with this claim about who it is of; returns the status.
async fn post_as(from: &str, to: &str, n: u64, forwarded: &str) -> String {
    let body = lead(n).to_string();
    let header = signature(&secret("ACME_SIGNING_KEY"), body.as_bytes());
    let text = format!(
        "POST /hooks/acme HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {forwarded}\r\nX-Webhook-Signature: {header}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(to.parse().unwrap()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn host(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_posted_is_believed_of_the_proxy_and_of_nobody_else() {
    let (crm, setup) = setup().await;
    let bridge = setup.start();
    let from = async |n: u64, forwarded: &str| post_from(&bridge, "acme", &lead(n), Some(forwarded)).await;
    assert_eq!(from(1, LISTED).await.body.as_ref(), SUCCESS);
    // What stands left of the proxy's own entry, a client wrote.
    assert_eq!(from(2, &format!("{LISTED}, 203.0.113.9")).await.status, 403);
    assert_eq!(from(3, "203.0.113.9").await.status, 403);
    // Nobody but the two addresses of the proxy is believed, not even another one of this machine.
    assert_eq!(post_as("127.0.0.2", &host(&bridge.url), 4, LISTED).await, "403");
    bridge.until("delivered", 1).await;
    assert_eq!(people(&crm), [david(1)]);
    bridge.assert_audit();
}

/// Caddy with the example's Caddyfile, between two ports of its own and the bridge's two.
struct Caddy {
    hooks: String,
    console: String,
    child: Child,
}

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Caddy {
    /// `None` where it is not installed. A port that was free may be taken by the time it is used.
    async fn before(bridge: &Bridge) -> Option<Self> {
        for _ in 0..5 {
            let mut caddy = Self::start(bridge)?;
            let is_up = eventually("Caddy to pass requests on, or to end", async || {
                let passes = get(bridge, &caddy.hooks, "/healthz").await == Some(200);
                if passes { Some(true) } else { caddy.child.try_wait().unwrap().map(|_| false) }
            });
            if is_up.await {
                return Some(caddy);
            }
        }
        panic!("Caddy ends by itself");
    }

    fn start(bridge: &Bridge) -> Option<Self> {
        let (hooks, console) = (free_address(), free_address());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/behind-caddy.Caddyfile");
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", bridge.setup.folder.path());
        command.env("LEADWIRE_HOST", format!("http://{hooks}")).env("CONSOLE_HOST", format!("http://{console}"));
        command.env("LEADWIRE_LISTEN", host(&bridge.url)).env("CONSOLE_LISTEN", host(&bridge.console)).env("CADDY_ADMIN", free_address());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { hooks, console, child })
    }
}

async fn get(bridge: &Bridge, host: &str, path: &str) -> Option<u16> {
    let request = Request::new(Method::Get, format!("http://{host}{path}").parse().unwrap()).bearer(&secret("LEADWIRE_CONSOLE_TOKEN"));
    bridge.client.send(&request).await.ok().map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_caddy_says_who_posted_and_passes_on_what_senders_need_and_no_more() {
    let (crm, setup) = setup().await;
    let bridge = setup.environment("LEADWIRE__SOURCES__ACME__ALLOW_IPS", "127.0.0.3").start();
    let Some(caddy) = Caddy::before(&bridge).await else {
        eprintln!("Caddy is not installed; the other story plays its part");
        return;
    };
    assert_eq!(post_as("127.0.0.3", &caddy.hooks, 1, "").await, "200");
    assert_eq!(post_as("127.0.0.2", &caddy.hooks, 2, "127.0.0.3").await, "403");
    assert_eq!(get(&bridge, &caddy.hooks, "/").await, Some(404));
    assert_eq!(get(&bridge, &caddy.hooks, "/api/v1/status").await, Some(404));
    assert_eq!(get(&bridge, &caddy.console, "/api/v1/status").await, Some(200));
    bridge.until("delivered", 1).await;
    assert_eq!(people(&crm), [david(1)]);
    let event = &bridge.json(&["events", "list"])[0];
    assert_eq!(event["receipt"]["client"], "127.0.0.3", "{event}");
}
