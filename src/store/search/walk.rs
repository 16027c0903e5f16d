//! Looking for events, newest first: stretch by stretch with the help of the index, and event by event where there is none.

use super::page;
use super::words::{Query, Word, Words};
use crate::store::Result;
use std::collections::{HashMap, HashSet};

/// Events looked at in one go.
const FEWEST: usize = 64;
const MOST: usize = 2_048;
/// Stretches looked at in one go: few at first, since most searches end with the newest.
const FIRST_STRETCHES: usize = 4;
const MOST_STRETCHES: usize = 256;

/// A stretch of the order of receipt whose words are in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Stretch {
    pub(in crate::store) id: i64,
    /// It covers the places from this one,
    pub(in crate::store) first: i64,
    /// to this one.
    pub(in crate::store) last: i64,
    /// Events in it when it was written, and the words of them all.
    pub(in crate::store) events: i64,
    pub(in crate::store) words: i64,
    /// When the first and the last of them were received, by the clock.
    pub(in crate::store) oldest: i64,
    pub(in crate::store) newest: i64,
    /// Grows with each change.
    pub(in crate::store) version: i64,
    /// Whether events were removed that it still knows.
    pub(in crate::store) is_stale: bool,
}

/// An event as it stands in the store.
#[derive(Debug)]
pub(in crate::store) struct Found {
    pub(in crate::store) seq: i64,
    pub(in crate::store) body: String,
    pub(in crate::store) duplicates: i64,
    pub(in crate::store) erased_at: Option<i64>,
    pub(in crate::store) receipt: Option<String>,
}

/// Which events are read.
#[derive(Debug)]
pub(in crate::store) enum Places {
    /// From the first to the last of these places.
    Between(i64, i64),
    /// Those at these places.
    Among(Vec<i64>),
}

/// What an engine gives to a search. All of it is of one moment.
pub(in crate::store) trait Shelf {
    /// Newest first.
    async fn stretches(&self) -> Result<Vec<Stretch>>;
    /// Of each of these stretches, the pages that may have words from `low` up to `high`; with its number.
    async fn pages(&self, stretches: &[i64], low: &[u8], high: &[u8]) -> Result<Vec<(i64, Vec<u8>)>>;
    /// Events at these places that meet every other condition, newest first, at most `limit`.
    async fn events(&self, places: Places, limit: usize) -> Result<Vec<Found>>;
}

/// What bounds a search.
#[derive(Debug, Clone)]
pub(in crate::store) struct Bounds {
    /// Only events before this place.
    pub(in crate::store) before: i64,
    pub(in crate::store) since: Option<i64>,
    pub(in crate::store) until: Option<i64>,
    /// Only events at these places, rising.
    pub(in crate::store) among: Option<Vec<i64>>,
    pub(in crate::store) limit: usize,
}

