//! Proving who we are: by certificates, by tokens of OAuth, by signatures of two keys.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::sample;
use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::{Door, Request, Response, Service, TokenEndpoint};
use leadwire_connector::testing::{self, Stage};
use leadwire_connector::{BuildContext, Connector, DeliveryError, ErrorKind, Receipt};
use leadwire_connector_json::{KIND, simulator::Endpoint};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn build(settings: &Value) -> Box<dyn Connector> {
    testing::build(KIND, settings, &BuildContext::new("backend"))
}

async fn deliver(connector: &dyn Connector, id: &str) -> Result<Receipt, DeliveryError> {
    testing::deliver(connector, id, &sample()).await
}

/// An authority, what it signed, and a server that takes no one else's certificate.
struct Tls {
    url: String,
    authority: String,
    certificate: String,
    key: String,
}

fn signed(authority: &CertifiedIssuer<'_, KeyPair>, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    (params.signed_by(&key, authority).unwrap(), key)
}

impl Tls {
    async fn begin() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (server, server_key) = signed(&authority, ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = signed(&authority, ExtendedKeyUsagePurpose::ClientAuth);

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(vec![server.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
        Self {
            url: format!("https://localhost:{port}/leads"),
            authority: authority.pem(),
            certificate: client.pem(),
            key: client_key.serialize_pem(),
        }
    }
}

/// Answers every request by the name of the one who came: a certificate that the authority signed.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let certificates = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            let mut request = [0; 65_536];
            let _ = stream.read(&mut request).await;
            let body = format!("{{\"id\":\"certificates-{certificates}\"}}");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_certificate_is_shown_one() {
    let tls = Tls::begin().await;
    let folder = std::env::temp_dir().join(format!("leadwire-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, pem) in [("ca.pem", &tls.authority), ("client.pem", &tls.certificate), ("client.key", &tls.key)] {
        std::fs::write(folder.join(name), pem).unwrap();
    }
    let file = |name: &str| json!({"file": folder.join(name)});
    let mut settings = json!({"url": tls.url, "ca_certificate": file("ca.pem")});
    let unknown = deliver(&*build(&settings), "d-1").await.unwrap_err();
    assert!(unknown.kind.is_outage(), "{unknown:?}");
    settings["client_certificate"] = file("client.pem");
    settings["client_key"] = file("client.key");
    assert_eq!(deliver(&*build(&settings), "d-1").await.unwrap(), Receipt::record("certificates-1"));
    settings.as_object_mut().unwrap().remove("ca_certificate");
    let untrusted = deliver(&*build(&settings), "d-1").await.unwrap_err();
    assert_eq!(untrusted.kind, ErrorKind::Unreachable, "a server of an unknown authority is sent nothing");
    std::fs::remove_dir_all(folder).unwrap();
}

/// An endpoint that takes the tokens of its own token endpoint only.
struct Guarded {
    door: Door,
    endpoint: Endpoint,
    given: u32,
}

impl Service for Guarded {
    fn answer(&mut self, request: &Request) -> Response {
        if request.path() == "/token" {
            self.given += 1;
            return self.door.token(request).unwrap();
        }
        if !self.door.admits(request) {
            return Response::json(401, &json!({"error": "invalid_token"}));
        }
        self.endpoint.answer(request)
    }

    fn error_inside(&self) -> Response {
        self.endpoint.error_inside()
    }

    fn rate_limited(&self) -> Response {
        self.endpoint.rate_limited()
    }

    fn state(&self) -> Value {
        json!({"deliveries": self.endpoint.state()["deliveries"], "tokens": self.given})
    }
}

#[tokio::test]
async fn a_token_of_oauth_is_asked_for_once_and_sent() {
    let tokens = TokenEndpoint::new("client-1", "s3cret-of-the-client").lifetime(Duration::from_secs(3_600));
    let service = Guarded { door: Door::App(tokens), endpoint: Endpoint::default(), given: 0 };
    let settings = |url: &Url| {
        let oauth = json!({
            "grant": "client_credentials", "client_id": "client-1", "client_secret": "s3cret-of-the-client",
            "token_url": url.join("token").unwrap(),
        });
        json!({"url": url.join("leads").unwrap(), "oauth": oauth})
    };
    let Stage { server, connector, .. } = Stage::start(KIND, Box::new(service), settings).await;
    let preview = connector.preview(&sample()).unwrap().remove(0);
    assert!(preview.headers.iter().any(|(name, value)| name == "Authorization" && value.starts_with("Bearer ")), "{preview:?}");
    assert_eq!(server.count(), 0, "a preview asks nobody");
    for id in ["d-1", "d-2"] {
        deliver(&*connector, id).await.unwrap();
    }
    assert!(connector.check().await.is_good());
    let state = server.state();
    assert_eq!((state["deliveries"].as_array().unwrap().len(), &state["tokens"]), (2, &json!(1)));
}

#[tokio::test]
async fn while_a_key_is_replaced_both_sides_of_the_change_can_verify() {
    let (new, old) = ("whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldw==", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    for knows in [new, old] {
        let endpoint = Box::new(Endpoint::signed(knows).unwrap());
        let stage = Stage::start(KIND, endpoint, |url| json!({"url": url, "secret": [new, old]})).await;
        stage.deliver("d-1", &sample()).await.unwrap();
        let sent = stage.requests().remove(0);
        assert_eq!(sent.header("webhook-signature").unwrap().split(' ').count(), 2);
        let preview = format!("{:?}", stage.connector.preview(&sample()).unwrap());
        assert!(!preview.contains(sent.header("webhook-signature").unwrap()));
    }
}
