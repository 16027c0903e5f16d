//! Server-sent events (WHATWG HTML, 9.2): a message whenever something has changed, for pages and programs that show how things stand.
//!
//! A message says that something changed, and not what, so that nothing personal is in it. What counts is looked at, and not that the
//! store was written: asking how things stand writes, too, and would make pages ask again for ever.

use super::{Console, Kind, Refusal};
use crate::deliver::Statuses;
use crate::store::{ActionFilter, Store};
use crate::swap::Swap;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use std::borrow::Cow;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::form_urlencoded;

/// Who can be told at once.
const MOST_CLIENTS: usize = 64;
/// How often it is looked whether something changed, while anybody wants to know: no client gets more messages than that.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A store that takes longer counts as one that cannot be read, which is a change, too.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether a client may still listen.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Proxies close connections on which nothing is said.
const BEAT_EVERY: Duration = Duration::from_secs(15);
/// How soon a client comes back, in milliseconds.
const RETRY_MS: u32 = 2_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to collect what is to arrive at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Who is told of changes. When what looks for them ends, so does everybody's stream.
#[derive(Debug, Clone)]
pub struct Live {
    changes: watch::Receiver<u64>,
    places: Arc<Semaphore>,
    /// Tells the messages of this bridge from those before a restart.
    era: i64,
}

impl Live {
    /// Begins to look for changes. Aborting the task ends it, and all streams.
    #[must_use]
    pub fn start(store: &Store, lanes: Statuses) -> (Self, JoinHandle<()>) {
        let (sender, changes) = watch::channel(0);
        let places = Arc::new(Semaphore::new(MOST_CLIENTS));
        let looking = tokio::spawn(look(store.clone(), lanes, sender, Arc::clone(&places)));
        (Self { changes, places, era: Timestamp::now().as_microsecond() }, looking)
    }

    /// The last message, as of now. A page is made after it, and says so when it begins to listen.
    #[must_use]
    pub fn last_id(&self) -> String {
        self.id(*self.changes.borrow())
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.era)
    }
}

async fn look(store: Store, lanes: Statuses, sender: watch::Sender<u64>, places: Arc<Semaphore>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What changed while nobody listened is told to the first who does: it may have come after the page was made.
        if places.available_permits() == MOST_CLIENTS {
            continue;
        }
        let stands = tokio::time::timeout(READ_WITHIN, read(&store, &lanes)).await.ok().and_then(Result::ok);
        if seen.replace(stands) != Some(stands) {
            sender.send_modify(|number| *number += 1);
        }
    }
}

/// How things stand, as a number that differs when they do. All of it is small, however much is in the store.
async fn read(store: &Store, lanes: &Statuses) -> crate::store::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let newest = ActionFilter { limit: 1, ..ActionFilter::default() };
    let counts = (store.source_counts().await?, store.holds().await?, store.count_quarantined().await?, store.actions(newest).await?);
    format!("{counts:?}").hash(&mut hasher);
    for row in store.destinations().await? {
        format!("{}{:?}", row.name, row.counts).hash(&mut hasher);
    }
    // An attempt after which the delivery waits again changes none of that.
    for (name, figures) in store.figures().destinations().iter() {
        (name, figures.attempts().collect::<Vec<_>>()).hash(&mut hasher);
    }
    lanes.iter().for_each(|(name, lane)| format!("{name}{lane:?}").hash(&mut hasher));
    Ok(hasher.finish())
}

/// The stream of one client.
pub(super) async fn watch(
    request: HttpRequest,
    console: web::Data<Console>,
    current: web::Data<Swap<Console>>,
) -> Result<HttpResponse, Refusal> {
    let full = |_| {
        let message = format!("{MOST_CLIENTS} pages and programs are being told of changes already; ask again by yourself");
        Refusal { retry_after: Some(30), ..Refusal::new(Kind::TooMany, message) }
    };
    let place = Arc::clone(&console.live.places).try_acquire_owned().map_err(full)?;
    let mut changes = console.live.changes.clone();
    let id = console.live.id(*changes.borrow_and_update());
    let missed = last_seen(&request).is_some_and(|last| last != id);
    // Without data it is no message, but the id counts.
    let told = if missed { message(&id) } else { format!("id: {id}\n\n") };
    let first = Some(format!("retry: {RETRY_MS}\n\n{told}"));
    let (headers, beat_at) = (request.headers().clone(), Instant::now() + BEAT_EVERY);
    let client = Client { live: console.live.clone(), current, headers, changes, first, beat_at, _place: place };
    let lines = stream::unfold(client, |mut client| async move {
        let lines = client.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), client))
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").insert_header((UNBUFFERED, "no")).streaming(lines))
}

/// The message that the client knows of: its header when it comes back; when it comes, what its page was made after.
fn last_seen(request: &HttpRequest) -> Option<Cow<'_, str>> {
    let header = request.headers().get(LAST_EVENT_ID).map(|last| String::from_utf8_lossy(last.as_bytes()));
    let seen = || form_urlencoded::parse(request.query_string().as_bytes()).find_map(|(name, value)| (name == "seen").then_some(value));
    header.or_else(seen)
}

fn message(id: &str) -> String {
    format!("id: {id}\ndata: changed\n\n")
}

struct Client {
    live: Live,
    /// Looked at anew each time: a stream may last for longer than the settings that it began with.
    current: web::Data<Swap<Console>>,
    /// As it came; a session is in its cookie.
    headers: HeaderMap,
    changes: watch::Receiver<u64>,
    first: Option<String>,
    beat_at: Instant,
    _place: OwnedSemaphorePermit,
}

impl Client {
    /// What to tell next; `None` at the end of the bridge or of the session.
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let changed = tokio::time::timeout(ASK_EVERY, self.changes.changed()).await;
            if matches!(changed, Ok(Err(_))) || !self.is_let_in().await {
                return None;
            }
            if changed.is_ok() {
                self.beat_at = Instant::now() + BEAT_EVERY;
                return Some(message(&self.live.id(*self.changes.borrow_and_update())));
            }
            if Instant::now() >= self.beat_at {
                self.beat_at = Instant::now() + BEAT_EVERY;
                return Some(": nothing changed\n\n".to_owned());
            }
        }
    }

    async fn is_let_in(&self) -> bool {
        let console = self.current.now();
        console.access.still_lets_in(&console.store, &self.headers).await
    }
}
