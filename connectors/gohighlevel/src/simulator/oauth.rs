//! `POST /oauth/token`: every refresh token is good once, and gives the next one.

use super::answers::{error, ok};
use leadwire_connector::simulator::{Request, Response};
use serde_json::json;

/// The tokens of the simulated app; none at all by default.
#[derive(Debug, Default)]
pub(super) struct OAuth {
    refresh: Option<String>,
    issued: u32,
}

impl OAuth {
    pub(super) fn starting_with(refresh: String) -> Self {
        Self { refresh: Some(refresh), issued: 0 }
    }

    fn access(&self) -> String {
        format!("access-token-{}", self.issued)
    }

    /// Whether this is the newest access token; `None` when tokens are not those of OAuth.
    pub(super) fn accepts(&self, token: &str) -> Option<bool> {
        self.refresh.as_ref().map(|_| self.issued > 0 && token == self.access())
    }

    pub(super) fn renew(&mut self, request: &Request) -> Result<Response, Response> {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let is_form = request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form || field("grant_type") != Some("refresh_token") || field("client_id").is_none() || field("client_secret").is_none() {
            return Err(error(422, "client_id, client_secret and grant_type are required"));
        }
        if self.refresh.as_deref() != field("refresh_token") {
            return Err(Response::json(400, &json!({"error": "invalid_grant", "error_description": "This refresh token is invalid"})));
        }
        self.issued += 1;
        let refresh = format!("refresh-token-{}", self.issued);
        self.refresh = Some(refresh.clone());
        Ok(ok(
            200,
            json!({
                "access_token": self.access(), "token_type": "Bearer", "expires_in": 86_399, "refresh_token": refresh,
                "scope": "contacts.readonly contacts.write", "userType": field("user_type"),
            }),
        ))
    }
}
