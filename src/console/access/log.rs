//! What is told of logins. Tokens are told nowhere, neither right ones nor wrong ones.

use super::Visitor;
use std::net::IpAddr;

/// Somebody logged in.
pub(super) fn logged_in(visitor: &Visitor, from: IpAddr) {
    tracing::info!(visitor = visitor.name, %from, "logged in to the console");
}

/// Somebody logged out.
pub(super) fn logged_out(visitor: &Visitor, from: IpAddr) {
    tracing::info!(visitor = visitor.name, %from, "logged out of the console");
}

/// A token was shown that is nobody's. The throttle bounds how often this is told.
pub(super) fn refused(from: IpAddr) {
    tracing::warn!(%from, "somebody showed the console a token that is not known");
}
