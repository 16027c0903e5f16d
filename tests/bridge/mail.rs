//! A small mail server on loopback that remembers what it was told: SMTP with STARTTLS and AUTH, as much as a client needs.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A running server.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    /// Of the authority that vouches for it, as PEM.
    pub(crate) authority: String,
    heard: Arc<Mutex<Heard>>,
}

/// Everything it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// Each command, with `+` before it when it came encrypted.
    pub(crate) commands: Vec<String>,
    pub(crate) mails: Vec<String>,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (acceptor, authority) = certificate();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Heard::default())));
        let shared = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that hangs up in the middle is one of the stories.
                tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, authority, heard }
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

fn certificate() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(server.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, heard: Arc<Mutex<Heard>>) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    plain.write_all(b"220 mail.test ESMTP\r\n").await?;
    if talk(&mut plain, &heard, false).await? {
        let mut encrypted = BufReader::new(acceptor.accept(plain.into_inner()).await?);
        talk(&mut encrypted, &heard, true).await?;
    }
    Ok(())
}

/// Whether the client wants to go on encrypted.
async fn talk(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    heard: &Mutex<Heard>,
    is_encrypted: bool,
) -> std::io::Result<bool> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let sign = if is_encrypted { "+" } else { "" };
        heard.lock().unwrap().commands.push(format!("{sign}{}", line.trim_end()));
        let command = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match command.as_str() {
            "EHLO" if is_encrypted => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
            "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
            "STARTTLS" => "220 go ahead\r\n",
            "AUTH" if line.contains("AGFubgBjb3JyZWN0LWhvcnNl") => "235 welcome\r\n",
            "AUTH" => "535 5.7.8 the password is wrong\r\n",
            "DATA" => "354 tell\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        match command.as_str() {
            "STARTTLS" => return Ok(true),
            "DATA" => take_mail(stream, heard).await?,
            "QUIT" => return Ok(false),
            _ => {}
        }
    }
}

async fn take_mail(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            break;
        }
        mail.push_str(&line);
    }
    heard.lock().unwrap().mails.push(mail);
    stream.write_all(b"250 kept\r\n").await?;
    stream.flush().await
}
