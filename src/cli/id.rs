//! Ids as people write them: whole, or only their beginning.

use super::desk::Desk;
use super::{Failure, time};
use crate::store::{EventRow, Store, ids_like};
use uuid::Uuid;

/// So many events are listed when more than one begins like that.
const LISTED: u32 = 20;

/// An event's id or its beginning; or a delivery's, which is the event's, `_` and the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    written: String,
    first: Uuid,
    last: Uuid,
    /// Of a delivery's id.
    pub(super) destination: Option<String>,
}

/// Reads an id; hyphens may stand anywhere or be left out.
pub(super) fn parse(text: &str) -> Result<Id, String> {
    let (event, destination) = match text.split_once('_') {
        Some((event, destination)) => (event, Some(destination.to_owned())),
        None => (text, None),
    };
    let (first, last) = ids_like(event).ok_or_else(|| {
        "this is no id of an event or delivery, nor the first 8 digits of one or more; `leadwire events list` finds them".to_owned()
    })?;
    Ok(Id { written: text.to_owned(), first, last, destination })
}

/// What the trail says of these: the only one, or how many. `None` without any.
pub(super) fn target(ids: &[Id]) -> Option<String> {
    match ids {
        [] => None,
        [only] => Some(only.written.clone()),
        more => Some(format!("{} ids", more.len())),
    }
}

impl Id {
    /// The one event that is meant.
    pub(super) async fn find(&self, desk: &Desk) -> Result<EventRow, Failure> {
        let digits = self.written.split('_').next().unwrap_or_default();
        let mut found = desk.events_like(digits, (self.first, self.last), LISTED + 1).await?;
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                Err(Failure::Failed(self.ambiguous(&found)))
            }
            (None, _) => Err(Failure::Failed(format!("there is no event {}; `leadwire events list` finds ids", self.written))),
        }
    }

    /// The same in a store.
    pub(super) async fn find_in(&self, store: &Store) -> Result<EventRow, Failure> {
        self.find(&Desk::Store(store.clone())).await
    }

    fn ambiguous(&self, found: &[EventRow]) -> String {
        let one = |row: &EventRow| {
            format!("\n  {}  {} from {}, {}", row.event.id, row.event.kind, row.event.source, time::long(row.event.received_at))
        };
        let listed: String = found.iter().take(LISTED as usize).map(one).collect();
        let more = if found.len() > LISTED as usize { "\n  and more" } else { "" };
        format!("more than one event begins with {}; write more of the id:{listed}{more}", self.written)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_delivery_id_names_its_destination_which_may_have_underscores() {
        let id = parse("0199f3c2-0000-7000-8000-000000000001_my_crm").unwrap();
        assert_eq!(id.destination.as_deref(), Some("my_crm"));
        assert_eq!(id.first, id.last);
        assert_eq!(id.first.to_string(), "0199f3c2-0000-7000-8000-000000000001");
    }

    #[test]
    fn what_is_too_short_or_too_long_or_no_number_is_no_id() {
        for text in ["", "0199f3c", "0199-f3c", "+199f3c2", "0199f3cg", "0199f3c2…", &"1".repeat(33), "_crm"] {
            assert!(parse(text).unwrap_err().contains("no id"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_lies_between_the_bounds_of_each_of_its_beginnings(number: u128, length in 9_usize..=36) {
            let whole = Uuid::from_u128(number);
            let id = parse(whole.to_string().get(..length).unwrap()).unwrap();
            prop_assert!(id.first <= whole && whole <= id.last);
            prop_assert_eq!(length == 36, id.first == id.last);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse(&text);
        }
    }
}
