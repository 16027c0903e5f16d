//! Bodies as the platform posts them, about people who do not exist.
//!
//! Field names and their order are those of the platform's webhook pages. Addresses are in domains that are reserved for examples
//! (RFC 2606), telephone numbers in the ranges that are reserved for fiction (NPA-555-0100 to 0199).

use crate::verify::Form;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

const CHATBOT: &str = "59001dd73709417321c58b11693183a2";
/// 2026-01-01T00:00:00Z, where the numbers of sessions start.
const FIRST_SESSION_AT: i64 = 1_767_225_600;
const DAY_SECONDS: i64 = 86_400;

/// Names as they are written, and as they stand in an e-mail address.
const FIRST_NAMES: [(&str, &str); 20] = [
    ("David", "david"),
    ("Olivia", "olivia"),
    ("José", "jose"),
    ("Amara", "amara"),
    ("Liam", "liam"),
    ("Zoë", "zoe"),
    ("Noah", "noah"),
    ("Priya", "priya"),
    ("Łukasz", "lukasz"),
    ("Emma", "emma"),
    ("Mateo", "mateo"),
    ("Hana", "hana"),
    ("Björn", "bjorn"),
    ("Aisha", "aisha"),
    ("Sean", "sean"),
    ("Camille", "camille"),
    ("Kenji", "kenji"),
    ("Sofia", "sofia"),
    ("Tom", "tom"),
    ("Grace", "grace"),
];
const LAST_NAMES: [(&str, &str); 20] = [
    ("Garcia", "garcia"),
    ("Chen", "chen"),
    ("Müller", "mueller"),
    ("Okafor", "okafor"),
    ("O'Brien", "obrien"),
    ("Novák", "novak"),
    ("Patel", "patel"),
    ("Rossi", "rossi"),
    ("Kim", "kim"),
    ("Andersson", "andersson"),
    ("Silva", "silva"),
    ("Haddad", "haddad"),
    ("Dubois", "dubois"),
    ("Tanaka", "tanaka"),
    ("Murphy", "murphy"),
    ("Ivanova", "ivanova"),
    ("Santos", "santos"),
    ("Wright", "wright"),
    ("Yılmaz", "yilmaz"),
    ("Cohen", "cohen"),
];
const DOMAINS: [&str; 2] = ["example.com", "example.org"];
const AREA_CODES: [u32; 12] = [202, 212, 303, 312, 404, 415, 503, 512, 617, 702, 713, 206];
const PAGES: [&str; 6] = [
    "www.example.com",
    "www.example.com/pricing",
    "www.example.com/contact",
    "https://www.example.com/services?from=chat",
    "shop.example.org",
    "www.example.org/book",
];
const REMARKS: [&str; 8] = [
    "Would like a quote for a kitchen of 14 m², with installation",
    "Asked for prices & availability in spring",
    "Wants to be called back after 5 pm",
    "Has 25 seats today, wants 40 from next month",
    "Looking for a two-bedroom flat, up to 1,800 a month",
    "Interested in the \"Pro\" plan, has questions about billing",
    "Needs a repair: the heating makes a noise since Tuesday",
    "",
];
const WISHES: [&str; 5] = [
    "Tuesday at 10:00, a first consultation by phone",
    "Next Thursday in the afternoon, a visit to the showroom",
    "2026-12-03 14:30, 45 minutes by video",
    "As soon as possible; mornings are best",
    "Friday 9 am, check-up for two children",
];
const QUESTIONS: [(&str, &str); 5] = [
    ("Do you also deliver on Saturdays?", "Yes, between 9 am and 1 pm. Shall I note an address?"),
    ("make an appointment", "Please select the date and time. Tomorrow at 10:00 and at 15:30 are free."),
    ("How much is the basic plan?", "It is 29 a month, billed yearly. Would you like an offer by e-mail?"),
    ("Is there parking nearby?", "There are places behind the house, free for two hours."),
    ("Can I bring my dog? 🐕", "Of course, dogs are welcome."),
];

/// What a sample is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SampleKind {
    /// Somebody left an address.
    #[default]
    Lead,
    /// Somebody wishes for an appointment.
    Appointment,
    /// The conversations of a day.
    ChatLog,
    /// A test request.
    Test,
}

impl SampleKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Appointment => "appointment",
            Self::ChatLog => "chat-log",
            Self::Test => "test",
        }
    }
}

/// A source of bodies, each different from all before. The same seed and the same moments give the same bodies.
#[derive(Debug)]
pub struct Samples {
    rng: StdRng,
    session: i64,
}

