//! Logging in and out.

use super::{COOKIE, Entered, Visitor, back, cookie, is_https, log};
use crate::console::pages::{Notice, View, redirect};
use crate::console::{Console, Kind, Refusal};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, SET_COOKIE};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use std::fmt;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    back: &'a str,
    fault: Option<&'a str>,
}

/// `/login?back=/leads`
#[derive(Debug, Deserialize)]
pub(in crate::console) struct Way {
    #[serde(default)]
    back: String,
}

/// What the form sends. Its `Debug` shows no token.
#[derive(Deserialize)]
pub(in crate::console) struct Login {
    #[serde(default)]
    token: String,
    #[serde(default)]
    back: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("back", &self.back).finish_non_exhaustive()
    }
}

/// The form; not for those who are in.
pub(in crate::console) async fn show(request: HttpRequest, view: View, way: Option<web::Query<Way>>) -> HttpResponse {
    let back = way.as_ref().map_or("/", |way| back::local(&way.back));
    if view.visitor.is_some() {
        return redirect(&request, back, None);
    }
    view.show("Log in", None, &LoginPage { back, fault: None })
}

pub(in crate::console) async fn log_in(
    request: HttpRequest,
    view: View,
    console: web::Data<Console>,
    login: web::Form<Login>,
) -> Result<HttpResponse, Refusal> {
    let (access, back) = (&console.access, back::local(&login.back));
    if access.users.is_empty() {
        return Ok(redirect(&request, back, None));
    }
    let from = access.client(&request);
    match access.try_token(login.token.trim(), from) {
        Ok(user) => {
            log::logged_in(&user.visitor, from);
            Ok(with_cookie(redirect(&request, back, None), &access.begin(user, is_https(&request))))
        }
        Err(refusal) if refusal.kind == Kind::Unauthorized => {
            let fault = Some("That token is not known. It stands in the configuration, under [console].");
            Ok(view.show_as(StatusCode::UNAUTHORIZED, "Log in", None, &LoginPage { back, fault }))
        }
        Err(refusal) => Err(refusal),
    }
}

/// Ends the session, also for whoever copied the cookie.
pub(in crate::console) async fn log_out(request: HttpRequest, visitor: Visitor, console: web::Data<Console>) -> HttpResponse {
    let access = &console.access;
    let entered = request.extensions().get::<Entered>().cloned();
    let mut notice = Notice::good("You are logged out.");
    if let Some(Entered { session, .. }) = entered {
        if !access.end(&console.store, &session).await {
            let told = "You are logged out here. The store could not note it: to end a copy of the cookie elsewhere, change the token.";
            notice = Notice::bad(told);
        }
        log::logged_out(&visitor, access.client(&request));
    }
    let response = redirect(&request, "/login", Some(&notice));
    with_cookie(response, &cookie::set(COOKIE, "", Some(0), is_https(&request)))
}

fn with_cookie(mut response: HttpResponse, cookie: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
