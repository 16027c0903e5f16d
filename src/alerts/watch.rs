//! The loop: looks, decides, remembers, sends.

use super::book::Book;
use super::channel::Channel;
use super::digest::{self, Written};
use super::incident::{Page, Rules, step};
use super::look::Look;
use super::note::{Letter, add};
use super::problem::{Limits, Problem, View, is_seen_without_store, judge};
use super::silence::AllHeard;
use crate::config::{AlertChannel, Alerts, Digest};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// After a failure a channel is left alone for so long; it doubles,
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// A channel that does not work is told of no more often.
const TELL_EVERY: Duration = Duration::from_secs(3_600);
/// What was heard of sources is written no more often than this,
const HEARD_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// or after so many looks.
const HEARD_LOOKS: i32 = 6;

/// The pages that are no incidents.
const HEARD: &str = "heard";
const DIGEST: &str = "digest";

/// How alerts stand.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    /// Troubles that are not over.
    pub open: usize,
    /// Who is told.
    pub channels: Vec<ChannelStatus>,
}

/// How a channel does.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Messages that it has not taken yet.
    pub waiting: usize,
    /// Since when it has taken none, if the last try failed.
    pub failing_since: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// A channel and how it does.
#[derive(Debug)]
struct Line {
    config: AlertChannel,
    channel: Channel,
    is_busy: bool,
    failures: u32,
    not_before: Option<Instant>,
    failing_since: Option<Timestamp>,
    last_error: Option<String>,
    told_at: Option<Instant>,
}

/// How a try ended.
#[derive(Debug)]
struct Sent {
    line: usize,
    id: String,
    result: Result<String, String>,
}

#[derive(Debug)]
pub(super) struct Watch {
    look: Look,
    limits: Limits,
    rules: Rules,
    digest: Option<Digest>,
    book: Book,
    lines: Vec<Line>,
    sending: JoinSet<Sent>,
    every: Duration,
    overview: Arc<Mutex<Overview>>,
}

impl Watch {
    pub(super) fn new(
        look: Look,
        limits: Limits,
        rules: Rules,
        alerts: &Alerts,
        channels: Vec<(AlertChannel, Channel)>,
        is_shared: bool,
    ) -> Self {
        let line = |(config, channel)| Line {
            config,
            channel,
            is_busy: false,
            failures: 0,
            not_before: None,
            failing_since: None,
            last_error: None,
            told_at: None,
        };
        let watch = Self {
            look,
            limits,
            rules,
            digest: alerts.digest(),
            book: Book::new(is_shared),
            lines: channels.into_iter().map(line).collect(),
            sending: JoinSet::new(),
            every: alerts.look_every,
            overview: Arc::default(),
        };
        // Who asks before the first look is told of the channels all the same.
        watch.show();
        watch
    }

    pub(super) fn overview(&self) -> Arc<Mutex<Overview>> {
        Arc::clone(&self.overview)
    }

