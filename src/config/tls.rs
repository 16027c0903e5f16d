//! `[server.tls]`: TLS at the door, for those without a proxy in front.

use super::console::collide;
use super::kinds;
use super::reader::Reader;
use super::settings::{Console, Server};
use crate::door::{self, Certificate, Files, Part};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The certificate, and what is said to those who come without TLS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The file with the certificate and its chain (PEM), such as `fullchain.pem`.
    #[serde(with = "kinds::SomeFile")]
    pub certificate: Option<PathBuf>,
    /// The file with its key (PEM, not encrypted), such as `privkey.pem`; `{ file = "PATH" }` means the same.
    #[serde(with = "kinds::SomeFile")]
    pub key: Option<PathBuf>,
    /// How often the two files are looked at; when they have changed, the new certificate is used from then on.
    #[serde(with = "kinds::Period")]
    pub look_every: Duration,
    /// Where to listen for plain HTTP, only to send everybody to https, such as `0.0.0.0:80`.
    #[serde(with = "kinds::SomeListen")]
    pub redirect: Option<SocketAddr>,
    /// The folder for answers to an authority's challenges (ACME, HTTP-01), served at `redirect`: the one of certbot's `--webroot`.
    #[serde(with = "kinds::SomeFolder")]
    pub challenges: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificate: None, key: None, look_every: Duration::from_secs(60), redirect: None, challenges: None }
    }
}

impl Tls {
    /// Where certificate and key are; valid settings have both.
    #[must_use]
    pub fn files(&self) -> Option<Files> {
        Some(Files { certificate: self.certificate.clone()?, key: self.key.clone()? })
    }
}

const PATH: [&str; 2] = ["server", "tls"];

fn at(key: &str) -> [&str; 3] {
    ["server", "tls", key]
}

pub(super) fn check(reader: &mut Reader<'_>, server: &Server) {
    let Some(tls) = server.tls.as_ref().filter(|_| !reader.is_faulty(&PATH)) else { return };
    for (key, is_there) in [("certificate", tls.certificate.is_some()), ("key", tls.key.is_some())] {
        if !is_there && !reader.is_faulty(&at(key)) {
            let help = "`certificate` and `key` name the two files, such as fullchain.pem and privkey.pem";
            reader.fault(&PATH, format!("`{key}` is missing"), help);
        }
    }
    if let Some(files) = tls.files() {
        check_files(reader, server, &files);
    }
    check_redirect(reader, server, tls);
}

fn check_files(reader: &mut Reader<'_>, server: &Server, files: &Files) {
    match Certificate::read(files) {
        Ok(certificate) => advise(reader, server, &certificate),
        Err(fault) => {
            let key = if fault.part == Part::Key { "key" } else { "certificate" };
            reader.fault(&at(key), fault.message, fault.help);
        }
    }
    // Where it is written as `{ file = … }`, it is said of all such files at once.
    if is_open(&files.key) && reader.layers.merged.get("server").is_some_and(|server| server["tls"]["key"].is_string()) {
        let help = format!("chmod 600 {}", files.key.display());
        reader.warn(&at("key"), "everyone on this machine can read the key of the certificate", help);
    }
}

/// A bridge with a bad certificate receives something still, and tells of it; one that does not start receives nothing.
fn advise(reader: &mut Reader<'_>, server: &Server, certificate: &Certificate) {
    const RENEW: &str = "renew it; the bridge takes the new files by itself";
    let now = Timestamp::now();
    let (path, days) = (at("certificate"), certificate.days_left(now));
    if days < 0 {
        reader.warn(&path, format!("the certificate has expired on {}: senders refuse to connect", day(certificate.expires)), RENEW);
    } else if days < door::Tls::DAYS_LEFT {
        reader.warn(&path, format!("the certificate expires on {}", day(certificate.expires)), RENEW);
    }
    if certificate.begins > now {
        let message = format!("the certificate is valid only from {} on", certificate.begins);
        reader.warn(&path, message, "look at the clock of this machine, or at what made the certificate");
    }
    let host = server.public_url.as_ref().filter(|url| url.scheme() == "https").and_then(Url::host_str);
    if let Some(host) = host.filter(|host| !certificate.is_for(host)) {
        let message = format!("the certificate is not for {host}, which is the name in `public_url`: senders refuse to connect");
        reader.warn(&path, message, "get a certificate for that name, or correct `public_url`");
    }
    if server.public_url.as_ref().is_some_and(|url| url.scheme() == "http") {
        let message = "`public_url` is http://, and the listener speaks TLS";
        reader.warn(&["server", "public_url"], message, "write https://");
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn check_redirect(reader: &mut Reader<'_>, server: &Server, tls: &Tls) {
    if tls.challenges.is_some() && tls.redirect.is_none() && !reader.is_faulty(&at("redirect")) {
        let help = "set `redirect = \"0.0.0.0:80\"`: authorities ask on port 80";
        reader.warn(&at("challenges"), "`challenges` does nothing without `redirect`", help);
    }
    if let Some(redirect) = tls.redirect.filter(|redirect| collide(*redirect, server.listen)) {
        let message = format!("plain HTTP is to be redirected from {redirect}, where [server] already listens");
        reader.fault(&at("redirect"), message, "give it a port of its own, such as \"0.0.0.0:80\"");
    }
}

/// What concerns the console.
pub(super) fn check_console(reader: &mut Reader<'_>, server: &Server, console: &Console) {
    let path = ["console", "tls"];
    if console.tls && server.tls.is_none() && !reader.is_faulty(&PATH) {
        let help = "set `certificate` and `key` in [server.tls], or remove `tls` here";
        reader.fault(&path, "the console has no certificate: it takes the one of [server.tls]", help);
    }
    if !console.tls && server.tls.is_some() && !console.listen.ip().is_loopback() {
        let message = format!("the console listens on {} without TLS: tokens and leads travel in the clear", console.listen);
        reader.warn(&["console", "listen"], message, "set `tls = true` in [console], or listen on 127.0.0.1");
    }
    let redirect = server.tls.as_ref().and_then(|tls| tls.redirect);
    if redirect.is_some_and(|redirect| collide(redirect, console.listen)) {
        reader.fault(&["console", "listen"], "the console listens where `redirect` of [server.tls] already does", "give it another port");
    }
}

fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0)
}
