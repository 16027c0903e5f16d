//! Words on pages: the words of a stretch of events in their order, each with the places of the events that have it.
//!
//! A page is `word length, word, places length, places` again and again. Lengths are LEB128. Places are offsets from the beginning of
//! the stretch: either the differences from one to the next, or a bit for each, whichever is shorter.

use std::collections::{BTreeMap, BTreeSet};

/// A page is full at so many bytes: a few of them fit into one of SQLite's own, and one into a row of PostgreSQL's.
const FULL: usize = 900;

const DIFFERENCES: u8 = 0;
const BITS: u8 = 1;

/// Which events have a word, by their places in the order, rising.
pub(in crate::store) type Entries = BTreeMap<Vec<u8>, Vec<i64>>;

/// A part of the words of a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Page {
    /// Its first word.
    pub(in crate::store) first: Vec<u8>,
    pub(in crate::store) body: Vec<u8>,
}

/// Puts these words on pages. `base` is where the stretch begins.
pub(in crate::store) fn write(entries: &Entries, base: i64) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for (word, places) in entries.iter().filter(|(_, places)| !places.is_empty()) {
        let places = pack(places, base);
        let fits = |page: &&mut Page| page.body.len() + word.len() + places.len() < FULL;
        match pages.last_mut().filter(fits) {
            Some(page) => append(&mut page.body, word, &places),
            None => {
                let mut body = Vec::with_capacity(FULL);
                append(&mut body, word, &places);
                pages.push(Page { first: word.clone(), body });
            }
        }
    }
    pages
}

/// All that stands on these pages; `None` when one of them is damaged.
pub(in crate::store) fn read<'a>(bodies: impl IntoIterator<Item = &'a [u8]>, base: i64) -> Option<Entries> {
    let mut entries = Entries::new();
    for body in bodies {
        each(body, |word, packed| {
            let mut places = Vec::new();
            unpack(packed, base, &mut places)?;
            entries.insert(word.to_vec(), places);
            Some(())
        })?;
    }
    Some(entries)
}

/// The places of the events that have a word on this page which `is_wanted`; `None` when it is damaged.
pub(in crate::store) fn find(body: &[u8], base: i64, is_wanted: impl Fn(&[u8]) -> bool, found: &mut Vec<i64>) -> Option<()> {
    each(body, |word, places| if is_wanted(word) { unpack(places, base, found) } else { Some(()) })
}

/// What is left of a page.
#[derive(Debug)]
pub(in crate::store) struct Rest {
    /// Itself, if anything.
    pub(in crate::store) left: Option<Page>,
    /// Words that are gone from it.
    pub(in crate::store) lost: i64,
}

/// The same page without these events, but for words that stay; `None` when nothing changes. A page that is damaged goes.
pub(in crate::store) fn without(body: &[u8], base: i64, gone: &BTreeSet<i64>, stays: impl Fn(&[u8]) -> bool) -> Option<Rest> {
    let Some(mut entries) = read([body], base) else { return Some(Rest { left: None, lost: 0 }) };
    let (words, mut is_changed) = (entries.len(), false);
    for (_, places) in entries.iter_mut().filter(|(word, _)| !stays(word)) {
        let before = places.len();
        places.retain(|place| !gone.contains(place));
        is_changed |= places.len() < before;
    }
    entries.retain(|_, places| !places.is_empty());
    let lost = i64::try_from(words - entries.len()).unwrap_or(0);
    // Fewer words take less room, so that they stand on one page again.
    is_changed.then(|| Rest { left: write(&entries, base).pop(), lost })
}

fn each<'a>(mut body: &'a [u8], mut see: impl FnMut(&'a [u8], &'a [u8]) -> Option<()>) -> Option<()> {
    while !body.is_empty() {
        let word = take_piece(&mut body)?;
        see(word, take_piece(&mut body)?)?;
    }
    Some(())
}

fn append(body: &mut Vec<u8>, word: &[u8], places: &[u8]) {
    for piece in [word, places] {
        put_number(body, piece.len() as u64);
        body.extend_from_slice(piece);
    }
}

fn take_piece<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(body)?).ok()?;
    let (piece, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(piece)
}

fn pack(places: &[i64], base: i64) -> Vec<u8> {
    let mut packed = vec![DIFFERENCES];
    let mut before = base;
    for place in places {
        put_number(&mut packed, place.abs_diff(before));
        before = *place;
    }
    let span = places.last().map_or(0, |last| last.abs_diff(base)) / 8 + 1;
    if (packed.len() as u64) <= span + 1 {
        return packed;
    }
    let mut bits = vec![0; usize::try_from(span).unwrap_or(0) + 1];
    for place in places {
        let offset = usize::try_from(place.abs_diff(base)).unwrap_or(0);
        if let Some(byte) = bits.get_mut(1 + offset / 8) {
            *byte |= 1 << (offset % 8);
        }
    }
    if let Some(tag) = bits.first_mut() {
        *tag = BITS;
    }
    bits
}

/// Adds what is packed to `places`; `None` when it is damaged.
fn unpack(packed: &[u8], base: i64, places: &mut Vec<i64>) -> Option<()> {
    let (tag, mut rest) = packed.split_first()?;
    if *tag == BITS {
        for (at, byte) in rest.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            let start = base.checked_add(i64::try_from(at).ok()?.checked_mul(8)?)?;
            places.extend((0..8).filter(|bit| byte & (1 << bit) != 0).map(|bit| start + bit));
        }
        return Some(());
    }
    let mut place = base;
    while !rest.is_empty() {
        place = place.checked_add_unsigned(take_number(&mut rest)?)?;
        places.push(place);
    }
    (*tag == DIFFERENCES).then_some(())
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Entries> {
        let places = btree_set(100_i64..4_300, 1..60).prop_map(|places| places.into_iter().collect());
        let all = Just((100_i64..4_196).collect::<Vec<i64>>());
        btree_map(vec(any::<u8>(), 1..20), prop_oneof![9 => places, 1 => all], 0..25)
    }

    fn bodies(pages: &[Page]) -> impl Iterator<Item = &[u8]> {
        pages.iter().map(|page| page.body.as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_again_in_order(entries in entries()) {
            let pages = write(&entries, 100);
            prop_assert!(pages.is_sorted_by(|one, other| one.first < other.first));
            prop_assert_eq!(read(bodies(&pages), 100).unwrap(), entries);
        }

        #[test]
        fn what_is_gone_is_on_no_page(entries in entries(), gone in btree_set(100_i64..4_300, 0..300)) {
            for page in write(&entries, 100) {
                let Some(after) = without(&page.body, 100, &gone, |word| word.starts_with(b"=")) else { continue };
                let left = after.left.map_or_else(Entries::new, |page| read([page.body.as_slice()], 100).unwrap());
                for (word, places) in &left {
                    prop_assert!(word.starts_with(b"=") || places.iter().all(|place| !gone.contains(place)));
                    prop_assert!(places.iter().all(|place| entries[word].contains(place)));
                }
            }
        }

        #[test]
        fn damage_is_found_or_harmless(body in vec(any::<u8>(), 0..300), base in any::<i64>()) {
            let _ = read([body.as_slice()], base);
        }
    }

    #[test]
    fn a_common_word_takes_a_bit_for_each_event() {
        let all: Vec<i64> = (1..=4_096).collect();
        let pages = write(&Entries::from([(b"the".to_vec(), all.clone())]), 1);
        assert!(pages[0].body.len() < 530);
        let mut found = Vec::new();
        find(&pages[0].body, 1, |word| word == b"the", &mut found).unwrap();
        assert_eq!(found, all);
    }
}
