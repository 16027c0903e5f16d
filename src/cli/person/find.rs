//! Looking through everything for one person.

use super::Scene;
use crate::cli::{Failure, show::note};
use crate::store::{EventFilter, EventRow, QuarantineRow, State};
use indicatif::{ProgressBar, ProgressStyle};
use leadwire_connector::Kept;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// Rows read in one go.
const PIECE: u32 = 1_000;
/// Bodies can be large.
const BODIES: u32 = 16;
/// Ids and names that are told; more are only counted.
const TOLD: usize = 10;

/// Why something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It has the person's e-mail or phone.
    Person,
    /// It is of the same chat session, and of nobody else as far as it tells.
    Session,
    /// It names the person somewhere in its text.
    Mention,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) events: Vec<(Why, EventRow)>,
    pub(super) bodies: Vec<QuarantineRow>,
    pub(super) rows: Vec<(Why, String, Kept)>,
    /// Numbers that end alike, and are somebody else's as far as is known.
    pub(super) similar: BTreeSet<String>,
}

/// A search that can be gone on with, for what came meanwhile.
pub(super) struct Search<'a> {
    scene: &'a Scene,
    sessions: BTreeSet<(String, String)>,
    /// Addresses and numbers of events that are of this person, as they stand there.
    contacts: BTreeSet<String>,
    after_event: i64,
    after_body: i64,
}

impl<'a> Search<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        Self { scene, sessions: BTreeSet::new(), contacts: BTreeSet::new(), after_event: 0, after_body: 0 }
    }

    /// Everything that came since the last round, and all rows in files.
    pub(super) async fn round(&mut self) -> Result<Found, Failure> {
        let mut found = Found::default();
        let mut whys = self.look_at_events(&mut found.similar).await?;
        self.look_at_sessions(&mut whys).await?;
        for (id, why) in whys {
            // Retention may have removed it meanwhile.
            found.events.extend(self.scene.store.event(id).await?.map(|detail| (why, detail.row)));
        }
        found.events.sort_by_key(|(why, row)| (*why, row.event.id));
        self.look_at_quarantine(&mut found.bodies).await?;
        found.rows = look_at_files(self.scene, &found.events)?;
        Ok(found)
    }

    async fn look_at_events(&mut self, similar: &mut BTreeSet<String>) -> Result<HashMap<Uuid, Why>, Failure> {
        let total: i64 = self.scene.store.source_counts().await?.iter().map(|(_, received)| received).sum();
        let bar = bar(u64::try_from(total).unwrap_or(0), "{bar:30} {pos} of {len} events looked at");
        let (scene, mut whys) = (self.scene, HashMap::new());
        loop {
            let events = scene.store.stored_events(self.after_event, PIECE).await?;
            let Some(last) = events.last() else { break };
            self.after_event = last.seq;
            for event in &events {
                let (email, phone) = (event.email.as_deref(), event.phone.as_deref());
                if scene.subject.is(email, phone) {
                    whys.insert(event.id, Why::Person);
                    self.contacts.extend(email.into_iter().chain(phone).map(str::to_lowercase));
                    self.sessions.extend(event.session_id.clone().map(|session| (event.source.clone(), session)));
                } else if scene.subject.is_mentioned(&event.body, scene.country(&event.source)) {
                    whys.insert(event.id, Why::Mention);
                }
                similar.extend(event.phone.clone().filter(|phone| scene.subject.is_similar(phone)));
            }
            bar.inc(events.len() as u64);
        }
        bar.finish_and_clear();
        Ok(whys)
    }

    async fn look_at_sessions(&self, whys: &mut HashMap<Uuid, Why>) -> Result<(), Failure> {
        for (source, session) in &self.sessions {
            let filter =
                EventFilter { source: Some(source.clone()), session: Some(session.clone()), limit: u32::MAX, ..EventFilter::default() };
            for row in self.scene.store.events(filter).await? {
                let person = &row.event.person;
                // Several people may use one browser: a contact that is not known as this person's is somebody else's.
                let is_known = |contact: &&String| self.contacts.contains(&contact.to_lowercase());
                let is_ours = person.email.iter().chain(&person.phone).all(|contact| is_known(&contact));
                let why = if is_ours { Why::Session } else { Why::Mention };
                let known = whys.entry(row.event.id).or_insert(why);
                *known = (*known).min(why);
            }
        }
        Ok(())
    }

    async fn look_at_quarantine(&mut self, bodies: &mut Vec<QuarantineRow>) -> Result<(), Failure> {
        let scene = self.scene;
        loop {
            let rows = scene.store.stored_bodies(self.after_body, BODIES).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            self.after_body = last.id;
            for (row, body) in rows {
                if scene.subject.is_mentioned(&String::from_utf8_lossy(&body), scene.country(&row.source)) {
                    bodies.push(row);
                }
            }
        }
    }
}

