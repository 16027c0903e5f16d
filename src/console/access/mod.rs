//! Who may see the console, and what they may do there.
//!
//! People log in with their token and have a session in a cookie; programs show the token with each request. Without any token in the
//! configuration the console is on loopback, and whoever reaches it there may do everything.

pub(in crate::console) mod back;
pub(in crate::console) mod cookie;
mod guard;
mod log;
pub(in crate::console) mod login;
mod mask;
mod origin;
mod session;
mod throttle;
mod users;
mod visitor;

pub use crate::config::Role;
pub(in crate::console) use guard::LARGEST_BODY;
pub use guard::guard;
pub use mask::Mask;
pub use visitor::Visitor;

use super::{Console, Kind, Refusal};
use crate::config;
use crate::store::Store;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{HttpMessage as _, HttpRequest, web};
use ipnet::IpNet;
use jiff::Timestamp;
use session::{Ended, Lifetime, Session};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use throttle::Throttle;
use users::{User, Users};

/// The name of the cookie.
const COOKIE: &str = "leadwire_session";
/// How long a request waits for the store to say whether its session was ended.
const ASK_WITHIN: Duration = Duration::from_millis(500);
/// How long a logout waits for the store to take it.
const NOTE_WITHIN: Duration = Duration::from_secs(5);

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Access {
    users: Users,
    lifetime: Lifetime,
    trusted_proxies: Vec<IpNet>,
    is_tls: bool,
    throttle: Arc<Throttle>,
    ended: Arc<Ended>,
}

/// Whoever was recognised. `session` is set for those who came with a cookie.
struct Known {
    visitor: Visitor,
    session: Option<Entered>,
}

/// A session that a request came with.
#[derive(Debug, Clone)]
struct Entered {
    session: Session,
    form_token: String,
}

