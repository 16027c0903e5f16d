//! TLS to the server: whom to trust, and what a failed handshake means.

use crate::store::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::config::SslMode;

/// Whose certificate a server may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Anyone's: encrypted against those who listen, not against those who pretend.
    Anyone,
    /// One that the authorities of this file signed, whatever name is in it.
    Chain(PathBuf),
    /// One that the authorities of this file signed for the name of the host.
    Name(PathBuf),
    /// One that an authority this machine trusts signed for the name of the host.
    Machine,
}

/// What the client shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What a URL wants of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) mode: SslMode,
    pub(super) trust: Trust,
    pub(super) identity: Option<Identity>,
}

impl Wish {
    /// Reads the files and builds what the connections need.
    pub(super) fn build(&self) -> Result<ClientConfig> {
        let refused = |error: rustls::Error| Error::Refused(format!("TLS to PostgreSQL cannot be set up: {error}"));
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(refused)?;
        let builder = match &self.trust {
            Trust::Machine => builder.with_platform_verifier().map_err(refused)?,
            trust => builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(trust, &provider)?)),
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => {
                builder.with_client_auth_cert(read_certificates(&identity.certificate)?, read_key(&identity.key)?).map_err(refused)
            }
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::Refused(format!("[store] url names the certificate file {}, which cannot be read: {why}", path.display()))
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(&error))?;
    if found.is_empty() { Err(unreadable(&"there is no certificate in PEM form in it")) } else { Ok(found) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        Error::Refused(format!(
            "[store] url names the key file {}, which cannot be read: {error}; it must not be encrypted",
            path.display()
        ))
    })
}

/// The authorities of a file, and the certificates as they are in it.
#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    exact: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn read(path: &Path) -> Result<Self> {
        let exact = read_certificates(path)?;
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(exact.iter().cloned());
        if added == 0 {
            return Err(Error::Refused(format!("sslrootcert in [store] url: {} holds no certificate that can be used", path.display())));
        }
        Ok(Self { store, exact })
    }
}

/// What libpq does with a file of authorities, and without one.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    roots: Option<Roots>,
    by_name: bool,
}

impl Verifier {
    fn new(trust: &Trust, provider: &CryptoProvider) -> Result<Self> {
        let roots = match trust {
            Trust::Chain(path) | Trust::Name(path) => Some(Roots::read(path)?),
            Trust::Anyone | Trust::Machine => None,
        };
        let by_name = matches!(trust, Trust::Name(_));
        Ok(Self { algorithms: provider.signature_verification_algorithms, roots, by_name })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(&certificate, &roots.store, intermediates, now, self.algorithms.all);
        match chain {
            // What `openssl req -x509` makes is an authority and the server's own certificate in one. Its time was looked at by then.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if roots.exact.contains(end_entity) => {}
            other => other?,
        }
        if self.by_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What went wrong with TLS, in plain words, when that is what went wrong.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref::<rustls::Error>().or_else(|| inside.and_then(|error| error.downcast_ref()));
        if let Some(found) = found {
            return Some(words(found));
        }
        cause = error.source();
    }
    None
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => words_of_certificate(why),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server wants to see a certificate of ours; set sslcert and sslkey in [store] url".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server refused TLS with the alert {alert:?}; its log says why"),
        other => format!("TLS failed: {other}"),
    }
}

/// `DnsName("db.example.com")` as `db.example.com`.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn words_of_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for the name {}, but for {}; use that name in [store] url, or sslmode=verify-ca with sslrootcert",
            expected.to_str(),
            presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
        ),
        CertificateError::NotValidForName => {
            "the server's certificate is for another name; use its name in [store] url, or sslmode=verify-ca with sslrootcert".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is signed by none that is trusted; set sslrootcert in [store] url to the file of the authority that signed it".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server's certificate has expired; renew it".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; look at the clocks".to_owned()
        }
        other => format!("the server's certificate is refused: {other}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    struct Authority {
        _folder: tempfile::TempDir,
        path: PathBuf,
        server: CertificateDer<'static>,
    }

    fn authority(names: &[&str]) -> Authority {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server = CertificateParams::new(names).unwrap().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        written(&root.pem(), server.der().clone())
    }

    fn written(pem: &str, server: CertificateDer<'static>) -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pem");
        std::fs::write(&path, pem).unwrap();
        Authority { _folder: folder, path, server }
    }

    fn verify(trust: &Trust, certificate: &CertificateDer<'_>, name: &str) -> std::result::Result<(), String> {
        let verifier = Verifier::new(trust, &crypto::ring::default_provider()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(drop).map_err(|error| words(&error))
    }

    #[test]
    fn a_certificate_is_verified_as_far_as_was_asked_for() {
        let (ours, theirs) = (authority(&["db.example.com"]), authority(&["db.example.com"]));
        let (chain, name) = (Trust::Chain(ours.path.clone()), Trust::Name(ours.path.clone()));
        assert_eq!(verify(&Trust::Anyone, &theirs.server, "db.example.com"), Ok(()));
        assert_eq!(verify(&chain, &ours.server, "elsewhere.example.com"), Ok(()));
        assert_eq!(verify(&name, &ours.server, "db.example.com"), Ok(()));
        assert!(verify(&chain, &theirs.server, "db.example.com").unwrap_err().contains("set sslrootcert"));
        let told = verify(&name, &ours.server, "elsewhere.example.com").unwrap_err();
        assert!(told.contains("not for the name elsewhere.example.com, but for db.example.com;"), "{told}");
    }

    #[test]
    fn a_server_may_show_the_very_certificate_of_the_file() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["db.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        let own = written(&own.pem(), own.der().clone());
        assert_eq!(verify(&Trust::Name(own.path.clone()), &own.server, "db.example.com"), Ok(()));
        assert!(verify(&Trust::Name(own.path.clone()), &own.server, "elsewhere.example.com").is_err());
        assert!(verify(&Trust::Chain(own.path.clone()), &authority(&["db.example.com"]).server, "db.example.com").is_err());
    }

    #[test]
    fn a_file_that_is_not_there_or_holds_no_certificate_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.pem");
        let build = || Wish { mode: SslMode::Require, trust: Trust::Chain(path.clone()), identity: None }.build().unwrap_err().to_string();
        assert!(build().contains("cannot be read"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(build().contains("no certificate"));
    }

    #[test]
    fn the_cause_is_found_below_the_error_of_the_driver() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, tls);
        assert!(explain(&io).unwrap().contains("signed by none that is trusted"));
        assert_eq!(explain(&std::io::Error::other("a broken pipe")), None);
    }
}