/// Rows of the events that were found, and rows that name the person although their events have left the store.
pub(super) fn look_at_files(scene: &Scene, events: &[(Why, EventRow)]) -> Result<Vec<(Why, String, Kept)>, Failure> {
    let by_event: HashMap<String, Why> = events.iter().map(|(why, row)| (row.event.id.to_string(), *why)).collect();
    let why = |kept: &Kept| {
        let event = kept.delivery.split_once('_').and_then(|(event, _)| by_event.get(event).copied());
        let cells = || kept.values.iter().map(|(_, cell)| cell.strip_prefix('\'').unwrap_or(cell));
        let own = || cells().any(|cell| scene.subject.is(Some(cell), Some(cell))).then_some(Why::Person);
        let mention = || cells().any(|cell| scene.subject.is_mentioned(cell, None)).then_some(Why::Mention);
        event.or_else(own).or_else(mention)
    };
    let mut rows = Vec::new();
    for (name, connector) in &scene.destinations {
        let kept = connector.kept(&|kept| why(kept).is_some()).map_err(|why| Failure::Failed(format!("destination {name}: {why}")))?;
        rows.extend(kept.into_iter().filter_map(|kept| Some((why(&kept)?, name.clone(), kept))));
    }
    Ok(rows)
}

pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.bodies.is_empty() && self.rows.is_empty()
    }

    /// What was found of that kind, or of all kinds but mentions.
    pub(super) fn events_meant(&self, mentions: bool) -> impl Iterator<Item = &(Why, EventRow)> {
        self.events.iter().filter(move |(why, _)| mentions || *why != Why::Mention)
    }

    pub(super) fn rows_meant(&self, mentions: bool) -> impl Iterator<Item = &(Why, String, Kept)> {
        self.rows.iter().filter(move |(why, ..)| mentions || *why != Why::Mention)
    }

    pub(super) fn count(&self, why: Why) -> usize {
        self.events.iter().filter(|(found, _)| *found == why).count()
    }

    /// Deliveries by state.
    pub(super) fn deliveries(&self, mentions: bool) -> BTreeMap<State, usize> {
        let mut counts = BTreeMap::new();
        for delivery in self.events_meant(mentions).flat_map(|(_, row)| &row.deliveries) {
            *counts.entry(delivery.state).or_default() += 1;
        }
        counts
    }

    /// Says on standard error what there is, before anything is done.
    pub(super) fn tell(&self, scene: &Scene, mentions: bool) {
        let (email, numbers) = (scene.subject.email(), scene.subject.numbers());
        let who: Vec<String> =
            email.map(|email| format!("e-mail {email}")).into_iter().chain(numbers.iter().map(|n| format!("phone {n}"))).collect();
        note(&format!("leadwire: looked for {}", who.join(" or ")));
        if self.is_empty() {
            return note("  nothing is held of them");
        }
        note(&format!("  {:>6}  events of this person", self.count(Why::Person)));
        note(&format!("  {:>6}  events of the same sessions", self.count(Why::Session)));
        note(&format!("  {:>6}  quarantined bodies", self.bodies.len()));
        for (state, count) in self.deliveries(mentions) {
            note(&format!("  {count:>6}  deliveries that are {}", state_word(state)));
        }
        note(&format!("  {:>6}  rows in files that connectors wrote", self.rows_meant(mentions).count()));
        self.tell_mentions(mentions);
        tell_some("numbers that end alike and are not looked for; name one with its country's code", self.similar.iter().cloned());
        tell_some(
            "contacts in the same events that are not looked for; do the same for them if they are of this person",
            self.others(scene).into_iter(),
        );
    }

    fn tell_mentions(&self, mentions: bool) {
        let only: Vec<String> =
            self.events.iter().filter(|(why, _)| *why == Why::Mention).map(|(_, row)| row.event.id.to_string()).collect();
        let rows = self.rows.iter().filter(|(why, ..)| *why == Why::Mention).count();
        if only.is_empty() && rows == 0 {
            return;
        }
        let what = if mentions { "are included" } else { "are left alone; --mentions includes them" };
        note(&format!("  {:>6}  other events and {rows} rows only mention them, or share their session, and {what}", only.len()));
        tell_some("mentioned in", only.into_iter());
    }

    fn others(&self, scene: &Scene) -> BTreeSet<String> {
        let own = self.events.iter().filter(|(why, _)| *why != Why::Mention).map(|(_, row)| &row.event.person);
        let email = |email: &&String| !scene.subject.is(Some(email), None);
        let phone = |phone: &&String| !scene.subject.is(None, Some(phone));
        own.flat_map(|person| person.email.iter().filter(email).chain(person.phone.iter().filter(phone))).cloned().collect()
    }
}

/// What is leased may be on its way at this moment.
fn state_word(state: State) -> &'static str {
    if state == State::Leased { "under way" } else { state.as_str() }
}

fn tell_some(what: &str, all: impl ExactSizeIterator<Item = String>) {
    let count = all.len();
    if count > 0 {
        let more = if count > TOLD { format!(" and {} more", count - TOLD) } else { String::new() };
        note(&format!("          {what}: {}{more}", all.take(TOLD).collect::<Vec<_>>().join(", ")));
    }
}
