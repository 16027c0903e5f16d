//! Getting a token: from memory, from the store, from the endpoint, by one at a time.

use super::held::{Held, Issued, Watched};
use super::{OAuth, Token};
use crate::http::Client;
use crate::{Background, BuildContext, DeliveryError, ErrorKind, Redactor, ValueStore, Verdict};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often is looked whether another bridge has got a token.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longer than a token endpoint takes that works, and short enough for those who wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a token endpoint that failed is left alone while the last token is still good, unless it says itself.
const LEFT_ALONE: Duration = Duration::from_secs(20);
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
    row: String,
    client: Client,
    values: Arc<dyn ValueStore>,
    pub(super) background: Background,
    /// How long the token endpoint may take.
    pub(super) patience: Duration,
    current: RwLock<Option<Issued>>,
    asking: Mutex<Asking>,
}

/// What those who wait for a token share.
#[derive(Default)]
struct Asking {
    /// When the last request failed, and why: whoever waited for it meanwhile has this answer too.
    failed: Option<(Instant, DeliveryError)>,
    /// Until when the last token is used without asking for another one.
    not_before: Option<Instant>,
    /// The turn of another bridge.
    watched: Watched,
    /// Not kept yet.
    unsaved: Option<Renewed>,
}

/// What the endpoint gave in place of what was kept.
#[derive(Clone)]
struct Renewed {
    issued: Issued,
    /// The access token that was kept when it was asked for.
    replaced: Option<String>,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("oauth", &self.oauth).finish_non_exhaustive()
    }
}

