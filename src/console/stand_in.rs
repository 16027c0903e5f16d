//! Who asks, and why something is refused, as the actions need it.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, ResponseError};
use std::future::{Ready, ready};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Look at everything.
    Read,
    /// And act.
    Operate,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Their name in the configuration.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether what is of persons is masked for them.
    pub masked: bool,
}

impl Visitor {
    /// # Errors
    /// When they may only read.
    pub fn may_operate(&self) -> Result<(), Refusal> {
        if self.role == Role::Operate {
            return Ok(());
        }
        Err(Refusal::new(Kind::Forbidden, format!("{} may look, and not act; ask someone with the role `operate`", self.name)))
    }
}

impl FromRequest for Visitor {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(known.ok_or_else(|| Refusal::new(Kind::Unauthorized, "log in first")))
    }
}

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
    /// It cannot be done in the state that things are in.
    Conflict,
    /// The store cannot be used now.
    Unavailable,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub kind: Kind,
    /// What happened and what to do next, in a sentence.
    pub message: String,
}

impl Refusal {
    /// One of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self.kind {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<crate::store::Error> for Refusal {
    fn from(error: crate::store::Error) -> Self {
        Self::new(Kind::Unavailable, format!("the store cannot be used: {error}; `leadwire doctor` looks at it"))
    }
}
