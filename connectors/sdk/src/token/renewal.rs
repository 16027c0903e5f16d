//! Getting a token: from memory, from the store, from the endpoint, by one at a time.

use super::held::{Held, Issued};
use super::{OAuth, Token};
use crate::http::Client;
use crate::{BuildContext, DeliveryError, ErrorKind, Redactor, ValueStore};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often is looked whether another bridge has got a token.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Beyond the time that the request itself may take.
const SPARE: Duration = Duration::from_secs(15);
/// What the endpoint gave is known here only, so that it is kept at a high price: some 25 seconds.
const MOST_SAVES: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });
const LONGEST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 4_000 });

/// The tokens of one grant.
pub(super) struct Renewal {
    oauth: OAuth,
    what: String,
    seed: String,
    client: Client,
    values: Arc<dyn ValueStore>,
    /// How long one bridge may take to get a token before another one tries.
    turn: Duration,
    current: RwLock<Option<Issued>>,
    asking: Mutex<Asking>,
}

/// What those who wait for a token share.
#[derive(Default)]
struct Asking {
    /// When the last request failed, and why: whoever waited for it meanwhile has this answer too.
    failed: Option<(Instant, DeliveryError)>,
    /// Issued, and not kept yet.
    unsaved: Option<Issued>,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("oauth", &self.oauth).finish_non_exhaustive()
    }
}

impl Renewal {
    pub(super) fn new(oauth: OAuth, what: String, context: &BuildContext) -> Result<Self, String> {
        Ok(Self {
            seed: oauth.seed(),
            client: Client::new(&context.http)?,
            values: Arc::clone(&context.values),
            turn: context.http.timeout + SPARE,
            current: RwLock::default(),
            asking: Mutex::default(),
            oauth,
            what,
        })
    }

    /// The token in memory, if it need not be renewed.
    pub(super) fn current(&self) -> Option<Token> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|issued| issued.is_fresh(Timestamp::now())).map(Issued::token)
    }

    fn remember(&self, issued: &Issued) -> Token {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(issued.clone());
        issued.token()
    }

    /// A token that is not the refused one. `None` when that one was issued a moment ago. `asked` is when the caller began to wait.
    pub(super) async fn obtain(&self, asked: Instant, refused: Option<&Token>) -> Result<Option<Token>, DeliveryError> {
        let mut asking = self.asking.lock().await;
        if let Some((_, error)) = asking.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let result = self.take_turns(&mut asking, refused).await;
        asking.failed = result.as_ref().err().map(|error| (Instant::now(), error.clone()));
        result
    }

    async fn take_turns(&self, asking: &mut Asking, refused: Option<&Token>) -> Result<Option<Token>, DeliveryError> {
        if let Some(issued) = asking.unsaved.clone() {
            self.save(asking, issued).await?;
        }
        let deadline = Instant::now() + self.turn + SPARE;
        let turn = SignedDuration::try_from(self.turn).unwrap_or_default();
        while Instant::now() < deadline {
            let (held, version) = self.load().await?;
            let now = Timestamp::now();
            if let Some(issued) = &held.issued {
                let is_refused = refused.is_some_and(|refused| refused.secret == issued.access_token);
                if is_refused && issued.is_just_issued(now) {
                    return Ok(None);
                }
                if !is_refused && issued.is_fresh(now) {
                    return Ok(Some(self.remember(issued)));
                }
            }
            if held.is_asked_for(now, turn) {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            let until = now.checked_add(turn).ok();
            // Who loses this race looks again, and waits for what the winner gets.
            if self.write(&Held { asking_until: until, ..held.clone() }, version).await? {
                return self.ask(asking, &held, version + 1, refused).await.map(Some);
            }
        }
        Err(DeliveryError::retry(
            ErrorKind::Server,
            format!("another bridge has been asking {} for an access token for too long", self.what),
        ))
    }

    /// It is this bridge's turn, which the store has in `version`.
    async fn ask(&self, asking: &mut Asking, held: &Held, version: i64, refused: Option<&Token>) -> Result<Token, DeliveryError> {
        let error = match self.fetch(held).await {
            Ok(issued) => return self.save(asking, issued).await,
            Err(error) => error,
        };
        // The turn ends by itself if this fails.
        let _ = self.write(&Held { asking_until: None, ..held.clone() }, version).await;
        let is_passing = matches!(error.verdict, crate::Verdict::Retry { .. });
        match &held.issued {
            Some(issued) if is_passing && refused.is_none() && issued.is_valid(Timestamp::now()) => Ok(issued.token()),
            _ => Err(error),
        }
    }

    async fn fetch(&self, held: &Held) -> Result<Issued, DeliveryError> {
        let refresh_token = held.refresh_token.as_deref().or_else(|| self.oauth.first_refresh_token());
        let request = self.oauth.request(refresh_token, Timestamp::now())?;
        let redactor: Redactor = request.redactor();
        let answer = self.client.send_raw(&request).await?;
        self.oauth.read(&answer, &redactor, &self.what)
    }

    /// Keeps what was issued, then lets it be used. What cannot be kept now is not forgotten.
    async fn save(&self, asking: &mut Asking, issued: Issued) -> Result<Token, DeliveryError> {
        let (mut wait, mut last) = (FIRST_WAIT, String::new());
        for _ in 0..MOST_SAVES {
            match self.try_save(&issued).await {
                Ok(Some(token)) => {
                    asking.unsaved = None;
                    return Ok(token);
                }
                Ok(None) => {}
                Err(error) => {
                    last = error.message;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        asking.unsaved = Some(issued);
        Err(DeliveryError::retry(
            ErrorKind::Internal,
            format!("a new access token is not used before it is kept, and it cannot be kept: {last}"),
        ))
    }

    /// `None` when somebody else wrote meanwhile. What they got later than this is better.
    async fn try_save(&self, issued: &Issued) -> Result<Option<Token>, DeliveryError> {
        let (held, version) = self.load().await?;
        if let Some(newer) = held.issued.as_ref().filter(|newer| newer.issued_at > issued.issued_at) {
            return Ok(Some(self.remember(newer)));
        }
        let is_written = self.write(&held.with(issued.clone()), version).await?;
        Ok(is_written.then(|| self.remember(issued)))
    }

    /// What is kept of these settings, and its version. What cannot be read, or comes from other settings, is nothing.
    async fn load(&self) -> Result<(Held, i64), DeliveryError> {
        let stored = self.values.load(&self.oauth.name).await.map_err(|why| store_error(&why))?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        let held = stored.and_then(|stored| serde_json::from_str::<Held>(&stored.value).ok()).filter(|held| held.seed == self.seed);
        Ok((held.unwrap_or_else(|| Held { seed: self.seed.clone(), ..Held::default() }), version))
    }

    async fn write(&self, held: &Held, version: i64) -> Result<bool, DeliveryError> {
        let value = serde_json::to_string(held).map_err(|error| store_error(&error.to_string()))?;
        self.values.save(&self.oauth.name, &value, version).await.map_err(|why| store_error(&why))
    }
}

fn store_error(why: &str) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Internal, format!("the store of access tokens is not there: {why}"))
}
