//! Traces by OTLP over HTTP, in JSON (opentelemetry.io, "OTLP Specification"): the way of a lead from its request to what its
//! destinations answered. In a build with the feature `otlp` only.
//!
//! The id of a trace is the id of its event, and the id of its first span is made of that, so that every bridge that ever works on the
//! event adds to the same trace, and nothing has to be stored for it. Nothing waits for a span: it goes into a bounded queue or is dropped
//! and counted, and one task sends what is in there.

mod export;
mod json;
mod span;

pub use span::{Attribute, Span, SpanKind, first_of};

use crate::store::Store;
use export::Exporter;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

/// Spans that wait to be sent. A lead makes about seven, so that this is a second or two of a bridge at its limit.
const QUEUE: usize = 8_192;
/// How long a stop waits for the last spans to be taken.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Where traces go, and which.
#[derive(Clone)]
pub struct TraceOptions {
    /// The collector; `/v1/traces` is added to its path.
    pub endpoint: Url,
    /// Sent with every request; their values are secrets.
    pub headers: Vec<(String, String)>,
    /// Of how many events there are traces, from 0 to 1.
    pub sample_ratio: f64,
    /// What the bridge is called in traces.
    pub service_name: String,
}

impl fmt::Debug for TraceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceOptions").field("sample_ratio", &self.sample_ratio).finish_non_exhaustive()
    }
}

/// Takes spans. The default one takes none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    ratio: f64,
    queue: mpsc::Sender<Span>,
    store: Store,
}

impl Tracer {
    /// Whether there is a trace of this event; the same on every bridge that has the same ratio.
    #[must_use]
    pub fn follows(&self, event: Uuid) -> bool {
        self.0.as_ref().is_some_and(|open| is_sampled(event, open.ratio))
    }

    /// Takes a span, without waiting: when the queue is full, it is dropped and counted.
    pub fn take(&self, span: Span) {
        let Some(open) = &self.0 else { return };
        if open.queue.try_send(span).is_err() {
            open.store.figures().spans().dropped.one();
        }
    }
}

/// The last bits of an id are drawn at random, whatever the moment and the count before them.
fn is_sampled(event: Uuid, ratio: f64) -> bool {
    let [.., a, b, c, d] = *event.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * 4_294_967_296.0
}

/// The task that sends spans, while there is one.
#[derive(Debug, Default)]
pub struct Tracing {
    /// For those who make spans.
    pub tracer: Tracer,
    task: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Tracing {
    /// Starts it, if there are options. A collector that cannot be used is told to the log, and costs nothing else.
    #[must_use]
    pub fn start(options: Option<TraceOptions>, store: &Store) -> Self {
        // Known while it is compiled, so that a build without the feature has nothing of it.
        let Some(options) = options.filter(|_| cfg!(feature = "otlp")) else { return Self::default() };
        let (queue, spans) = mpsc::channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let ratio = options.sample_ratio;
        match Exporter::new(&options, store.clone(), stopping) {
            Ok(exporter) => {
                let tracer = Tracer(Some(Arc::new(Open { ratio, queue, store: store.clone() })));
                Self { tracer, task: Some((stop, tokio::spawn(exporter.run(spans)))) }
            }
            Err(reason) => {
                tracing::error!("there are no traces: {reason}");
                Self::default()
            }
        }
    }

    /// Sends what is in the queue, for a moment, and ends.
    pub async fn finish(self) {
        let Some((stop, mut task)) = self.task else { return };
        let _ = stop.send(true);
        if tokio::time::timeout(FLUSH_WITHIN, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the last spans were not sent: the collector did not take them in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_events_is_followed_and_always_the_same_ones() {
        let ids: Vec<Uuid> = (0..20_000).map(|_| Uuid::now_v7()).collect();
        let followed = |ratio| ids.iter().filter(|id| is_sampled(**id, ratio)).count();
        assert_eq!((followed(0.0), followed(1.0)), (0, ids.len()));
        assert!((4_600..5_400).contains(&followed(0.25)), "{}", followed(0.25));
        assert!(ids.iter().all(|id| !is_sampled(*id, 0.1) || is_sampled(*id, 0.2)), "a larger ratio follows those of a smaller one");
    }

    #[test]
    fn without_a_collector_nothing_is_followed() {
        assert!(!Tracer::default().follows(Uuid::now_v7()));
    }
}
