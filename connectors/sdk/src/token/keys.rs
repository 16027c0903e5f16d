//! The keys of `[destinations.NAME.oauth]`, the same for every connector.

use super::{ClientAuth, Grant, OAuth};
use crate::http::is_loopback;
use crate::settings::{Fault, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// The keys of `[destinations.NAME.oauth]`. A connector takes them as a field of its own keys, and makes an [`OAuth`] of them.
///
/// | key | meaning |
/// | --- | --- |
/// | `grant` | `"refresh_token"` (default) or `"client_credentials"` |
/// | `client_id`, `client_secret` | of the app that was registered at the service |
/// | `refresh_token` | from authorising once; a newer one that the service gives later is kept in the store |
/// | `token_url` | where tokens are; the connector knows a default |
/// | `scopes` | what to ask for, if the service wants to be told; with a refresh token, a change counts from the next renewal |
/// | `client_auth` | `"body"` (default) or `"basic"` |
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuthKeys {
    /// What a token is asked for with.
    #[serde(default)]
    pub grant: GrantKind,
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// From authorising once.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// Where tokens are.
    #[serde(default)]
    pub token_url: Option<Url>,
    /// What to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How the app says who it is; a connector may know better.
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
}

/// The grants that a configuration may name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// With a refresh token.
    #[default]
    RefreshToken,
    /// With the client's own right.
    ClientCredentials,
}

impl OAuthKeys {
    /// What is asked for tokens. `default_url` is where the service has them, if there is one place for all.
    ///
    /// # Errors
    /// Every fault, at its place below `oauth`.
    pub fn oauth(&self, default_url: Option<&Url>) -> Result<OAuth, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut missing = |key: &str, help: &str| faults.push(Fault::new(["oauth", key], format!("`{key}` is missing")).with_help(help));
        let url = self.token_url.as_ref().or(default_url);
        if url.is_none() {
            missing("token_url", "give the address where the service has its tokens");
        }
        let grant = match (self.grant, &self.refresh_token) {
            (GrantKind::RefreshToken, Some(token)) => Some(Grant::RefreshToken(token.clone())),
            (GrantKind::RefreshToken, None) => {
                missing("refresh_token", "authorise the app once and set { env = \"NAME\" }, or set grant = \"client_credentials\"");
                None
            }
            (GrantKind::ClientCredentials, _) => Some(Grant::ClientCredentials),
        };
        if self.grant == GrantKind::ClientCredentials && self.client_secret.is_none() {
            missing("client_secret", "this grant is the client's own, and it proves itself by its secret");
        }
        faults.extend(url.and_then(url_fault));
        match (url, grant) {
            (Some(url), Some(grant)) if faults.is_empty() => Ok(self.build(url.clone(), grant)),
            _ => Err(faults),
        }
    }

    fn build(&self, url: Url, grant: Grant) -> OAuth {
        let mut oauth = OAuth::new(url, &self.client_id, grant).client_auth(self.client_auth.unwrap_or_default());
        if let Some(secret) = &self.client_secret {
            oauth = oauth.client_secret(secret.clone());
        }
        if self.scopes.is_empty() { oauth } else { oauth.parameter("scope", self.scopes.join(" ")) }
    }
}

fn url_fault(url: &Url) -> Option<Fault> {
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
    let fault = || Fault::new(["oauth", "token_url"], "tokens would be sent in the clear").with_help("write it with https://");
    (!is_safe).then(fault)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::{Value, json};

    fn oauth(keys: &Value) -> Result<OAuth, Vec<String>> {
        let keys: OAuthKeys = serde_json::from_value(keys.clone()).unwrap();
        keys.oauth(None).map_err(|faults| faults.iter().map(|fault| fault.path.join(".")).collect())
    }

    #[test]
    fn what_is_missing_for_the_grant_is_told_at_once() {
        assert_eq!(oauth(&json!({"client_id": "x"})).unwrap_err(), ["oauth.token_url", "oauth.refresh_token"]);
        let url = "http://crm.example/token";
        let keys = json!({"client_id": "x", "grant": "client_credentials", "token_url": url});
        assert_eq!(oauth(&keys).unwrap_err(), ["oauth.client_secret", "oauth.token_url"]);
        let keys = json!({"client_id": "x", "refresh_token": "r", "token_url": "https://crm.example/token", "client_auth": "basic"});
        assert!(oauth(&keys).is_ok());
    }
}
