//! *Sources*: the URL to paste, what came by it, what was refused and why.

use super::filters;
use super::refusals::{remedy, words};
use super::view::{Nav, View};
use crate::console::access::Mask;
use crate::console::{Console, Refusal, Visitor};
use crate::figures::SourceTally;
use crate::receive::SourceGate;
use crate::store::{RefusalSeen, Sightings, Silence, Span, Tallies};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Addresses that are shown.
const CLIENTS: usize = 20;

/// A source, as it is shown.
struct Source {
    name: String,
    /// To paste into the chatbot platform.
    url: String,
    keys: Vec<Key>,
    /// As it is configured; empty is everyone.
    allowed: Vec<String>,
    report_only: bool,
    /// In all.
    received: i64,
    /// In the last seven days.
    week: SourceTally,
    seen: Sightings,
    silence: Option<Silence>,
    refusals: Vec<Refused>,
    /// Of clients that are not shown one by one.
    other_clients: i64,
}

/// One of its signing keys, by its place in the configuration.
struct Key {
    number: u32,
    /// When last, and how often.
    used: Option<(Timestamp, i64)>,
}

struct Refused {
    seen: RefusalSeen,
    words: String,
    remedy: &'static str,
}

impl Source {
    fn awaits_key(&self) -> bool {
        self.keys.is_empty()
    }

    /// The class of its badge, and the word on it.
    fn badge(&self) -> (&'static str, &'static str) {
        let is_silent = self.silence.is_some_and(|silence| silence.unusual);
        match (self.awaits_key(), self.seen.last_seen, is_silent) {
            (true, ..) => ("waiting", "awaits its signing key"),
            (_, None, _) => ("waiting", "nothing verified yet"),
            (_, _, true) => ("slow", "unusually silent"),
            _ => ("fine", "receives"),
        }
    }

    fn strangers(&self) -> i64 {
        self.seen.clients.iter().filter(|client| !client.listed).map(|client| client.times).sum()
    }
}

/// What is read once for all sources.
struct Counted {
    received: BTreeMap<String, i64>,
    week: Tallies,
    now: Timestamp,
}

impl Counted {
    async fn read(console: &Console) -> Result<Self, Refusal> {
        let now = Timestamp::now();
        let received = console.store.source_counts().await?.into_iter().collect();
        Ok(Self { received, week: console.store.tallies(Span::Week, now).await?, now })
    }

    fn week_of(&self, name: &str) -> SourceTally {
        let parts = self.week.points.iter().filter_map(|point| point.tally.sources.get(name));
        parts.fold(SourceTally::default(), |sum, part| SourceTally {
            received: sum.received + part.received,
            duplicates: sum.duplicates + part.duplicates,
            refused: sum.refused + part.refused,
        })
    }
}

async fn look(console: &Console, name: &str, gate: &SourceGate, counted: &Counted, mask: Mask) -> Result<Source, Refusal> {
    let mut seen = console.store.sightings(name).await?;
    let hidden = seen.clients.iter().skip(CLIENTS).map(|client| client.times).sum::<i64>();
    seen.clients.truncate(CLIENTS);
    for client in &mut seen.clients {
        client.address = mask.text(&client.address).into_owned();
    }
    let refused = |refusal: &RefusalSeen| {
        let (words, remedy) = (words(&refusal.cause).to_owned(), remedy(&refusal.cause));
        Refused { seen: refusal.clone(), words, remedy }
    };
    Ok(Source {
        name: name.to_owned(),
        url: format!("{}/hooks/{name}", console.public_url.trim_end_matches('/')),
        keys: keys(gate.keys.len(), &seen),
        allowed: gate.allow_ips.iter().map(ToString::to_string).collect(),
        report_only: gate.report_only,
        received: counted.received.get(name).copied().unwrap_or(0),
        week: counted.week_of(name),
        silence: seen.silence(counted.now),
        refusals: seen.refusals.iter().map(refused).collect(),
        other_clients: seen.other_clients + hidden,
        seen,
    })
}

/// All keys that are configured, also those that nothing was signed with.
fn keys(configured: usize, seen: &Sightings) -> Vec<Key> {
    let used = |number: u32| seen.keys.iter().find(|key| key.key == number).map(|key| (key.last_used, key.times));
    (1..=u32::try_from(configured).unwrap_or(u32::MAX)).map(|number| Key { number, used: used(number) }).collect()
}

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    sources: Vec<Source>,
}

pub(in crate::console) async fn sources(view: View, visitor: Visitor, console: web::Data<Console>) -> Result<HttpResponse, Refusal> {
    let (counted, mask) = (Counted::read(&console).await?, Mask::of(&visitor));
    let mut sources = Vec::new();
    for (name, gate) in &console.intake.sources {
        sources.push(look(&console, name, gate, &counted, mask).await?);
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(view.show("Sources", Some(Nav::Sources), &Sources { sources }))
}

#[derive(Template)]
#[template(path = "source.html")]
struct OneSource<'a> {
    source: &'a Source,
}

pub(in crate::console) async fn source(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let gate = console.intake.sources.get(name.as_str()).ok_or_else(Refusal::not_found)?;
    let counted = Counted::read(&console).await?;
    let source = look(&console, &name, gate, &counted, Mask::of(&visitor)).await?;
    Ok(view.show(&name, Some(Nav::Sources), &OneSource { source: &source }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::store::KeySeen;

    #[test]
    fn a_key_that_signed_nothing_is_shown_as_such() {
        let at = Timestamp::UNIX_EPOCH;
        let seen = Sightings { keys: vec![KeySeen { key: 2, last_used: at, times: 7 }], ..Sightings::default() };
        let used: Vec<_> = keys(2, &seen).into_iter().map(|key| (key.number, key.used)).collect();
        assert_eq!(used, [(1, None), (2, Some((at, 7)))]);
        assert!(keys(0, &seen).is_empty());
    }
}
