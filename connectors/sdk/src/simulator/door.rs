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

/// A search that is behind the writes by a number of requests, so that it is the same in every run.
#[derive(Debug, Default)]
pub struct SearchLag {
    requests: u64,
    lag: u64,
}

impl SearchLag {
    /// Search finds a record only when so many requests came after the one that made it; 0 for at once.
    pub fn set(&mut self, requests: u64) {
        self.lag = requests;
    }

    /// Counts a request.
    pub fn count(&mut self) {
        self.requests += 1;
    }

    /// The number of this request, to keep with a record that it makes.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.requests
    }

    /// Whether search knows by now of what that request made.
    #[must_use]
    pub fn shows(&self, made_at: u64) -> bool {
        self.lag == 0 || self.requests > made_at + self.lag
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

    #[test]
    fn a_search_that_lags_knows_a_record_later() {
        let mut lag = SearchLag::default();
        assert!(lag.shows(lag.now()));
        lag.set(1);
        let made_at = lag.now();
        let known = [(); 3].map(|()| {
            lag.count();
            lag.shows(made_at)
        });
        assert_eq!(known, [false, true, true]);
    }
}
