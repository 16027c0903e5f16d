//! Who has which token.

use super::Visitor;
use super::session::Key;
use crate::config::{self, Role};
use crate::verify::same;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Somebody with a token. Its `Debug` shows the name.
#[derive(Clone)]
pub(super) struct User {
    pub(super) visitor: Visitor,
    pub(super) key: Key,
    digest: [u8; 32],
}

impl User {
    fn new(name: &str, role: Role, masked: bool, token: &str) -> Self {
        let visitor = Visitor { name: name.to_owned(), role, masked };
        Self { visitor, key: Key::of(token), digest: Sha256::digest(token).into() }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.visitor.name)
    }
}

/// Everyone who is known.
#[derive(Debug, Clone)]
pub(super) struct Users(Vec<User>);

impl Users {
    pub(super) fn new(console: &config::Console) -> Self {
        let owner = console.token.iter().map(|token| User::new("operator", Role::Operate, false, token.expose()));
        let others = console.users.iter().filter_map(|(name, user)| {
            let masked = console.mask_personal_data && user.role == Role::Read;
            Some(User::new(name, user.role, masked, user.token.as_ref()?.expose()))
        });
        Self(owner.chain(others).collect())
    }

    /// Without anybody, whoever reaches the listener is let in.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is. It takes the same time whoever it is, and when it is nobody's; digests also hide how long tokens are.
    pub(super) fn by_token(&self, token: &str) -> Option<&User> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for user in &self.0 {
            if same(&digest, &user.digest).into() {
                found = Some(user);
            }
        }
        found
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&User> {
        self.0.iter().find(|user| user.visitor.name == name)
    }
}
