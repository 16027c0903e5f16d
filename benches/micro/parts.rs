//! The small parts that a lead passes through, each by itself and always on the same input. `main.rs` takes their times, `count.rs` has
//! their instructions counted.

use jiff::{SignedDuration, Timestamp};
use leadwire::deliver::LaneLimits;
use leadwire::deliver::lane::{Action, Health, Input, Lane};
use leadwire::normalize::{Profile, normalize};
use leadwire::route::{Condition, Rule, Rules};
use leadwire::verify::{SigningKey, Tolerance, Verified, json, sign, verify};
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::{Event, Kind};
use std::collections::BTreeMap;
use std::hint::black_box;
use uuid::Uuid;

const LEAD: &[u8] = include_bytes!("../../tests/fixtures/senders/newoaks-lead.json");
const PRETTY_LEAD: &[u8] = include_bytes!("../../tests/fixtures/senders/pretty-lead.json");
const CHAT_LOG: &[u8] = include_bytes!("../../tests/fixtures/senders/smarterbot-chat-log.json");
const SIGNED_S: i64 = 1_795_324_620;

/// Does its part once.
pub(crate) type Work = Box<dyn FnMut()>;

/// Makes a part ready.
pub(crate) type Ready = fn() -> Work;

/// Every part by its name.
pub(crate) const PARTS: [(&str, Ready); 9] = [
    ("verify", || verification(LEAD, LEAD)),
    ("verify_canonical", || verification(PRETTY_LEAD, canonical(PRETTY_LEAD).as_bytes())),
    ("canonical_json", || Box::new(|| drop(black_box(canonical(black_box(CHAT_LOG)))))),
    ("normalize_lead", || normalization(LEAD)),
    ("normalize_chat_log", || normalization(CHAT_LOG)),
    ("route", routing),
    ("mapping", mapping),
    ("scheduler", scheduling),
    ("event_to_json", || {
        let event = event();
        Box::new(move || drop(black_box(serde_json::to_string(black_box(&event)))))
    }),
];

fn at() -> Timestamp {
    Timestamp::from_second(SIGNED_S).unwrap()
}

fn canonical(body: &[u8]) -> String {
    json::parse(body).unwrap().canonical()
}

/// A body whose signature is over `signed`.
fn verification(body: &'static [u8], signed: &[u8]) -> Work {
    let keys = [SigningKey::new("whk_test_0123456789abcdef")];
    let header = sign(&keys[0], &SIGNED_S.to_string(), signed);
    Box::new(move || drop(black_box(verify(black_box(body), Some(&header), &keys, &Tolerance::default(), at()).unwrap())))
}

fn verified(body: &[u8]) -> Verified {
    let key = SigningKey::new("key");
    let header = sign(&key, &SIGNED_S.to_string(), body);
    verify(body, Some(&header), &[key], &Tolerance::default(), at()).unwrap()
}

fn normalized(verified: &Verified) -> Vec<leadwire::normalize::Normalized> {
    let profile = Profile { source: "acme".to_owned(), default_country: Some("US".to_owned()) };
    normalize(verified, &profile, &mut || Uuid::from_u128(1))
}

fn normalization(body: &[u8]) -> Work {
    let verified = verified(body);
    Box::new(move || drop(black_box(normalized(black_box(&verified)))))
}

pub(crate) fn event() -> Event {
    normalized(&verified(LEAD)).remove(0).event
}

/// Thirty routes, of which some have a condition.
fn routing() -> Work {
    let rule = |n: usize| Rule {
        to: vec![format!("destination{}", n % 7)],
        sources: n.is_multiple_of(2).then(|| vec!["other".to_owned(), "acme".to_owned()]),
        kinds: n.is_multiple_of(3).then(|| vec![Kind::Lead]),
        chatbots: None,
        when: n.is_multiple_of(5).then(|| Condition::compile("person.email and extra.Company != \"Acme\"").unwrap()),
    };
    let (rules, event) = (Rules::new((0..30).map(rule).collect()), event());
    Box::new(move || drop(black_box(rules.route(black_box(&event)))))
}

/// The fields of a contact, as a CRM's destination maps them.
fn mapping() -> Work {
    let templates = [
        ("email", "{{ person.email }}"),
        ("phone", "{{ person.phone }}"),
        ("firstname", "{{ person.first_name }}"),
        ("lastname", "{{ person.last_name|default('unknown') }}"),
        ("message", "{{ content }}"),
        ("company", "{{ extra.Company }}"),
        ("source", "chatbot {{ chatbot_id }} on {{ page_url }}"),
        ("stage", "{% if kind == 'appointment' %}opportunity{% else %}lead{% endif %}"),
    ];
    let templates: BTreeMap<_, _> = templates.map(|(name, template)| (name.to_owned(), template.to_owned())).into();
    let (fields, event) = (FieldMap::compile(&templates).unwrap(), event());
    Box::new(move || drop(black_box(fields.render(black_box(&event)))))
}

/// A hundred deliveries through one lane: they come, start, end and are settled, one after the other.
fn scheduling() -> Work {
    let limits = LaneLimits { concurrency: 8, per_second: Some(1e6), burst: 1_000, shared: false, window: 64 };
    Box::new(move || {
        let mut lane = Lane::new(limits.clone(), None);
        let mut now = at();
        drop(lane.advance(now));
        drop(lane.on(Input::Claimed { deliveries: Vec::new(), next_due: None }, now));
        for delivery in 0..100_u32 {
            now = now.checked_add(SignedDuration::from_millis(1)).unwrap_or(now);
            drop(lane.on(Input::Fresh(black_box(delivery)), now));
            for action in lane.advance(now) {
                assert!(matches!(action, Action::Start { .. }), "{action:?}");
                drop(lane.on(Input::Finished(Health::Good), now));
                drop(lane.on(Input::Settled(None), now));
            }
        }
        black_box(lane);
    })
}
