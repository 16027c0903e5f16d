//! What is seen of each source: when, by which key, from where, and what was refused. Gathered in memory and brought into the store
//! about once a minute, so that a request costs a lock and a few additions.

use crate::store::{NewEvent, Sighting, What};
use crate::swap::Swap;
use jiff::Timestamp;
use leadwire_connector::Kind;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Addresses of a source told apart between two visits to the store. What strangers can cost is bounded.
const MOST_CLIENTS: usize = 256;

/// When last, and how often.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Timestamp,
    times: i64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { at: Timestamp::UNIX_EPOCH, times: 0 }
    }
}

impl Seen {
    fn note(&mut self, at: Timestamp, times: i64) {
        self.at = self.at.max(at);
        self.times = self.times.saturating_add(times);
    }
}

/// What was seen of one source since the last visit to the store.
#[derive(Debug, Default)]
struct Gathered {
    verified: Seen,
    leads: Seen,
    keys: BTreeMap<u32, Seen>,
    refusals: BTreeMap<&'static str, Seen>,
    clients: HashMap<IpAddr, (Seen, bool)>,
    other_clients: Seen,
    hours: BTreeMap<i64, Seen>,
}

/// What is seen of the sources of the configuration.
#[derive(Debug)]
pub struct Sightings {
    sources: Swap<BTreeMap<String, Arc<Mutex<Gathered>>>>,
    /// What the store did not take; it comes with the next.
    left: Mutex<Vec<Sighting>>,
}

impl Sightings {
    /// Of the sources of these names; others are not noted.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self { sources: Swap::new(names.into_iter().map(|name| (name.clone(), Arc::default())).collect()), left: Mutex::default() }
    }

    /// From now on of these, too.
    pub fn add<'a>(&self, names: impl IntoIterator<Item = &'a String>) {
        let mut all = BTreeMap::clone(&self.sources.now());
        for name in names {
            all.entry(name.clone()).or_default();
        }
        self.sources.put(all);
    }

    /// A request from this address, whatever becomes of it. `listed` is whether the source's `allow_ips` has it, or there is none.
    pub fn note_client(&self, source: &str, client: IpAddr, listed: bool, at: Timestamp) {
        let Some(gathered) = self.of(source) else { return };
        let mut gathered = lock(&gathered);
        if gathered.clients.len() >= MOST_CLIENTS && !gathered.clients.contains_key(&client) {
            return gathered.other_clients.note(at, 1);
        }
        let (seen, is_listed) = gathered.clients.entry(client).or_default();
        seen.note(at, 1);
        *is_listed = listed;
    }

    /// A request that was not taken, and why.
    pub fn note_refusal(&self, source: &str, cause: &'static str, at: Timestamp) {
        if let Some(gathered) = self.of(source) {
            lock(&gathered).refusals.entry(cause).or_default().note(at, 1);
        }
    }

    /// A request that was verified, and the events in it.
    pub fn note_events(&self, source: &str, events: &[NewEvent], at: Timestamp) {
        let Some(gathered) = self.of(source) else { return };
        let mut gathered = lock(&gathered);
        gathered.verified.note(at, 1);
        if let Some(signed) = events.first().and_then(|new| new.receipt?.signed) {
            gathered.keys.entry(signed.key).or_default().note(at, 1);
        }
        // Chat logs come by the clock, also while no visitor can leave a lead: they are no sign that leads arrive.
        let leads = events.iter().filter(|new| matches!(new.event.kind, Kind::Lead | Kind::Appointment)).count();
        if leads > 0 {
            let leads = i64::try_from(leads).unwrap_or(i64::MAX);
            gathered.leads.note(at, leads);
            gathered.hours.entry(at.as_second().div_euclid(3_600)).or_default().note(at, leads);
        }
    }

    /// Everything that was seen since the last call, for the store.
    #[must_use]
    pub fn take(&self) -> Vec<Sighting> {
        let mut all = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (source, gathered) in self.sources.now().iter() {
            let gathered = std::mem::take(&mut *lock(gathered));
            all.extend(gathered.into_sightings(source));
        }
        all
    }

    /// Gives back what the store did not take.
    pub fn give_back(&self, sightings: Vec<Sighting>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        for sighting in sightings {
            match left.iter_mut().find(|known| known.is_of_same(&sighting)) {
                Some(known) => known.add(&sighting),
                None => left.push(sighting),
            }
        }
        // A store that is sick for long: counts are worth less than memory.
        left.truncate(4 * MOST_CLIENTS * self.sources.now().len().max(1));
    }

    fn of(&self, source: &str) -> Option<Arc<Mutex<Gathered>>> {
        self.sources.now().get(source).cloned()
    }
}

fn lock(gathered: &Mutex<Gathered>) -> MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gathered {
    fn into_sightings(self, source: &str) -> Vec<Sighting> {
        let one = |what, name: String, seen: Seen, listed| {
            let source = source.to_owned();
            (seen.times > 0).then_some(Sighting { source, what, name, at: seen.at, times: seen.times, listed })
        };
        let mut all = vec![
            one(What::Verified, String::new(), self.verified, true),
            one(What::Leads, String::new(), self.leads, true),
            one(What::OtherClients, String::new(), self.other_clients, true),
        ];
        all.extend(self.keys.into_iter().map(|(key, seen)| one(What::Key, key.to_string(), seen, true)));
        all.extend(self.refusals.into_iter().map(|(cause, seen)| one(What::Refusal, cause.to_owned(), seen, true)));
        all.extend(self.clients.into_iter().map(|(client, (seen, listed))| one(What::Client, client.to_string(), seen, listed)));
        all.extend(self.hours.into_iter().map(|(hour, seen)| one(What::Hour, hour.to_string(), seen, true)));
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn strangers_cost_no_more_than_a_bounded_number_of_addresses() {
        let sightings = Sightings::new([&"acme".to_owned()]);
        for n in 0..1_000_u32 {
            sightings.note_client("acme", IpAddr::from(n.to_be_bytes()), false, at(1));
        }
        sightings.note_client("nobody", IpAddr::from([0; 4]), false, at(1));
        let all = sightings.take();
        let clients = all.iter().filter(|sighting| sighting.what == What::Client).count();
        let others = all.iter().find(|sighting| sighting.what == What::OtherClients).unwrap().times;
        assert_eq!((clients, others, all.len()), (MOST_CLIENTS, 1_000 - i64::try_from(MOST_CLIENTS).unwrap(), MOST_CLIENTS + 1));
        assert!(sightings.take().is_empty());
    }

    #[test]
    fn what_the_store_did_not_take_comes_with_the_next() {
        let sightings = Sightings::new([&"acme".to_owned()]);
        sightings.note_refusal("acme", "no_header", at(1));
        sightings.give_back(sightings.take());
        sightings.note_refusal("acme", "no_header", at(9));
        sightings.give_back(sightings.take());
        let all = sightings.take();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].times, all[0].at), (2, at(9)));
    }
}
