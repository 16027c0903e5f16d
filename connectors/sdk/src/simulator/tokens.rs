//! A token endpoint, for simulated services with OAuth.

use super::{Request, Response};
use crate::reexport::Uuid;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use url::form_urlencoded;

/// Gives tokens as RFC 6749 has it: for the newest refresh token, or for the client itself. A service asks it to
/// [`answer`](Self::answer) the requests to its token address, and whether it [`accepts`](Self::accepts) a token.
#[derive(Debug)]
pub struct TokenEndpoint {
    client_id: String,
    client_secret: String,
    refresh_token: Option<String>,
    lifetime: Duration,
    rotates: bool,
    fields: Map<String, Value>,
    issued: BTreeMap<String, Timestamp>,
    answered: u64,
    refused: u64,
}

impl TokenEndpoint {
    /// For one client, whose tokens are good for an hour.
    #[must_use]
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            refresh_token: None,
            lifetime: Duration::from_secs(3_600),
            rotates: false,
            fields: Map::new(),
            issued: BTreeMap::new(),
            answered: 0,
            refused: 0,
        }
    }

    /// Takes this refresh token, instead of the client's own right.
    #[must_use]
    pub fn refresh_token(self, token: impl Into<String>) -> Self {
        Self { refresh_token: Some(token.into()), ..self }
    }

    /// Gives a new refresh token with each answer, and takes the old one no more.
    #[must_use]
    pub fn rotating(self) -> Self {
        Self { rotates: true, ..self }
    }

    /// Gives tokens that are good for so long.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Adds a field to each answer, such as `instance_url`.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// How many tokens it gave, and how many requests it refused.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.answered, self.refused)
    }

    /// Takes none of the tokens that it gave any more, as when their time is over.
    pub fn expire(&mut self) {
        self.issued.clear();
    }

    /// Takes the refresh token no more.
    pub fn revoke(&mut self) {
        self.refresh_token = Some(Uuid::now_v7().to_string());
    }

    /// Whether the token is one that it gave, and good.
    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        self.issued.get(token).is_some_and(|until| Timestamp::now() < *until)
    }

    /// The answer to a request for a token.
    pub fn answer(&mut self, request: &Request) -> Response {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        if let Err((status, code)) = self.judge(&fields, request) {
            self.refused += 1;
            return Response::json(status, &json!({"error": code}));
        }
        self.answered += 1;
        Response::json(200, &Value::Object(self.issue()))
    }

    fn judge(&self, fields: &BTreeMap<String, String>, request: &Request) -> Result<(), (u16, &'static str)> {
        let given = |name: &str| fields.get(name).map_or("", String::as_str);
        let is_form = request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let in_body = given("client_id") == self.client_id && given("client_secret") == self.client_secret;
        let is_client = in_body || request.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        match (given("grant_type"), &self.refresh_token) {
            _ if !is_form => Err((400, "invalid_request")),
            _ if !is_client => Err((401, "invalid_client")),
            ("refresh_token", Some(token)) if given("refresh_token") != token => Err((400, "invalid_grant")),
            ("refresh_token", Some(_)) | ("client_credentials", None) => Ok(()),
            ("urn:ietf:params:oauth:grant-type:jwt-bearer", None) if !given("assertion").is_empty() => Ok(()),
            _ => Err((400, "unsupported_grant_type")),
        }
    }

    fn issue(&mut self) -> Map<String, Value> {
        let token = format!("access-{}", Uuid::now_v7());
        let until = Timestamp::now().checked_add(SignedDuration::try_from(self.lifetime).unwrap_or_default()).unwrap_or(Timestamp::MAX);
        self.issued.insert(token.clone(), until);
        let mut answer = self.fields.clone();
        answer.insert("access_token".to_owned(), token.into());
        answer.insert("expires_in".to_owned(), self.lifetime.as_secs().into());
        answer.insert("token_type".to_owned(), "Bearer".into());
        if self.refresh_token.is_some() && self.rotates {
            self.refresh_token = Some(format!("refresh-{}", Uuid::now_v7()));
        }
        if let Some(token) = &self.refresh_token {
            answer.insert("refresh_token".to_owned(), token.clone().into());
        }
        answer
    }
}
