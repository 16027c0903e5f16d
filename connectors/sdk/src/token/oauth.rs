//! The request for a token, and what its answer means.

use super::held::Issued;
use crate::http::{Answer, Method, Request};
use crate::redact::Redactor;
use crate::refusal::word;
use crate::settings::Secret;
use crate::{Claim, DeliveryError, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::{Url, form_urlencoded};

/// Longer than the windows in which services count requests for tokens.
const AFTER_TOO_MANY: Duration = Duration::from_secs(600);

/// What a token is asked for with.
#[derive(Clone)]
pub enum Grant {
    /// A refresh token that somebody got by authorising once (RFC 6749, 6).
    RefreshToken(Secret),
    /// The client's own right (RFC 6749, 4.4).
    ClientCredentials,
    /// A JWT that is made anew for each request (RFC 7523), at this moment. The error is a sentence for a person.
    Assertion(Arc<dyn Fn(Timestamp) -> Result<String, String> + Send + Sync>),
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Grant {
    fn name(&self) -> &'static str {
        match self {
            Self::RefreshToken(_) => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Assertion(_) => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// How the client says who it is (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the body.
    #[default]
    Body,
    /// In `Authorization: Basic`.
    Basic,
}

/// A token endpoint and what to ask it with.
#[derive(Debug, Clone)]
pub struct OAuth {
    pub(super) token_url: Url,
    client_id: String,
    client_secret: Option<Secret>,
    grant: Grant,
    client_auth: ClientAuth,
    parameters: Vec<(String, String)>,
    lifetime: Option<Duration>,
    name: String,
}

impl OAuth {
    /// For a client that says who it is in the body.
    #[must_use]
    pub fn new(token_url: Url, client_id: impl Into<String>, grant: Grant) -> Self {
        Self {
            token_url,
            client_id: client_id.into(),
            client_secret: None,
            grant,
            client_auth: ClientAuth::Body,
            parameters: Vec::new(),
            lifetime: None,
            name: "oauth".to_owned(),
        }
    }

    /// Sets the client's secret.
    #[must_use]
    pub fn client_secret(self, secret: Secret) -> Self {
        Self { client_secret: Some(secret), ..self }
    }

    /// Sets how the client says who it is.
    #[must_use]
    pub fn client_auth(self, client_auth: ClientAuth) -> Self {
        Self { client_auth, ..self }
    }

    /// Adds a parameter to the body, such as `scope` or `audience`.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.parameters.push((name.to_owned(), value.into()));
        self
    }

    /// Sets how long a token is good for when the answer does not say. Without it, such a token is used until it is refused.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Sets the name under which the tokens are kept, for a connector that has several. Default `oauth`.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The refresh token, where the service takes each away once it was used: two destinations would take it from each other.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let help = "connect the app once for each destination: every connection has a refresh token of its own";
        let path = ["oauth", "refresh_token"].map(str::to_owned).to_vec();
        self.first_refresh_token().map(|_| Claim { path, what: "refresh token", id: self.seed(), help })
    }

    /// Tells whether kept tokens come from these settings: those of a grant that was replaced are of no use. A refresh token stays what
    /// it is when something else is asked for with it, and its newest one must be found again.
    pub(super) fn seed(&self) -> String {
        let is_refreshed = self.first_refresh_token().is_some();
        let parts = [self.token_url.as_str(), &self.client_id, self.grant.name(), self.first_refresh_token().unwrap_or_default()];
        let parameters = self.parameters.iter().filter(|_| !is_refreshed).flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        let mut hash = Sha256::new();
        for part in parts.into_iter().chain(parameters) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name under which the tokens of these settings are kept. Bridges with other settings, as at a restart one after the other, keep
    /// theirs beside them.
    pub(super) fn row(&self) -> String {
        format!("{}-{}", self.name, self.seed())
    }

    /// The refresh token of the settings.
    pub(super) fn first_refresh_token(&self) -> Option<&str> {
        if let Grant::RefreshToken(token) = &self.grant { Some(token.expose()) } else { None }
    }

    pub(super) fn request(&self, refresh_token: Option<&str>, now: Timestamp) -> Result<Request, DeliveryError> {
        let wrong = |why: String| {
            let told = format!("no access token can be asked for: {why}; correct the settings, then resume the destination");
            DeliveryError::hold(ErrorKind::Configuration, told, None)
        };
        let assertion = if let Grant::Assertion(make) = &self.grant { Some(make(now).map_err(wrong)?) } else { None };
        let secret = self.client_secret.as_ref().map(Secret::expose);
        let mut fields = vec![("grant_type", self.grant.name())];
        fields.extend(refresh_token.map(|token| ("refresh_token", token)));
        fields.extend(assertion.as_deref().map(|assertion| ("assertion", assertion)));
        fields.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request = Request::new(Method::Post, self.token_url.clone()).header("Accept", "application/json");
        let request = match self.client_auth {
            ClientAuth::Basic => request.secret_header("Authorization", basic(&self.client_id, secret.unwrap_or_default())),
            ClientAuth::Body => {
                fields.push(("client_id", &self.client_id));
                fields.extend(secret.map(|secret| ("client_secret", secret)));
                fields.retain(|(name, value)| *name != "client_id" || !value.is_empty());
                request
            }
        };
        let secrets = [refresh_token, assertion.as_deref(), secret];
        Ok(secrets.into_iter().flatten().fold(request.form(&fields), Request::secret))
    }

    /// What the answer gives, or why it gives nothing.
    pub(super) fn read(&self, answer: &Answer, redactor: &Redactor, what: &str) -> Result<Issued, DeliveryError> {
        let body = answer.json().unwrap_or(Value::Null);
        let token = body["access_token"].as_str().filter(|token| !token.is_empty());
        match token {
            Some(token) if answer.is_2xx() && body.get("error").is_none_or(Value::is_null) => Ok(self.issued(token, &body, answer.at)),
            _ => Err(refused(answer, &body, redactor, what)),
        }
    }

    fn issued(&self, token: &str, body: &Value, at: Timestamp) -> Issued {
        let seconds = [&body["expires_in"], &body["expires_in_sec"]].into_iter().find_map(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        });
        let told = seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let expires_at = told.or(self.lifetime).and_then(|lifetime| at.checked_add(lifetime).ok());
        let is_other = |name: &str| !["access_token", "refresh_token", "expires_in", "id_token"].contains(&name);
        let fields = body.as_object().into_iter().flatten().filter(|(name, value)| is_other(name) && value.is_string());
        Issued {
            access_token: token.to_owned(),
            refresh_token: body["refresh_token"].as_str().filter(|token| !token.is_empty()).map(str::to_owned),
            expires_at,
            issued_at: at,
            fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

/// RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// Codes that no later request changes. Those of RFC 6749, 5.2, and those that services add.
fn is_permanent(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let standard = ["invalid_grant", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"];
    let others =
        ["invalid_code", "invalid_client_secret", "access_denied", "bad_refresh_token", "bad_hub", "bad_client_id", "bad_client_secret"];
    standard.contains(&code.as_str()) || others.contains(&code.as_str())
}

fn remedy(code: &str) -> &'static str {
    match code.to_ascii_lowercase().as_str() {
        "invalid_client" | "invalid_client_secret" | "unauthorized_client" | "bad_client_id" | "bad_client_secret" => {
            "correct the client's id and secret (and the address of the token endpoint, if the account is in another region)"
        }
        "invalid_scope" => "ask for scopes that the app has",
        "unsupported_grant_type" | "invalid_request" => "see that the grant and the address of the token endpoint are right",
        _ => "somebody revoked the access, or it ran out: connect the account again and set the new refresh token or credentials",
    }
}

/// An answer of 200 may hold an error as well (Zoho). What is neither known nor a refusal by its status is tried again.
fn refused(answer: &Answer, body: &Value, redactor: &Redactor, what: &str) -> DeliveryError {
    let status = answer.status;
    let code =
        [&body["error"], &body["status"], &body["error"]["code"]].into_iter().filter_map(Value::as_str).find(|code| is_permanent(code));
    let told = code.or_else(|| body["error"].as_str().and_then(word));
    let named = told.map_or_else(|| status.to_string(), |code| format!("{code}, {status}"));
    let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    let is_too_many = status == 429 || text.contains("too many requests");
    let is_refusal = matches!(status, 400..=499) && !matches!(status, 408 | 425);
    let error = if is_too_many {
        let after = answer.retry_after().or(Some(AFTER_TOO_MANY));
        DeliveryError::retry_after(ErrorKind::RateLimited, format!("{what} was asked for too many access tokens ({named})"), after)
    } else if let Some(code) = code {
        let message = format!("{what} gives no access token ({named}): {}; then resume the destination", remedy(code));
        DeliveryError::hold(ErrorKind::Credentials, message, None)
    } else if told.is_some_and(|code| matches!(code, "temporarily_unavailable" | "server_error" | "slow_down")) || status >= 500 {
        DeliveryError::retry_after(
            ErrorKind::Server,
            format!("{what} gives no access token for the moment ({named})"),
            answer.retry_after(),
        )
    } else if is_refusal || (300..400).contains(&status) {
        let message = format!("{what} gives no access token ({named}): {}; then resume the destination", remedy("invalid_request"));
        DeliveryError::hold(ErrorKind::Credentials, message, None)
    } else {
        let message = format!("{what} answered the request for an access token with something else ({named})");
        DeliveryError::retry(ErrorKind::Unexpected, message)
    };
    let error = error.with_status(status);
    let error = if let Some(code) = told { error.with_code(code) } else { error };
    // A success may hold a token that is not known yet, and so cannot be masked.
    if answer.is_2xx() { error } else { error.with_excerpt(&redactor.clean_bytes(answer.body.clone())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::Verdict;

    fn oauth() -> OAuth {
        let grant = Grant::RefreshToken(Secret::literal("refresh-token-1"));
        OAuth::new("https://crm.example/token".parse().unwrap(), "id 1", grant).client_secret(Secret::literal("client&secret"))
    }

    fn read(status: u16, body: &str) -> Result<Issued, DeliveryError> {
        let at = "2026-11-22T10:00:00Z".parse().unwrap();
        let answer = Answer { status, headers: Vec::new(), body: body.to_owned().into(), truncated: false, at };
        oauth().read(&answer, &Redactor::new(["refresh-token-1"]), "the CRM")
    }

    #[test]
    fn the_client_says_who_it_is_in_the_body_or_the_header() {
        let now = Timestamp::UNIX_EPOCH;
        let body = oauth().request(Some("r 1"), now).unwrap().body;
        assert_eq!(body, "grant_type=refresh_token&refresh_token=r+1&client_id=id+1&client_secret=client%26secret");
        let request = oauth().client_auth(ClientAuth::Basic).parameter("scope", "a b").request(Some("r"), now).unwrap();
        assert_eq!(request.body, "grant_type=refresh_token&refresh_token=r&scope=a+b");
        let header = request.headers.iter().find(|(name, _)| name == "Authorization").unwrap();
        assert_eq!(header.1, format!("Basic {}", STANDARD.encode("id+1:client%26secret")));
        let shown = format!("{:?} {:?}", oauth(), request.preview());
        assert!(!shown.contains("client%26secret") && !shown.contains("client&secret"), "{shown}");
    }

    #[test]
    fn a_refresh_token_is_claimed_without_telling_it() {
        let claim = oauth().claim().unwrap();
        assert_eq!((claim.what, &claim.id), ("refresh token", &oauth().parameter("scope", "more").claim().unwrap().id));
        assert!(!format!("{claim:?}").contains("refresh-token-1"));
        assert!(OAuth::new("https://crm.example/token".parse().unwrap(), "id", Grant::ClientCredentials).claim().is_none());
    }

    #[test]
    fn a_token_comes_with_its_end_and_its_fields() {
        let issued =
            read(200, r#"{"access_token":"a","expires_in":"3600","refresh_token":"r","api_domain":"https://x","scope":"s"}"#).unwrap();
        assert_eq!((issued.access_token.as_str(), issued.refresh_token.as_deref()), ("a", Some("r")));
        assert_eq!(issued.expires_at, Some("2026-11-22T11:00:00Z".parse().unwrap()));
        assert_eq!(issued.fields["api_domain"], "https://x");
        assert_eq!(read(200, r#"{"access_token":"a"}"#).unwrap().expires_at, None);
        assert_eq!(read(200, r#"{"access_token":"a","expires_in":1e300}"#).unwrap().expires_at, None);
    }

    #[test]
    fn what_is_wrong_for_good_holds_and_what_passes_is_tried_again() {
        for (status, body) in [
            (400, r#"{"error":"invalid_grant"}"#),
            (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"x"}"#),
            (401, r#"{"error":"invalid_client"}"#),
            (200, r#"{"error":"invalid_code"}"#),
            (403, "no"),
            (404, "<html>"),
            (302, ""),
        ] {
            let error = read(status, body).unwrap_err();
            assert!(matches!(error.verdict, Verdict::Hold { until: None }), "{status} {body}: {error:?}");
            assert!(error.message.contains("then resume the destination"), "{error}");
        }
        for (status, body) in [
            (500, ""),
            (503, r#"{"error":"invalid_grant_is_not_it"}"#),
            (429, "{}"),
            (408, ""),
            (400, r#"{"error":"temporarily_unavailable"}"#),
            (200, r#"{"error":"Access Denied","error_description":"You have made too many requests continuously."}"#),
            (400, r#"{"error":"Access Denied","error_description":"You have made too many requests continuously."}"#),
            (200, "<html>"),
            (200, r#"{"access_token":""}"#),
        ] {
            let error = read(status, body).unwrap_err();
            assert!(matches!(error.verdict, Verdict::Retry { .. }), "{status} {body}: {error:?}");
        }
    }

    #[test]
    fn an_error_repeats_no_secret_and_a_success_is_never_shown() {
        let error = read(400, r#"{"error":"invalid_grant","error_description":"refresh-token-1 is bad"}"#).unwrap_err();
        assert!(error.excerpt.as_ref().unwrap().contains("•••• is bad"), "{error:?}");
        assert_eq!(read(200, r#"{"error":"x","access_token":"abc"}"#).unwrap_err().excerpt, None);
    }

    #[test]
    fn another_grant_has_another_seed() {
        let other = OAuth { grant: Grant::RefreshToken(Secret::literal("refresh-token-2")), ..oauth() };
        assert_ne!(oauth().seed(), other.seed());
        assert_eq!(oauth().seed(), oauth().client_secret(Secret::literal("rotated")).seed(), "a client may get a new secret");
        assert_eq!(oauth().seed(), oauth().parameter("scope", "more").seed(), "the refresh token is the same");
        let own = || OAuth { grant: Grant::ClientCredentials, ..oauth() };
        assert_ne!(own().seed(), own().parameter("scope", "more").seed(), "nothing is lost, and the token is for something else");
        assert_ne!(oauth().row(), oauth().name("second").row());
    }
}
