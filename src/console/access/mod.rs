//! Who may see the console, and what they may do there.

pub(in crate::console) mod cookie;
mod visitor;

pub use visitor::{Role, Visitor};

use super::{Console, Kind, Refusal};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, web};
use subtle::ConstantTimeEq as _;

/// What everyone may have: nothing of it tells anything.
const OPEN: [&str; 2] = ["/healthz", "/assets/"];

/// Who is let in.
#[derive(Debug)]
pub struct Access {
    token: Option<String>,
}

impl Access {
    /// Whoever shows this token is an operator; without one, everyone who reaches the listener.
    #[must_use]
    pub fn new(token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned) }
    }

    fn recognise(&self, headers: &HeaderMap) -> Result<Visitor, Refusal> {
        let Some(token) = &self.token else { return Ok(Visitor::local()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(read_token);
        if shown.is_some_and(|shown| shown.as_bytes().ct_eq(token.as_bytes()).into()) {
            return Ok(Visitor { name: "operator".to_owned(), role: Role::Operate, masked: false });
        }
        Err(Refusal::new(Kind::Unauthorized, "send the console's token as bearer token"))
    }
}

/// Lets nobody pass to a handler who is not known, so that no handler can forget to ask.
///
/// # Errors
/// Refusals, and what handlers return.
pub async fn guard<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    if !OPEN.iter().any(|open| request.path().starts_with(open))
        && let Some(console) = request.app_data::<web::Data<Console>>()
    {
        let visitor = console.access.recognise(request.headers())?;
        request.extensions_mut().insert(visitor);
    }
    next.call(request).await
}

/// The token travels as bearer token, or as the password of basic authentication.
fn read_token(header: &str) -> Option<String> {
    use base64::Engine as _;
    let (scheme, value) = header.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
            Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

/// What forms must send back as `_token`; `None` when the visitor came without a cookie.
pub(in crate::console) fn form_token(_: &HttpRequest) -> Option<String> {
    None
}

/// Whether the browser speaks https with us or with the proxy before us.
pub(in crate::console) fn is_https(_: &HttpRequest) -> bool {
    false
}
