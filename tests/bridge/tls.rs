//! TLS at the door, for those without a proxy: what is accepted, how a certificate is renewed, and what those are told who come without.

use crate::driver::seed;
use crate::harness::{Bridge, KEY, Setup, eventually, lead, signature};
use crate::oracle::Trial;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

const SUCCESS: &[u8] = br#"{"status":"success"}"#;
const TOKEN: &str = "owner-0123456789abcdef";
const NAME: &str = "leads.example.com";

/// An authority that this test trusts.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and key, as PEM.
pub(crate) type Pair = (String, String);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For this machine and for [`NAME`].
    pub(crate) fn pair(&self) -> Pair {
        self.pair_until(2099)
    }

    fn pair_until(&self, year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned(), NAME.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&HttpSettings { extra_roots: vec![self.pem()], ..HttpSettings::default() }).unwrap()
    }
}

fn files(setup: &Setup) -> (PathBuf, PathBuf) {
    (setup.folder.path().join("fullchain.pem"), setup.folder.path().join("privkey.pem"))
}

/// One file after the other, each whole at once, as programs that renew do it.
fn put(setup: &Setup, (certificate, key): &Pair) {
    let (at_certificate, at_key) = files(setup);
    put_file(&at_certificate, certificate);
    put_file(&at_key, key);
}

fn put_file(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The setup with TLS, which looks at its files all the time.
pub(crate) fn secured(mut setup: Setup, pair: &Pair, more: &str) -> Setup {
    let (certificate, key) = files(&setup);
    put(&setup, pair);
    setup.write();
    setup.replace(
        "[console]\n",
        &format!(
            "[server.tls]\ncertificate = \"{}\"\nkey = \"{}\"\nlook_every = \"20ms\"\n{more}\n[console]\n",
            certificate.display(),
            key.display()
        ),
    );
    setup
}

/// What the bridge shows to whoever connects.
fn shown(bridge: &Bridge) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
    let mut session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(bridge.url.trim_start_matches("https://")).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).unwrap();
    }
    session.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap().to_vec()
}

#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn post(client: &Client, bridge: &Bridge, n: u64) -> Answer {
    let body = lead(n).to_string();
    let header = signature(KEY, body.as_bytes());
    let url = format!("{}/hooks/acme", bridge.url).parse().unwrap();
    let request = Request::new(Method::Post, url).body("application/json", body).header("X-Webhook-Signature", header);
    client.send(&request).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An answer to bytes that are sent as they are, without TLS.
