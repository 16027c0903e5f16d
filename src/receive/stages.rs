//! What a trace tells of a request: how long its stages took, and what became of each of its events.

use super::answer::Answer;
use crate::store::{Kept, NewEvent, Received, Result};
use crate::telemetry::{Span, Tracer};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// When each stage of a request was over. An instant costs next to nothing, so that they are taken for every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stages {
    at: Timestamp,
    began: Instant,
    read: Instant,
    verified: Instant,
    normalized: Instant,
}

impl Stages {
    /// A request came.
    pub(super) fn begin(at: Timestamp) -> Self {
        let now = Instant::now();
        Self { at, began: now, read: now, verified: now, normalized: now }
    }

    /// Its body was read.
    pub(super) fn read(&mut self) {
        self.read = Instant::now();
    }

    /// It was verified at that moment, and is normalized now.
    pub(super) fn examined(&mut self, verified: Instant) {
        (self.verified, self.normalized) = (verified, Instant::now());
    }

    fn stage(&self, event: Uuid, name: &str, from: Instant, to: Instant) -> Span {
        let began = self.at.checked_add(from.duration_since(self.began)).unwrap_or(self.at);
        Span::within(event, name, began, to.duration_since(from))
    }

    fn took(&self, until: Instant) -> Duration {
        until.duration_since(self.began)
    }
}

/// An event that is followed, at its place among those of its request.
#[derive(Debug)]
struct Followed {
    place: usize,
    event: Uuid,
    kind: &'static str,
    stale: bool,
    destinations: usize,
}

/// The events of a request that are followed; none at all without traces.
#[derive(Debug)]
pub(super) struct Trail<'a> {
    tracer: &'a Tracer,
    source: &'a str,
    stages: Stages,
    events: usize,
    followed: Vec<Followed>,
}

impl<'a> Trail<'a> {
    pub(super) fn of(tracer: &'a Tracer, source: &'a str, stages: Stages, events: &[NewEvent]) -> Self {
        let follow = |(place, new): (usize, &NewEvent)| Followed {
            place,
            event: new.event.id,
            kind: new.event.kind.as_str(),
            stale: new.event.stale,
            destinations: new.destinations.len(),
        };
        let followed = events.iter().enumerate().filter(|(_, new)| tracer.follows(new.event.id)).map(follow).collect();
        Self { tracer, source, stages, events: events.len(), followed }
    }

    /// The request is answered now.
    pub(super) fn end(self, kept: &Result<Kept<Vec<Received>>>, answer: &Answer) {
        let now = Instant::now();
        for followed in &self.followed {
            self.tracer.take(self.request(followed, outcome(kept, followed.place), answer, now));
            let Stages { began, read, verified, normalized, .. } = self.stages;
            for (name, from, to) in
                [("read", began, read), ("verify", read, verified), ("normalize", verified, normalized), ("commit", normalized, now)]
            {
                let failed = name == "commit" && kept.is_err();
                self.tracer.take(self.stages.stage(followed.event, name, from, to).failed(failed));
            }
        }
    }

    fn request(&self, followed: &Followed, outcome: &'static str, answer: &Answer, now: Instant) -> Span {
        let status = answer.status();
        Span::first(followed.event, "POST /hooks/{source}", self.stages.at, self.stages.took(now))
            .with("http.request.method", "POST")
            .with("http.route", "/hooks/{source}")
            .with("url.scheme", "http")
            .with("url.path", format!("/hooks/{}", self.source))
            .with("http.response.status_code", status.as_u16())
            .with_some("error.type", answer.code())
            .with("leadwire.source", self.source)
            .with("leadwire.request.events", self.events)
            .with("leadwire.event.id", followed.event.to_string())
            .with("leadwire.event.kind", followed.kind)
            .with("leadwire.event.stale", followed.stale)
            .with("leadwire.event.destinations", followed.destinations)
            .with("leadwire.event.outcome", outcome)
            .failed(status.is_server_error())
    }
}

fn outcome(kept: &Result<Kept<Vec<Received>>>, place: usize) -> &'static str {
    match kept {
        Ok(Kept::Stored(received)) if received.get(place) == Some(&Received::Duplicate) => "duplicate",
        Ok(Kept::Stored(_)) => "new",
        Ok(Kept::Spooled) => "spooled",
        Err(_) => "refused",
    }
}
