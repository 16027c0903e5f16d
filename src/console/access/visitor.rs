//! Who asks.

use crate::config::Role;
use crate::console::{Kind, Refusal};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use std::future::{Ready, ready};

/// Who asks. A handler that takes it as an argument runs for known visitors only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Their name in the configuration; `operator` for the holder of `[console] token`, `local` where there is no token.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether names, addresses, numbers and texts of persons are masked for them, by [`super::Mask`].
    pub masked: bool,
}

impl Visitor {
    /// Whoever is on this machine, where there is no token.
    pub(super) fn local() -> Self {
        Self { name: "local".to_owned(), role: Role::Operate, masked: false }
    }

    /// Whether they may act.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operate
    }

    /// # Errors
    /// When they may only read.
    pub fn may_operate(&self) -> Result<(), Refusal> {
        if self.is_operator() {
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
