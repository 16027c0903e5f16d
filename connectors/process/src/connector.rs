//! The connector: keeps a child running while there is something to ask it, and asks.

use crate::answer::Reader;
use crate::child::Running;
use crate::config::Settings;
use crate::ledger;
use crate::patience::Patience;
use crate::pending::Ticket;
use crate::protocol::{Answer, Message, ToChild};
use async_trait::async_trait;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::{
    BuildContext, Connector, Delivery, DeliveryError, ErrorKind, Event, PreviewRequest, Receipt, Redactor, Report, Steps, Verdict,
};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// With the longest start and the longest request, less than the five minutes of an attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(100);
/// A start that is nearer than this is waited for; a later one is another attempt.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// A child may end between the look at it and the request; three in a row are no accident.
const MOST_CHILDREN: usize = 3;

/// One destination. A clone shares its child.
#[derive(Clone)]
pub(crate) struct Process {
    settings: Arc<Settings>,
    destination: String,
    directory: PathBuf,
    redactor: Redactor,
    running: Arc<tokio::sync::Mutex<Option<Arc<Running>>>>,
    patience: Arc<Mutex<Patience>>,
}

impl Process {
    /// Nothing is started before there is something to ask.
    pub(crate) fn new(settings: Settings, context: &BuildContext) -> Self {
        let directory = settings.directory.as_ref().map_or_else(|| context.base_directory.clone(), |own| context.base_directory.join(own));
        Self {
            redactor: settings.redactor(),
            settings: Arc::new(settings),
            destination: context.destination.clone(),
            directory,
            running: Arc::default(),
            patience: Arc::default(),
        }
    }

    fn patience<T>(&self, with: impl FnOnce(&mut Patience) -> T) -> T {
        with(&mut self.patience.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unreachable(message: String) -> DeliveryError {
        DeliveryError::retry(ErrorKind::Unreachable, message)
    }

    /// The child, started when there is none.
    async fn running(&self) -> Result<Arc<Running>, DeliveryError> {
        let mut place = self.running.lock().await;
        if let Some(running) = place.as_ref().filter(|running| running.pending.takes_more()) {
            return Ok(Arc::clone(running));
        }
        let last = match place.take() {
            // One that has done its number of requests ends by itself, when the last of them is answered.
            Some(running) if !running.pending.is_open() => Some(running.ended().await),
            _ => None,
        };
        if let Some(ended) = last.filter(|ended| ended.is_failure) {
            let cause = Self::unreachable(format!("the child {}", ended.why));
            self.patience(|patience| patience.failed(&cause, Instant::now()));
        }
        let wait = self.patience(|patience| patience.left(Instant::now()));
        if wait > SHORT_WAIT {
            return Err(self.patience(|patience| patience.told(wait)));
        }
        tokio::time::sleep(wait).await;
        let started = Running::start(&self.settings, &self.directory, &self.destination).await;
        // What holds the destination waits for a person, and is tried at once when the hold ends.
        let counts = |error: &&DeliveryError| !matches!(error.verdict, Verdict::Hold { .. });
        if let Some(error) = started.as_ref().err().filter(counts) {
            self.patience(|patience| patience.failed(error, Instant::now()));
        }
        let running = Arc::new(started?);
        *place = Some(Arc::clone(&running));
        Ok(running)
    }

    /// A child, and a place with it.
    async fn open(&self) -> Result<(Arc<Running>, Ticket), DeliveryError> {
        for _ in 0..MOST_CHILDREN {
            let running = self.running().await?;
            let opened = tokio::time::timeout(LONGEST_WAIT, running.open()).await;
            let busy = |_| Self::unreachable(format!("the child was busy for {} s; nothing was sent", LONGEST_WAIT.as_secs()));
            if let Some(ticket) = opened.map_err(busy)? {
                return Ok((running, ticket));
            }
        }
        Err(Self::unreachable("the child ended again and again before it could be asked; nothing was sent".to_owned()))
    }

    /// Sends a request and waits for its answer, keeping steps on the way.
    async fn ask(
        &self,
        running: &Running,
        mut ticket: Ticket,
        line: Vec<u8>,
        mut steps: Option<&mut Steps<'_>>,
    ) -> Result<Answer, DeliveryError> {
        let deadline = tokio::time::Instant::now() + self.settings.timeout;
        let sent = tokio::time::timeout_at(deadline, running.send(line)).await;
        sent.map_err(|_| Self::unreachable("the child does not read its standard input; nothing was sent".to_owned()))?;
        loop {
            let message = tokio::time::timeout_at(deadline, ticket.next()).await.map_err(|_| self.too_late(running))?;
            match (message, steps.as_deref_mut()) {
                (Some(Message::Answer(answer)), _) => {
                    self.patience(Patience::answered);
                    return Ok(answer);
                }
                (Some(Message::Step { name, remote_id }), Some(steps)) => {
                    ledger::keep(steps, &name, &remote_id).await?;
                    let kept = running.send(ToChild::Kept { id: ticket.id, name: &name }.line());
                    tokio::time::timeout_at(deadline, kept).await.map_err(|_| self.too_late(running))?;
                }
                (Some(Message::Step { .. }), None) => {
                    let message = format!("`{}` wants to keep a step, and there are steps in deliveries only", running.hello.name);
                    return Err(DeliveryError::retry(ErrorKind::Unexpected, message));
                }
                (None, _) => return Err(self.gone(running).await),
            }
        }
    }

    fn too_late(&self, running: &Running) -> DeliveryError {
        let message =
            format!("`{}` did not answer within {:?}; it may have delivered the event or not", running.hello.name, self.settings.timeout);
        DeliveryError::retry(ErrorKind::Ambiguous, message)
    }

    async fn gone(&self, running: &Running) -> DeliveryError {
        let ended = running.ended().await;
        let message = format!("the child `{}` {}, and may have delivered the event or not", running.hello.name, ended.why);
        DeliveryError::retry(ErrorKind::Ambiguous, message)
    }

    fn reader<'a>(&'a self, running: &'a Running, event: Option<&'a Event>) -> Reader<'a> {
        Reader { who: &running.hello.name, redactor: &self.redactor, person: event.map(|event| &event.person), now: Timestamp::now() }
    }

