//! A request as a value: what `deliver` sends is what `preview` shows.

use crate::PreviewRequest;
use crate::redact::Redactor;
use bytes::Bytes;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use url::{Url, form_urlencoded};

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
///
/// Its `Debug` shows no more than the method, the host, the names of the headers and the length of the body: anything else may be a secret
/// or a person.
#[derive(Clone)]
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
    /// How long to wait for the whole answer, in place of [`HttpSettings::timeout`](super::HttpSettings::timeout).
    pub timeout: Option<Duration>,
    secret_headers: Vec<String>,
    secrets: Vec<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str().unwrap_or_default())
            .field("headers", &headers)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without a body, not repeatable unless it is a `GET`, `HEAD`, `PUT` or `DELETE` (RFC 9110, 9.2.2).
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = matches!(method, Method::Get | Method::Head | Method::Put | Method::Delete);
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            repeatable,
            timeout: None,
            secret_headers: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header that previews mask, and that is taken out of the answer should the other side repeat it.
    #[must_use]
    pub fn secret_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.secret_headers.push(name.to_owned());
        self.header(name, value)
    }

    /// Adds `Authorization: Bearer` with this token, as a secret header.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.secret_header("Authorization", format!("Bearer {token}"))
    }

    /// Says that this text, wherever in the request it stands, is a secret: previews mask it, and it is taken out of the answer should
    /// the other side repeat it. For secrets in the address or the body.
    #[must_use]
    pub fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// Adds parameters to the address.
    #[must_use]
    pub fn query(mut self, parameters: &[(&str, &str)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(parameters);
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sets a body as HTML forms send it, and its content type.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
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

    /// Sets how long to wait for the whole answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// As a preview shows it. [`PreviewRequest::step`] and [`PreviewRequest::only_when`] say when it is sent.
    #[must_use]
    pub fn preview(&self) -> PreviewRequest {
        let redactor = Redactor::new(&self.secrets);
        let show = |(name, value): &(String, String)| {
            let value = if self.is_secret(name) { mask_header(value) } else { redactor.clean(value).into_owned() };
            (name.clone(), value)
        };
        let text = String::from_utf8_lossy(&self.body);
        let text = redactor.clean(&text);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()));
        PreviewRequest {
            step: String::new(),
            condition: None,
            method: self.method.as_str().to_owned(),
            url: redactor.clean(self.url.as_str()).into_owned(),
            headers: self.headers.iter().map(show).collect(),
            body,
        }
    }

    fn is_secret(&self, header: &str) -> bool {
        self.secret_headers.iter().any(|secret| secret.eq_ignore_ascii_case(header))
    }

    /// Takes out of an answer what must not be shown of this request.
    pub(crate) fn redactor(&self) -> Redactor {
        let values = self.headers.iter().filter(|(name, _)| self.is_secret(name)).map(|(_, value)| value);
        let bare = values.map(|value| value.split_once(' ').map_or(value.as_str(), |(_, secret)| secret));
        Redactor::new(self.secrets.iter().map(String::as_str).chain(bare))
    }
}

/// Keeps the scheme of `Authorization` readable.
fn mask_header(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme, secret)) => format!("{scheme} {}", crate::text::mask(secret)),
        None => crate::text::mask(value),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn post() -> Request {
        Request::new(Method::Post, "https://example.com/".parse().unwrap())
    }

    #[test]
    fn a_preview_masks_secret_headers_and_shows_json() {
        let request = post().secret_header("Authorization", "Bearer pat-na1-0123456789").json(&serde_json::json!({"a": 1}));
        let preview = request.preview();
        assert_eq!(preview.headers[0].1, "Bearer pat-••••");
        assert_eq!(preview.body["a"], 1);
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let secret = "s3cret&\"value\"";
        let request = post().query(&[("key", secret)]).form(&[("client_secret", secret), ("a", "b")]).secret(secret);
        let shown = format!("{:?}", request.preview());
        assert!(!shown.contains("s3cret") && shown.contains("a=b"), "{shown}");
        let shown = format!("{:?}", post().json(&serde_json::json!({"key": secret})).secret(secret).preview());
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn nothing_of_a_request_is_printed_that_could_be_a_secret_or_a_person() {
        let url = "https://user:pass@example.com:8443/hooks/in-the-path?key=in-the-query".parse().unwrap();
        let request = Request::new(Method::Post, url).header("X-Key", "in-a-header").secret_header("Authorization", "Bearer in-another");
        let shown = format!("{:?}", request.json(&serde_json::json!({"email": "ann@example.org"})).secret("marked"));
        for hidden in ["in-", "pass", "user", "ann", "marked"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(["Post", "example.com", "Authorization", "X-Key"].iter().all(|told| shown.contains(told)), "{shown}");
    }
}
