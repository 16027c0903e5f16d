//! The certificate of an erasure: what was removed, what is still to be removed by hand, and nothing of the person.

use super::find::{Found, Why};
use super::{Failure, Scene};
use crate::normalize::Subject;
use crate::store::{Erasure, Owed, Removed, RemovedDelivery, Scrubbed, State, Unfinished};
use jiff::Timestamp;
use leadwire_connector::timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What no command of this program reaches.
const NOT_COVERED: [&str; 6] = [
    "records at the destinations: see `remove_by_hand`",
    "backups of the store, and files that were moved out of the folders of the destinations or copied",
    "rows that another bridge on the same database wrote into a folder of its own: run the same command where that bridge runs",
    "an emergency spool that is not drained yet: erase once more when it is",
    "logs of other systems on the way, such as a proxy, and what the chatbot platform itself keeps",
    "blocks that the file system freed when files were written anew; disks that are encrypted need no more",
];

/// The document. `docs/privacy.md` describes its fields.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    #[serde(skip)]
    id: Uuid,
    /// The deliveries that are erased with it.
    #[serde(skip)]
    deliveries: BTreeSet<String>,
    schema: &'static str,
    pub(super) state: Progress,
    #[serde(with = "timestamp")]
    begun_at: Timestamp,
    #[serde(with = "timestamp::option")]
    pub(super) ended_at: Option<Timestamp>,
    version: &'static str,
    #[serde(flatten)]
    head: Head,
    pub(super) removed: Counts,
    tombstones: Vec<Uuid>,
    remove_by_hand: Vec<ByHand>,
    under_way: Vec<String>,
    on_our_side: Vec<Erasure>,
    mentions_left: Vec<Uuid>,
    pub(super) rows_left: Vec<RowLeft>,
    pub(super) store: Option<Scrubbed>,
    pub(super) incomplete_because: Vec<String>,
    not_covered: [&'static str; 6],
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Progress {
    /// Written before anything was done, so that the records are known whatever happens.
    Begun,
    /// All that is in reach is gone.
    Complete,
    /// Something is left; see `incomplete_because`.
    Incomplete,
}

/// What the store keeps of a certificate that is not out yet, beside what was removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) subject: Hashed,
    pub(super) mentions_included: bool,
    found: BTreeMap<String, usize>,
}

/// Whom it was about, for somebody who knows the address or number already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hashed {
    salt: String,
    email_masked: Option<String>,
    email_sha256: Option<String>,
    phone_masked: Vec<String>,
    phone_sha256: Vec<String>,
}

/// What was removed, by kind.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    events: usize,
    events_by_kind: BTreeMap<String, usize>,
    deliveries: usize,
    deliveries_by_state: BTreeMap<&'static str, usize>,
    attempts: usize,
    steps: usize,
    quarantined: usize,
    rows_in_files: usize,
}

/// What the owner must still remove at a destination.
#[derive(Debug, Clone, Serialize)]
struct ByHand {
    destination_type: Option<String>,
    #[serde(flatten)]
    delivery: RemovedDelivery,
    arrived_later: Option<String>,
}

/// A row that a connector did not remove.
#[derive(Debug, Serialize)]
pub(super) struct RowLeft {
    pub(super) destination: String,
    pub(super) place: String,
    pub(super) row: u64,
    pub(super) delivery: String,
}

impl Certificate {
    /// Of an erasure that begins now, or goes on where it was interrupted.
    pub(super) fn new(scene: &Scene, found: &Found, mentions: bool, interrupted: Option<Interrupted>) -> Self {
        let mentions_left = found.events.iter().filter(|(why, _)| *why == Why::Mention && !mentions).map(|(_, row)| row.event.id);
        let fresh = || (Uuid::now_v7(), Timestamp::now(), Head::new(&scene.subject));
        let known = interrupted.as_ref().map(|known| (known.unfinished.owed.id, known.unfinished.owed.begun_at, known.head.clone()));
        let (id, begun_at, head) = known.unwrap_or_else(fresh);
        let mut certificate = Self {
            id,
            deliveries: BTreeSet::new(),
            schema: "leadwire-erasure-certificate/1",
            state: Progress::Begun,
            begun_at,
            ended_at: None,
            version: env!("CARGO_PKG_VERSION"),
            head: head.with(found, mentions),
            removed: Counts::default(),
            tombstones: Vec::new(),
            remove_by_hand: Vec::new(),
            under_way: Vec::new(),
            on_our_side: Vec::new(),
            mentions_left: mentions_left.collect(),
            rows_left: Vec::new(),
            store: None,
            incomplete_because: Vec::new(),
            not_covered: NOT_COVERED,
        };
        // As it stands before, so that a file that is left behind names the records.
        let deliveries = found.events_meant(mentions).flat_map(|(_, row)| &row.deliveries);
        certificate.remove_by_hand = deliveries
            .filter(|delivery| delivery.record.is_some())
            .map(|delivery| RemovedDelivery {
                delivery: delivery.id.clone(),
                destination: delivery.destination.clone(),
                was: delivery.state,
                record: delivery.record.clone(),
                steps: Vec::new(),
            })
            .map(|delivery| ByHand::new(scene, delivery))
            .collect();
        interrupted.into_iter().flat_map(|known| known.unfinished.removed).for_each(|removed| certificate.add(scene, removed));
        certificate
    }

