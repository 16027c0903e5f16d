//! Sending requests.

use super::address::{Blocked, PublicOnly, check_literal};
use super::{Answer, HttpSettings, Method, QuotaHeaders, Quotas, Request};
use crate::{DeliveryError, ErrorKind};
use bytes::BytesMut;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;
use url::Url;

/// Sends requests. Cheap to clone; connections are shared between clones.
#[derive(Debug, Clone)]
pub struct Client {
    pooled: reqwest::Client,
    fresh: reqwest::Client,
    max_answer_bytes: usize,
    public_only: bool,
    quotas: Quotas,
    watched: &'static [(&'static str, QuotaHeaders)],
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// When the system's certificates or those of the settings cannot be read.
    pub fn new(settings: &HttpSettings) -> Result<Self, String> {
        let [pooled, fresh] = if is_common(settings) { common(settings)? } else { build(settings)? };
        let (max_answer_bytes, public_only) = (settings.max_answer_bytes, settings.block_private_addresses);
        let (quotas, watched) = (settings.quotas.clone(), [].as_slice());
        Ok(Self { pooled, fresh, max_answer_bytes, public_only, quotas, watched })
    }

    /// The same client, which reads from every answer what is left of these limits and notes it in [`HttpSettings::quotas`], for people
    /// to see.
    #[must_use]
    pub fn watching(self, limits: &'static [(&'static str, QuotaHeaders)]) -> Self {
        Self { watched: limits, ..self }
    }

    /// Sends a request and reads the answer. Secrets of the request are masked where the answer repeats them.
    ///
    /// # Errors
    /// `Unreachable` when nothing was sent, `Ambiguous` when it may have arrived, `Configuration` when the address is none that may be
    /// sent to. Every status is an `Ok` answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, DeliveryError> {
        let mut answer = self.send_raw(request).await?;
        let redactor = request.redactor();
        answer.body = redactor.clean_bytes(answer.body);
        for (_, value) in &mut answer.headers {
            redactor.clean_in_place(value);
        }
        Ok(answer)
    }

    /// The answer as it came: for those that give secrets, which are often the same as those that were sent.
    pub(crate) async fn send_raw(&self, request: &Request) -> Result<Answer, DeliveryError> {
        if self.public_only {
            check_literal(&request.url).map_err(|blocked| blocked_error(&blocked))?;
        }
        match self.send_with(&self.pooled, request).await {
            // The other side may close a kept connection just as it is used again; a fresh one settles it.
            Err(error) if request.repeatable && is_lost_connection(&error) => {
                self.send_with(&self.fresh, request).await.map_err(|error| transport_error(&request.url, &error))
            }
            other => other.map_err(|error| transport_error(&request.url, &error)),
        }
    }

    async fn send_with(&self, client: &reqwest::Client, request: &Request) -> Result<Answer, reqwest::Error> {
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes()).unwrap_or_default();
        let mut builder = client.request(method, request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(timeout) = request.timeout {
            builder = builder.timeout(timeout);
        }
        let has_body = !request.body.is_empty() || matches!(request.method, Method::Post | Method::Put | Method::Patch);
        let response = if has_body { builder.body(request.body.clone()) } else { builder }.send().await?;
        self.read(response).await
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut body = BytesMut::new();
        let mut truncated = false;
        while let Some(piece) = response.chunk().await? {
            let room = self.max_answer_bytes - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                truncated = true;
                break;
            }
        }
        let answer = Answer { status, headers, body: body.freeze(), truncated, at: Timestamp::now() };
        self.note_quotas(&answer);
        Ok(answer)
    }

    fn note_quotas(&self, answer: &Answer) {
        for (name, headers) in self.watched {
            if let Some(quota) = headers.read(answer) {
                self.quotas.note(name, quota, answer.at);
            }
        }
    }
}

/// One that keeps connections for the next request, and one that makes a new one for each.
type Pair = [reqwest::Client; 2];

/// Connections kept for one host, which may be that of many destinations.
const KEPT_FOR_A_HOST: usize = 256;

fn build(settings: &HttpSettings) -> Result<Pair, String> {
    install_crypto();
    let build = |idle: usize| {
        let told = |error| format!("the HTTP client cannot be set up: {}", root_cause(&error));
        configure(settings)?.pool_max_idle_per_host(idle).build().map_err(told)
    };
    Ok([build(KEPT_FOR_A_HOST)?, build(0)?])
}

/// Whether there is nothing in these settings that others must not have.
fn is_common(settings: &HttpSettings) -> bool {
    settings.identity.is_none() && settings.extra_roots.is_empty()
}

/// Whoever has the same settings gets the same pair: each keeps all authorities that the machine trusts in memory, which is over half a
/// megabyte, and a bridge may have a thousand destinations.
fn common(settings: &HttpSettings) -> Result<Pair, String> {
    type Kind = (Duration, Duration, bool, bool);
    static COMMON: Mutex<BTreeMap<Kind, Pair>> = Mutex::new(BTreeMap::new());
    let kind = (settings.connect_timeout, settings.timeout, settings.block_private_addresses, settings.any_certificate);
    let mut common = COMMON.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pair) = common.get(&kind) {
        return Ok(pair.clone());
    }
    let pair = build(settings)?;
    common.insert(kind, pair.clone());
    Ok(pair)
}

fn configure(settings: &HttpSettings) -> Result<reqwest::ClientBuilder, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Leadwire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(15))
        .tcp_nodelay(true);
    if settings.block_private_addresses {
        builder = builder.dns_resolver(PublicOnly).no_proxy();
    }
    if let Some(identity) = &settings.identity {
        builder = builder.identity(identity.parse()?);
    }
    if settings.any_certificate {
        builder = builder.tls_danger_accept_invalid_certs(true).no_proxy();
    }
    for pem in &settings.extra_roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        if roots.is_empty() {
            return Err("a certificate of an authority cannot be read; give it as PEM".to_owned());
        }
        builder = builder.tls_certs_merge(roots);
    }
    Ok(builder)
}

/// rustls needs to be told which implementation to use, once in a process.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program around us installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn is_lost_connection(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

fn transport_error(url: &Url, error: &reqwest::Error) -> DeliveryError {
    if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref::<Blocked>()) {
        return blocked_error(blocked);
    }
    let host = url.host_str().unwrap_or("the destination");
    if error.is_builder() {
        return DeliveryError::reject(ErrorKind::Configuration, format!("the request to {host} cannot be made: {}", root_cause(error)));
    }
    if error.is_connect() {
        return DeliveryError::retry(ErrorKind::Unreachable, format!("{host} cannot be reached: {}", root_cause(error)));
    }
    let what = if error.is_timeout() { "did not answer in time" } else { "broke off before the answer was complete" };
    DeliveryError::retry(ErrorKind::Ambiguous, format!("{host} {what}; it may have taken the request"))
}

fn blocked_error(blocked: &Blocked) -> DeliveryError {
    let message = format!("nothing was sent: {blocked}; give a public address, or allow private ones, then resume the destination");
    DeliveryError::hold(ErrorKind::Configuration, message, None)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

/// The innermost cause, which is what a person can do something about. The outer ones name the URL, which may hold a secret.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}
