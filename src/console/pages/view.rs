//! What all pages have around them: title, visitor, way to the other pages, notice.

use super::filters;
use super::notice::Notice;
use crate::console::access::{Visitor, form_token, is_https};
use crate::console::{Console, Refusal, assets};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderValue, LOCATION, SET_COOKIE};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, web};
use askama::Template;
use std::convert::Infallible;
use std::future::{Ready, ready};

/// A page that every other one leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nav {
    /// What came in, what went out, what waits.
    Now,
    /// Search, and one lead.
    Leads,
    /// Dead letters, quarantine, events without a route.
    Person,
    /// How each is, and what holds it.
    Destinations,
    /// What each receives and refuses.
    Sources,
    /// A payload, and the requests it would lead to.
    TryIt,
}

impl Nav {
    const ALL: [Self; 6] = [Self::Now, Self::Leads, Self::Person, Self::Destinations, Self::Sources, Self::TryIt];

    fn label(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Leads => "Leads",
            Self::Person => "Needs a person",
            Self::Destinations => "Destinations",
            Self::Sources => "Sources",
            Self::TryIt => "Try it",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Now => "/",
            Self::Leads => "/leads",
            Self::Person => "/person",
            Self::Destinations => "/destinations",
            Self::Sources => "/sources",
            Self::TryIt => "/try",
        }
    }
}

/// What a handler needs to show a page; it takes it as an argument.
#[derive(Debug, Clone)]
pub struct View {
    /// Who looks; `None` on the login page and on refusals of strangers.
    pub visitor: Option<Visitor>,
    /// What every form that posts has in its hidden field `_token`.
    pub token: String,
    /// The last change that was told of before the page was made.
    seen: String,
    notice: Option<Notice>,
    is_https: bool,
    may_log_out: bool,
}

impl View {
    fn of(request: &HttpRequest) -> Self {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let token = form_token(request);
        let may_log_out = token.is_some();
        let seen = request.app_data::<web::Data<Console>>().map(|console| console.live.last_id()).unwrap_or_default();
        let (token, notice) = (token.unwrap_or_default(), Notice::read(request));
        Self { visitor, token, seen, notice, is_https: is_https(request), may_log_out }
    }

    /// Whether what the page offers to do may be done by who looks.
    #[must_use]
    pub fn may_operate(&self) -> bool {
        self.visitor.as_ref().is_some_and(Visitor::is_operator)
    }

    /// Whether persons are shown to who looks as they are.
    #[must_use]
    pub fn sees_persons(&self) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| !visitor.masked)
    }

    /// The page with this content. `nav` is the entry that it belongs to.
    #[must_use]
    pub fn show(&self, title: &str, nav: Option<Nav>, content: &impl Template) -> HttpResponse {
        self.show_as(StatusCode::OK, title, nav, content)
    }

    /// The same with another status.
    #[must_use]
    pub fn show_as(&self, status: StatusCode, title: &str, nav: Option<Nav>, content: &impl Template) -> HttpResponse {
        let html = content.render().and_then(|content| Base { title, nav, view: self, content: &content }.render());
        let Ok(html) = html else {
            // Our templates fail when memory does, and then no page would do better.
            return HttpResponse::InternalServerError().body("the page cannot be made");
        };
        let mut response = HttpResponse::build(status).content_type(ContentType::html()).body(html);
        if self.notice.is_some()
            && let Ok(cookie) = HeaderValue::from_str(&Notice::forget(self.is_https))
        {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl FromRequest for View {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

#[derive(Template)]
#[template(path = "base.html")]
struct Base<'a> {
    title: &'a str,
    nav: Option<Nav>,
    view: &'a View,
    content: &'a str,
}

impl Base<'_> {
    fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    message: String,
}

/// On to another page of the console, with a notice to be shown there.
pub(in crate::console) fn redirect(request: &HttpRequest, path: &str, notice: Option<&Notice>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, path));
    if let Some(notice) = notice {
        response.append_header((SET_COOKIE, notice.cookie(is_https(request))));
    }
    response.finish()
}

/// The page that says why not.
pub(in crate::console) fn refused(request: &HttpRequest, refusal: &Refusal) -> HttpResponse {
    // Messages are written to follow something else, as in a log line; on a page they are sentences.
    let mut letters = refusal.message.chars();
    let message = letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default();
    View::of(request).show_as(refusal.kind.status(), refusal.kind.title(), None, &ErrorPage { message })
}