struct Someone {
    first: &'static str,
    last: &'static str,
    email: String,
    phone: String,
}

impl Samples {
    /// `now` is where the session numbers begin, so that a later run has later ones.
    #[must_use]
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), session: (now.as_second() - FIRST_SESSION_AT).max(30_000) }
    }

    /// With this seed, or with a random one.
    #[must_use]
    pub fn start(seed: Option<u64>) -> Self {
        Self::new(seed.unwrap_or_else(rand::random), Timestamp::now())
    }

    /// A body of this kind, made at this moment. A chat log has two conversations.
    pub fn make(&mut self, kind: SampleKind, at: Timestamp) -> Value {
        match kind {
            SampleKind::Lead => self.lead(at),
            SampleKind::Appointment => self.appointment(at),
            SampleKind::ChatLog => self.chat_log(2, at),
            SampleKind::Test => self.test(at),
        }
    }

    /// What comes next at a chatbot as there are many: mostly leads, some appointments, now and then a chat log.
    pub fn pick_kind(&mut self) -> SampleKind {
        match self.rng.random_range(0..20) {
            0..16 => SampleKind::Lead,
            16..19 => SampleKind::Appointment,
            _ => SampleKind::ChatLog,
        }
    }

    /// True with this probability, 0 to 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_range(0.0..1.0) < probability
    }

    /// A lead. Every fourth has no telephone number, which the platform writes as an empty text.
    pub fn lead(&mut self, at: Timestamp) -> Value {
        let content = self.one_of(&REMARKS);
        self.record("Lead", content, at)
    }

    /// An appointment. Its time is free text.
    pub fn appointment(&mut self, at: Timestamp) -> Value {
        let content = self.one_of(&WISHES);
        self.record("Appointment", content, at)
    }

    fn record(&mut self, kind: &str, content: &str, at: Timestamp) -> Value {
        let session = self.next_session();
        let someone = self.someone(session);
        json!({
            "SerialNumber": CHATBOT, "Type": kind, "FirstName": someone.first, "LastName": someone.last, "Email": someone.email,
            "PhoneNumber": someone.phone, "CreateTime": timestamp::format(at), "Content": content, "SessionID": session,
            "URI": self.one_of(&PAGES),
        })
    }

    /// The chat log of the day before `at`, as it is posted at two in the morning.
    pub fn chat_log(&mut self, conversations: usize, at: Timestamp) -> Value {
        let midnight = at.as_second().div_euclid(DAY_SECONDS) * DAY_SECONDS;
        let day = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(at);
        let (start, end) = (day(midnight - DAY_SECONDS), day(midnight));
        let whole = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let conversations: Vec<Value> = (0..conversations).map(|_| self.conversation(start)).collect();
        json!({"Collection": [{
            "SerialNumber": CHATBOT, "Name": "Front desk", "StartTime": whole(start), "EndTime": whole(end), "Conversations": conversations,
        }]})
    }

    fn conversation(&mut self, day: Timestamp) -> Value {
        let session = self.next_session();
        let someone = self.someone(session);
        let microseconds = self.rng.random_range(0..DAY_SECONDS * 1_000_000);
        let at = day.checked_add(SignedDuration::from_micros(microseconds)).unwrap_or(day);
        let (question, answer) = self.one_of(&QUESTIONS);
        let says = |who: &str, text: &str| json!({"Type": who, "Content": text});
        json!({"SessionID": session, "CreateTime": timestamp::format(at), "URI": self.one_of(&PAGES), "Messages": [
            says("AI", "Hi! What can I help you with?"),
            says("User", question),
            says("AI", answer),
            says("User", &format!("Good. I am {} {}, {}", someone.first, someone.last, someone.email)),
        ]})
    }

    /// A test request.
    pub fn test(&mut self, at: Timestamp) -> Value {
        json!({"Type": "test", "CreateTime": timestamp::format(at), "SessionID": self.next_session()})
    }

    fn next_session(&mut self) -> i64 {
        self.session += 1;
        self.session
    }

    /// The session keeps people of one run apart, the random part those of runs that follow each other closely.
    fn someone(&mut self, session: i64) -> Someone {
        let ((first, first_ascii), (last, last_ascii)) = (self.one_of(&FIRST_NAMES), self.one_of(&LAST_NAMES));
        let (domain, random) = (self.one_of(&DOMAINS), self.rng.random_range(0..0x1_0000_u32));
        let number = usize::try_from(session).unwrap_or(0);
        let area = AREA_CODES.get(number / 100 % AREA_CODES.len()).copied().unwrap_or(202);
        let phone = if session % 4 == 0 { String::new() } else { format!("+1 {area} 555 01{:02}", number % 100) };
        Someone { first, last, email: format!("{first_ascii}.{last_ascii}.{session:x}{random:04x}@{domain}"), phone }
    }

    fn one_of<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        choices.choose(&mut self.rng).copied().unwrap_or_default()
    }
}

