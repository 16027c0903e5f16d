//! `token` or `oauth`: who the bridge is to a service.

use super::{OAuth, OAuthKeys, Tokens};
use crate::settings::{Fault, Secret};
use crate::{BuildContext, Claim};

/// Who the bridge is to a service that takes either of two: a token that a person made there, or an app.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A token that stays as it is: a service key, a private integration token.
    Token(Secret),
    /// An app, which asks for its tokens.
    App(Box<OAuth>),
}

/// What to say of a `token` or `oauth` that cannot be right, in words that know where the service has them.
#[derive(Debug, Clone)]
pub struct CredentialFaults {
    /// There is neither.
    pub missing: Fault,
    /// There are both.
    pub both: Fault,
    /// The token has characters that no header can carry, mostly from copying more than the token.
    pub malformed: Fault,
}

impl Credentials {
    /// The one that is set. `app` makes of the keys what is asked for tokens, as the service wants it.
    ///
    /// # Errors
    /// The one of `told` that is right, and those of `app`.
    pub fn of(
        token: Option<&Secret>,
        oauth: Option<&OAuthKeys>,
        app: impl FnOnce(&OAuthKeys) -> Result<OAuth, Vec<Fault>>,
        told: CredentialFaults,
    ) -> Result<Self, Vec<Fault>> {
        match (token, oauth.map(app)) {
            (None, None) => Err(vec![told.missing]),
            (None, Some(app)) => app.map(|oauth| Self::App(Box::new(oauth))),
            (Some(_), Some(app)) => Err(std::iter::once(told.both).chain(app.err().into_iter().flatten()).collect()),
            (Some(token), None) if token.expose().bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self::Token(token.clone())),
            (Some(_), None) => Err(vec![told.malformed]),
        }
    }

    /// What gives tokens; `what` names the service in messages.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn tokens(&self, what: &str, context: &BuildContext) -> Result<Tokens, String> {
        match self {
            Self::Token(token) => Ok(Tokens::fixed(token)),
            Self::App(oauth) => Tokens::oauth((**oauth).clone(), what, context),
        }
    }

    /// What no other destination may use beside this one, where a refresh token is good once.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        if let Self::App(oauth) = self { oauth.claim() } else { None }
    }

    /// Whether tokens are those of an app, which a remedy must know.
    #[must_use]
    pub fn is_app(&self) -> bool {
        matches!(self, Self::App(_))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::{Value, json};

    fn of(token: Option<&str>, oauth: &Value) -> Result<Credentials, Vec<String>> {
        let token = token.map(Secret::literal);
        let keys: Option<OAuthKeys> = serde_json::from_value(oauth.clone()).unwrap();
        let fault = |message: &str| Fault::new(["token"], message);
        let told = CredentialFaults { missing: fault("missing"), both: fault("both"), malformed: fault("malformed") };
        let url = "https://crm.example/token".parse().unwrap();
        let read = Credentials::of(token.as_ref(), keys.as_ref(), |keys| keys.oauth(Some(&url)), told);
        read.map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn one_of_the_two_is_set() {
        let app = json!({"client_id": "c", "refresh_token": "r"});
        assert!(of(Some("hunter2"), &Value::Null).is_ok_and(|read| !read.is_app() && !format!("{read:?}").contains("hunter2")));
        assert!(of(None, &app).is_ok_and(|read| read.is_app()));
        for (token, oauth, told) in [
            (None, Value::Null, &["missing"][..]),
            (Some("a b"), Value::Null, &["malformed"]),
            (Some("t"), app, &["both"]),
            (Some("t"), json!({"client_id": "c"}), &["both", "`refresh_token` is missing"]),
            (None, json!({"client_id": "c"}), &["`refresh_token` is missing"]),
        ] {
            assert_eq!(of(token, &oauth).unwrap_err(), told, "{token:?} {oauth}");
        }
    }
}
