//! One HTTP client for all connectors: bounded in time and size, no redirects, no retries of its own.

use crate::{DeliveryError, ErrorKind, PreviewRequest};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Once;
use std::time::Duration;
use url::{Host, Url};

/// How the client behaves; the same for every destination of a bridge.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last byte of the answer.
    pub timeout: Duration,
    /// A longer answer is cut here; what a connector needs stands at its start.
    pub max_answer_bytes: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10), timeout: Duration::from_secs(30), max_answer_bytes: 1 << 20 }
    }
}

/// The methods that connectors use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they say")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// In capitals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request, as a value: what `deliver` sends is what `preview` shows.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// In order. Those added by [`secret_header`](Self::secret_header) are masked in previews.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Bytes,
    /// Whether sending it twice does no harm. Only such a request is sent again on a fresh connection
    /// when a connection that was kept open turns out to be closed.
    pub repeatable: bool,
    secret_headers: Vec<String>,
}

impl Request {
    /// A request without a body, not repeatable unless it is a `GET`, `HEAD`, `PUT` or `DELETE` (RFC 9110, 9.2.2).
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = matches!(method, Method::Get | Method::Head | Method::Put | Method::Delete);
        Self { method, url, headers: Vec::new(), body: Bytes::new(), repeatable, secret_headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header that previews mask.
    #[must_use]
    pub fn secret_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.secret_headers.push(name.to_owned());
        self.header(name, value)
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sets a body and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Says that sending it twice does no harm.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// As a preview shows it.
    #[must_use]
    pub fn preview(&self) -> PreviewRequest {
        let is_secret = |name: &str| self.secret_headers.iter().any(|secret| secret.eq_ignore_ascii_case(name));
        let show = |(name, value): &(String, String)| {
            let value = if is_secret(name) { mask_header(value) } else { value.clone() };
            (name.clone(), value)
        };
        let body = serde_json::from_slice(&self.body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()));
        PreviewRequest {
            method: self.method.as_str().to_owned(),
            url: self.url.to_string(),
            headers: self.headers.iter().map(show).collect(),
            body,
        }
    }
}

/// Keeps the scheme of `Authorization` readable.
fn mask_header(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme, secret)) => format!("{scheme} {}", crate::text::mask(secret)),
        None => crate::text::mask(value),
    }
}

/// An answer, whole or cut at the limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, cut at [`HttpSettings::max_answer_bytes`].
    pub body: Bytes,
    /// Whether the body was cut.
    pub truncated: bool,
    /// When it arrived, for [`retry_after`](Self::retry_after).
    pub at: Timestamp,
}

impl Answer {
    /// 200 to 299. Not yet success: the body may say otherwise.
    #[must_use]
    pub fn is_2xx(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// How long `Retry-After` asks to wait; seconds and HTTP dates (RFC 9110, 10.2.3). A date in the past is no wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, self.at)
    }

    /// The error that the status alone tells. Connectors that know their CRM's bodies look there first.
    ///
    /// 401, 403, 410 and redirects hold the destination, since no other delivery would fare better; 404, 408, 425, 429 and 5xx are tried
    /// again; every other status rejects the event.
    #[must_use]
    pub fn error(&self, what: &str) -> DeliveryError {
        let status = self.status;
        let error = match status {
            401 | 403 => DeliveryError::hold(
                ErrorKind::Credentials,
                format!("{what} refused the credentials ({status}); renew them, then resume the destination"),
                None,
            ),
            410 => DeliveryError::hold(
                ErrorKind::Configuration,
                format!("{what} is gone for good (410); set another address, then resume the destination"),
                None,
            ),
            300..=399 => DeliveryError::hold(
                ErrorKind::Configuration,
                format!(
                    "{what} redirects ({status}), which a delivery does not follow; set the address it moved to, then resume the destination"
                ),
                None,
            ),
            404 => DeliveryError::retry_after(ErrorKind::Configuration, format!("{what} was not found (404)"), self.retry_after()),
            429 => DeliveryError::retry_after(ErrorKind::RateLimited, format!("{what} asks for fewer requests (429)"), self.retry_after()),
            408 | 425 => DeliveryError::retry_after(ErrorKind::Server, format!("{what} is not ready ({status})"), self.retry_after()),
            500.. => DeliveryError::retry_after(ErrorKind::Server, format!("{what} failed ({status})"), self.retry_after()),
            200..=299 => {
                DeliveryError::retry(ErrorKind::Unexpected, format!("{what} answered {status} with a body that is not an acceptance"))
            }
            _ => DeliveryError::reject(ErrorKind::Data, format!("{what} refused the data ({status})")),
        };
        error.with_status(status).with_excerpt(&self.body)
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

/// Both forms of `Retry-After`.
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "very long"; the bridge caps it.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// Sends requests. Cheap to clone; connections are shared between clones.
#[derive(Debug, Clone)]
pub struct Client {
    pooled: reqwest::Client,
    fresh: reqwest::Client,
    max_answer_bytes: usize,
}

impl Client {
    /// A client with these limits.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(settings: &HttpSettings) -> Result<Self, String> {
        install_crypto();
        let build = |idle: usize| {
            reqwest::Client::builder()
                .user_agent(concat!("Leadwire/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.timeout)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .pool_max_idle_per_host(idle)
                .pool_idle_timeout(Duration::from_secs(15))
                .tcp_nodelay(true)
                .build()
                .map_err(|error| format!("the HTTP client cannot be set up: {}", root_cause(&error)))
        };
        Ok(Self { pooled: build(64)?, fresh: build(0)?, max_answer_bytes: settings.max_answer_bytes })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// `Unreachable` when nothing was sent, `Ambiguous` when it may have arrived. Every status is an `Ok` answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, DeliveryError> {
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
        Ok(Answer { status, headers, body: body.freeze(), truncated, at: Timestamp::now() })
    }
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

/// The innermost cause, which is what a person can do something about. The outer ones name the URL, which may hold a secret.
fn root_cause(error: &reqwest::Error) -> String {
    let mut innermost = std::error::Error::source(error);
    while let Some(deeper) = innermost.and_then(std::error::Error::source) {
        innermost = Some(deeper);
    }
    innermost.map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_reads_both_forms() {
        assert_eq!(parse_retry_after("120", now()), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 22 Nov 2026 10:00:30 GMT", now()), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Sun, 22 Nov 2026 09:00:00 GMT", now()), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now()), None);
        assert_eq!(parse_retry_after("-5", now()), None);
        assert!(parse_retry_after("99999999999999999999999", now()).unwrap() > Duration::from_secs(86_400 * 365));
    }

    #[test]
    fn a_preview_masks_secret_headers_and_shows_json() {
        let request = Request::new(Method::Post, "https://example.com/".parse().unwrap())
            .secret_header("Authorization", "Bearer pat-na1-0123456789")
            .json(&serde_json::json!({"a": 1}));
        let preview = request.preview();
        assert_eq!(preview.headers[0].1, "Bearer pat-••••");
        assert_eq!(preview.body["a"], 1);
    }
}
