//! Who is let in to a simulated service.

use super::{Request, Response, TokenEndpoint};

/// Who is let in, by `Authorization: Bearer`.
#[derive(Debug, Default)]
pub enum Door {
    /// Whoever brings any token.
    #[default]
    AnyToken,
    /// Whoever brings this one.
    Token(String),
    /// An app, with the tokens that it was given.
    App(TokenEndpoint),
}

impl Door {
    /// Whether the request may come in.
    #[must_use]
    pub fn admits(&self, request: &Request) -> bool {
        let token = request.bearer().unwrap_or_default();
        match self {
            Self::AnyToken => !token.is_empty(),
            Self::Token(right) => token == right,
            Self::App(tokens) => tokens.accepts(token),
        }
    }

    /// The answer to a request for a token. `None` where there are no apps.
    pub fn token(&mut self, request: &Request) -> Option<Response> {
        match self {
            Self::App(tokens) => Some(tokens.answer(request)),
            Self::AnyToken | Self::Token(_) => None,
        }
    }

    /// Whether whoever comes is an app.
    #[must_use]
    pub fn is_for_apps(&self) -> bool {
        matches!(self, Self::App(_))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn with(token: &str) -> Request {
        Request::new("GET", "/").with_header("Authorization", format!("Bearer {token}"))
    }

    #[test]
    fn each_door_lets_in_whom_it_is_for() {
        assert!(
            Door::AnyToken.admits(&with("x")) && !Door::AnyToken.admits(&with("")) && !Door::AnyToken.admits(&Request::new("GET", "/"))
        );
        let one = Door::Token("right".to_owned());
        assert!(one.admits(&with("right")) && !one.admits(&with("wrong")));
        let mut app = Door::App(TokenEndpoint::new("client", "secret"));
        let mut ask = Request::new("POST", "/token").with_header("Content-Type", "application/x-www-form-urlencoded");
        ask.body = "grant_type=client_credentials&client_id=client&client_secret=secret".into();
        let given: serde_json::Value = serde_json::from_slice(&app.token(&ask).unwrap().body).unwrap();
        assert!(app.admits(&with(given["access_token"].as_str().unwrap())) && !app.admits(&with("x")));
    }
}
