//! Channels: how a note reaches people.

mod slack;
mod smtp;
mod webhook;

use super::note::Letter;
use crate::config::{AlertChannel, Medium};
use leadwire_connector::Redactor;
use leadwire_connector::http::{Client, HttpSettings, Request};
use leadwire_connector::settings::Secret;
use smtp::Mailer;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A try that takes longer has failed. Shorter than a claim on a letter.
const SEND_WITHIN: Duration = Duration::from_secs(20);
/// Of what the other side said of a failure.
const REASON_MOST: usize = 300;

/// What every channel writes under a note.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// The name of the machine.
    pub(super) host: String,
    /// Where people look further.
    pub(super) console_url: Option<Url>,
}

/// A channel, ready to send. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    medium: Medium,
    client: Client,
    sender: Sender,
    redactor: Arc<Redactor>,
}

impl Channel {
    pub(super) fn new(config: &AlertChannel, client: &Client, sender: &Sender, redactor: &Arc<Redactor>) -> Self {
        Self { medium: config.medium.clone(), client: client.clone(), sender: sender.clone(), redactor: Arc::clone(redactor) }
    }

    /// Sends a letter; what the other side answered.
    ///
    /// # Errors
    /// Why it was not taken, for a person; without secrets.
    pub(super) async fn send(&self, letter: &Letter) -> Result<String, String> {
        let sent = tokio::time::timeout(SEND_WITHIN, self.send_now(letter)).await;
        let told = sent.unwrap_or_else(|_| Err(format!("no answer within {} s", SEND_WITHIN.as_secs())));
        told.map_err(|reason| self.without_secrets(&reason))
    }

    async fn send_now(&self, letter: &Letter) -> Result<String, String> {
        match &self.medium {
            Medium::Webhook { url, key } => self.post(url, |url| webhook::request(url, letter, key.as_ref(), &self.sender)).await,
            Medium::Slack { url } => self.post(url, |url| Ok(slack::request(url, letter, &self.sender))).await,
            Medium::Smtp(smtp) => Mailer::new(smtp, &self.sender)?.send(letter).await,
        }
    }

    async fn post(&self, url: &Secret, request: impl FnOnce(Url) -> Result<Request, String>) -> Result<String, String> {
        let url = Url::parse(url.expose().trim()).map_err(|_| "the address is none".to_owned())?;
        let request = request(url)?;
        let answer = self.client.send(&request).await.map_err(|error| error.message)?;
        if answer.is_2xx() {
            return Ok(format!("answered {}", answer.status));
        }
        let body = String::from_utf8_lossy(&answer.body);
        Err(format!("answered {}: {}", answer.status, body.trim()))
    }

    fn without_secrets(&self, reason: &str) -> String {
        let url = match &self.medium {
            Medium::Webhook { url, .. } | Medium::Slack { url } => Some(url.expose().trim()),
            Medium::Smtp(_) => None,
        };
        let clean = self.redactor.clean(reason).into_owned();
        let clean = url.map_or(clean.clone(), |url| clean.replace(url, "••••"));
        let line: String = clean.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line[..line.floor_char_boundary(REASON_MOST)].trim().to_owned()
    }
}

/// The client of all channels that speak HTTP.
///
/// # Errors
/// When the system's certificates cannot be read.
pub(super) fn client(block_private_addresses: bool, connect_timeout: Duration) -> Result<Client, String> {
    let settings =
        HttpSettings { timeout: SEND_WITHIN, max_answer_bytes: 4_096, block_private_addresses, connect_timeout, ..HttpSettings::default() };
    Client::new(&settings)
}
