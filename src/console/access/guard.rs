//! What every request passes before a handler sees it, so that no handler can forget it.

use super::{Access, Entered, Known, is_https, origin};
use crate::console::{Console, Kind, Refusal, is_for_programs, pages};
use crate::verify::same;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use std::time::Duration;
use url::form_urlencoded;

/// The way in and out.
const LOGIN: &str = "/login";
const LOGOUT: &str = "/logout";
/// A body of somebody who is not known yet: a token.
const STRANGERS_BODY: usize = 16 << 10;
/// A body of a visitor: a payload to be tried.
pub(in crate::console) const LARGEST_BODY: usize = 4 << 20;
/// For a whole body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// For the token of a form in requests that are no forms.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Sent by pages that refresh themselves: nobody may be sitting there.
const REFRESH_HEADER: HeaderName = HeaderName::from_static("x-refresh");

/// Recognises the visitor, refuses what other sites have browsers send, bounds bodies, and keeps a session that is used.
///
/// # Errors
/// What handlers return.
pub async fn guard(mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_open(request.path()) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let Some(console) = request.app_data::<web::Data<Console>>().cloned() else {
        return Ok(request.error_response(Refusal::new(Kind::Internal, "the console is not set up")));
    };
    let entered = match admit(&mut request, &console).await {
        Ok(known) => known.and_then(|known| remember(&request, known)),
        Err(refusal) if refusal.kind == Kind::Unauthorized && is_for_people(&request) => {
            let answer = pages::redirect(request.request(), &login_address(&request), None);
            return Ok(request.into_response(answer));
        }
        Err(refusal) => return Ok(request.error_response(refusal)),
    };
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(keep(&console.access, response, entered.as_ref()))
}

/// What everyone may have: nothing of it tells anything.
fn is_open(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/assets/")
}

/// Who asks; nobody on the way in only.
async fn admit(request: &mut ServiceRequest, console: &Console) -> Result<Option<Known>, Refusal> {
    let access = &console.access;
    let is_unsafe = origin::is_unsafe(request.method());
    if is_unsafe && !origin::is_same(request.request(), &access.trusted_proxies) {
        return Err(Refusal::new(Kind::Forbidden, "this was sent by a page of another site; open the console itself"));
    }
    let known = match access.admit(&console.store, request.request()).await {
        Err(refusal) if request.path() == LOGIN && refusal.kind == Kind::Unauthorized => None,
        known => Some(known?),
    };
    if is_unsafe {
        let body = take_body(request, if known.is_some() { LARGEST_BODY } else { STRANGERS_BODY }).await?;
        check_form(request, known.as_ref(), &body)?;
    }
    Ok(known)
}

/// Programs with a token that is wrong must read so, and not a page.
fn is_for_people(request: &ServiceRequest) -> bool {
    !is_for_programs(request.request()) && !request.headers().contains_key(actix_web::http::header::AUTHORIZATION)
}

/// With the way back to where the visitor wanted to go. What was to be sent is lost, and is not what is gone back to.
fn login_address(request: &ServiceRequest) -> String {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    if *request.method() != Method::GET || target == "/" {
        return LOGIN.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("back", super::back::local(target)).finish();
    format!("{LOGIN}?{query}")
}

/// Reads the whole body, bounded in size and time, and puts it back for the handler.
async fn take_body(request: &mut ServiceRequest, limit: usize) -> Result<Bytes, Refusal> {
    let mut payload = request.take_payload();
    let whole = async {
        let mut body = BytesMut::new();
        while let Some(piece) = payload.next().await {
            let piece = piece.map_err(|_| Refusal::new(Kind::Invalid, "the request broke off before its end"))?;
            if body.len() + piece.len() > limit {
                return Err(Refusal::new(Kind::TooLarge, format!("the console takes {} KiB here, and this is more", limit >> 10)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    };
    let body = tokio::time::timeout(BODY_WITHIN, whole).await;
    let body = body.map_err(|_| Refusal::new(Kind::Invalid, "the request took too long to arrive"))??;
    request.set_payload(Payload::from(body.clone()));
    Ok(body)
}

/// A browser sends its cookie along whoever makes it send something; only our own forms know the token.
fn check_form(request: &ServiceRequest, known: Option<&Known>, body: &[u8]) -> Result<(), Refusal> {
    let Some(known) = known else { return Ok(()) };
    if let Some(entered) = &known.session {
        let shown = request.headers().get(TOKEN_HEADER).map(|value| value.as_bytes().to_vec()).or_else(|| field(request, body));
        let is_ours = shown.is_some_and(|shown| same(&shown, entered.form_token.as_bytes()).into());
        if !is_ours && request.path() != LOGIN {
            return Err(Refusal::new(Kind::Forbidden, "this form is of an earlier login; go back, load the page again, and repeat it"));
        }
    }
    // Actions ask for themselves as well.
    if request.path().starts_with("/actions/") { known.visitor.may_operate() } else { Ok(()) }
}

fn field(request: &ServiceRequest, body: &[u8]) -> Option<Vec<u8>> {
    let content_type = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    form_urlencoded::parse(body).find(|(name, _)| name == "_token").map(|(_, value)| value.into_owned().into_bytes())
}

/// For the handler, and for what is done with its answer.
fn remember(request: &ServiceRequest, known: Known) -> Option<Entered> {
    let mut extensions = request.extensions_mut();
    extensions.insert(known.visitor);
    let entered = known.session?;
    extensions.insert(entered.clone());
    Some(entered)
}

/// Makes a session last that somebody uses.
fn keep(access: &Access, mut response: ServiceResponse<BoxBody>, entered: Option<&Entered>) -> ServiceResponse<BoxBody> {
    let request = response.request();
    let is_used = ![LOGIN, LOGOUT, "/live", "/api/v1/live"].contains(&request.path()) && !request.headers().contains_key(REFRESH_HEADER);
    let is_https = is_https(request);
    let cookie = entered.filter(|_| is_used).and_then(|entered| access.renew(&entered.session, is_https));
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
