//! Mail.

use super::Sender;
use crate::alerts::note::{Letter, Note};
use crate::config::{MailTls, Smtp};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::time::SystemTime;

const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;
const PLAIN: u16 = 25;

pub(super) struct Mailer<'a> {
    smtp: &'a Smtp,
    sender: &'a Sender,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl<'a> Mailer<'a> {
    pub(super) fn new(smtp: &'a Smtp, sender: &'a Sender) -> Result<Self, String> {
        let (port, tls) = match smtp.tls {
            MailTls::Starttls => (SUBMISSION, Tls::Required(parameters(smtp)?)),
            MailTls::Implicit => (SUBMISSIONS, Tls::Wrapper(parameters(smtp)?)),
            MailTls::None => (PLAIN, Tls::None),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(smtp.host.trim())
            .port(smtp.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(super::SEND_WITHIN))
            .hello_name(hello(&sender.host));
        if let (Some(user), Some(password)) = (&smtp.user, &smtp.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self { smtp, sender, transport: builder.build() })
    }

    pub(super) async fn send(&self, letter: &Letter) -> Result<String, String> {
        let message = self.message(letter)?;
        let answer = self.transport.send(message).await.map_err(|error| causes(&error))?;
        let said = answer.message().next().unwrap_or_default();
        Ok(format!("answered {} {said}", answer.code()))
    }

    fn message(&self, letter: &Letter) -> Result<Message, String> {
        let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|_| format!("`{text}` is no mail address"));
        let mut builder = Message::builder()
            .from(mailbox(&self.smtp.from)?)
            .subject(format!("[Leadwire] {}", letter.note.title))
            .message_id(Some(format!("<{}@leadwire>", letter.id)))
            .date(SystemTime::from(letter.note.at))
            .header(ContentType::TEXT_PLAIN)
            // So that nobody's out-of-office answers it (RFC 3834).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
        for to in &self.smtp.to {
            builder = builder.to(mailbox(to)?);
        }
        builder.body(text(&letter.note, self.sender)).map_err(|error| error.to_string())
    }
}

/// A name with a dot is one for other machines; without, there is none to tell.
fn hello(host: &str) -> ClientId {
    let is_name = host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if is_name { ClientId::Domain(host.to_owned()) } else { ClientId::default() }
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(smtp.host.trim().to_owned());
    if let Some(pem) = &smtp.ca_certificate {
        let told = |_| "`ca_certificate` holds no certificate in PEM".to_owned();
        for found in CertificateDer::pem_slice_iter(pem.expose().as_bytes()) {
            let certificate = found.map_err(|error| told(error.to_string()))?;
            builder = builder.add_root_certificate(Certificate::from_der(certificate.to_vec()).map_err(|error| told(error.to_string()))?);
        }
    }
    builder.build().map_err(|error| causes(&error))
}

fn text(note: &Note, sender: &Sender) -> String {
    let parts = [note.title.as_str(), note.detail.trim_end(), note.remedy.as_str()];
    let link = sender.console_url.as_ref().map_or_else(String::new, |url| format!("\n{url}"));
    let paragraphs: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}\n\n-- \nLeadwire on {}{link}\n", paragraphs.join("\n\n"), sender.host)
}

/// An error with what caused it: the first alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}