fn plainly(port: u16, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_lead_is_taken_over_tls_and_only_over_tls() {
    let authority = Authority::new();
    let bridge = secured(Setup::new(), &authority.pair(), "").archive().start();
    assert!(bridge.url.starts_with("https://") && bridge.console.starts_with("http://"));
    let client = authority.client();
    assert_eq!(post(&client, &bridge, 1).await.body.as_ref(), SUCCESS);
    bridge.until("delivered", 1).await;
    let stranger = bridge.client.send(&Request::new(Method::Get, format!("{}/healthz", bridge.url).parse().unwrap())).await;
    assert!(stranger.is_err(), "nobody trusts this authority by default");
    let port = bridge.url.parse::<url::Url>().unwrap().port().unwrap();
    let answer = plainly(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!answer.contains("alive"), "{answer}");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_before_tls_1_2_are_refused_and_only_http_1_1_is_offered() {
    let authority = Authority::new();
    let bridge = secured(Setup::new(), &authority.pair(), "").start();
    let address: SocketAddr = bridge.url.trim_start_matches("https://").parse().unwrap();
    // A hello of TLS 1.0 (RFC 2246, 7.4.1.2) with suites of its time, written byte by byte: no library here would.
    let mut hello = vec![0x01, 0, 0, 45, 0x03, 0x01];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0, 0, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    hello[3] = length - 4;
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    tcp.write_all(&[&[0x16, 0x03, 0x01, 0, length], hello.as_slice()].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    assert!(answer.first() == Some(&0x15) && answer.get(5) == Some(&2), "a fatal alert, and no handshake: {}", answer.escape_ascii());

    for (version, is_h2) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, false), (&rustls::version::TLS13, true)] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
        config.alpn_protocols = if is_h2 { vec![b"h2".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
        let mut session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut tcp = TcpStream::connect(address).unwrap();
        let mut agreed = Ok(());
        while session.is_handshaking() && agreed.is_ok() {
            agreed = session.complete_io(&mut tcp).map(drop);
        }
        assert_eq!(agreed.is_err(), is_h2, "{agreed:?}");
        if !is_h2 {
            assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_picked_up_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let (first, second) = (authority.pair(), authority.pair());
    let bridge = secured(Setup::new(), &first, "").start();
    assert_eq!(shown(&bridge), der(&first));
    let (certificate, key) = files(&bridge.setup);
    // A half of a renewal, twice: another key, and a file that breaks off.
    let told = || bridge.log().matches("cannot be used, so that the one before stays in use").count();
    put_file(&key, &second.1);
    eventually("the half renewal to be told", async || (told() == 1).then_some(())).await;
    assert_eq!(shown(&bridge), der(&first));
    put_file(&certificate, &second.0[..second.0.len() / 2]);
    eventually("the broken file to be told", async || (told() == 2).then_some(())).await;
    assert_eq!(shown(&bridge), der(&first));
    let ready = Request::new(Method::Get, format!("{}/readyz", bridge.url).parse().unwrap());
    assert_eq!(authority.client().send(&ready).await.unwrap().status, 200);
    // Whoever restarts what is not healthy would end a bridge that is, and could not start another.
    let port = bridge.url.rsplit(':').next().unwrap();
    let health = bridge.setup.prepare(&["health"]).env("LEADWIRE__SERVER__LISTEN", format!("127.0.0.1:{port}")).output().unwrap();
    assert_eq!(health.status.code(), Some(0), "{}", said(&health));
    put_file(&certificate, &second.0);
    eventually("the new certificate", async || (shown(&bridge) == der(&second)).then_some(())).await;
    let log = bridge.log();
    assert!(log.contains("the certificate was renewed") && !log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_under_load_lose_no_request() {
    let authority = Authority::new();
    let mut trial = Trial::new(seed()).await;
    let setup = secured(trial.setup(), &authority.pair(), "");
    let bridge = setup.start();
    trial.driver.trust(&authority.pem());
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    for round in 0..10 {
        let pair = authority.pair();
        let before = trial.driver.answered();
        if round % 2 == 0 {
            put(&bridge.setup, &(pair.0.clone(), "-----BEGIN PRIVATE KEY-----".to_owned()));
        }
        put(&bridge.setup, &pair);
        if round % 3 == 0 {
            bridge.signal("HUP");
        }
        eventually("the new certificate", async || (shown(&bridge) == der(&pair)).then_some(())).await;
        eventually("more leads", async || (trial.driver.answered() > before + 10).then_some(())).await;
    }
    let refusals = trial.driver.refusals();
    assert!(refusals.is_empty(), "every request was answered with success: {refusals:?}");
    trial.end(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_other_files_and_says_what_is_wrong_with_them() {
    let authority = Authority::new();
    let mut setup = secured(Setup::new(), &authority.pair(), "");
    setup.replace("look_every = \"20ms\"", "look_every = \"1h\"");
    let mut bridge = setup.start();
    let second = authority.pair();
    put(&bridge.setup, &(authority.pair().0, second.1.clone()));
    bridge.signal("HUP");
    eventually("the refusal", async || bridge.log().contains("does not belong to the certificate").then_some(())).await;
    put(&bridge.setup, &second);
    bridge.signal("HUP");
    eventually("the new certificate", async || (shown(&bridge) == der(&second)).then_some(())).await;
    bridge.setup.replace("[console]\n", "[console]\ntls = true\n");
    bridge.signal("HUP");
    eventually("what needs a restart", async || bridge.log().contains("because of its listen or tls").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_tls_is_sent_to_https_and_nowhere_else() {
    let authority = Authority::new();
    let port = free_port();
    let bridge = secured(Setup::new(), &authority.pair(), &format!("redirect = \"127.0.0.1:{port}\"")).start();
    let own: SocketAddr = bridge.url.trim_start_matches("https://").parse().unwrap();
    let ask =
        |host: &str| plainly(port, &format!("POST /hooks/acme?a=1 HTTP/1.1\r\n{host}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"));
    let answer = ask(&format!("Host: {NAME}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 308 ") && answer.contains("\"error\":\"use_https\""), "{answer}");
    assert!(answer.contains(&format!("location: https://{NAME}:{}/hooks/acme?a=1\r\n", own.port())), "{answer}");
    for host in [
        "",
        "Host: evil.example\r\n",
        "Host: a@leads.example.com\r\n",
        "Host: leads.example.com\r\nHost: evil.example\r\n",
        "Host: leads.example.com.evil.example\r\n",
    ] {
        let answer = ask(host);
        assert!(!answer.to_lowercase().contains("location:") && !answer.contains("evil"), "{host}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 421 ") || answer.starts_with("HTTP/1.1 400 "), "{host}: {answer}");
    }
    assert!(bridge.json(&["events", "list"]).as_array().unwrap().is_empty());
    let mut setup = bridge.terminate();
    setup.replace("[server]\n", &format!("[server]\npublic_url = \"https://{NAME}/lw/\"\n"));
    let _bridge = setup.start();
    let answer = ask("Host: evil.example\r\n");
    assert!(answer.contains(&format!("location: https://{NAME}/lw/hooks/acme?a=1\r\n")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_finds_the_answers_to_its_challenges_and_nothing_else() {
    let authority = Authority::new();
    let (port, setup) = (free_port(), Setup::new());
    let webroot = setup.folder.path().join("webroot");
    let challenges = webroot.join(".well-known/acme-challenge");
    std::fs::create_dir_all(&challenges).unwrap();
    std::fs::write(challenges.join("to-ken_1"), "to-ken_1.thumb").unwrap();
    std::fs::write(setup.folder.path().join("secret"), "hunter2").unwrap();
    std::os::unix::fs::symlink(setup.folder.path().join("secret"), challenges.join("link")).unwrap();
    std::fs::create_dir(challenges.join("folder")).unwrap();
    let more = format!("redirect = \"127.0.0.1:{port}\"\nchallenges = \"{}\"", webroot.display());
    let _bridge = secured(setup, &authority.pair(), &more).start();
    let ask =
        |path: &str| plainly(port, &format!("GET /.well-known/acme-challenge/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    let answer = ask("to-ken_1");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("to-ken_1.thumb"), "{answer}");
    for path in ["none", "link", "folder", "..%2fsecret", "%2e%2e/secret", "../secret", "..", "a.b", ""] {
        let answer = ask(path);
        assert!(!answer.starts_with("HTTP/1.1 200 ") && !answer.contains("hunter2"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_through_tls_is_for_https_alone() {
    let authority = Authority::new();
    let mut setup = secured(Setup::new(), &authority.pair(), "");
    setup.replace("[console]\n", &format!("[console]\ntls = true\ntoken = \"{TOKEN}\"\n"));
    let bridge = setup.start();
    assert!(bridge.console.starts_with("https://"));
    let client = authority.client();
    let page = client.send(&Request::new(Method::Get, format!("{}/login", bridge.console).parse().unwrap())).await.unwrap();
    assert_eq!((page.status, page.header("strict-transport-security")), (200, Some("max-age=31536000")));
    let login = Request::new(Method::Post, format!("{}/login", bridge.console).parse().unwrap())
        .body("application/x-www-form-urlencoded", format!("token={TOKEN}"));
    let answer = client.send(&login).await.unwrap();
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"), "{cookie}");
    let metrics = Request::new(Method::Get, format!("{}/metrics", bridge.console).parse().unwrap())
        .header("Authorization", format!("Bearer {TOKEN}"));
    let text = String::from_utf8_lossy(&client.send(&metrics).await.unwrap().body).into_owned();
    assert!(text.contains("leadwire_certificate_expires_timestamp_seconds 4070908800"), "{text}");
    let plain = Setup::new().start();
    let page = plain.client.send(&Request::new(Method::Get, format!("{}/login", plain.console).parse().unwrap())).await.unwrap();
    assert_eq!(page.header("strict-transport-security"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_this_machine_and_of_others_speak_tls() {
    let authority = Authority::new();
    let (port, console) = (free_port(), free_port());
    let mut setup = secured(Setup::new(), &authority.pair(), "");
    setup.replace("[server]\nlisten = \"127.0.0.1:0\"", &format!("[server]\nlisten = \"0.0.0.0:{port}\""));
    setup.replace(
        "[console]\nlisten = \"127.0.0.1:0\"",
        &format!("[console]\ntls = true\ntoken = \"{TOKEN}\"\nlisten = \"127.0.0.1:{console}\""),
    );
    let bridge = setup.archive().start();
    for arguments in [["health"].as_slice(), &["send"], &["status"], &["reload"]] {
        let output = bridge.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    // From elsewhere, certificates count: this authority is known only when it is named.
    let url = format!("https://localhost:{console}");
    let asked = || bridge.setup.prepare(&["status", "--server", &url]);
    let output = asked().env("LEADWIRE_TOKEN", TOKEN).output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    let root = bridge.setup.folder.path().join("root.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    let output = asked().env("LEADWIRE_TOKEN", TOKEN).env("SSL_CERT_FILE", &root).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// What `leadwire check --json` has to say.
fn checked(setup: &Setup) -> Value {
    let output = setup.command(&["check", "--json"]);
    let told = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    serde_json::from_slice(told).unwrap_or_else(|_| panic!("{}", said(&output)))
}

fn messages(checked: &Value, kind: &str) -> String {
    let told = checked[kind].as_array().unwrap().iter().map(|one| format!("{} ({})\n", one["message"], one["help"]));
    told.collect()
}

#[test]
fn check_says_what_is_wrong_with_a_certificate_and_what_to_do() {
    let authority = Authority::new();
    let mut setup = secured(Setup::new(), &authority.pair(), "");
    assert!(!messages(&checked(&setup), "warnings").contains("certificate"));
    let (certificate, key) = files(&setup);
    put_file(&key, &authority.pair().1);
    assert!(messages(&checked(&setup), "faults").contains("does not belong to the certificate"));
    put_file(&key, "no key at all");
    assert!(messages(&checked(&setup), "faults").contains("holds no key as PEM"));
    std::fs::remove_file(&key).unwrap();
    assert!(messages(&checked(&setup), "faults").contains("cannot be read"));
    put(&setup, &authority.pair_until(2024));
    assert!(messages(&checked(&setup), "warnings").contains("has expired on 2024-01-01"));
    put(&setup, &authority.pair());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(messages(&checked(&setup), "warnings").contains("everyone on this machine can read the key"));
    setup.replace("[server]\n", "[server]\npublic_url = \"https://other.example.com\"\n");
    assert!(messages(&checked(&setup), "warnings").contains("the certificate is not for other.example.com"));
    put_file(&certificate, "");
    assert!(messages(&checked(&setup), "faults").contains("holds no whole certificate"));
    setup.replace(&format!("key = \"{}\"\n", key.display()), "");
    assert!(messages(&checked(&setup), "faults").contains("`key` is missing"));
}

#[test]
fn a_console_without_a_certificate_is_a_fault() {
    let mut setup = Setup::new();
    setup.write();
    setup.replace("[console]\n", "[console]\ntls = true\n");
    assert!(messages(&checked(&setup), "faults").contains("the console has no certificate"));
}
