//! What senders read. The platform compares the body, so a success is exact to the byte.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, ContentType, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde_json::json;

/// The reply that the platform takes as success (its Webhook page, "Error retry").
pub(super) const SUCCESS: &str = r#"{"status":"success"}"#;
/// The other reply it takes as success; given to test requests only.
pub(super) const TEST_SUCCESS: &str = r#"{"status":"Success: test request received"}"#;

/// After a 503, in seconds. The platform has its own schedule; other senders look here.
const RETRY_AFTER_S: &str = "5";
/// After a 503 that only a person can end, by setting a key: asking every few seconds helps nobody.
const RETRY_AFTER_A_PERSON_S: &str = "300";

/// An answer of the public listener.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Stored, or stored before.
    Success,
    /// A test request was stored.
    TestSuccess,
    /// For a person who opens the URL in a browser.
    About(String),
    Alive,
    /// With a remark when it is not the store that takes leads.
    Ready(Option<String>),
    NotReady(String),
    NotFound,
    /// At the listener without TLS: the same is to be asked by https.
    UseHttps,
    /// At the listener without TLS: for a name that is not ours.
    Misdirected,
    UnknownSource,
    MethodNotAllowed,
    AddressRefused,
    TooMany,
    TooLarge {
        limit: usize,
    },
    TooSlow,
    Unreadable(&'static str),
    UnsupportedEncoding,
    /// Not verified: a word and a sentence.
    Signature(&'static str, String),
    Unavailable,
    /// Large bodies fill the memory they may take.
    Busy,
    QuarantineFull,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Success | Self::TestSuccess | Self::About(_) | Self::Alive | Self::Ready(_) => StatusCode::OK,
            Self::NotFound | Self::UnknownSource => StatusCode::NOT_FOUND,
            Self::UseHttps => StatusCode::PERMANENT_REDIRECT,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AddressRefused => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Signature(..) => StatusCode::UNAUTHORIZED,
            Self::NotReady(_) | Self::Unavailable | Self::Busy | Self::QuarantineFull => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for what is refused and why; `None` when it is not a refusal.
    pub(super) fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Success | Self::TestSuccess | Self::About(_) | Self::Alive | Self::Ready(_) => return None,
            Self::NotReady(_) => "not_ready",
            Self::NotFound => "not_found",
            Self::UnknownSource => "unknown_source",
            Self::UseHttps => "use_https",
            Self::Misdirected => "misdirected",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::AddressRefused => "address_refused",
            Self::TooMany => "too_many",
            Self::TooLarge { .. } => "too_large",
            Self::TooSlow => "too_slow",
            Self::Unreadable(_) => "unreadable",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::Signature(code, _) => code,
            Self::Unavailable => "store_unavailable",
            Self::Busy => "busy",
            Self::QuarantineFull => "quarantine_full",
        })
    }

    fn body(self) -> String {
        let code = self.code();
        let message = match self {
            Self::Success => return SUCCESS.to_owned(),
            Self::TestSuccess => return TEST_SUCCESS.to_owned(),
            Self::About(text) => return text,
            Self::Alive => return r#"{"status":"alive"}"#.to_owned(),
            Self::Ready(None) => return r#"{"status":"ready"}"#.to_owned(),
            Self::Ready(Some(reason)) => return json!({"status": "ready", "reason": reason}).to_string(),
            Self::NotReady(reason) => reason,
            Self::NotFound => "there is nothing here; webhooks go to /hooks/{source}".to_owned(),
            Self::UnknownSource => "there is no source of this name; compare the URL with the one the bridge printed".to_owned(),
            Self::UseHttps => {
                "this address speaks https; post to the URL that begins with https://, so that nothing travels in the clear".to_owned()
            }
            Self::Misdirected => {
                "this is not a name of this bridge; post to the URL that it printed, which begins with https://".to_owned()
            }
            Self::MethodNotAllowed => "webhooks are sent with POST".to_owned(),
            Self::AddressRefused => "this source takes no requests from your address".to_owned(),
            Self::TooMany => "this source takes fewer requests per minute; try again later".to_owned(),
            Self::TooLarge { limit } => format!("the body is longer than {limit} bytes; raise max_body_bytes of the source to take it"),
            Self::TooSlow => "the body did not arrive in time".to_owned(),
            Self::Unreadable(reason) => reason.to_owned(),
            Self::UnsupportedEncoding => "send the body as it is, or with Content-Encoding: gzip".to_owned(),
            Self::Signature(_, message) => message,
            Self::Unavailable => "the event could not be stored; send it again".to_owned(),
            Self::Busy => "too many large bodies at once; send it again".to_owned(),
            Self::QuarantineFull => "the quarantine of this source is full; set its signing key, then send again".to_owned(),
        };
        json!({"status": "error", "error": code, "message": message}).to_string()
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        match &self {
            Self::About(_) => response.insert_header(ContentType::plaintext()),
            Self::MethodNotAllowed => response.insert_header(ContentType::json()).insert_header((ALLOW, "GET, HEAD, POST")),
            Self::TooMany => response.insert_header(ContentType::json()).insert_header((RETRY_AFTER, "60")),
            Self::NotReady(_) | Self::Unavailable | Self::Busy => {
                response.insert_header(ContentType::json()).insert_header((RETRY_AFTER, RETRY_AFTER_S))
            }
            Self::QuarantineFull => response.insert_header(ContentType::json()).insert_header((RETRY_AFTER, RETRY_AFTER_A_PERSON_S)),
            _ => response.insert_header(ContentType::json()),
        };
        response.body(self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_successes_are_exact() {
        assert_eq!(Answer::Success.body().len(), 20);
        assert_eq!(Answer::Success.body(), "{\"status\":\"success\"}");
        assert_eq!(Answer::TestSuccess.body(), "{\"status\":\"Success: test request received\"}");
    }

    #[test]
    fn no_refusal_can_be_taken_for_a_success() {
        for answer in [Answer::UnknownSource, Answer::Unavailable, Answer::TooSlow, Answer::Signature("no_header", "x".to_owned())] {
            assert!(!answer.status().is_success());
            assert!(answer.body().starts_with(r#"{"status":"error","error":""#));
        }
    }
}
