//! Access tokens: fixed ones, and those of OAuth 2 (RFC 6749) that are renewed by the clock and after a refusal.
//!
//! - **By the clock**: a token is renewed a while before it expires, so that no delivery is spent on finding out.
//! - **Once for all who wait**: however many deliveries need a token, there is one request for it; also among several bridges on one
//!   store, where who comes second waits for what the first one gets.
//! - **Kept before it is used**: a service that gives a new refresh token with every answer takes the old one away. The new one is
//!   durable, in the destination's [`ValueStore`](crate::ValueStore), before anything is sent with it; and the request for it goes on
//!   when the delivery that asked for it is given up.
//! - **No outage before its time**: an endpoint that fails is left alone for a while, and the last token used, as long as that is good.
//! - **After a refusal**: [`Tokens::send`] renews once, unless somebody else did so meanwhile. A token that is refused just after it was
//!   issued is not the problem, so that no more are asked for.
//! - **For good or for now**: a grant that was revoked holds the destination with the remedy; an outage is tried again.
//!
//! ```no_run
//! use leadwire_connector::http::{Client, Method, Request};
//! use leadwire_connector::settings::Secret;
//! use leadwire_connector::token::{Grant, OAuth, Tokens};
//! use leadwire_connector::BuildContext;
//!
//! # async fn example(context: &BuildContext, refresh: Secret, secret: Secret) -> Result<(), Box<dyn std::error::Error>> {
//! let oauth = OAuth::new("https://accounts.example.com/oauth/token".parse()?, "client-1", Grant::RefreshToken(refresh)).client_secret(secret);
//! let tokens = Tokens::oauth(oauth, "the CRM", context)?;
//! let client = Client::new(&context.http)?;
//! let answer = tokens.send(&client, |token| {
//!     let url = "https://api.example.com/contacts".parse().expect("it is an address");
//!     Request::new(Method::Get, url).bearer(token.expose())
//! }).await?;
//! # drop(answer);
//! # Ok(())
//! # }
//! ```

mod credentials;
mod held;
mod keys;
mod oauth;
mod renewal;

pub use credentials::{CredentialFaults, Credentials};
pub use keys::{GrantKind, OAuthKeys};
pub use oauth::{ClientAuth, Grant, OAuth};

use crate::http::{Answer, Client, Request};
use crate::settings::Secret;
use crate::{BuildContext, DeliveryError, ErrorKind, PreviewRequest};
use renewal::Renewal;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// An access token. Never printed: its `Debug` shows dots.
#[derive(Clone, PartialEq)]
pub struct Token {
    secret: String,
    fields: Map<String, Value>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(••••)")
    }
}

impl Token {
    /// The token itself, for a [`Request::secret_header`] and nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// What else the answer held that came with it, such as `instance_url` or `api_domain`: where to send requests.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }
}

/// Gives access tokens. Cheap to clone; clones share the tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Fixed(Token),
    Renewed(Arc<Renewal>),
}

impl Tokens {
    /// Always the same one: a service key, a private integration token.
    #[must_use]
    pub fn fixed(secret: &Secret) -> Self {
        Self { source: Source::Fixed(Token { secret: secret.expose().to_owned(), fields: Map::new() }) }
    }

    /// From a token endpoint. `what` names the service in messages.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn oauth(oauth: OAuth, what: &str, context: &BuildContext) -> Result<Self, String> {
        let renewal = Renewal::new(oauth, what.to_owned(), context)?;
        Ok(Self { source: Source::Renewed(Arc::new(renewal)) })
    }

    /// A token that is good for a while, renewed first if it has to be.
    ///
    /// # Errors
    /// `Hold` when the grant is revoked or the client unknown, `Retry` when the endpoint or the store is not there for the moment.
    pub async fn get(&self) -> Result<Token, DeliveryError> {
        match &self.source {
            Source::Fixed(token) => Ok(token.clone()),
            Source::Renewed(renewal) => match renewal.current() {
                Some(token) => Ok(token),
                None => obtain(renewal, None).await?.ok_or_else(no_token),
            },
        }
    }

    /// Another token in place of one that the service refused with a 401. `None` when there is no other: a fixed one, or one that was
    /// issued a moment ago, so that the refusal has another reason.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn renew(&self, refused: &Token) -> Result<Option<Token>, DeliveryError> {
        match &self.source {
            Source::Fixed(_) => Ok(None),
            Source::Renewed(renewal) => obtain(renewal, Some(refused.clone())).await,
        }
    }

    /// Sends the request that `make` makes with a token; when it is refused with a 401, once more with another token. A 401 says that
    /// nothing was done, so that this is safe for every request. The answer, a second 401 among them, is the caller's to judge.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`Client::send`].
    pub async fn send(&self, client: &Client, make: impl Fn(&Token) -> Request) -> Result<Answer, DeliveryError> {
        let token = self.get().await?;
        let answer = client.send(&make(&token)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        match self.renew(&token).await? {
            Some(token) => client.send(&make(&token)).await,
            None => Ok(answer),
        }
    }

    /// What stands for a token in a preview, for which nothing is asked.
    #[must_use]
    pub fn placeholder(&self) -> Token {
        match &self.source {
            Source::Fixed(token) => token.clone(),
            Source::Renewed(renewal) => {
                renewal.current().unwrap_or_else(|| Token { secret: PreviewRequest::placeholder("access token"), fields: Map::new() })
            }
        }
    }
}

/// In a task of its own: a delivery that is given up meanwhile must not take a rotated refresh token with it.
async fn obtain(renewal: &Arc<Renewal>, refused: Option<Token>) -> Result<Option<Token>, DeliveryError> {
    let (asking, asked) = (Arc::clone(renewal), Instant::now());
    let task = renewal.background.spawn(async move { asking.obtain(asked, refused.as_ref()).await });
    task.await.unwrap_or_else(|_| Err(DeliveryError::retry(ErrorKind::Internal, "renewing the access token was cut short")))
}

fn no_token() -> DeliveryError {
    DeliveryError::retry(ErrorKind::Internal, "there is no access token although none was refused")
}

#[cfg(test)]
mod tests;