    /// What the store is to keep until this is out.
    pub(super) fn owed(&self) -> Result<Owed, Failure> {
        let head = serde_json::to_string(&self.head).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Owed { id: self.id, begun_at: self.begun_at, head })
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Whether a file holds this certificate as it stood before, or one of the same person that was killed before anything was done.
    pub(super) fn is_in(&self, text: &str, subject: &Subject) -> bool {
        let Ok(there) = serde_json::from_str::<Value>(text) else { return false };
        let is_begun = there["state"] == "begun";
        let head: Option<Head> = serde_json::from_value(there).ok();
        head.is_some_and(|head| head.subject == self.head.subject || is_begun && head.subject.is_of(subject))
    }

    pub(super) fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    /// Whether the delivery is one of those that were erased.
    pub(super) fn is_erased(&self, delivery: &str) -> bool {
        self.deliveries.contains(delivery)
    }

    /// How many events were erased so far.
    pub(super) fn count_events(&self) -> usize {
        self.removed.events
    }

    /// What is said now is what was done, no longer what was found.
    pub(super) fn begin(&mut self) {
        self.remove_by_hand.retain(|by_hand| self.deliveries.contains(&by_hand.delivery.delivery));
    }

    pub(super) fn add(&mut self, scene: &Scene, removed: Removed) {
        self.removed.attempts += removed.attempts;
        self.removed.steps += removed.steps;
        self.removed.quarantined += removed.quarantined;
        self.deliveries.extend(removed.kept);
        for event in removed.events {
            self.removed.events += 1;
            *self.removed.events_by_kind.entry(event.kind).or_default() += 1;
            self.tombstones.push(event.id);
            for delivery in event.deliveries {
                self.add_delivery(scene, delivery);
            }
        }
    }

    fn add_delivery(&mut self, scene: &Scene, delivery: RemovedDelivery) {
        self.removed.deliveries += 1;
        self.deliveries.insert(delivery.delivery.clone());
        *self.removed.deliveries_by_state.entry(delivery.was.as_str()).or_default() += 1;
        if delivery.was == State::Leased {
            self.under_way.push(delivery.delivery.clone());
        }
        if delivery.was == State::Delivered || delivery.record.is_some() || !delivery.steps.is_empty() {
            self.remove_by_hand.push(ByHand::new(scene, delivery));
        }
    }

    /// What connectors made of it. What they removed needs no hand any more; what arrived late does.
    pub(super) fn add_erasures(&mut self, scene: &Scene, erasures: Vec<Erasure>) {
        let is_done = |erasure: &Erasure| erasure.result.as_deref() == Some("removed") && erasure.arrived.is_none();
        self.remove_by_hand
            .retain(|by_hand| !erasures.iter().any(|erasure| erasure.delivery == by_hand.delivery.delivery && is_done(erasure)));
        for erasure in erasures.iter().filter(|erasure| erasure.arrived.is_some()) {
            let known = self.remove_by_hand.iter_mut().find(|by_hand| by_hand.delivery.delivery == erasure.delivery);
            match known {
                Some(by_hand) => by_hand.arrived_later.clone_from(&erasure.arrived),
                None => self.remove_by_hand.push(ByHand::late(scene, erasure)),
            }
        }
        self.removed.rows_in_files = erasures.iter().filter(|erasure| erasure.result.as_deref() == Some("removed")).count();
        self.on_our_side = erasures;
    }

    /// Looks back on what was done, and says whether all is gone that is in reach.
    pub(super) fn conclude(&mut self) {
        let with = |result: Option<&str>| self.on_our_side.iter().filter(|erasure| erasure.result.as_deref() == result).count();
        let (open, left) = (with(None), with(Some("left")));
        let mut reasons = Vec::new();
        if open > 0 {
            reasons
                .push(format!("{open} erasures on our side are requested and not yet carried out; `leadwire person erasures` lists them"));
        }
        if left + self.rows_left.len() > 0 {
            reasons.push(
                "rows are left in files that are no longer as the connector wrote them; see `on_our_side` and `rows_left`".to_owned(),
            );
        }
        let remains: u64 = self.store.iter().flat_map(|store| &store.remains).map(crate::store::Remain::left).sum();
        if remains > 0 {
            reasons.push(format!("{remains} remains are in the store's files; erase once more"));
        }
        self.incomplete_because.extend(reasons);
        self.state = if self.incomplete_because.is_empty() { Progress::Complete } else { Progress::Incomplete };
        self.ended_at = Some(Timestamp::now());
    }
}

