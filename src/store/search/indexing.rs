//! What the index still lacks, and making it: by the running bridge, in the background, in batches.
//!
//! The order of receipt is covered by stretches, newest first. What came since the newest stretch was written, and whatever else no
//! stretch covers, is looked through directly by each search, so that the index may lag and may be thrown away.

use super::page::{self, Entries, Page};
use super::walk::Stretch;
use super::words::Words;

/// Events of one stretch, at most. A batch writes all pages of a stretch at once, and on SQLite whoever is received in that moment waits
/// for it, some milliseconds: larger stretches make searches quicker, and that wait longer.
pub(in crate::store) const STRETCH: i64 = 512;
/// A stretch with fewer takes in what comes after it,
const OPEN: i64 = STRETCH - 128;
/// unless it has so many words.
const MANY_WORDS: i64 = 6_000;
/// Bodies read for one batch, in bytes: what it takes of memory and of the disk at once.
pub(in crate::store) const BATCH_BYTES: usize = 1 << 20;

/// One batch of work.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Work {
    /// All events of the stretch are gone.
    Drop(Stretch),
    /// Some are.
    Refresh(Stretch),
    /// What came after the stretch is to be in it, up to a place.
    Extend(Stretch, i64),
    /// A new stretch that ends at the second place, and begins at the first or, with many events, later.
    Add(i64, i64),
}

/// What to do next. `stretches` are newest first; the events there are, and will be, are from `low` to `high`. A gap of fewer places
/// than `at_least` is left for later.
pub(in crate::store) fn next(stretches: &[Stretch], low: i64, high: i64, at_least: i64) -> Option<Work> {
    if let Some(gone) = stretches.iter().find(|stretch| stretch.last < low || stretch.first > stretch.last) {
        return Some(Work::Drop(gone.clone()));
    }
    if let Some(stale) = stretches.iter().find(|stretch| stretch.is_stale) {
        return Some(Work::Refresh(stale.clone()));
    }
    let mut top = high;
    for stretch in stretches {
        if top - stretch.last >= at_least {
            let is_open = stretch.events < OPEN && stretch.words < MANY_WORDS;
            return Some(if is_open { Work::Extend(stretch.clone(), top) } else { Work::Add(stretch.last + 1, top) });
        }
        top = stretch.first - 1;
    }
    (low <= top && top - low + 1 >= at_least).then_some(Work::Add(low, top))
}

/// An event to be put into the index.
#[derive(Debug)]
pub(in crate::store) struct Unread {
    pub(in crate::store) seq: i64,
    pub(in crate::store) received_at: i64,
    pub(in crate::store) body: String,
}

/// A stretch with its pages.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) stretch: Stretch,
    pub(in crate::store) pages: Vec<Page>,
}

impl Draft {
    fn of(mut stretch: Stretch, entries: &Entries) -> Self {
        stretch.words = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        stretch.is_stale = false;
        Self { pages: page::write(entries, stretch.first), stretch }
    }

    /// A stretch of these events, which covers the places from `first` to `last`.
    pub(in crate::store) fn new(first: i64, last: i64, events: &[Unread]) -> Self {
        let stretch = Stretch { id: 0, first, last, events: 0, words: 0, oldest: i64::MAX, newest: i64::MIN, version: 0, is_stale: false };
        Self::with(stretch, Entries::new(), last, events)
    }

    /// The stretch with these events besides, up to `last`. None when its pages are damaged: it is made anew then.
    pub(in crate::store) fn extended(stretch: Stretch, pages: &[Vec<u8>], last: i64, events: &[Unread]) -> Option<Self> {
        let mut entries = read(&stretch, pages)?;
        // Places after the last one may have been given to other events since.
        entries.values_mut().for_each(|places| places.retain(|place| *place <= stretch.last));
        Some(Self::with(stretch, entries, last, events))
    }

