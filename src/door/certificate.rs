//! A certificate with its key, from two files of PEM, and what is wrong with them.

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_cert::der::Decode as _;
use x509_cert::time::Time;

/// A chain is a few thousand bytes.
const LONGEST: u64 = 1 << 20;

/// Where the two are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and after it those up to the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// Its key.
    Key,
}

/// Why they cannot be used: in a sentence without their contents, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Fault {
    /// Whose fault it is.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

/// One that can be shown to whoever connects.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) pair: Arc<CertifiedKey>,
    /// From when on it is valid.
    pub begins: Timestamp,
    /// Until when it is valid.
    pub expires: Timestamp,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn read(files: &Files) -> Result<Self, Fault> {
        let chain = chain(&files.certificate)?;
        let (begins, expires) = validity(&chain, &files.certificate)?;
        let key = key(&files.key)?;
        let pair = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| unusable(files, &error))?;
        Ok(Self { pair: Arc::new(pair), begins, expires })
    }

    /// Whole days until it expires; below 0 when it has.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.expires.as_second() - now.as_second()).div_euclid(86_400)
    }

    /// Whether it is one for this name or address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'));
        let parsed = self.pair.end_entity_cert().and_then(ParsedCertificate::try_from);
        matches!((name, parsed), (Ok(name), Ok(parsed)) if rustls::client::verify_server_name(&parsed, &name).is_ok())
    }
}

fn fault(part: Part, message: String, help: &'static str) -> Fault {
    Fault { part, message, help }
}

fn read(path: &Path, part: Part) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: std::io::Error| {
        let what = if part == Part::Key { "the key of the certificate" } else { "the certificate" };
        let help = "name the file that your authority's program wrote, and let the user that the bridge runs as read it";
        fault(part, format!("{what}, {}, cannot be read: {error}", path.display()), help)
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = read(path, Part::Certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes).map_while(Result::ok).collect();
    let is_whole = chain.len() == bytes.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
    if chain.is_empty() || !is_whole {
        let message = format!("{} holds no whole certificate as PEM", path.display());
        return Err(fault(Part::Certificate, message, "give the file with the whole chain, which begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(chain)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let bytes = read(path, Part::Key)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let is_encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
        let help = if is_encrypted {
            "it is encrypted; give it without a passphrase, in a file for the bridge alone"
        } else {
            "give the file that begins with -----BEGIN PRIVATE KEY-----"
        };
        fault(Part::Key, format!("{} holds no key as PEM", path.display()), help)
    })
}

fn validity(chain: &[CertificateDer<'_>], path: &Path) -> Result<(Timestamp, Timestamp), Fault> {
    let second = |time: &Time| Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok();
    let read = || {
        let parsed = x509_cert::Certificate::from_der(chain.first()?).ok()?;
        let validity = &parsed.tbs_certificate.validity;
        Some((second(&validity.not_before)?, second(&validity.not_after)?))
    };
    let message = || format!("the first certificate in {} cannot be read", path.display());
    read().ok_or_else(|| fault(Part::Certificate, message(), "have your authority's program write it again"))
}

fn unusable(files: &Files, error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            let message =
                format!("the key in {} does not belong to the certificate in {}", files.key.display(), files.certificate.display());
            fault(Part::Key, message, "give the two files that were made together, such as fullchain.pem and privkey.pem of one folder")
        }
        error => {
            let message = format!("the key in {} cannot be used: {error}", files.key.display());
            fault(Part::Key, message, "use a key of RSA (2048 bits or more), ECDSA (P-256 or P-384) or Ed25519")
        }
    }
}
