//! Stories about finding events by what people know of them.

use crate::stage::{Stage, event, now, with};
use jiff::{SignedDuration, Timestamp, tz};
use leadwire::store::{DeliveryFilter, EventFilter, State};
use leadwire_connector::Event;

/// Stores an event for each of these changes, numbered from 0.
async fn store(stage: &Stage, changes: &[&dyn Fn(&mut Event)]) {
    for (n, change) in changes.iter().enumerate() {
        let new = with(event(n as u64, None, &[stage.crm]), |event| change(event));
        stage.receive_one(new).await;
    }
}

/// The ends of the ids of the events that match, oldest first.
async fn found(stage: &Stage, filter: EventFilter) -> Vec<u128> {
    stage.find(filter).await.iter().rev().map(|row| row.event.id.as_u128() & 0xff).collect()
}

fn by_email(email: &str) -> EventFilter {
    EventFilter { email: Some(email.to_owned()), ..EventFilter::default() }
}

fn by_phone(phone: &str) -> EventFilter {
    EventFilter { phone: Some(phone.to_owned()), ..EventFilter::default() }
}

fn by_session(session: &str) -> EventFilter {
    EventFilter { session: Some(session.to_owned()), ..EventFilter::default() }
}

fn set_email(email: &str) -> impl Fn(&mut Event) {
    move |event| event.person.email = Some(email.to_owned())
}

fn set_phone(phone: &str) -> impl Fn(&mut Event) {
    move |event| event.person.phone = Some(phone.to_owned())
}

async fn people_find_an_event_by_what_they_know(stage: Stage) {
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(8)).await;
    let find = async |filter| found(&stage, filter).await.len();
    assert_eq!(find(by_email("P7@Example.com")).await, 1);
    assert_eq!(find(by_phone("(555) 0100")).await, 2);
    assert_eq!(find(by_session("2")).await, 1);
    assert_eq!(find(EventFilter { source: Some("other".to_owned()), ..EventFilter::default() }).await, 0);
    assert_eq!(find(EventFilter { source: Some("ACME".to_owned()), ..EventFilter::default() }).await, 0);
    assert_eq!(find(EventFilter { kind: Some("lead".to_owned()), since: Some(now()), ..EventFilter::default() }).await, 0);
    assert_eq!(find(by_email("' OR 1=1 --")).await, 0);
}

async fn wildcards_are_letters_like_others(stage: Stage) {
    let emails = ["a_b@example.com", "axb@example.com", "a%b@example.com", "a\\b@example.com"];
    for (n, email) in emails.iter().enumerate() {
        let new = with(event(n as u64, None, &[]), |event| {
            event.person.email = Some((*email).to_owned());
            event.session_id = Some(email[..3].to_owned());
        });
        stage.receive_one(new).await;
    }
    for (n, email) in emails.iter().enumerate() {
        assert_eq!(found(&stage, by_email(email)).await, [n as u128], "{email}");
        assert_eq!(found(&stage, by_session(&email[..3])).await, [n as u128], "{email}");
    }
    for pattern in ["%", "_", "\\", "a%", "a*b@example.com", "%@example.com", ""] {
        assert_eq!(found(&stage, by_email(pattern)).await, [], "{pattern}");
        assert_eq!(found(&stage, by_session(pattern)).await, [], "{pattern}");
        assert_eq!(found(&stage, by_phone(pattern)).await, [], "{pattern}");
    }
}

async fn empty_is_not_the_same_as_nothing(stage: Stage) {
    let empty = |event: &mut Event| {
        event.person.email = Some(String::new());
        event.session_id = Some(String::new());
        event.person.phone = Some(String::new());
    };
    let nothing = |event: &mut Event| {
        event.person.email = None;
        event.session_id = None;
        event.person.phone = None;
    };
    store(&stage, &[&empty, &nothing]).await;
    assert_eq!(found(&stage, by_email("")).await, [0]);
    assert_eq!(found(&stage, by_session("")).await, [0]);
    assert_eq!(found(&stage, by_phone("")).await, [], "no digits are nobody's number");
    let rows = stage.find(EventFilter::default()).await;
    assert_eq!((rows[1].event.session_id.as_deref(), rows[0].event.session_id.as_deref()), (Some(""), None));
}

async fn the_case_of_letters_counts_only_beyond_ascii(stage: Stage) {
    let emails = ["Jane.DOE@Example.com", "MÜLLER@example.com", "müller@example.com", "ISTANBUL@example.com", "İstanbul@example.com"];
    let changes = emails.map(set_email);
    store(&stage, &changes.each_ref().map(|change| change as &dyn Fn(&mut Event))).await;
    assert_eq!(found(&stage, by_email("jane.doe@EXAMPLE.COM")).await, [0]);
    assert_eq!(found(&stage, by_email("mÜller@example.com")).await, [1]);
    assert_eq!(found(&stage, by_email("Müller@example.com")).await, [2]);
    assert_eq!(found(&stage, by_email("istanbul@example.com")).await, [3]);
    assert_eq!(found(&stage, by_email("jane.doe@example.com ")).await, [], "a space is a space");
}

async fn a_phone_is_found_by_its_digits(stage: Stage) {
    let phones = ["+49 30 12345", "0049-30-54321", "(030) 123.45/67", "555 0100 ext. 9", "none", "٣٠١٢٣"];
    let changes = phones.map(set_phone);
    store(&stage, &changes.each_ref().map(|change| change as &dyn Fn(&mut Event))).await;
    for wanted in ["+493012345", "0049 30 12345", "030-12345", "12345"] {
        assert_eq!(found(&stage, by_phone(wanted)).await, [0], "{wanted}");
    }
    assert_eq!(found(&stage, by_phone("+49 30 54321")).await, [1]);
    assert_eq!(found(&stage, by_phone("030 1234567")).await, [2]);
    assert_eq!(found(&stage, by_phone("555-01009")).await, [3]);
    for wanted in ["none", "+", "0", "000", "5_5", "99999999999999999999999999"] {
        assert_eq!(found(&stage, by_phone(wanted)).await, [], "{wanted}");
    }
}