    /// With a child of its own, which is gone at the end.
    async fn ask_for_preview(self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let running = self.running().await?;
        let preview =
            if running.hello.can_preview { self.preview_by(&running, event).await } else { Ok(vec![self.preview_of_line(event)]) };
        drop(self);
        if let Some(running) = Arc::into_inner(running) {
            running.stop().await;
        }
        preview
    }

    async fn preview_by(&self, running: &Running, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let gone = || Self::unreachable("the child ended before it could be asked".to_owned());
        let ticket = running.open().await.ok_or_else(gone)?;
        let line = ToChild::Preview { id: ticket.id, event }.line();
        let answer = self.ask(running, ticket, line, None).await?;
        self.reader(running, None).preview(&answer)
    }

    /// What is sent to the child itself, which does not say what it would send.
    fn preview_of_line(&self, event: &Event) -> PreviewRequest {
        let delivery_id = PreviewRequest::placeholder("id of the delivery");
        let line = ToChild::Deliver { id: 1, delivery_id: &delivery_id, attempt: 1, event, steps: &serde_json::Map::new() }.line();
        let body = serde_json::from_slice(&line).unwrap_or_default();
        PreviewRequest { method: "WRITE".to_owned(), url: self.settings.name(), body, ..PreviewRequest::default() }
    }
}

#[async_trait]
impl Connector for Process {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let (running, ticket) = self.open().await?;
        let done = ledger::read(steps);
        let Delivery { id: delivery_id, attempt, event, .. } = delivery;
        let line = ToChild::Deliver { id: ticket.id, delivery_id, attempt: *attempt, event, steps: &done }.line();
        let answer = self.ask(&running, ticket, line, Some(steps)).await?;
        self.reader(&running, Some(event)).receipt(&answer)
    }

    async fn check(&self) -> Report {
        let (running, ticket) = match self.open().await {
            Ok(opened) => opened,
            Err(error) => return Report::default().bad("process", error.message),
        };
        let version = running.hello.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let report = Report::default().good("process", format!("`{}` runs as `{}`{version}", self.settings.name(), running.hello.name));
        if !running.hello.can_check {
            // The place was not used, and nobody is to answer for it.
            running.pending.withdraw(&ticket);
            return report.warn("check", "the child has no `check`, so its credentials are not proven");
        }
        let line = ToChild::Check { id: ticket.id }.line();
        match self.ask(&running, ticket, line, None).await {
            Ok(answer) => self.reader(&running, None).report(&answer, report),
            Err(error) => report.bad("check", error.message),
        }
    }

    /// Asks a child of its own, on a thread of its own, since a preview has to be had at once. That is what previews are for: a person
    /// waits for one, no longer than for a start, an answer and an end.
    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let alone = Self { running: Arc::default(), patience: Arc::default(), ..self.clone() };
        let failed = |why: &str| DeliveryError::retry(ErrorKind::Internal, format!("the preview could not be made: {why}"));
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| failed(&error.to_string()))?.block_on(alone.ask_for_preview(event))
        };
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| Err(failed("its thread panicked")))
    }
}
