//! Stories about how events came in, what was seen of sources, and leads that were missed.

use crate::stage::{Stage, again, event, now, with};
use jiff::{SignedDuration, Timestamp};
use leadwire::app::build_intake;
use leadwire::normalize::{ContentKey, FROM_CHAT_LOG};
use leadwire::receive::{Intake, Taken, Walker, take_missed};
use leadwire::store::{Erasing, EventFilter, Form, MissedEnding, NewEvent, Receipt, Received, Sighting, Signed, Via, What};
use leadwire_connector::{Author, Conversation, Kind, Message};

fn receipt() -> Receipt {
    let signed = Some(Signed { form: Form::Canonical, key: 2, stale: true, age_s: -400 });
    Receipt { via: Via::Quarantine, client: Some([203, 0, 113, 9].into()), signed }
}

async fn a_receipt_is_kept_with_its_event_and_goes_with_its_person(stage: Stage) {
    let new = NewEvent { receipt: Some(receipt()), ..event(1, Some(1), &[stage.crm]) };
    stage.receive_one(new.clone()).await;
    stage.receive(2, Some(2)).await;
    let stage = stage.restart().await;
    let rows = stage.find(EventFilter::default()).await;
    assert_eq!((rows[1].receipt, rows[0].receipt), (Some(receipt()), None));
    let repeated = NewEvent { receipt: Some(Receipt::unsigned(Via::Backfill)), ..again(new.clone()) };
    assert_eq!(stage.receive_one(repeated).await, Received::Duplicate);
    assert_eq!(stage.store.event(new.event.id).await.unwrap().unwrap().row.receipt, Some(receipt()), "the first one counts");
    stage.store.erase(Erasing { events: vec![new.event.id], ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(stage.store.event(new.event.id).await.unwrap().unwrap().row.receipt, None);
    stage.assert_audit().await;
    let left = if stage.is_shared() {
        "UPDATE event SET receipt = 'd - - 203.0.113.9'"
    } else {
        "UPDATE event SET receipt = 'd - - 203.0.113.9';"
    };
    stage.tamper(left);
    assert!(!stage.store.audit().await.unwrap().holds(), "the audit looks for what is left");
}

fn sighting(what: What, name: &str, at: Timestamp, listed: bool) -> Sighting {
    Sighting { source: "acme".to_owned(), what, name: name.to_owned(), at, times: 2, listed }
}

async fn what_is_seen_of_a_source_adds_up_and_stays_bounded(stage: Stage) {
    let later = |seconds| now() + SignedDuration::from_secs(seconds);
    let note = async |all: Vec<Sighting>| stage.store.note_sightings(all, later(100)).await.unwrap();
    note(vec![
        sighting(What::Verified, "", later(2), true),
        sighting(What::Key, "1", later(1), true),
        sighting(What::Key, "1", later(2), true),
        sighting(What::Refusal, "no_header", later(3), true),
        sighting(What::Leads, "", later(2), true),
        Sighting { source: "unknown".to_owned(), ..sighting(What::Verified, "", later(9), true) },
    ])
    .await;
    note(vec![
        sighting(What::Verified, "", later(1), true),
        sighting(What::Refusal, "old", now() - SignedDuration::from_hours(91 * 24), true),
    ])
    .await;
    let clients: Vec<Sighting> = (0..100).map(|n| sighting(What::Client, &format!("10.0.0.{n}"), later(n), n % 2 == 0)).collect();
    note(clients).await;
    let seen = stage.store.sightings("acme").await.unwrap();
    assert_eq!((seen.last_seen, seen.requests, seen.last_lead), (Some(later(2)), 4, Some(later(2))));
    assert_eq!(seen.keys.iter().map(|key| (key.key, key.last_used, key.times)).collect::<Vec<_>>(), [(1, later(2), 4)]);
    assert_eq!(seen.refusals.iter().map(|refusal| (refusal.cause.as_str(), refusal.times)).collect::<Vec<_>>(), [("no_header", 2)]);
    assert_eq!((seen.clients.len(), seen.other_clients), (64, 72), "the ones not seen for longest make room");
    assert_eq!((seen.clients[0].address.as_str(), seen.clients[0].listed, seen.clients[1].listed), ("10.0.0.99", false, true));
    assert_eq!(stage.store.sightings("Beta").await.unwrap(), leadwire::store::Sightings::default());
    let stage = stage.restart().await;
    assert_eq!(stage.store.sightings("acme").await.unwrap(), seen);
}

async fn hours_are_kept_for_as_long_as_a_silence_is_judged_by_them(stage: Stage) {
    let hour = |ago: i64| now().as_second() / 3_600 - ago;
    let at = |ago: i64| now() - SignedDuration::from_hours(ago);
    let hours = |agos: Vec<i64>| agos.into_iter().map(|ago| sighting(What::Hour, &hour(ago).to_string(), at(ago), true)).collect();
    stage.store.note_sightings(hours((1..1_000).collect()), now()).await.unwrap();
    stage.store.note_sightings(hours(vec![2_000, 0]), now()).await.unwrap();
    stage.store.note_sightings(vec![sighting(What::Leads, "", now(), true)], now()).await.unwrap();
    let seen = stage.store.sightings("acme").await.unwrap();
    assert_eq!(seen.hours.len(), 1_000);
    assert!(!seen.silence(now()).unwrap().unusual);
    assert!(seen.silence(now() + SignedDuration::from_hours(24)).unwrap().unusual, "two an hour, and then nothing for a day");
}

/// A conversation of this session in which the visitor says this.
fn conversation(n: u64, session: &str, says: &str) -> NewEvent {
    with(event(n, None, &[]), |event| {
        event.kind = Kind::Conversation;
        event.session_id = Some(session.to_owned());
        event.person = leadwire_connector::Person::default();
        let message = |author, text: &str| Message { author, text: text.to_owned() };
        let messages = vec![message(Author::Ai, "Write to house@example.org or +14155550100"), message(Author::User, says)];
        event.conversation = Some(Conversation { messages, ..Conversation::default() });
    })
}

fn lead(n: u64, session: &str, email: Option<&str>, phone: Option<&str>) -> NewEvent {
    with(event(n, None, &[]), |event| {
        event.session_id = Some(session.to_owned());
        (event.person.email, event.person.phone) = (email.map(str::to_owned), phone.map(str::to_owned));
    })
}

fn intake(stage: &Stage) -> Intake {
    let text = "[sources.acme]\nsigning_keys = [\"k-0123456789\"]\ndefault_country = \"US\"\n\
                [destinations.crm]\ntype = \"csv\"\ndirectory = \"x\"\n[[routes]]\nto = [\"crm\"]\n";
    let settings = leadwire::config::parse("t.toml".as_ref(), text, &leadwire::connectors::builtin(), std::iter::empty());
    build_intake(&mut settings.unwrap(), &stage.store)
}

/// As a bridge looks that runs: on a shared store, what was there one look before.
async fn look(walker: &mut Walker) {
    walker.look(now()).await.unwrap();
    walker.look(now()).await.unwrap();
}

async fn missed(stage: &Stage) -> Vec<(Option<String>, Option<String>)> {
    stage.store.missed(None, 100).await.unwrap().into_iter().map(|missed| (missed.email, missed.phone)).collect()
}

async fn a_conversation_with_a_contact_and_no_lead_is_listed_until_its_lead_comes(stage: Stage) {
    let mut walker = Walker::new(stage.store.clone(), &intake(&stage));
    for new in [
        lead(1, "s1", None, None),
        lead(2, "other", Some("Known@example.com"), None),
        lead(3, "another", None, Some("+14155552671")),
        conversation(10, "s1", "I am ana@example.com"),
        conversation(11, "s2", "known@example.com, as last time"),
        conversation(12, "s3", "call (415) 555-2671"),
        conversation(13, "s4", "no thanks"),
        conversation(14, "s5", "bea@example.com"),
        conversation(15, "s6", "my number is 212-555-0142"),
        conversation(16, "s7", "mail cid@example.com please"),
    ] {
        stage.receive_one(new).await;
    }
    look(&mut walker).await;
    let email = |text: &str| (Some(text.to_owned()), None);
    let phone = (None, Some("+12125550142".to_owned()));
    assert_eq!(missed(&stage).await, [email("cid@example.com"), phone.clone(), email("bea@example.com")]);
    stage.receive_one(lead(20, "s5", None, None)).await;
    stage.receive_one(lead(21, "new", None, Some("+12125550142"))).await;
    look(&mut walker).await;
    assert_eq!(missed(&stage).await, [email("cid@example.com")], "what came later took the others off the list");
    let [newest] = stage.store.missed(None, 1).await.unwrap().try_into().unwrap();
    assert!(stage.store.missed_before(None, newest.event, 10).await.unwrap().is_empty(), "there is no page after the only one");
    assert_eq!(stage.store.missed_before(None, newest.event + 1, 10).await.unwrap(), [newest]);
    let found = stage.store.missed(Some(now()), 10).await.unwrap();
    assert!(found.is_empty(), "received before that");
    let stage = stage.restart().await;
    look(&mut Walker::new(stage.store.clone(), &intake(&stage))).await;
    assert_eq!(missed(&stage).await, [email("cid@example.com")], "the walk goes on where it was");
}

async fn a_missed_lead_is_made_once_or_dismissed(stage: Stage) {
    let intake = intake(&stage);
    let mut walker = Walker::new(stage.store.clone(), &intake);
    let (one, other, third) =
        (conversation(1, "s1", "ana@example.com"), conversation(2, "s2", "bea@example.com"), conversation(3, "s3", "cid@example.com"));
    for new in [&one, &other, &third] {
        stage.receive_one(new.clone()).await;
    }
    look(&mut walker).await;
    let take = async |new: &NewEvent| take_missed(&intake, &stage.store, new.event.id, now()).await.unwrap();
    let Taken::Made(lead) = take(&one).await else { panic!("it was on the list") };
    assert_eq!(take(&one).await, Taken::Before(lead));
    stage.tamper("UPDATE missed SET ending = 0, lead = NULL");
    assert_eq!(take(&one).await, Taken::Before(lead), "also after a crash between the lead and the note of it");
    let made = stage.store.event(lead).await.unwrap().unwrap().row;
    assert_eq!(
        (made.event.kind, made.event.person.email.as_deref(), made.event.session_id.as_deref()),
        (Kind::Lead, Some("ana@example.com"), Some("s1"))
    );
    assert_eq!(made.event.extra[FROM_CHAT_LOG], one.event.id.to_string());
    assert_eq!((made.receipt, made.deliveries.len()), (Some(Receipt::unsigned(Via::ChatLog)), 1), "it is routed as any other");
    assert!(stage.store.settle_missed(other.event.id, MissedEnding::Dismissed, now()).await.unwrap());
    assert!(!stage.store.settle_missed(other.event.id, MissedEnding::Dismissed, now()).await.unwrap());
    assert_eq!((take(&other).await, take_missed(&intake, &stage.store, lead, now()).await.unwrap()), (Taken::Dismissed, Taken::NotListed));
    stage.store.erase(Erasing { events: vec![third.event.id], ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(take(&third).await, Taken::NotListed, "who was erased is off the list");
    look(&mut walker).await;
    assert!(missed(&stage).await.is_empty());
    stage.assert_audit().await;
}

async fn events_are_found_by_the_moment_their_sender_gives(stage: Stage) {
    let at = |second| now() + SignedDuration::from_secs(second);
    for n in 0..5_i64 {
        let mut new = event(u64::try_from(n).unwrap(), Some(1), &[]);
        new.content_key[..8].copy_from_slice(&ContentKey::before(at(n)).0[..8]);
        stage.receive_one(new).await;
    }
    let known = stage.store.known_events("acme", ContentKey::before(at(1)).0, ContentKey::before(at(4)).0).await.unwrap();
    let moments: Vec<_> = known.iter().map(|known| ContentKey(known.content_key).created_at().unwrap()).collect();
    assert_eq!(moments, [at(1), at(2), at(3)]);
    assert_eq!((known[0].kind.as_str(), known[0].email.as_deref(), known[0].erased), ("lead", Some("p1@example.com"), false));
    assert!(stage.store.known_events("Beta", [0; 24], [255; 24]).await.unwrap().is_empty());
}

on_every_engine!(
    a_receipt_is_kept_with_its_event_and_goes_with_its_person,
    what_is_seen_of_a_source_adds_up_and_stays_bounded,
    hours_are_kept_for_as_long_as_a_silence_is_judged_by_them,
    a_conversation_with_a_contact_and_no_lead_is_listed_until_its_lead_comes,
    a_missed_lead_is_made_once_or_dismissed,
    events_are_found_by_the_moment_their_sender_gives,
);