async fn bounds_of_time_are_exact_to_the_microsecond(stage: Stage) {
    let times = [-1, 0, 1].map(|us| move |event: &mut Event| event.received_at = now() + SignedDuration::from_micros(us));
    store(&stage, &times.each_ref().map(|change| change as &dyn Fn(&mut Event))).await;
    let since = |at| EventFilter { since: Some(at), ..EventFilter::default() };
    assert_eq!(found(&stage, since(now())).await, [1, 2]);
    assert_eq!(found(&stage, EventFilter { until: Some(now()), ..EventFilter::default() }).await, [0]);
    let only = EventFilter { until: Some(now() + SignedDuration::from_micros(1)), ..since(now()) };
    assert_eq!(found(&stage, only).await, [1]);
    let deliveries = DeliveryFilter { since: Some(now()), limit: 9, ..DeliveryFilter::default() };
    assert_eq!(stage.store.deliveries(deliveries).await.unwrap().len(), 2);
}

async fn a_moment_is_the_same_in_every_zone(stage: Stage) {
    let at: Timestamp = "2024-10-27T02:30:00+01:00".parse().unwrap();
    store(&stage, &[&|event: &mut Event| event.received_at = at]).await;
    for offset in [-12, 0, 5, 14] {
        let there = at.to_zoned(tz::offset(offset).to_time_zone()).timestamp();
        let filter = EventFilter { since: Some(there), until: Some(there + SignedDuration::from_micros(1)), ..EventFilter::default() };
        assert_eq!(found(&stage, filter).await, [0]);
    }
    let row = &stage.find(EventFilter::default()).await[0];
    assert_eq!((row.event.received_at, row.deliveries[0].received_at, row.deliveries[0].not_before), (at, at, Some(at)));
}

async fn lists_are_newest_first_and_end_at_their_limit(stage: Stage) {
    for n in 1..=5 {
        stage.receive_one(event(n, None, &[stage.drop, stage.crm])).await;
    }
    let limited = |limit| EventFilter { limit, ..EventFilter::default() };
    let sessions = |rows: Vec<leadwire::store::EventRow>| rows.into_iter().map(|row| row.event.session_id.unwrap()).collect::<Vec<_>>();
    assert_eq!(sessions(stage.store.events(limited(2)).await.unwrap()), ["5", "4"]);
    assert_eq!(stage.store.events(limited(0)).await.unwrap().len(), 0);
    assert_eq!(stage.store.events(limited(u32::MAX)).await.unwrap().len(), 5);
    let id = |n| event(n, None, &[]).event.id;
    assert_eq!(sessions(stage.store.events_between(id(2), id(4), 2).await.unwrap()), ["4", "3"]);
    assert_eq!(stage.store.events_between(id(4), id(2), 9).await.unwrap().len(), 0);
    let waiting = DeliveryFilter { states: vec![State::Waiting, State::Dead], limit: 3, ..DeliveryFilter::default() };
    let rows = stage.store.deliveries(waiting.clone()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.destination.as_str()).collect::<Vec<_>>(), ["crm", "Drop", "crm"]);
    let of_drop = DeliveryFilter { destination: Some("Drop".to_owned()), limit: 9, ..waiting };
    assert_eq!(stage.store.deliveries(of_drop).await.unwrap().len(), 5);
    assert!(stage.store.event(id(9)).await.unwrap().is_none());
}

async fn a_list_of_deliveries_goes_on_where_its_page_ended(stage: Stage) {
    for n in 1..=4 {
        stage.receive_one(event(n, None, &[stage.drop, stage.crm])).await;
    }
    let whole = DeliveryFilter { limit: 99, ..DeliveryFilter::default() };
    let all: Vec<String> = stage.store.deliveries(whole.clone()).await.unwrap().into_iter().map(|row| row.id).collect();
    for size in [1, 3] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = stage.store.deliveries(DeliveryFilter { before, limit: size, ..whole.clone() }).await.unwrap();
            before = page.last().map(|row| (row.event, row.destination.clone()));
            seen.extend(page.into_iter().map(|row| row.id));
            // What comes meanwhile is newer than every page.
            stage.receive_one(event(100 + seen.len() as u64 + 1_000 * u64::from(size), None, &[stage.drop])).await;
            if before.is_none() {
                break;
            }
        }
        let expected = if size == 1 { all.clone() } else { seen.clone() };
        assert_eq!(seen, expected);
        assert!(all.iter().all(|id| seen.contains(id)), "{seen:?}");
    }
    let gone = (leadwire::store::ids_like("ffffffff").unwrap().1, "nowhere".to_owned());
    let rest = stage.store.deliveries(DeliveryFilter { before: Some(gone), ..whole }).await.unwrap();
    assert!(all.iter().all(|id| rest.iter().any(|row| row.id == *id)), "an event that was removed since is no obstacle");
}

on_every_engine!(
    people_find_an_event_by_what_they_know,
    wildcards_are_letters_like_others,
    empty_is_not_the_same_as_nothing,
    the_case_of_letters_counts_only_beyond_ascii,
    a_phone_is_found_by_its_digits,
    bounds_of_time_are_exact_to_the_microsecond,
    a_moment_is_the_same_in_every_zone,
    lists_are_newest_first_and_end_at_their_limit,
    a_list_of_deliveries_goes_on_where_its_page_ended,
);
