//! Sends spans to the collector, in batches: a request at a time, repeated for a while where the specification says so ("Failures" of
//! OTLP/HTTP), and given up then. What waits meanwhile is bounded by the queue.

use super::TraceOptions;
use super::json::{Resource, rejected};
use super::span::Span;
use crate::store::Store;
use bytes::Bytes;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;
use uuid::Uuid;

/// Spans in one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER_FOR: Duration = Duration::from_secs(1);
/// For one request.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long one batch is tried.
const TRY_FOR: Duration = Duration::from_secs(60);
/// Between two tries, at first; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why a batch was not taken.
struct Failure {
    reason: String,
    /// `None` when the same batch will never be taken.
    again_after: Option<Duration>,
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct Exporter {
    client: Client,
    request: Request,
    resource: Resource,
    store: Store,
    stopping: watch::Receiver<bool>,
    /// Whether the log was told that the collector takes nothing.
    is_told: bool,
}

impl Exporter {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(super) fn new(options: &TraceOptions, store: Store, stopping: watch::Receiver<bool>) -> Result<Self, String> {
        let settings =
            HttpSettings { timeout: SEND_WITHIN, connect_timeout: SEND_WITHIN, max_answer_bytes: 4_096, ..HttpSettings::default() };
        let request = Request::new(Method::Post, address(&options.endpoint)).header("Content-Type", "application/json");
        let request = options.headers.iter().fold(request, |request, (name, value)| request.secret_header(name, value));
        let resource = Resource::new(&options.service_name, Uuid::now_v7().to_string());
        Ok(Self { client: Client::new(&settings)?, request, resource, store, stopping, is_told: false })
    }

    /// Until it is told to stop and the queue is empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Span>) {
        loop {
            let batch = self.gather(&mut queue).await;
            if batch.is_empty() {
                return;
            }
            self.send(&batch).await;
        }
    }

    /// Empty when it is over.
    async fn gather(&mut self, queue: &mut mpsc::Receiver<Span>) -> Vec<Span> {
        let mut batch = Vec::new();
        let first = tokio::select! {
            first = queue.recv() => first,
            () = stopped(&mut self.stopping) => {
                queue.close();
                queue.recv().await
            }
        };
        let Some(first) = first else { return batch };
        batch.push(first);
        let until = Instant::now() + GATHER_FOR;
        while batch.len() < BATCH && !*self.stopping.borrow() {
            let more = BATCH - batch.len();
            tokio::select! {
                count = queue.recv_many(&mut batch, more) => if count == 0 { break },
                () = sleep_until(until) => break,
                () = stopped(&mut self.stopping) => break,
            }
        }
        while batch.len() < BATCH
            && let Ok(span) = queue.try_recv()
        {
            batch.push(span);
        }
        batch
    }

    async fn send(&mut self, batch: &[Span]) {
        let body = Bytes::from(self.resource.request(batch).to_string());
        let (until, mut pause) = (Instant::now() + TRY_FOR, FIRST_PAUSE);
        loop {
            let failure = match self.post(body.clone()).await {
                Ok(rejected) => return self.note_taken(batch.len(), rejected),
                Err(failure) => failure,
            };
            self.tell(&failure.reason);
            let wait = failure.again_after.map(|after| after.max(pause));
            match wait {
                Some(wait) if !*self.stopping.borrow() && Instant::now() + wait < until => self.wait(wait).await,
                _ => return self.note_dropped(batch.len()),
            }
            pause *= 2;
        }
    }

    /// What of the request was not taken.
    async fn post(&self, body: Bytes) -> Result<u64, Failure> {
        let again = |reason, after| Failure { reason, again_after: Some(after) };
        let mut request = self.request.clone();
        request.body = body;
        let answer = self.client.send(&request).await.map_err(|error| again(error.message, Duration::ZERO))?;
        if answer.is_2xx() { Ok(rejected(&answer.json().unwrap_or_default())) } else { Err(read_failure(&answer)) }
    }

    /// A stop cuts it short.
    async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        let _ = timeout_at(until, stopped(&mut self.stopping)).await;
    }
}

impl Exporter {
    fn note_taken(&mut self, sent: usize, rejected: u64) {
        let figures = self.store.figures().spans();
        figures.dropped.add(rejected);
        figures.exported.add(count(sent).saturating_sub(rejected));
        if std::mem::take(&mut self.is_told) {
            tracing::info!("the collector of traces takes spans again");
        }
    }

    fn note_dropped(&self, spans: usize) {
        self.store.figures().spans().dropped.add(count(spans));
    }

    /// Once, until it takes something again.
    fn tell(&mut self, reason: &str) {
        if std::mem::replace(&mut self.is_told, true) {
            return tracing::debug!("spans were not taken: {reason}");
        }
        tracing::warn!("the collector of traces takes nothing, which delays no lead; what it misses is counted, not kept: {reason}");
    }
}

/// Those statuses alone are tried again, by the specification.
fn read_failure(answer: &Answer) -> Failure {
    let status = answer.status;
    let again_after = matches!(status, 429 | 502 | 503 | 504).then(|| answer.retry_after().unwrap_or_default());
    let remedy = match status {
        401 | 403 => "; look at `headers` in [traces]",
        404 | 405 => "; look at `endpoint` in [traces], to which `/v1/traces` is added",
        415 => "; it takes no JSON: OpenTelemetry's own collector does",
        _ => "",
    };
    Failure { reason: format!("it answered {status}{remedy}"), again_after }
}

/// Returns when the bridge stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Whoever could tell is gone: that is a stop, too.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

fn count(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}

/// Where traces are posted: below what is given, as with every exporter of OpenTelemetry, unless that is the whole address already.
fn address(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    let path = url.path().trim_end_matches('/');
    let path = if path.ends_with("/v1/traces") { path.to_owned() } else { format!("{path}/v1/traces") };
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn the_path_is_added_to_whatever_is_given() {
        for (given, wanted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example.com/team/", "https://otel.example.com/team/v1/traces"),
            ("https://otel.example.com/v1/traces", "https://otel.example.com/v1/traces"),
        ] {
            assert_eq!(address(&given.parse().unwrap()).as_str(), wanted);
        }
    }

    #[test]
    fn what_the_specification_calls_retryable_is_tried_again_and_nothing_else() {
        let answer = |status| Answer {
            status,
            headers: vec![("retry-after".to_owned(), "7".to_owned())],
            body: Bytes::new(),
            truncated: false,
            at: jiff::Timestamp::now(),
        };
        for status in [429, 502, 503, 504] {
            assert_eq!(read_failure(&answer(status)).again_after, Some(Duration::from_secs(7)));
        }
        for status in [302, 400, 401, 404, 500, 501] {
            assert_eq!(read_failure(&answer(status)).again_after, None, "{status}");
        }
    }
}