impl Bounds {
    fn has_time(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    fn may_have(&self, stretch: &Stretch) -> bool {
        let has_places = |among: &Vec<i64>| {
            let next = among.get(among.partition_point(|place| *place < stretch.first));
            next.is_some_and(|place| *place <= stretch.last)
        };
        self.among.as_ref().is_none_or(has_places)
            && self.since.is_none_or(|since| stretch.newest >= since)
            && self.until.is_none_or(|until| stretch.oldest < until)
    }

    /// Those of the places that may be, or `places` when all may.
    fn narrow(&self, mut places: Vec<i64>) -> Vec<i64> {
        places.retain(|place| *place < self.before && self.among.as_ref().is_none_or(|among| among.binary_search(place).is_ok()));
        places
    }

    /// The places that may be from `first` to `last`, if it is known which.
    fn known(&self, first: i64, last: i64) -> Option<Vec<i64>> {
        let among = self.among.as_ref()?;
        let (from, to) = (among.partition_point(|place| *place < first), among.partition_point(|place| *place <= last));
        Some(among.get(from..to).unwrap_or_default().to_vec())
    }
}

/// A part of the order of receipt.
#[derive(Debug)]
enum Part {
    Indexed(Vec<Stretch>),
    Gap(i64, i64),
}

/// The events that meet the query, newest first.
pub(in crate::store) async fn find<S: Shelf>(shelf: &S, query: &Query, bounds: &Bounds) -> Result<Vec<Found>> {
    let mut search = Search { shelf, query, bounds, found: Vec::new() };
    // Without a word or a time there is nothing that the index could tell.
    let stretches = if query.is_empty() && !bounds.has_time() { Vec::new() } else { shelf.stretches().await? };
    for part in parts(stretches, bounds.before) {
        if search.is_full() {
            break;
        }
        match part {
            Part::Indexed(stretches) => search.look_up(&stretches).await?,
            Part::Gap(first, last) => search.look_through(first, last).await?,
        }
    }
    Ok(search.found)
}

/// Everything before `before`, newest first.
fn parts(stretches: Vec<Stretch>, before: i64) -> Vec<Part> {
    let (mut parts, mut run, mut size, mut top) = (Vec::new(), Vec::new(), FIRST_STRETCHES, before.saturating_sub(1));
    for stretch in stretches.into_iter().filter(|stretch| stretch.first < before) {
        let is_gap = stretch.last < top;
        if is_gap || run.len() >= size {
            if run.len() >= size {
                size = (size * 4).min(MOST_STRETCHES);
            }
            parts.push(Part::Indexed(std::mem::take(&mut run)));
        }
        if is_gap {
            parts.push(Part::Gap(stretch.last.saturating_add(1), top));
        }
        top = stretch.first.saturating_sub(1);
        run.push(stretch);
    }
    parts.extend([Part::Indexed(run), Part::Gap(i64::MIN, top)]);
    parts
}

struct Search<'a, S> {
    shelf: &'a S,
    query: &'a Query,
    bounds: &'a Bounds,
    found: Vec<Found>,
}

