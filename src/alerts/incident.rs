//! From trouble to messages: when it is told, told again and told to be over. Pure: what is remembered and what is seen go in, what is
//! to be remembered comes out, with the letters in it. The time is an argument.
//!
//! Several bridges may see one trouble, each a part of the time. What all of them remember is when anybody saw it last: it is over when
//! nobody has seen it for a while. That also keeps what comes and goes from being told each time.

use super::digest::Written;
use super::note::{Letter, Note, What, add, letter_id};
use super::problem::Problem;
use super::silence::AllHeard;
use super::words::span;
use crate::config::{AlertKind, AlertSeverity};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Trouble that keeps coming back must stay away twice as long each time, so many times.
const DOUBLINGS: u32 = 4;

/// What bridges remember under one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    /// A trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// The last digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Written>,
    /// When sources were heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<AllHeard>,
    /// What is to be told, oldest first.
    pub letters: Vec<Letter>,
    /// Who tells it.
    pub claim: Option<Claim>,
}

/// The right of one bridge to send the letters of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Which bridge.
    pub by: Uuid,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
}

/// A trouble that was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Of which kind.
    pub kind: AlertKind,
    /// A source, a destination, a machine or a folder.
    pub subject: String,
    /// How bad it was at its worst.
    pub severity: AlertSeverity,
    /// Since when there is trouble.
    pub since: Timestamp,
    /// When it was told.
    pub opened_at: Timestamp,
    /// When a bridge saw it last.
    pub seen_at: Timestamp,
    /// When anything was told of it last.
    pub told_at: Timestamp,
    /// Since when it is over.
    pub ended_at: Option<Timestamp>,
    /// How much of it was told.
    pub level: i64,
    /// How often it came back soon after it was over.
    pub returns: u32,
    /// One line.
    pub title: String,
    /// What is known of it.
    pub detail: String,
    /// What a person can do.
    pub remedy: String,
}

/// How things are told.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How often trouble that lasts is told again.
    pub remind_every: SignedDuration,
    /// How long trouble must be gone.
    pub settle: SignedDuration,
    /// When this bridge started: what it could not see before is not over.
    pub started_at: Timestamp,
    /// Channels, each with the least severity it is told.
    pub channels: Vec<(String, AlertSeverity)>,
}

impl Rules {
    fn channels_for(&self, severity: AlertSeverity) -> Vec<String> {
        self.channels.iter().filter(|(_, least)| severity >= *least).map(|(name, _)| name.clone()).collect()
    }

    /// How long this trouble must be gone.
    fn calm(&self, returns: u32) -> SignedDuration {
        self.settle.saturating_mul(1_i32 << returns.min(DOUBLINGS))
    }
}

impl Incident {
    /// Whether it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// What it is known by.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.subject)
    }

    /// After the clock was set back, nothing was seen or told in the future.
    fn not_after(mut self, now: Timestamp) -> Self {
        self.seen_at = self.seen_at.min(now);
        self.told_at = self.told_at.min(now);
        self
    }

    fn describe(&mut self, problem: &Problem) {
        problem.title.clone_into(&mut self.title);
        problem.detail.clone_into(&mut self.detail);
        problem.remedy.clone_into(&mut self.remedy);
    }

    fn note(&self, what: What, now: Timestamp) -> Note {
        let title = match (what, self.ended_at) {
            (What::Resolved, Some(end)) => format!("resolved after {}: {}", span(end.duration_since(self.since)), self.title),
            (What::Reminder, _) => format!("still, for {}: {}", span(now.duration_since(self.since)), self.title),
            _ => self.title.clone(),
        };
        let is_over = what == What::Resolved;
        Note {
            what,
            condition: Some(self.kind),
            subject: self.subject.clone(),
            severity: self.severity,
            title,
            detail: if is_over { String::new() } else { self.detail.clone() },
            remedy: if is_over { String::new() } else { self.remedy.clone() },
            since: Some(self.since),
            ended_at: self.ended_at,
            at: now,
            figures: None,
        }
    }
}

/// What is to be remembered after a look; `None` when nothing changed.
#[must_use]
pub(super) fn step(page: &Page, problem: Option<&Problem>, now: Timestamp, rules: &Rules) -> Option<Page> {
    match (&page.incident, problem) {
        (Some(incident), Some(problem)) if incident.is_open() => goes_on(page, incident, problem, now, rules),
        (Some(incident), None) if incident.is_open() => may_end(page, incident, now, rules),
        (known, Some(problem)) if problem.is_ripe => Some(open(page, known.as_ref(), problem, now, rules)),
        _ => None,
    }
}

fn open(page: &Page, known: Option<&Incident>, problem: &Problem, now: Timestamp, rules: &Rules) -> Page {
    let is_back = |known: &&Incident| known.ended_at.is_some_and(|ended_at| now.duration_since(ended_at) < rules.remind_every);
    let incident = Incident {
        kind: problem.kind,
        subject: problem.subject.clone(),
        severity: problem.severity,
        since: problem.since.min(now),
        opened_at: now,
        seen_at: now,
        told_at: now,
        ended_at: None,
        level: problem.level,
        returns: known.filter(is_back).map_or(0, |known| known.returns.saturating_add(1)),
        title: problem.title.clone(),
        detail: problem.detail.clone(),
        remedy: problem.remedy.clone(),
    };
    told(page, incident, What::Opened, now, rules)
}

fn goes_on(page: &Page, known: &Incident, problem: &Problem, now: Timestamp, rules: &Rules) -> Option<Page> {
    let mut incident = known.clone().not_after(now);
    let what = news(&incident, problem, now, rules);
    incident.level = incident.level.min(problem.level);
    if what.is_some() || now.duration_since(incident.seen_at) * 4 >= rules.settle {
        incident.seen_at = now;
        incident.describe(problem);
    }
    let Some(what) = what else {
        return (incident != *known).then(|| Page { incident: Some(incident), ..page.clone() });
    };
    incident.severity = incident.severity.max(problem.severity);
    incident.level = problem.level;
    incident.told_at = now;
    Some(told(page, incident, what, now, rules))
}

/// What is worth telling of trouble that goes on.
fn news(incident: &Incident, problem: &Problem, now: Timestamp, rules: &Rules) -> Option<What> {
    let ago = now.duration_since(incident.told_at);
    if !problem.is_ripe {
        return None;
    }
    // How bad something is rises once; how much of it there is may rise all the time.
    if problem.severity > incident.severity || problem.level > incident.level && ago >= rules.settle {
        return Some(What::Grew);
    }
    (ago >= rules.remind_every).then_some(What::Reminder)
}

fn may_end(page: &Page, known: &Incident, now: Timestamp, rules: &Rules) -> Option<Page> {
    let mut incident = known.clone().not_after(now);
    let gone_since = incident.seen_at.max(rules.started_at.min(now));
    if now.duration_since(gone_since) < rules.calm(incident.returns) {
        return (incident != *known).then(|| Page { incident: Some(incident), ..page.clone() });
    }
    incident.ended_at = Some(incident.seen_at.max(incident.since));
    incident.told_at = now;
    Some(told(page, incident, What::Resolved, now, rules))
}

fn told(page: &Page, incident: Incident, what: What, now: Timestamp, rules: &Rules) -> Page {
    let mut page = page.clone();
    let id = letter_id(&incident.name(), incident.opened_at, now);
    let to = rules.channels_for(incident.severity);
    add(&mut page.letters, Letter { id, note: incident.note(what, now), to });
    Page { incident: Some(incident), ..page }
}

#[cfg(test)]
#[path = "simulation.rs"]
mod simulation;
