//! What is answered when something cannot be shown or done: a page for people, problem details (RFC 9457) for programs.

use super::{is_for_programs, pages};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

/// What kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense as it is.
    Invalid,
    /// Nobody we know asks.
    Unauthorized,
    /// The visitor may not do that.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The address takes other methods.
    MethodNotAllowed,
    /// It cannot be done in the state that things are in.
    Conflict,
    /// The request is larger than it may be.
    TooLarge,
    /// Too many of the kind lately.
    TooMany,
    /// Something of ours failed.
    Internal,
    /// The store cannot be used now.
    Unavailable,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::TooMany,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many_requests",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The title of its page.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Invalid => "That cannot be understood",
            Self::Unauthorized => "Please log in",
            Self::Forbidden => "That is not allowed",
            Self::NotFound => "There is no such page",
            Self::MethodNotAllowed => "That is not how this address is used",
            Self::Conflict => "That cannot be done now",
            Self::TooLarge => "That is too large",
            Self::TooMany => "Too many requests",
            Self::Internal => "Something went wrong",
            Self::Unavailable => "The store cannot be used now",
        }
    }

    fn of(status: StatusCode) -> Self {
        let fallback = if status.is_server_error() { Self::Internal } else { Self::Invalid };
        Self::ALL.into_iter().find(|kind| kind.status() == status).unwrap_or(fallback)
    }
}

/// Why something was not done. A handler returns it as its error; `tell` makes the answer of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub kind: Kind,
    /// What happened and what to do next, in a sentence. It names no secret.
    pub message: String,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// One of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// Nothing is at this address.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "nothing is at this address; it may have been mistyped, or what was there is gone")
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let mut response = if is_for_programs(request) { self.problem() } else { pages::refused(request, self) };
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, actix_web::http::header::HeaderValue::from_static(r#"Bearer realm="Leadwire""#));
        }
        response
    }

    /// RFC 9457.
    fn problem(&self) -> HttpResponse {
        let status = self.kind.status();
        let body = json!({
            "type": "about:blank", "title": self.kind.title(), "status": status.as_u16(), "code": self.kind.code(), "detail": self.message,
        });
        HttpResponse::build(status).content_type("application/problem+json").body(body.to_string())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }
}

/// A store that cannot be read is told as it is; its message names no person.
impl From<crate::store::Error> for Refusal {
    fn from(error: crate::store::Error) -> Self {
        Self::new(Kind::Unavailable, format!("the store cannot be used: {error}; `leadwire doctor` looks at it"))
    }
}

/// Gives every refusal, and what the web server itself refuses, its form.
pub(super) async fn tell(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let refusal = match response.response().error() {
        Some(error) => error.as_error::<Refusal>().cloned().unwrap_or_else(|| of_the_server(status)),
        None if status == StatusCode::METHOD_NOT_ALLOWED => of_the_server(status),
        None => return Ok(response),
    };
    let mut answer = refusal.answer(response.request());
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    let (request, _) = response.into_parts();
    Ok(ServiceResponse::new(request, answer))
}

/// Its own words may repeat what was sent.
fn of_the_server(status: StatusCode) -> Refusal {
    let message = match Kind::of(status) {
        Kind::NotFound => return Refusal::not_found(),
        Kind::MethodNotAllowed => "this address does not take that method",
        Kind::TooLarge => "the request is larger than the console takes",
        _ if status.is_server_error() => "the console could not answer; the log of the bridge says more",
        _ => "the request cannot be read; go back and try again",
    };
    Refusal::new(Kind::of(status), message)
}