/// An erasure of the same person that was interrupted.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) head: Head,
    pub(super) unfinished: Unfinished,
}

impl Interrupted {
    /// `None` when it is of somebody else.
    pub(super) fn of(subject: &Subject, unfinished: Unfinished) -> Option<Self> {
        let head = Head::read(&unfinished.owed).filter(|head| head.subject.is_of(subject))?;
        Some(Self { head, unfinished })
    }
}

impl Head {
    fn new(subject: &Subject) -> Self {
        Self { subject: Hashed::new(subject, &rand::random::<[u8; 16]>()), mentions_included: false, found: BTreeMap::new() }
    }

    /// `None` when another version wrote it.
    pub(super) fn read(owed: &Owed) -> Option<Self> {
        serde_json::from_str(&owed.head).ok()
    }

    /// What was found at first is more than what is found after an interruption.
    fn with(mut self, found: &Found, mentions: bool) -> Self {
        self.mentions_included |= mentions;
        for (what, count) in counts(found) {
            let known = self.found.entry(what.to_owned()).or_default();
            *known = count.max(*known);
        }
        self
    }
}

impl ByHand {
    fn new(scene: &Scene, delivery: RemovedDelivery) -> Self {
        Self { destination_type: scene.kinds.get(&delivery.destination).cloned(), delivery, arrived_later: None }
    }

    fn late(scene: &Scene, erasure: &Erasure) -> Self {
        let delivery = RemovedDelivery {
            delivery: erasure.delivery.clone(),
            destination: erasure.destination.clone(),
            was: State::Leased,
            record: None,
            steps: Vec::new(),
        };
        Self { arrived_later: erasure.arrived.clone(), ..Self::new(scene, delivery) }
    }
}

fn counts(found: &Found) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([
        ("events_of_person", found.count(Why::Person)),
        ("events_of_session", found.count(Why::Session)),
        ("events_that_mention", found.count(Why::Mention)),
        ("quarantined", found.bodies.len()),
        ("rows_in_files", found.rows.len()),
    ])
}

impl Hashed {
    fn new(subject: &Subject, salt: &[u8; 16]) -> Self {
        let hash = |text: &str| hex::encode(Sha256::new().chain_update(salt).chain_update(text).finalize());
        Self {
            salt: hex::encode(salt),
            email_masked: subject.email().map(mask_email),
            email_sha256: subject.email().map(hash),
            phone_masked: subject.numbers().iter().map(|number| mask_phone(number)).collect(),
            phone_sha256: subject.numbers().iter().map(|number| hash(number)).collect(),
        }
    }

    /// Whether it is about exactly these contacts.
    fn is_of(&self, subject: &Subject) -> bool {
        let mut salt = [0; 16];
        hex::decode_to_slice(&self.salt, &mut salt).is_ok() && Self::new(subject, &salt) == *self
    }

    /// For people.
    pub(super) fn masked(&self) -> String {
        self.email_masked.iter().chain(&self.phone_masked).map(String::as_str).collect::<Vec<_>>().join(" or ")
    }
}

/// `j***@e***.com`
fn mask_email(email: &str) -> String {
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let ending = domain.rsplit_once('.').map(|(_, ending)| format!(".{ending}")).unwrap_or_default();
    format!("{}***@{}***{ending}", first(local), first(domain))
}

/// `***71`
fn mask_phone(number: &str) -> String {
    format!("***{}", number.get(number.len().saturating_sub(2)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn who_knows_the_address_can_prove_it_and_nobody_else_reads_it() {
        let subject = Subject::new(Some("Jane.Doe@example.co.uk"), Some("+14155552671"), []).unwrap();
        let hashed = Hashed::new(&subject, &[7; 16]);
        assert_eq!(hashed.email_masked.as_deref(), Some("j***@e***.uk"));
        assert_eq!(hashed.phone_masked, ["***71"]);
        let own = hex::encode(Sha256::new().chain_update([7; 16]).chain_update("jane.doe@example.co.uk").finalize());
        assert_eq!(hashed.email_sha256.as_deref(), Some(own.as_str()));
        let text = serde_json::to_string(&hashed).unwrap();
        assert!(!text.contains("jane") && !text.contains("example") && !text.contains("555"));
        assert_ne!(Hashed::new(&subject, &[8; 16]).email_sha256, hashed.email_sha256);
        assert_eq!((hashed.masked().as_str(), hashed.is_of(&subject)), ("j***@e***.uk or ***71", true));
        let less = Subject::new(Some("Jane.Doe@example.co.uk"), None, []).unwrap();
        assert!(!hashed.is_of(&less), "what was to be erased is more than what is asked for now");
    }
}