impl Renewal {
    pub(super) fn new(oauth: OAuth, what: String, context: &BuildContext) -> Result<Self, String> {
        Ok(Self {
            row: oauth.row(),
            client: Client::new(&context.http)?,
            values: Arc::clone(&context.values),
            background: context.background.clone(),
            patience: context.http.timeout.min(PATIENCE),
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

    /// The token in memory, although it may be time to renew it.
    fn usable(&self) -> Option<Token> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|issued| issued.is_valid(Timestamp::now())).map(Issued::token)
    }

    fn remember(&self, issued: &Issued) -> Token {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(issued.clone());
        issued.token()
    }

    /// A token that is not the refused one. `None` when that one was issued a moment ago. `asked` is when the caller began to wait.
    pub(super) async fn obtain(&self, asked: Instant, refused: Option<&Token>) -> Result<Option<Token>, DeliveryError> {
        let mut asking = match (self.asking.try_lock(), self.usable().filter(|_| refused.is_none())) {
            (Ok(asking), _) => asking,
            (Err(_), Some(token)) => return Ok(Some(token)),
            (Err(_), None) => self.asking.lock().await,
        };
        if let Some((_, error)) = asking.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let result = self.take_turns(&mut asking, refused).await;
        asking.failed = result.as_ref().err().map(|error| (Instant::now(), error.clone()));
        result
    }

    async fn take_turns(&self, asking: &mut Asking, refused: Option<&Token>) -> Result<Option<Token>, DeliveryError> {
        if let Some(renewed) = asking.unsaved.clone() {
            self.save(asking, renewed).await?;
        }
        let turn = self.patience + SPARE;
        let deadline = Instant::now() + turn + SPARE;
        while Instant::now() < deadline {
            let (held, version) = self.load().await?;
            let is_asked_for = held.is_asked_for && asking.watched.goes_on(version, turn, Instant::now());
            let is_left_alone = is_asked_for || asking.not_before.is_some_and(|until| Instant::now() < until);
            if let Some(settled) = self.settled(&held, refused, is_left_alone) {
                return Ok(settled);
            }
            if is_asked_for {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            // Who loses this race looks again, and waits for what the winner gets.
            if self.write(&Held { is_asked_for: true, ..held.clone() }, version).await? {
                return self.ask(asking, &held, version + 1, refused).await.map(Some);
            }
        }
        Err(DeliveryError::retry(
            ErrorKind::Server,
            format!("another bridge has been asking {} for an access token for too long", self.what),
        ))
    }

    /// What those who wait get without asking, if there is no need or no use.
    fn settled(&self, held: &Held, refused: Option<&Token>, is_left_alone: bool) -> Option<Option<Token>> {
        let (issued, now) = (held.issued.as_ref()?, Timestamp::now());
        if refused.is_some_and(|refused| refused.secret == issued.access_token) {
            return issued.is_just_issued(now).then_some(None);
        }
        let is_good = issued.is_fresh(now) || is_left_alone && held.valid(refused).is_some();
        is_good.then(|| Some(self.remember(issued)))
    }

    /// It is this bridge's turn, which the store has in `version`.
    async fn ask(&self, asking: &mut Asking, held: &Held, version: i64, refused: Option<&Token>) -> Result<Token, DeliveryError> {
        let error = match self.fetch(held).await {
            Ok(issued) => return self.save(asking, Renewed { issued, replaced: held.access_token().map(str::to_owned) }).await,
            Err(error) => error,
        };
        // The turn ends by itself if this fails.
        let _ = self.write(&Held { is_asked_for: false, ..held.clone() }, version).await;
        match (&error.verdict, held.valid(refused)) {
            (Verdict::Retry { after }, Some(issued)) => {
                asking.not_before = Instant::now().checked_add(after.unwrap_or(LEFT_ALONE));
                Ok(self.remember(issued))
            }
            _ => Err(error),
        }
    }

    async fn fetch(&self, held: &Held) -> Result<Issued, DeliveryError> {
        let refresh_token = held.refresh_token.as_deref().or_else(|| self.oauth.first_refresh_token());
        let request = self.oauth.request(refresh_token, Timestamp::now())?.timeout(self.patience);
        let redactor: Redactor = request.redactor();
        let answer = self.client.send_raw(&request).await?;
        self.oauth.read(&answer, &redactor, &self.what)
    }

    /// Keeps what was issued, then lets it be used. What cannot be kept now is not forgotten.
    async fn save(&self, asking: &mut Asking, renewed: Renewed) -> Result<Token, DeliveryError> {
        let (mut wait, mut last) = (FIRST_WAIT, String::new());
        for _ in 0..MOST_SAVES {
            match self.try_save(&renewed).await {
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
        asking.unsaved = Some(renewed);
        Err(DeliveryError::retry(
            ErrorKind::Internal,
            format!("a new access token is not used before it is kept, and it cannot be kept: {last}"),
        ))
    }

    /// `None` when somebody else wrote meanwhile. What they got in place of the same token, after our turn was over, is the newer one;
    /// the times that tokens bear tell nothing of that, because clocks differ and are set.
    async fn try_save(&self, renewed: &Renewed) -> Result<Option<Token>, DeliveryError> {
        let (held, version) = self.load().await?;
        if let Some(newer) = held.issued.as_ref().filter(|_| held.access_token() != renewed.replaced.as_deref()) {
            return Ok(Some(self.remember(newer)));
        }
        let is_written = self.write(&held.with(renewed.issued.clone()), version).await?;
        Ok(is_written.then(|| self.remember(&renewed.issued)))
    }

    /// What is kept of these settings, and its version. What cannot be read is nothing.
    async fn load(&self) -> Result<(Held, i64), DeliveryError> {
        let stored = self.values.load(&self.row).await.map_err(|why| store_error(&why))?;
        let version = stored.as_ref().map_or(0, |stored| stored.version);
        let held = stored.and_then(|stored| serde_json::from_str(&stored.value).ok());
        Ok((held.unwrap_or_default(), version))
    }

    async fn write(&self, held: &Held, version: i64) -> Result<bool, DeliveryError> {
        let value = serde_json::to_string(held).map_err(|error| store_error(&error.to_string()))?;
        self.values.save(&self.row, &value, version).await.map_err(|why| store_error(&why))
    }
}

fn store_error(why: &str) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Internal, format!("the store of access tokens is not there: {why}"))
}
