//! One HTTP client for all connectors: bounded in time and size, no redirects, no retries of its own.

mod address;
mod answer;
mod base;
mod client;
mod quota;
mod request;

pub use address::is_public;
pub use answer::{Answer, parse_retry_after};
pub use base::{base_faults, in_the_clear, join};
pub use client::Client;
pub use quota::{Quota, QuotaHeaders, Quotas, Reset, Window};
pub use request::{Method, Request};

use crate::settings::Secret;
use std::time::Duration;
use url::{Host, Url};

/// How a client behaves. The bridge sets what is the same for all its destinations; a connector may change it for its own client.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last byte of the answer; [`Request::timeout`] overrides it for one request.
    pub timeout: Duration,
    /// A longer answer is cut here; what a connector needs stands at its start.
    pub max_answer_bytes: usize,
    /// Whether addresses that are not public are refused: private networks, this machine, link-local ones (cloud metadata), however
    /// a name resolves to them. Requests then go straight out, past a proxy of the environment, which would resolve names itself.
    pub block_private_addresses: bool,
    /// Shown to the other side when it asks for a certificate (mutual TLS).
    pub identity: Option<Identity>,
    /// Certificates of authorities that are trusted beside those of the machine, each a text of PEM with one or more of them.
    pub extra_roots: Vec<String>,
    /// Whether every certificate is as good as any: only for whom asks a program of this very machine, which has no name there.
    pub any_certificate: bool,
    /// Where clients note what is left of the limits that they [watch](Client::watching).
    pub quotas: Quotas,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            max_answer_bytes: 1 << 20,
            block_private_addresses: false,
            identity: None,
            extra_roots: Vec::new(),
            any_certificate: false,
            quotas: Quotas::default(),
        }
    }
}

impl HttpSettings {
    /// The same for a service whose answers may be so long.
    #[must_use]
    pub fn with_room_for(self, answer_bytes: usize) -> Self {
        Self { max_answer_bytes: self.max_answer_bytes.max(answer_bytes), ..self }
    }
}

/// A client certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pem: Secret,
}

impl Identity {
    /// `certificate` is PEM, with the chain up to the authority if it has one; `key` is PEM too (PKCS#8, PKCS#1 or SEC1), not encrypted.
    ///
    /// # Errors
    /// Which of the two cannot be read, in a sentence without their contents.
    pub fn new(certificate: &str, key: &Secret) -> Result<Self, String> {
        if !certificate.contains("-----BEGIN CERTIFICATE-----") {
            return Err("the client certificate is not PEM (it begins with -----BEGIN CERTIFICATE-----)".to_owned());
        }
        if key.expose().contains("ENCRYPTED") {
            return Err("the client key is encrypted; give it without a passphrase, in a file for the bridge alone".to_owned());
        }
        if !key.expose().contains("PRIVATE KEY-----") {
            return Err("the client key is not PEM (it begins with -----BEGIN PRIVATE KEY-----)".to_owned());
        }
        let pem = Secret::literal(format!("{}\n{certificate}", key.expose()));
        let identity = Self { pem };
        identity.parse().map(|_| identity)
    }

    fn parse(&self) -> Result<reqwest::Identity, String> {
        let told = "the client certificate and its key cannot be read; give both as PEM";
        reqwest::Identity::from_pem(self.pem.expose().as_bytes()).map_err(|_| told.to_owned())
    }
}

/// Whether the address is this machine itself, where plain HTTP shows nothing to others.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::{ErrorKind, Verdict};

    #[test]
    fn what_is_no_certificate_or_key_is_told_without_its_contents() {
        let (certificate, key) =
            ("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----\nyy\n-----END PRIVATE KEY-----");
        for (certificate, key, told) in [
            ("hunter2", key, "client certificate is not PEM"),
            (certificate, "hunter2", "client key is not PEM"),
            (certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2", "is encrypted"),
            (certificate, "-----BEGIN PRIVATE KEY-----\nhunter2 !", "cannot be read"),
        ] {
            let error = Identity::new(certificate, &Secret::literal(key)).unwrap_err();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
        let settings = HttpSettings { extra_roots: vec!["nonsense".to_owned()], ..HttpSettings::default() };
        assert!(Client::new(&settings).unwrap_err().contains("authority"));
    }

    #[tokio::test]
    async fn a_private_address_holds_and_nothing_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Client::new(&HttpSettings { block_private_addresses: true, ..HttpSettings::default() }).unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
            let url = format!("http://{host}:{port}/").parse().unwrap();
            let error = client.send(&Request::new(Method::Get, url)).await.unwrap_err();
            assert_eq!((error.kind, &error.verdict), (ErrorKind::Configuration, &Verdict::Hold { until: None }), "{error}");
            assert!(error.message.contains("not a public address"), "{error}");
        }
        let came = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(came.is_err(), "a connection was made");
    }

    #[tokio::test]
    async fn a_request_may_have_less_time_than_others() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(&HttpSettings::default()).unwrap();
        let error = client.send(&Request::new(Method::Get, url).timeout(Duration::from_millis(50))).await.unwrap_err();
        assert!(error.is_ambiguous() && error.message.contains("did not answer in time"), "{error}");
    }
}
