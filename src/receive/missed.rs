//! Missed leads: conversations of the chat log in which a visitor left a contact although no lead came. They are found by walking once
//! over what is stored, in the background, and a person makes leads of them or dismisses them.

use super::intake::Intake;
use crate::normalize::{Contact, FROM_CHAT_LOG, lead_of};
use crate::store::{
    self, EventFilter, FoundMissed, LeadTrace, Missed, MissedEnding, Passed, Receipt, Received, Result, Store, Stretch, Via,
};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// A lead of the same session, address or number answers a conversation when it came within this time before it, or ever after: who is
/// known since last week and chats again is not lost.
const BEFORE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Open ones that a lead can still answer.
const OPEN_MOST: u32 = 10_000;
/// The last digits of a number tell whose it is, with its country's code or without.
const TELLING_DIGITS: usize = 9;

/// Walks over what is stored.
#[derive(Debug)]
pub struct Walker {
    store: Store,
    /// By source: where numbers without a country's code are from.
    countries: BTreeMap<String, Option<String>>,
    /// The newest event at the last look.
    newest: i64,
}

/// A conversation that may be listed, by what a lead would have in common with it.
#[derive(Debug)]
struct Suspect {
    found: FoundMissed,
    source: String,
    session_id: Option<String>,
    /// Leads received before this moment are too old to answer it.
    since: Timestamp,
}

impl Walker {
    /// One that goes on where the last one came to.
    #[must_use]
    pub fn new(store: Store, intake: &Intake) -> Self {
        let countries = intake.sources.iter().map(|(name, gate)| (name.clone(), gate.profile.default_country.clone())).collect();
        Self { store, countries, newest: 0 }
    }

    /// Looks at what came since the last look. Returns how many conversations were listed.
    ///
    /// # Errors
    /// When the store fails; the next look goes on from the same place.
    pub async fn look(&mut self, now: Timestamp) -> Result<usize> {
        let newest = self.store.newest_place().await?;
        let before = std::mem::replace(&mut self.newest, newest);
        // Where several bridges write, a lower place may be committed after a higher one; what was there at the last look is settled.
        let until = if self.store.shares_limits() { before } else { newest };
        let (mut mark, mut listed) = (self.store.missed_mark().await?, 0);
        while mark < until {
            let stretch = self.store.walk_leads(mark, until).await?;
            let to = stretch.until;
            let (found, answered) = self.judge(mark, stretch).await?;
            listed += found.len();
            if !self.store.note_missed((mark, to), found, answered, now).await? {
                return Ok(0);
            }
            mark = to;
        }
        Ok(listed)
    }

    /// What of a stretch has no lead, and what of the list has one now.
    async fn judge(&self, mark: i64, stretch: Stretch) -> Result<(Vec<FoundMissed>, Vec<i64>)> {
        let (leads, new) = self.read(stretch).await?;
        let open: Vec<Suspect> = if leads.is_empty() { Vec::new() } else { self.open().await? };
        let mut suspects = Suspects::new(open.iter().chain(&new));
        leads.iter().for_each(|lead| suspects.answer(lead));
        if let Some(since) = new.iter().map(|suspect| suspect.since).min() {
            self.answer_earlier(&mut suspects, since, mark).await?;
        }
        let answered = suspects.answered;
        let is_open = |suspect: &Suspect| !answered.contains(&suspect.found.event);
        let gone = open.iter().filter(|suspect| !is_open(suspect)).map(|suspect| suspect.found.event).collect();
        Ok((new.into_iter().filter(is_open).map(|suspect| suspect.found).collect(), gone))
    }

    /// Finding contacts takes a while where there are many conversations.
    async fn read(&self, stretch: Stretch) -> Result<(Vec<LeadTrace>, Vec<Suspect>)> {
        let countries = self.countries.clone();
        let read = move || {
            let (mut leads, mut suspects) = (Vec::new(), Vec::new());
            for passed in stretch.passed {
                match passed {
                    Passed::Lead(lead) => leads.push(lead),
                    Passed::Conversation(seq, received_at, body) => suspects.extend(suspect(seq, received_at, &body, &countries)),
                }
            }
            (leads, suspects)
        };
        let failed = |error| store::Error::Refused(format!("looking for missed leads failed: {error}"));
        tokio::task::spawn_blocking(read).await.map_err(failed)
    }

    async fn open(&self) -> Result<Vec<Suspect>> {
        let suspect = |missed: Missed| Suspect {
            found: FoundMissed { event: missed.event, email: missed.email, phone: missed.phone },
            source: missed.source,
            session_id: missed.session_id,
            since: Timestamp::MIN,
        };
        Ok(self.store.missed(None, OPEN_MOST).await?.into_iter().map(suspect).collect())
    }

