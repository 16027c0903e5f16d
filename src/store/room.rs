//! How many deliveries a destination's lane may hold in memory.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Bytes of an event for which one place stands. A large event takes several, so that the window bounds memory too.
const PLACE_BYTES: usize = 64 * 1_024;

/// The places that an event of this many bytes takes.
#[must_use]
pub fn places_for(bytes: usize) -> u32 {
    u32::try_from(bytes / PLACE_BYTES).unwrap_or(u32::MAX).saturating_add(1)
}

/// Counts the places left in a lane. Shared between the lane, which opens and closes it, and the store, which takes places
/// for deliveries that are born leased.
#[derive(Debug)]
pub struct Room {
    places: AtomicI64,
    open: AtomicBool,
}

impl Room {
    /// A closed room with this many places.
    #[must_use]
    pub fn new(places: u32) -> Self {
        Self { places: AtomicI64::new(i64::from(places)), open: AtomicBool::new(false) }
    }

    /// Whether fresh deliveries may enter. Backlog enters by [`take_up_to`](Self::take_up_to) regardless.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// Takes a place for a fresh delivery. False when closed or full.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        self.open.load(Ordering::Acquire) && self.take_up_to(1) == 1
    }

    /// Takes as many places as are left, at most `wanted`.
    #[must_use]
    pub fn take_up_to(&self, wanted: u32) -> u32 {
        let mut taken = 0;
        let _ = self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            taken = left.clamp(0, i64::from(wanted));
            Some(left - taken)
        });
        u32::try_from(taken).unwrap_or(0)
    }

    /// Gives places back.
    pub fn leave(&self, places: u32) {
        self.places.fetch_add(i64::from(places), Ordering::AcqRel);
    }

    /// Has as many places more, or fewer, as lie between the two numbers.
    pub fn resize(&self, from: u32, to: u32) {
        self.places.fetch_add(i64::from(to) - i64::from(from), Ordering::AcqRel);
    }

    /// Takes places that may not be there: a delivery that is larger than the whole window must pass all the same.
    pub fn take(&self, places: u32) {
        self.places.fetch_sub(i64::from(places), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_never_holds_more_than_its_places() {
        let room = Room::new(2);
        assert!(!room.try_enter(), "closed at first");
        room.set_open(true);
        assert!(room.try_enter());
        assert_eq!(room.take_up_to(5), 1);
        assert!(!room.try_enter());
        room.leave(1);
        assert!(room.try_enter());
    }

    #[test]
    fn a_room_that_is_made_smaller_takes_nobody_until_enough_have_left() {
        let room = Room::new(3);
        assert_eq!(room.take_up_to(3), 3);
        room.resize(3, 2);
        room.leave(1);
        assert_eq!(room.take_up_to(1), 0);
        room.resize(2, 4);
        assert_eq!(room.take_up_to(5), 2);
    }
}