    /// The stretch without what is not among these events.
    pub(in crate::store) fn refreshed(mut stretch: Stretch, pages: &[Vec<u8>], there: &[i64]) -> Option<Self> {
        let mut entries = read(&stretch, pages)?;
        entries.values_mut().for_each(|places| places.retain(|place| there.binary_search(place).is_ok()));
        entries.retain(|_, places| !places.is_empty());
        stretch.events = i64::try_from(there.len()).unwrap_or(i64::MAX);
        Some(Self::of(stretch, &entries))
    }

    fn with(mut stretch: Stretch, mut entries: Entries, last: i64, events: &[Unread]) -> Self {
        for event in events {
            for word in Words::of(&event.body).into_iter() {
                entries.entry(word.into_bytes()).or_default().push(event.seq);
            }
            stretch.oldest = stretch.oldest.min(event.received_at);
            stretch.newest = stretch.newest.max(event.received_at);
        }
        entries.retain(|_, places| !places.is_empty());
        stretch.events += i64::try_from(events.len()).unwrap_or(0);
        stretch.last = last;
        Self::of(stretch, &entries)
    }
}

/// The words of a stretch, if all of them are there.
fn read(stretch: &Stretch, pages: &[Vec<u8>]) -> Option<Entries> {
    let entries = page::read(pages.iter().map(Vec::as_slice), stretch.first)?;
    is_whole(stretch, &entries).then_some(entries)
}

fn is_whole(stretch: &Stretch, entries: &Entries) -> bool {
    i64::try_from(entries.len()) == Ok(stretch.words)
}

/// Whether the stretch is damaged, or words of it name events which are not `there`, or are only `erased` ones now.
pub(in crate::store) fn has_strays(stretch: &Stretch, pages: &[Vec<u8>], there: &[i64], erased: &[i64]) -> bool {
    let Some(entries) = read(stretch, pages) else { return true };
    let is_stray = |word: &[u8], place: &i64| {
        let is_gone = there.binary_search(place).is_err() && !stretch.is_stale;
        is_gone || (erased.binary_search(place).is_ok() && !super::words::stays(word))
    };
    entries.iter().any(|(word, places)| places.iter().any(|place| is_stray(word, place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(first: i64, last: i64, events: i64) -> Stretch {
        Stretch { id: first, first, last, events, words: 0, oldest: 0, newest: 0, version: 0, is_stale: false }
    }

    #[test]
    fn the_newest_gap_comes_first_and_an_open_stretch_grows() {
        assert_eq!(next(&[], 1, 0, 1), None);
        assert_eq!(next(&[], 1, 9, 1), Some(Work::Add(1, 9)));
        assert_eq!(next(&[], 1, 9, 10), None);
        let open = stretch(1, 9, 9);
        assert_eq!(next(std::slice::from_ref(&open), 1, 9, 1), None);
        assert_eq!(next(std::slice::from_ref(&open), 1, 12, 1), Some(Work::Extend(open.clone(), 12)));
        let full = stretch(1, STRETCH, STRETCH);
        assert_eq!(next(std::slice::from_ref(&full), 1, 5_000, 1), Some(Work::Add(STRETCH + 1, 5_000)));
        let wordy = Stretch { words: MANY_WORDS, ..open };
        assert_eq!(next(std::slice::from_ref(&wordy), 1, 12, 1), Some(Work::Add(10, 12)));
        let newer = stretch(9_000, 9_999, 1_000);
        assert_eq!(next(&[newer.clone(), full.clone()], 1, 9_999, 1), Some(Work::Add(STRETCH + 1, 8_999)));
        assert_eq!(next(&[newer, full.clone()], 5_000, 9_999, 1), Some(Work::Drop(full)));
    }

    #[test]
    fn a_stretch_that_is_stale_is_refreshed() {
        let stale = Stretch { is_stale: true, ..stretch(1, 9, 9) };
        assert_eq!(next(std::slice::from_ref(&stale), 1, 9, 1), Some(Work::Refresh(stale)));
    }
}
