//! Hostile and broken requests, and a store that is sick. Each has its story.

use crate::harness::{KEY, Setup, endpoint, eventually, lead, signature};
use leadwire::verify::{SigningKey, sign};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

fn error(code: &str) -> Vec<u8> {
    format!("{{\"status\":\"error\",\"error\":\"{code}\",\"message\":\"").into_bytes()
}

async fn refuses(headers: &[(&str, &str)], body: &str, status: u16, code: &str) {
    let bridge = Setup::new().start();
    let answer = bridge.post_to("acme", body.to_owned(), headers).await.unwrap();
    let text = answer.body.escape_ascii().to_string();
    assert_eq!(answer.status, status, "{text}");
    assert!(answer.body.starts_with(&error(code)), "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(bridge.deliveries().is_empty());
    assert_eq!(bridge.json(&["quarantine", "list"])[0]["code"], code, "the owner is told why");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_signature_is_refused() {
    refuses(&[], "{}", 401, "no_header").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_times_in_a_signature_are_refused() {
    let good = signature(KEY, b"{}");
    refuses(&[("X-Webhook-Signature", &good), ("X-Webhook-Signature", &good)], "{}", 401, "malformed_header").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn milliseconds_are_told_apart_from_a_wrong_key() {
    let header = sign(&SigningKey::new(KEY), "1763806000000", b"{}");
    refuses(&[("X-Webhook-Signature", &header)], "{}", 401, "milliseconds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_source_is_recognised_and_not_told_to_the_sender() {
    let bridge = Setup::new().with("[sources.globex]\nsigning_keys = [\"another-key-0123456789\"]").start();
    let header = signature("another-key-0123456789", b"{}");
    let answer = bridge.post_to("acme", "{}", &[("X-Webhook-Signature", &header)]).await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(!answer.body.escape_ascii().to_string().contains("globex"));
    let row = &bridge.json(&["quarantine", "list"])[0];
    assert!(row["reason"].as_str().unwrap().contains("globex"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentic_bodies_of_any_shape_are_taken() {
    let bridge = Setup::new().start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut invalid_utf8 = b"{\"FirstName\":\"Jos\xe9\",\"Type\":\"Lead\"}".to_vec();
    let bodies: Vec<Vec<u8>> = vec![
        deep.into_bytes(),
        std::mem::take(&mut invalid_utf8),
        b"{\"Type\":\"Lead\",\"Email\":\"a@example.com\",\"Email\":\"b@example.com\"}".to_vec(),
        b"not JSON at all".to_vec(),
        b"42".to_vec(),
        format!("{{\"Type\":\"Lead\",\"Extra\":{}1{}}}", "[".repeat(900), "]".repeat(900)).into_bytes(),
    ];
    let count = bodies.len();
    for body in bodies {
        let answer = bridge.post(body).await;
        assert_eq!((answer.status, answer.body.as_ref()), (200, SUCCESS));
    }
    let events = bridge.json(&["events", "list"]);
    assert_eq!(events.as_array().unwrap().len(), count);
    let emails: Vec<_> = events.as_array().unwrap().iter().filter_map(|event| event["person"]["email"].as_str()).collect();
    assert_eq!(emails, ["b@example.com"], "of a key that is repeated the last value counts, as in JSON.parse");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_request_gets_the_platforms_own_reply_and_goes_nowhere() {
    let sink = endpoint().await;
    let bridge = Setup::new()
        .endpoint("backend", sink.url().as_str())
        .with("[sources.hello]\nsigning_keys = [\"another-key-0123456789\"]\ntest_reply = false")
        .start();
    for body in ["", "{}", "{\"Type\":\"test\"}", "{\"test\":true}"] {
        assert_eq!(bridge.post(body).await.body.as_ref(), b"{\"status\":\"Success: test request received\"}");
    }
    let header = signature("another-key-0123456789", b"{}");
    assert_eq!(bridge.post_to("hello", "{}", &[("X-Webhook-Signature", &header)]).await.unwrap().body.as_ref(), SUCCESS);
    assert!(bridge.deliveries().is_empty());
    assert!(bridge.json(&["events", "list"]).as_array().unwrap().iter().all(|event| event["kind"] == "test"));
    assert_eq!(sink.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_also_when_it_is_squeezed() {
    let bridge = Setup::new().start();
    let large = vec![b' '; 33 << 20];
    let answer = bridge.post_to("acme", large.clone(), &[]).await;
    // The bridge may close the connection before the sender has sent it all.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413);
        assert!(answer.body.starts_with(&error("too_large")));
    }
    let bomb = gzip(&large);
    let header = signature(KEY, &large);
    let answer = bridge.post_to("acme", bomb, &[("Content-Encoding", "gzip"), ("X-Webhook-Signature", &header)]).await.unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(bridge.post(lead(1).to_string()).await.body.as_ref(), SUCCESS);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_squeezed_body_is_taken_and_a_broken_one_is_not() {
    let bridge = Setup::new().start();
    let body = lead(1).to_string();
    let header = signature(KEY, body.as_bytes());
    let headers = [("Content-Encoding", "gzip"), ("X-Webhook-Signature", header.as_str())];
    assert_eq!(bridge.post_to("acme", gzip(body.as_bytes()), &headers).await.unwrap().body.as_ref(), SUCCESS);
    let broken = bridge.post_to("acme", body.clone(), &headers).await.unwrap();
    assert_eq!((broken.status, broken.body.starts_with(&error("unreadable"))), (400, true));
    let brotli = bridge.post_to("acme", body, &[("Content-Encoding", "br")]).await.unwrap();
    assert_eq!((brotli.status, brotli.body.starts_with(&error("unsupported_encoding"))), (415, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_dawdles_is_cut_off_and_holds_up_nobody() {
    let bridge = Setup::new().request_timeout("1s").start();
    let address = bridge.url.trim_start_matches("http://");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    slow.write_all(b"POST /hooks/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{").unwrap();
    assert_eq!(bridge.post(lead(1).to_string()).await.body.as_ref(), SUCCESS);
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", answer.escape_ascii());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_doors_say_where_the_right_one_is() {
    let bridge = Setup::new().start();
    assert_eq!(bridge.post_to("nobody", "{}", &[]).await.unwrap().status, 404);
    assert!(bridge.post_to("nobody", "{}", &[]).await.unwrap().body.starts_with(&error("unknown_source")));
    let about = bridge.get("/hooks/acme").await;
    assert_eq!((about.status, about.body.escape_ascii().to_string().contains("acme")), (200, true));
    assert_eq!(bridge.get("/hooks/nobody").await.status, 404);
    assert_eq!(bridge.get("/elsewhere").await.status, 404);
    assert_eq!(bridge.get("/healthz").await.status, 200);
    assert_eq!(bridge.get("/readyz").await.status, 200);
    let url = format!("{}/hooks/acme", bridge.url).parse().unwrap();
    let put = leadwire_connector::http::Request::new(leadwire_connector::http::Method::Put, url);
    let answer = bridge.client.send(&put).await.unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_made_up_opens_no_door() {
    let bridge = Setup::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\nallow_ips = [\"138.91.187.181\"]\n")).start();
    let body = lead(1).to_string();
    let header = signature(KEY, body.as_bytes());
    let answer =
        bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &header), ("X-Forwarded-For", "138.91.187.181")]).await.unwrap();
    assert_eq!((answer.status, answer.body.starts_with(&error("address_refused"))), (403, true));
    let mut setup = bridge.terminate();
    setup.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let bridge = setup.start();
    let post = async |forwarded: &str| {
        let answer = bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &header), ("X-Forwarded-For", forwarded)]).await;
        answer.unwrap().status
    };
    assert_eq!(post("138.91.187.181, 203.0.113.9").await, 403, "the left-most address is the client's own claim");
    assert_eq!(post("203.0.113.9, 138.91.187.181").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_write_says_so_and_recovers_by_itself() {
    let bridge = Setup::new().archive().start();
    assert_eq!(bridge.post(lead(1).to_string()).await.body.as_ref(), SUCCESS);
    bridge.until("delivered", 1).await;
    let folder = bridge.setup.folder.path().join("data");
    // A limit on the size of files is a full disk to the process: writes beyond it fail.
    let limit = |bytes: &str| {
        let status =
            std::process::Command::new("prlimit").args(["--pid", &bridge.pid().to_string(), &format!("--fsize={bytes}")]).status().unwrap();
        assert!(status.success());
    };
    limit("4096:unlimited");
    let answer = bridge.post(lead(2).to_string()).await;
    assert_eq!((answer.status, answer.body.starts_with(&error("store_unavailable"))), (503, true), "{}", answer.body.escape_ascii());
    assert!(answer.header("retry-after").is_some());
    eventually("the bridge to say that it is not ready", async || (bridge.get("/readyz").await.status == 503).then_some(())).await;
    limit("unlimited:unlimited");
    eventually("the lead to be taken again", async || (bridge.post(lead(2).to_string()).await.body.as_ref() == SUCCESS).then_some(()))
        .await;
    bridge.until("delivered", 2).await;
    eventually("the bridge to be ready again", async || (bridge.get("/readyz").await.status == 200).then_some(())).await;
    assert!(folder.exists());
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_not_be_written_is_told_at_the_start() {
    let setup = Setup::new();
    let data = setup.folder.path().join("data");
    std::fs::write(&data, "a file where the folder should be").unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o400)).unwrap();
    let output = setup.command(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("data"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mistakes_in_a_configuration_are_told_at_once() {
    let setup = Setup::bare("[sources.acme]\nsigning_key = \"x\"\nallow_ips = [\"not an address\"]\ntolerance_past = \"soon\"\n").with(
        "[destinations.one]\ntype = \"jsn\"\n[destinations.two]\ntype = \"json\"\nurl = \"ftp://example.com\"\n[destinations.three]\ntype = \"csv\"\nmode = \"weekly\"\n\
         [[routes]]\nto = [\"tow\"]\n[[routes]]\nto = [\"two\"]\nkinds = [\"leads\"]\nwhen = \"person.email and\"\n[sever]\nlisten = 1",
    );
    let output = setup.command(&["run"]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in ["signing_keys", "not an address", "soon", "`json`", "ftp", "weekly", "`two`", "`lead`", "person.email and", "`server`"]
    {
        assert!(told.contains(expected), "{expected} is not told in:\n{told}");
    }
    assert!(told.matches("leadwire.toml:").count() >= 10, "{told}");
    assert!(!setup.folder.path().join("data").exists(), "nothing was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_bodies_pushes_out_no_lead_and_stays_small() {
    let mut setup = Setup::new();
    setup.write();
    setup.replace(KEY, "a-key-that-was-pasted-wrongly");
    setup.replace("[store]\n", "[store]\nquarantine_max_bytes = \"8MiB\"\n");
    let bridge = setup.start();
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 401);
    let bomb = gzip(&vec![b' '; 31 << 20]);
    let forged = signature("not the key", b"{}");
    for n in 0..24 {
        let large = format!("{n}{}", "x".repeat(3 << 20));
        assert_eq!(bridge.post_to("acme", large.clone(), &[]).await.unwrap().status, 401);
        assert_eq!(bridge.post_to("acme", large, &[("X-Webhook-Signature", &forged)]).await.unwrap().status, 401);
    }
    // Whoever waited for a turn for too long is told to come again, and does. Each of them is refused in the end.
    let flood = || async {
        eventually("a turn", async || {
            let answer = bridge.post_to("acme", bomb.clone(), &[("Content-Encoding", "gzip")]).await.unwrap();
            (answer.status != 503).then_some(answer.status)
        })
        .await
    };
    let floods: Vec<_> = (0..16).map(|_| flood()).collect();
    assert!(futures_util::future::join_all(floods).await.into_iter().all(|status| status == 401));
    let mib = bridge.of_process("VmHWM:") / 1_024;
    eprintln!("peak {mib}");
    assert!(mib < 512, "{mib} MiB resident at the peak");
    let mut bridge = bridge;
    bridge.setup.replace("a-key-that-was-pasted-wrongly", KEY);
    let report = bridge.json(&["quarantine", "verify"]);
    assert_eq!(report["acme"]["events"], 1, "the lead is still there: {report}");
}