impl Access {
    /// Lets in whom the configuration names, everyone when it names nobody. `trusted_proxies` are believed as for the receiver.
    #[must_use]
    pub fn new(console: &config::Console, trusted_proxies: &[IpNet]) -> Self {
        let seconds = |period: Duration| i64::try_from(period.as_secs().max(1)).unwrap_or(i64::MAX);
        Self {
            users: Users::new(console),
            lifetime: Lifetime { whole: seconds(console.session_lifetime), idle: seconds(console.session_idle) },
            trusted_proxies: trusted_proxies.to_vec(),
            is_tls: console.tls,
            throttle: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// The same after a change of the configuration: who guessed too often waits still, and what was logged out stays so.
    #[must_use]
    pub fn renewed(&self, console: &config::Console, trusted_proxies: &[IpNet]) -> Self {
        let (throttle, ended) = (Arc::clone(&self.throttle), Arc::clone(&self.ended));
        Self { throttle, ended, ..Self::new(console, trusted_proxies) }
    }

    /// Whether who came with these headers would be let in still: a session may end while a page listens.
    pub(in crate::console) async fn still_lets_in(&self, store: &Store, headers: &HeaderMap) -> bool {
        if self.users.is_empty() || headers.contains_key(AUTHORIZATION) {
            return true;
        }
        let session = self.enter(headers).and_then(|known| known.session);
        match session {
            Some(entered) => !self.has_ended(store, &entered.session).await,
            None => false,
        }
    }

    /// Whoever asks, unless they logged out, here or at another bridge.
    async fn admit(&self, store: &Store, request: &HttpRequest) -> Result<Known, Refusal> {
        let known = self.recognise(request)?;
        match &known.session {
            Some(entered) if self.has_ended(store, &entered.session).await => Err(stranger()),
            _ => Ok(known),
        }
    }

    /// Whether somebody logged out of this session. While the store cannot be asked there is nothing to be seen or done with it, so that
    /// nobody is shut out for that.
    async fn has_ended(&self, store: &Store, session: &Session) -> bool {
        let asked = tokio::time::timeout(ASK_WITHIN, store.is_logged_out(session.id().to_owned())).await;
        let has_ended = matches!(asked, Ok(Ok(true)));
        if has_ended {
            self.ended.add(session, now(), self.lifetime);
        }
        has_ended
    }

    /// Ends a session, also for whoever copied the cookie. False when other bridges will not know.
    async fn end(&self, store: &Store, session: &Session) -> bool {
        self.ended.add(session, now(), self.lifetime);
        let ends_at = Timestamp::from_second(session.end(self.lifetime)).unwrap_or(Timestamp::MAX);
        let noted = store.note_logout(session.id().to_owned(), ends_at, Timestamp::now());
        matches!(tokio::time::timeout(NOTE_WITHIN, noted).await, Ok(Ok(())))
    }

    fn recognise(&self, request: &HttpRequest) -> Result<Known, Refusal> {
        if self.users.is_empty() {
            return local(request);
        }
        if let Some(token) = shown_token(request.headers()) {
            let user = self.try_token(&token, self.client(request))?;
            return Ok(Known { visitor: user.visitor.clone(), session: None });
        }
        self.enter(request.headers()).ok_or_else(stranger)
    }

    /// Whose token it is. Guesses are counted.
    fn try_token(&self, token: &str, from: IpAddr) -> Result<&User, Refusal> {
        if let Some(seconds) = self.throttle.wait(from) {
            let message = format!("too many tokens were tried that are not known; try again in {seconds} seconds");
            return Err(Refusal { retry_after: Some(seconds), ..Refusal::new(Kind::TooMany, message) });
        }
        self.users.by_token(token).ok_or_else(|| {
            self.throttle.failed(from);
            log::refused(from);
            Refusal::new(Kind::Unauthorized, "that token is not known; it stands in the configuration, under `[console]`")
        })
    }

    /// By the session of the cookie.
    fn enter(&self, headers: &HeaderMap) -> Option<Known> {
        let key_of = |name: &str| self.users.by_name(name).map(|user| &user.key);
        let session = Session::open(cookie::get(headers, COOKIE)?, key_of, now(), self.lifetime)?;
        let user = self.users.by_name(&session.name).filter(|_| !self.ended.contains(&session))?;
        let form_token = session.form_token(&user.key);
        Some(Known { visitor: user.visitor.clone(), session: Some(Entered { session, form_token }) })
    }

    /// The cookie of a new session.
    fn begin(&self, user: &User, is_https: bool) -> String {
        self.cookie(&Session::begin(&user.visitor.name, now(), self.lifetime), user, is_https)
    }

    /// A cookie that makes the session last, when it is time for one.
    fn renew(&self, session: &Session, is_https: bool) -> Option<String> {
        let user = self.users.by_name(&session.name)?;
        Some(self.cookie(&session.renewed(now(), self.lifetime)?, user, is_https))
    }

    fn cookie(&self, session: &Session, user: &User, is_https: bool) -> String {
        cookie::set(COOKIE, &session.seal(&user.key), Some(session.seconds_left(now())), is_https)
    }

    /// Whose request it is, behind proxies that are trusted.
    pub(in crate::console) fn client(&self, request: &HttpRequest) -> IpAddr {
        origin::client(request, &self.trusted_proxies)
    }
}

fn stranger() -> Refusal {
    Refusal::new(Kind::Unauthorized, "send a token of the console as bearer token, or log in with a browser")
}

fn local(request: &HttpRequest) -> Result<Known, Refusal> {
    if origin::names_loopback(request) {
        return Ok(Known { visitor: Visitor::local(), session: None });
    }
    let message = "without a token the console is for this machine only, by the name localhost or 127.0.0.1; set `token` in [console]";
    Err(Refusal::new(Kind::Forbidden, message))
}

/// The token travels as bearer token, or as the password of basic authentication.
fn shown_token(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    // What cannot be read is no token, and is refused as a wrong one.
    let header = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, value) = header.split_once(' ').unwrap_or_default();
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
            decoded.and_then(|text| Some(String::from_utf8(text).ok()?.split_once(':')?.1.to_owned()))
        }
        _ => None,
    };
    Some(token.unwrap_or_default())
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// What forms must send back as `_token`; `None` when the visitor came without a cookie.
pub(in crate::console) fn form_token(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Entered>().map(|entered| entered.form_token.clone())
}

/// Whether the browser speaks https, with us or with the proxy before us.
pub(in crate::console) fn is_https(request: &HttpRequest) -> bool {
    let access = request.app_data::<web::Data<Console>>().map(|console| &console.access);
    let proxies = access.map_or(&[][..], |access| &access.trusted_proxies);
    // A cookie of that name was set, and is sent, over https only.
    access.is_some_and(|access| access.is_tls) || cookie::is_host_only(request.headers(), COOKIE) || origin::is_https(request, proxies)
}
