//! TLS as the listeners speak it, with a certificate that may be replaced while they do.

use super::certificate::{Certificate, Fault, Files};
use crate::swap::Swap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it is said that a certificate ends soon.
const REMIND_EVERY: Duration = Duration::from_hours(24);

/// What listeners speak.
#[derive(Debug)]
pub struct Tls {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    watched: Mutex<Watched>,
}

/// The certificate of this moment.
#[derive(Debug)]
struct Shown(Swap<Certificate>);

/// The files that it is from, and what they looked like when they were last read.
#[derive(Debug)]
struct Watched {
    files: Files,
    seen: [Look; 2],
}

/// Another one after each change: time, size and number of the file.
type Look = Option<(i64, i64, u64, u64)>;

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.now().pair))
    }
}

impl Tls {
    /// How long before its end a certificate ought to be replaced, in days.
    pub const DAYS_LEFT: i64 = 14;

    /// Speaks TLS with the certificate of these files.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn open(files: Files) -> Result<Self, Fault> {
        // Looked at before they are read: a change in between is then seen later.
        let seen = looks(&files);
        let shown = Arc::new(Shown(Swap::new(Certificate::read(&files)?)));
        let resolver: Arc<dyn ResolvesServerCert> = shown.clone();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        // Our own provider has both versions, so that this does not fail; older ones are not in rustls.
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| Fault {
            part: super::Part::Certificate,
            message: format!("TLS cannot be set up: {error}"),
            help: "this is a fault of the program",
        })?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        // There is no HTTP/2 in the program; see Cargo.toml.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { shown, config: Arc::new(config), watched: Mutex::new(Watched { files, seen }) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificate of this moment.
    #[must_use]
    pub fn certificate(&self) -> Arc<Certificate> {
        self.shown.0.now()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on with the certificate of these files. Connections that are open go on as they are.
    ///
    /// # Errors
    /// What is wrong with the files; the certificate stays as it is then.
    pub fn change(&self, files: Files) -> Result<(), Fault> {
        let seen = looks(&files);
        let read = Certificate::read(&files);
        *self.watched() = Watched { files, seen };
        self.shown.0.put(read?);
        Ok(())
    }

    /// Takes the files again if they look other than before. Returns whether they did.
    fn take_changes(&self) -> bool {
        let (files, seen) = {
            let watched = self.watched();
            (watched.files.clone(), watched.seen)
        };
        if looks(&files) == seen {
            return false;
        }
        let shown = files.certificate.display().to_string();
        match self.change(files) {
            Ok(()) => {
                tracing::info!(certificate = shown, expires = %self.certificate().expires, "the certificate was renewed and is in use");
            }
            // Programs write one file after the other; the next look then finds both.
            Err(fault) => tracing::warn!("the certificate has changed and cannot be used, so that the one before stays in use: {fault}"),
        }
        true
    }

    /// Looks at the files for ever, and says when nobody renews them.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let mut reminded: Option<tokio::time::Instant> = None;
        loop {
            if reminded.is_none_or(|last| last.elapsed() >= REMIND_EVERY) {
                reminded = Some(tokio::time::Instant::now());
                self.remind();
            }
            tokio::time::sleep(every).await;
            let tls = Arc::clone(&self);
            // Files may be on a disk that hangs.
            if matches!(tokio::task::spawn_blocking(move || tls.take_changes()).await, Ok(true)) {
                reminded = None;
            }
        }
    }

    fn remind(&self) {
        let certificate = self.certificate();
        let (expires, days) = (certificate.expires, certificate.days_left(Timestamp::now()));
        if days < 0 {
            tracing::error!(%expires, "the certificate has expired: senders refuse to connect; renew it");
        } else if days < Self::DAYS_LEFT {
            tracing::warn!(%expires, days, "the certificate expires soon, and nothing has renewed it");
        }
    }
}

fn looks(files: &Files) -> [Look; 2] {
    [look(&files.certificate), look(&files.key)]
}

/// Through links: certbot turns one to another file.
fn look(path: &Path) -> Look {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}