/// The body on the wire. One that is signed in canonical form is written with line breaks, so that it differs from what is signed.
#[must_use]
pub fn write(value: &Value, form: Form) -> Bytes {
    match form {
        Form::Raw => value.to_string().into(),
        Form::Canonical => format!("{value:#}").into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00.123456Z".parse().unwrap()
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_lead_has_the_fields_of_the_platform_in_their_order() {
        let lead = Samples::new(1, now()).lead(now());
        let expected =
            ["SerialNumber", "Type", "FirstName", "LastName", "Email", "PhoneNumber", "CreateTime", "Content", "SessionID", "URI"];
        assert_eq!(keys(&lead), expected);
        assert_eq!((&lead["Type"], &lead["CreateTime"]), (&json!("Lead"), &json!("2026-11-22T10:00:00.123456Z")));
        assert!(lead["SessionID"].is_i64());
        assert_eq!(Samples::new(1, now()).appointment(now())["Type"], "Appointment");
    }

    #[test]
    fn a_chat_log_holds_the_conversations_of_the_day_before() {
        let log = Samples::new(1, now()).chat_log(3, now());
        let batch = &log["Collection"][0];
        assert_eq!(keys(batch), ["SerialNumber", "Name", "StartTime", "EndTime", "Conversations"]);
        assert_eq!((&batch["StartTime"], &batch["EndTime"]), (&json!("2026-11-21T00:00:00Z"), &json!("2026-11-22T00:00:00Z")));
        let conversations = batch["Conversations"].as_array().unwrap();
        assert_eq!(conversations.len(), 3);
        for conversation in conversations {
            assert_eq!(keys(conversation), ["SessionID", "CreateTime", "URI", "Messages"]);
            assert!(conversation["CreateTime"].as_str().unwrap().starts_with("2026-11-21T"));
            assert_eq!(keys(&conversation["Messages"][0]), ["Type", "Content"]);
        }
    }

    #[test]
    fn nobody_real_can_be_meant() {
        let mut samples = Samples::new(7, now());
        for _ in 0..200 {
            let lead = samples.lead(now());
            let (email, phone) = (lead["Email"].as_str().unwrap(), lead["PhoneNumber"].as_str().unwrap());
            assert!(email.is_ascii() && (email.ends_with("@example.com") || email.ends_with("@example.org")), "{email}");
            assert!(phone.is_empty() || (phone.len() == 15 && phone[6..].starts_with(" 555 01")), "{phone}");
        }
    }

    #[test]
    fn the_canonical_form_differs_from_the_body_and_says_the_same() {
        let value = Samples::new(1, now()).lead(now());
        let (raw, spaced) = (write(&value, Form::Raw), write(&value, Form::Canonical));
        assert_ne!(raw, spaced);
        assert_eq!(crate::verify::json::parse(&spaced).unwrap().canonical().as_bytes(), &raw[..]);
    }

    proptest! {
        #[test]
        fn every_body_is_another_and_a_seed_repeats_them(seed: u64, kind in 0_usize..4) {
            let kind = [SampleKind::Lead, SampleKind::Appointment, SampleKind::ChatLog, SampleKind::Test][kind];
            let make = || {
                let mut samples = Samples::new(seed, now());
                (0..50).map(|_| samples.make(kind, now()).to_string()).collect::<Vec<_>>()
            };
            let bodies = make();
            prop_assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), 50);
            prop_assert_eq!(bodies, make());
        }

        #[test]
        fn people_of_one_run_differ_and_sessions_rise(seed: u64) {
            let mut samples = Samples::new(seed, now());
            let leads: Vec<Value> = (0..100).map(|_| samples.lead(now())).collect();
            let emails: HashSet<&str> = leads.iter().filter_map(|lead| lead["Email"].as_str()).collect();
            prop_assert_eq!(emails.len(), 100);
            prop_assert!(leads.is_sorted_by(|a, b| a["SessionID"].as_i64() < b["SessionID"].as_i64()));
        }
    }
}
