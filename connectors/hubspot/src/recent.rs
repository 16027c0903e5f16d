//! The contacts of the last moments by phone: HubSpot's search, the only way to find a contact by its phone, does not see them yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Much longer than search lags behind.
const AGE_MOST: Duration = Duration::from_secs(120);
const MOST: usize = 1_000;

struct Seen {
    phone: String,
    id: String,
    at: Instant,
}

/// Phone → contact id, the oldest first. In memory only: it helps, and nothing depends on it.
#[derive(Default)]
pub(crate) struct Recent {
    seen: Mutex<VecDeque<Seen>>,
}

impl Recent {
    pub(crate) fn remember(&self, phone: &str, id: &str, at: Instant) {
        let mut seen = self.lock();
        seen.retain(|known| known.phone != phone && at.saturating_duration_since(known.at) < AGE_MOST);
        if seen.len() >= MOST {
            seen.pop_front();
        }
        seen.push_back(Seen { phone: phone.to_owned(), id: id.to_owned(), at });
    }

    pub(crate) fn id_of(&self, phone: &str, now: Instant) -> Option<String> {
        let seen = self.lock();
        let known = seen.iter().find(|known| known.phone == phone && now.saturating_duration_since(known.at) < AGE_MOST)?;
        Some(known.id.clone())
    }

    /// That contact is gone.
    pub(crate) fn forget(&self, phone: &str) {
        self.lock().retain(|known| known.phone != phone);
    }

    /// Every write leaves it whole, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_contact_is_known_for_two_minutes_by_its_newest_id() {
        let (recent, start) = (Recent::default(), Instant::now());
        recent.remember("+1", "101", start);
        recent.remember("+1", "102", start + Duration::from_secs(60));
        assert_eq!(recent.id_of("+1", start + Duration::from_secs(179)).as_deref(), Some("102"));
        assert_eq!(recent.id_of("+1", start + Duration::from_secs(180)), None);
        assert_eq!(recent.id_of("+2", start), None);
        recent.forget("+1");
        assert_eq!(recent.id_of("+1", start), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let (recent, start) = (Recent::default(), Instant::now());
        for number in 0..=MOST {
            recent.remember(&number.to_string(), "1", start);
        }
        assert_eq!(recent.lock().len(), MOST);
        assert_eq!(recent.id_of("0", start), None);
        assert!(recent.id_of("1", start).is_some() && recent.id_of(&MOST.to_string(), start).is_some());
    }
}
