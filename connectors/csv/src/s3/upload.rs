//! The thread that brings the copies of the outbox into the bucket, one by one, for as long as it takes.

use super::{Bucket, Keys};
use crate::files::explain;
use crate::outbox::Outbox;
use leadwire_connector::http::Client;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::{BuildContext, DeliveryError, ErrorKind, PreviewRequest, Report, Verdict};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The first pause after a failure, and the longest; doubled in between.
const PAUSE_LEAST: Duration = Duration::from_secs(2);
const PAUSE_MOST: Duration = Duration::from_secs(300);
/// Looks at the outbox at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Why nothing gets through, since when, and when it is tried again.
#[derive(Debug, Clone)]
struct Trouble {
    error: DeliveryError,
    since: Timestamp,
    again: Timestamp,
}

type Shared = Arc<Mutex<Option<Trouble>>>;

/// Where copies go. Sends none before it is started.
pub(crate) struct Uploader {
    bucket: Bucket,
    client: Client,
    outbox: Arc<Outbox>,
    max_lag: Duration,
    trouble: Shared,
    destination: String,
}

/// The handle of the thread. Dropping it stops the thread; what is under way is sent again after the next start.
pub(crate) struct Uploads {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Uploader {
    /// For the folder whose hidden folder that is.
    pub(crate) fn new(keys: &Keys, context: &BuildContext, hidden: &Path) -> Result<Self, String> {
        let bucket = Bucket::new(keys);
        let outbox = Arc::new(Outbox::new(hidden, bucket.place()));
        let client = Client::new(&context.http)?;
        let destination = context.destination.clone();
        Ok(Self { bucket, client, outbox, max_lag: keys.max_lag(), trouble: Shared::default(), destination })
    }

    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    pub(crate) fn preview(&self, name: &str) -> PreviewRequest {
        self.bucket.preview(name)
    }

    /// Starts the thread, once the folder is ours alone.
    pub(crate) fn start(&self) -> Result<Uploads, String> {
        let (stop, stopped) = oneshot::channel();
        let told = |error| format!("the thread that uploads files cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
        let worker = Worker {
            bucket: self.bucket.clone(),
            client: self.client.clone(),
            outbox: self.outbox(),
            trouble: Arc::clone(&self.trouble),
            destination: self.destination.clone(),
        };
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = worker.run() => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("csv-upload".to_owned()).spawn(run).map_err(told)?;
        Ok(Uploads { stop: Some(stop), thread: Some(thread) })
    }

    /// Keeps further deliveries from counting as made while the bucket refuses files, or has taken none for too long.
    pub(crate) fn objection(&self, now: Timestamp) -> Option<DeliveryError> {
        let Trouble { error, since, again } = held(&self.trouble)?;
        let message = format!("finished files wait for their upload since {since}: {}", error.message);
        match error.verdict {
            Verdict::Hold { .. } => Some(DeliveryError { message, verdict: Verdict::Hold { until: Some(again) }, ..error }),
            _ if now.duration_since(since).unsigned_abs() < self.max_lag => None,
            _ => Some(DeliveryError { message, kind: ErrorKind::Server, verdict: Verdict::Retry { after: None }, ..error }),
        }
    }

    pub(crate) async fn check(&self, report: Report) -> Report {
        let report = self.bucket.check(&self.client, report).await;
        let waiting = self.outbox.waiting().map(|names| names.len());
        match (held(&self.trouble), waiting) {
            (_, Err(error)) => report.bad("uploads", explain(&error)),
            (Some(trouble), Ok(waiting)) => {
                report.bad("uploads", format!("{waiting} files wait since {}: {}", trouble.since, trouble.error.message))
            }
            (None, Ok(0)) => report.good("uploads", "every finished file is in the bucket"),
            (None, Ok(waiting)) => report.good("uploads", format!("{waiting} files are on their way")),
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported; there is nothing to add.
            drop(thread.join());
        }
    }
}

fn held(trouble: &Shared) -> Option<Trouble> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Worker {
    bucket: Bucket,
    client: Client,
    outbox: Arc<Outbox>,
    trouble: Shared,
    destination: String,
}

impl Worker {
    async fn run(self) {
        let mut pause = PAUSE_LEAST;
        loop {
            match self.empty().await {
                Ok(()) => {
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    pause = PAUSE_LEAST;
                    // Whichever comes first; the outbox is looked at in any case.
                    let _ = tokio::time::timeout(LOOK_AGAIN, self.outbox.added.notified()).await;
                }
                Err(error) => {
                    let asked = match &error.verdict {
                        Verdict::Retry { after } => after.unwrap_or_default(),
                        Verdict::Reject | Verdict::Hold { .. } => Duration::ZERO,
                    };
                    let wait = pause.max(asked).min(PAUSE_MOST);
                    self.note(error, wait);
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(PAUSE_MOST);
                }
            }
        }
    }

    /// Sends every copy that waits.
    async fn empty(&self) -> Result<(), DeliveryError> {
        for name in self.outbox.waiting().map_err(|error| failed(&error))? {
            let (bytes, ids) = self.outbox.take(&name).map_err(|error| failed(&error))?;
            self.bucket.put(&self.client, &name, bytes).await?;
            self.outbox.done(&name, &ids).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn note(&self, error: DeliveryError, wait: Duration) {
        tracing::warn!(destination = %self.destination, error = %error.message, "a finished file cannot be uploaded yet");
        let now = Timestamp::now();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = trouble.as_ref().map_or(now, |trouble| trouble.since);
        *trouble = Some(Trouble { error, since, again: now.checked_add(wait).unwrap_or(now) });
    }
}

fn failed(error: &std::io::Error) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Server, format!("the copies that wait for their upload cannot be read: {}", explain(error)))
}