    pub(super) async fn run(mut self) {
        let mut looks = interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => self.look().await,
                Some(Ok(sent)) = self.sending.join_next(), if !self.sending.is_empty() => self.note_sent(&sent),
            }
            let now = Timestamp::now();
            let ready: Vec<String> = self.lines.iter().filter(|line| line.is_ready()).map(|line| line.config.name.clone()).collect();
            self.book.claim(|channel| ready.iter().any(|name| name == channel), now);
            self.book.save(self.look.store()).await;
            self.send(now);
            self.show();
        }
    }

    async fn look(&mut self) {
        let now = Timestamp::now();
        self.book.read(self.look.store()).await;
        let heard = self.book.page(HEARD).heard.unwrap_or_default();
        let view = self.look.view(&heard, now).await;
        self.keep_heard(&view, &heard, now);
        self.decide(&view, now);
        self.write_digest(&view, now).await;
        let lost = self.book.tidy(self.look.store(), now).await;
        if lost > 0 {
            tracing::error!(lost, "alerts were told to nobody for three days and are given up; look at the channels in [alerts]");
        }
    }

    fn keep_heard(&mut self, view: &View, known: &AllHeard, now: Timestamp) {
        let Some(stored) = &view.stored else { return };
        if stored.heard == *known {
            return;
        }
        let every = SignedDuration::try_from(self.every).unwrap_or(HEARD_EVERY).saturating_mul(HEARD_LOOKS).min(HEARD_EVERY);
        let is_new = stored.heard.keys().any(|name| !known.contains_key(name));
        let last = known.values().map(|heard| heard.at).max();
        if is_new || last.is_none_or(|last| now.duration_since(last).abs() >= every) {
            self.book.put(HEARD, Page { heard: Some(stored.heard.clone()), ..Page::default() });
        }
    }

    fn decide(&mut self, view: &View, now: Timestamp) {
        let problems: BTreeMap<String, Problem> = judge(view, &self.limits).into_iter().map(|problem| (problem.name(), problem)).collect();
        let names: BTreeSet<String> = self.book.names().into_iter().chain(problems.keys().cloned()).collect();
        for name in names {
            let page = self.book.page(&name);
            // What cannot be seen now is not over.
            let is_seen = view.stored.is_some() || page.incident.as_ref().is_none_or(|incident| is_seen_without_store(incident.kind));
            if !is_seen {
                continue;
            }
            if let Some(page) = step(&page, problems.get(&name), now, &self.rules) {
                self.book.put(&name, page);
            }
        }
    }

    async fn write_digest(&mut self, view: &View, now: Timestamp) {
        let Some(digest) = self.digest.clone().filter(|_| view.stored.is_some()) else { return };
        let mut page = self.book.page(DIGEST);
        let is_first = page.digest.is_none();
        if !is_first && !page.digest.as_ref().is_some_and(|last| digest::is_due(last.at, now, &digest)) {
            return;
        }
        let Some(totals) = self.look.totals().await else { return };
        if let Some(last) = &page.digest {
            let to = self.lines.iter().filter(|line| line.config.digest).map(|line| line.config.name.clone()).collect();
            let letter = digest::letter(last, &totals, now, &digest.zone, to);
            add(&mut page.letters, letter);
        }
        page.digest = Some(Written { at: now, totals });
        self.book.put(DIGEST, page);
    }

    /// One letter at a time for each channel, so that they arrive in order.
    fn send(&mut self, now: Timestamp) {
        for (number, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.is_ready()) {
            let Some(letter) = self.book.next_for(&line.config.name, now) else { continue };
            line.is_busy = true;
            let channel = line.channel.clone();
            self.sending.spawn(async move { send_one(number, channel, letter).await });
        }
    }

    fn note_sent(&mut self, sent: &Sent) {
        let Some(line) = self.lines.get_mut(sent.line) else { return };
        line.note(&sent.result);
        if sent.result.is_ok() {
            let name = line.config.name.clone();
            self.book.note_taken(&sent.id, &name);
        }
    }

    fn show(&self) {
        let waiting =
            |name: &String| self.book.pages().flat_map(|(_, page)| &page.letters).filter(|letter| letter.to.contains(name)).count();
        let open = self.book.pages().filter(|(_, page)| page.incident.as_ref().is_some_and(super::Incident::is_open)).count();
        let channels = self.lines.iter().map(|line| ChannelStatus {
            name: line.config.name.clone(),
            kind: line.config.medium.kind(),
            waiting: waiting(&line.config.name),
            failing_since: line.failing_since,
            last_error: line.last_error.clone(),
        });
        *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = Overview { open, channels: channels.collect() };
    }
}

/// A panic in it must not leave the channel busy for ever.
async fn send_one(line: usize, channel: Channel, letter: Letter) -> Sent {
    let id = letter.id.clone();
    let sending = tokio::spawn(async move { channel.send(&letter).await });
    let result = sending.await.unwrap_or_else(|_| Err("sending it panicked; this is a bug".to_owned()));
    Sent { line, id, result }
}

impl Line {
    fn is_ready(&self) -> bool {
        !self.is_busy && self.not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    fn note(&mut self, result: &Result<String, String>) {
        self.is_busy = false;
        let name = self.config.name.as_str();
        match result {
            Ok(_) => {
                if self.failing_since.take().is_some() {
                    tracing::info!(channel = name, "alerts get through again");
                }
                (self.failures, self.not_before, self.last_error, self.told_at) = (0, None, None, None);
            }
            Err(reason) => {
                let now = Instant::now();
                let pause = FIRST_PAUSE.saturating_mul(1_u32 << self.failures.min(10)).min(LONGEST_PAUSE);
                self.failures += 1;
                self.not_before = Some(now + pause);
                self.failing_since.get_or_insert_with(Timestamp::now);
                if self.told_at.is_none_or(|told_at| now >= told_at + TELL_EVERY) {
                    self.told_at = Some(now);
                    tracing::error!(channel = name, "an alert does not get through, and is tried again: {reason}");
                }
                self.last_error = Some(reason.clone());
            }
        }
    }
}