    async fn answer_earlier(&self, suspects: &mut Suspects<'_>, since: Timestamp, mark: i64) -> Result<()> {
        let mut after = None;
        loop {
            let leads = self.store.leads_since(since, mark, after).await?;
            let Some((place, _)) = leads.last() else { return Ok(()) };
            after = Some(*place);
            leads.iter().for_each(|(_, lead)| suspects.answer(lead));
        }
    }
}

/// One that cannot be read is left alone: it is listed elsewhere.
fn suspect(event: i64, received_at: Timestamp, body: &str, countries: &BTreeMap<String, Option<String>>) -> Option<Suspect> {
    let conversation: Event = serde_json::from_str(body).ok()?;
    let country = countries.get(&conversation.source).and_then(Option::as_deref);
    let Contact { email, phone } = Contact::of(&conversation, country)?;
    let oldest = received_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let since = conversation.created_at.unwrap_or(oldest).clamp(oldest, received_at).checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let found = FoundMissed { event, email, phone };
    Some(Suspect { found, source: conversation.source, session_id: conversation.session_id, since })
}

/// Suspects by what a lead may have in common with them.
#[derive(Debug, Default)]
struct Suspects<'a> {
    by_session: HashMap<(&'a str, &'a str), Vec<i64>>,
    by_email: HashMap<String, Vec<i64>>,
    by_phone: HashMap<String, Vec<i64>>,
    answered: HashSet<i64>,
}

impl<'a> Suspects<'a> {
    fn new(suspects: impl Iterator<Item = &'a Suspect>) -> Self {
        let mut all = Self::default();
        for suspect in suspects {
            let event = suspect.found.event;
            if let Some(session) = &suspect.session_id {
                all.by_session.entry((&suspect.source, session)).or_default().push(event);
            }
            if let Some(email) = &suspect.found.email {
                all.by_email.entry(email.to_lowercase()).or_default().push(event);
            }
            if let Some(phone) = &suspect.found.phone {
                all.by_phone.entry(last_digits(phone)).or_default().push(event);
            }
        }
        all
    }

    fn answer(&mut self, lead: &LeadTrace) {
        let by_session = lead.session_id.as_ref().and_then(|session| self.by_session.get(&(lead.source.as_str(), session.as_str())));
        let by_email = lead.email.as_ref().and_then(|email| self.by_email.get(&email.to_lowercase()));
        let by_phone = lead.phone.as_ref().and_then(|phone| self.by_phone.get(&last_digits(phone)));
        self.answered.extend([by_session, by_email, by_phone].into_iter().flatten().flatten());
    }
}

fn last_digits(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    digits.iter().skip(digits.len().saturating_sub(TELLING_DIGITS)).collect()
}

/// What came of making a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "result", content = "lead")]
pub enum Taken {
    /// This event is the lead, and is delivered as any other.
    Made(Uuid),
    /// It was made before: this event.
    Before(Uuid),
    /// A person dismissed it.
    Dismissed,
    /// It is not on the list; perhaps its lead has come.
    NotListed,
}

/// Makes a lead of a conversation that is listed as missed. Doing it twice makes one.
///
/// # Errors
/// When the store fails; doing it again is right.
pub async fn take_missed(intake: &Intake, store: &Store, conversation: Uuid, now: Timestamp) -> Result<Taken> {
    let missed = match store.missed_of(conversation).await? {
        None => return Ok(Taken::NotListed),
        Some((_, Some(MissedEnding::Taken(lead)))) => return Ok(Taken::Before(lead)),
        Some((_, Some(MissedEnding::Dismissed))) => return Ok(Taken::Dismissed),
        Some((missed, None)) => missed,
    };
    let Some(detail) = store.event(conversation).await? else { return Ok(Taken::NotListed) };
    let contact = Contact { email: missed.email, phone: missed.phone };
    let lead = intake.address(lead_of(&detail.row.event, &contact, Uuid::now_v7(), now), Receipt::unsigned(Via::ChatLog));
    let id = lead.event.id;
    let is_new = store.receive(vec![lead]).await?.first() == Some(&Received::New);
    // It was made before, and the note of it was not.
    let id = if is_new { id } else { made_of(store, &detail.row.event).await?.unwrap_or(id) };
    store.settle_missed(conversation, MissedEnding::Taken(id), now).await?;
    Ok(if is_new { Taken::Made(id) } else { Taken::Before(id) })
}

async fn made_of(store: &Store, conversation: &Event) -> Result<Option<Uuid>> {
    let filter = EventFilter {
        session: conversation.session_id.clone(),
        source: Some(conversation.source.clone()),
        kind: Some("lead".to_owned()),
        since: Some(conversation.received_at),
        limit: 1_000,
        ..EventFilter::default()
    };
    let of_it = serde_json::json!(conversation.id);
    Ok(store.events(filter).await?.into_iter().find(|row| row.event.extra.get(FROM_CHAT_LOG) == Some(&of_it)).map(|row| row.event.id))
}