impl<S: Shelf> Search<'_, S> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.bounds.limit
    }

    fn missing(&self) -> usize {
        self.bounds.limit.saturating_sub(self.found.len())
    }

    async fn look_up(&mut self, stretches: &[Stretch]) -> Result<()> {
        let wanted: Vec<&Stretch> = stretches.iter().filter(|stretch| self.bounds.may_have(stretch)).collect();
        let mut proposed = if self.query.is_empty() { None } else { Some(self.propose(&wanted).await?) };
        for stretch in wanted {
            if self.is_full() {
                return Ok(());
            }
            match &mut proposed {
                None => self.look_through(stretch.first, stretch.last.min(self.bounds.before.saturating_sub(1))).await?,
                Some(proposed) => match proposed.remove(&stretch.id) {
                    Some(Proposal::Places(places)) => self.look_at(places).await?,
                    Some(Proposal::Damaged) => {
                        self.look_through(stretch.first, stretch.last.min(self.bounds.before.saturating_sub(1))).await?;
                    }
                    None => {}
                },
            }
        }
        Ok(())
    }

    /// What the index says of these stretches; nothing of those that have no such event.
    async fn propose(&self, stretches: &[&Stretch]) -> Result<HashMap<i64, Proposal>> {
        let mut left: Left = stretches.iter().map(|stretch| (stretch.id, None)).collect();
        let bases: HashMap<i64, &Stretch> = stretches.iter().map(|stretch| (stretch.id, *stretch)).collect();
        let mut damaged = HashSet::new();
        let mut clauses: Vec<_> = self.query.clauses.iter().collect();
        // What few have comes first, as far as can be guessed: the others are then asked of fewer stretches.
        clauses.sort_by_key(|clause| std::cmp::Reverse(clause.iter().flatten().map(weight).min()));
        for clause in clauses {
            let mut any: HashMap<i64, Vec<i64>> = HashMap::new();
            for all in clause {
                for (id, places) in self.with_all(left.clone(), all, &bases, &mut damaged).await? {
                    any.entry(id).or_default().extend(places.unwrap_or_default());
                }
            }
            left = any.into_iter().map(|(id, places)| (id, Some(in_order(places)))).collect();
        }
        let places = left.into_iter().map(|(id, places)| (id, Proposal::Places(places.unwrap_or_default())));
        let mut proposed: HashMap<i64, Proposal> = places.collect();
        proposed.extend(damaged.into_iter().map(|id| (id, Proposal::Damaged)));
        Ok(proposed)
    }

    /// Those of the events that have all of these words.
    async fn with_all(&self, mut those: Left, all: &[Word], bases: &HashMap<i64, &Stretch>, damaged: &mut HashSet<i64>) -> Result<Left> {
        let mut all: Vec<&Word> = all.iter().collect();
        all.sort_by_key(|word| std::cmp::Reverse(weight(word)));
        for word in all {
            let ids: Vec<i64> = those.keys().copied().collect();
            let has = self.ask(&ids, bases, word, damaged).await?;
            those = those.into_iter().filter_map(|(id, places)| Some((id, Some(meet(places, has.get(&id)?))))).collect();
            those.retain(|_, places| places.as_ref().is_none_or(|places| !places.is_empty()));
        }
        Ok(those)
    }

    /// Which events of these stretches have the word.
    async fn ask(
        &self,
        ids: &[i64],
        bases: &HashMap<i64, &Stretch>,
        word: &Word,
        damaged: &mut HashSet<i64>,
    ) -> Result<HashMap<i64, Vec<i64>>> {
        let low = word.text.as_bytes();
        let high = if word.is_beginning { after(low) } else { low.to_vec() };
        let is_wanted = |found: &[u8]| if word.is_beginning { found.starts_with(low) } else { found == low };
        let mut has: HashMap<i64, Vec<i64>> = HashMap::new();
        for (id, body) in self.shelf.pages(ids, low, &high).await? {
            let Some(stretch) = bases.get(&id) else { continue };
            if page::find(&body, stretch.first, is_wanted, has.entry(id).or_default()).is_none() {
                damaged.insert(id);
            }
        }
        for (id, places) in &mut has {
            let last = bases.get(id).map_or(i64::MAX, |stretch| stretch.last);
            *places = in_order(std::mem::take(places));
            places.truncate(places.partition_point(|place| *place <= last));
        }
        Ok(has)
    }

    /// Looks at events that the index proposes.
    async fn look_at(&mut self, places: Vec<i64>) -> Result<()> {
        let mut places = self.bounds.narrow(places);
        let mut size = self.missing().clamp(FEWEST, MOST);
        while !places.is_empty() && !self.is_full() {
            let newest = places.split_off(places.len().saturating_sub(size));
            let limit = newest.len();
            let events = self.shelf.events(Places::Among(newest), limit).await?;
            self.take(events);
            size = (size * 2).min(MOST);
        }
        Ok(())
    }

    /// Looks at every event between these places.
    async fn look_through(&mut self, first: i64, last: i64) -> Result<()> {
        if let Some(places) = self.bounds.known(first, last) {
            return self.look_at(places).await;
        }
        let (mut last, mut size) = (last, self.missing().clamp(FEWEST, MOST));
        while first <= last && !self.is_full() {
            let size_now = if self.query.is_empty() { self.missing() } else { size };
            let events = self.shelf.events(Places::Between(first, last), size_now).await?;
            let is_end = events.len() < size_now;
            last = events.last().map_or(i64::MIN, |event| event.seq.saturating_sub(1));
            self.take(events);
            if is_end {
                return Ok(());
            }
            size = (size * 2).min(MOST);
        }
        Ok(())
    }

    fn take(&mut self, events: Vec<Found>) {
        let (query, missing) = (self.query, self.missing());
        let is_meant = |event: &Found| query.is_empty() || query.is_met_by(&Words::of(&event.body));
        self.found.extend(events.into_iter().filter(is_meant).take(missing));
    }
}

/// The events of each stretch that are still meant; `None` for all of it.
type Left = HashMap<i64, Option<Vec<i64>>>;

/// What the index says of a stretch.
enum Proposal {
    Places(Vec<i64>),
    Damaged,
}

/// A whole word is one step, whatever it brings; of beginnings, the long ones are rare.
fn weight(word: &Word) -> (bool, usize) {
    (!word.is_beginning, word.text.len())
}

/// The first word after all that begin with this one.
fn after(word: &[u8]) -> Vec<u8> {
    let mut end = word.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0xff; 64]
}

fn in_order(mut places: Vec<i64>) -> Vec<i64> {
    if !places.is_sorted() {
        places.sort_unstable();
    }
    places.dedup();
    places
}

/// What is in both; both rise.
fn meet(one: Option<Vec<i64>>, other: &[i64]) -> Vec<i64> {
    let Some(mut one) = one else { return other.to_vec() };
    let mut rest = other.iter().peekable();
    one.retain(|place| {
        while rest.next_if(|other| *other < place).is_some() {}
        rest.peek().is_some_and(|other| *other == place)
    });
    one
}
