//! A body on its way through verification, normalisation and routing to what each destination would be sent. Nothing is stored, and
//! nothing is sent.

use super::{Outcome, SecretMask, preview};
use crate::deliver::LateConnector;
use crate::normalize::normalize;
use crate::receive::{Intake, SourceGate};
use crate::verify::{Form, Proof, Refusal, SigningKey, Tolerance, Verified, sign, verify};
use jiff::Timestamp;
use leadwire_connector::Event;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What can be tried.
#[derive(Debug)]
pub struct Workbench<'a> {
    /// Sources and routes.
    pub intake: &'a Intake,
    /// By name.
    pub destinations: &'a BTreeMap<String, LateConnector>,
    /// For what is shown of requests.
    pub mask: &'a SecretMask,
}

/// What became of the signature.
#[derive(Debug)]
pub enum Signature {
    /// It is by a key of the source.
    Good(Proof),
    /// It is not; the way goes on as if it were.
    Bad(Refusal),
    /// There is none; the way goes on as if there were one.
    None,
}

/// The whole way of a body.
#[derive(Debug)]
pub struct Trial {
    /// Whether the source would take it.
    pub signature: Signature,
    /// What it becomes.
    pub events: Vec<Tried>,
}

/// One event of a body.
#[derive(Debug)]
pub struct Tried {
    /// Normalised.
    pub event: Event,
    /// Conditions of routes that could not be evaluated.
    pub faults: Vec<String>,
    /// Where the routes send it, with what would be sent there, or why that destination cannot be set up.
    pub deliveries: Vec<(String, Result<Outcome, String>)>,
}

impl Workbench<'_> {
    /// Sends a body on its way. `None` when there is no such source.
    pub async fn try_body(&self, source: &str, body: &[u8], header: Option<&str>, now: Timestamp) -> Option<Trial> {
        let gate = self.intake.sources.get(source)?;
        let signature = match header.map(|header| self.intake.verify(source, body, Some(header), now)) {
            None => Signature::None,
            Some(Err(refusal)) => Signature::Bad(refusal),
            Some(Ok(verified)) => Signature::Good(*verified.proof()),
        };
        // A body that is not JSON is verified as text, so that only a bug could refuse what was signed here.
        let events = vouch(body, now).map(|verified| events(gate, &verified)).unwrap_or_default();
        let mut tried = Vec::new();
        for event in events {
            tried.push(self.try_event(event).await);
        }
        Some(Trial { signature, events: tried })
    }

    /// Sends an event on the rest of its way.
    pub async fn try_event(&self, event: Event) -> Tried {
        let routed = self.intake.rules.route(&event);
        let mut deliveries = Vec::new();
        for name in routed.destinations {
            if let Some(connector) = self.destinations.get(&name) {
                let outcome = preview(connector, &event, self.mask).await;
                deliveries.push((name, outcome));
            }
        }
        Tried { event, faults: routed.faults, deliveries }
    }
}

fn events(gate: &SourceGate, verified: &Verified) -> Vec<Event> {
    normalize(verified, &gate.profile, &mut Uuid::now_v7).into_iter().map(|normalized| normalized.event).collect()
}

/// Only what was verified becomes events. Nobody vouches for this body, so it is signed here, with a key of this moment.
///
/// # Errors
/// A bug, since the signature is right.
pub fn vouch(body: &[u8], now: Timestamp) -> Result<Verified, Refusal> {
    let key = SigningKey::new(&Uuid::now_v7().to_string());
    let header = sign(&key, &now.as_second().to_string(), body);
    verify(body, Some(&header), &[key], &Tolerance::default(), now)
}

impl Signature {
    /// In a sentence, for a person.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::None => "no signature was given; this is what would become of the body if it were signed".to_owned(),
            Self::Bad(refusal) => format!("it would be refused: {refusal}"),
            Self::Good(proof) => {
                let form = match proof.form {
                    Form::Raw => "the bytes as they are",
                    Form::Canonical => "the canonical JSON",
                };
                let stale = proof.remark().map(|remark| format!("; it is stale, {remark}")).unwrap_or_default();
                format!("signed over {form} with key {} of the source{stale}", proof.key + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config;
    use crate::connectors::builtin;
    use crate::deliver::connect;
    use crate::route::Rules;

    const CONFIG: &str = r#"
        [sources.acme]
        signing_keys = ["whk_trial"]
        [destinations.backend]
        type = "json"
        url = "https://example.com/leads"
        secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
        [[routes]]
        to = ["backend"]
        kinds = ["lead"]
    "#;

    async fn tried(body: &str, header: Option<&str>) -> Trial {
        let mut settings = config::parse("test.toml".as_ref(), CONFIG, &builtin(), std::iter::empty()).unwrap();
        let mask = SecretMask::of([&settings]);
        let gate = SourceGate {
            keys: vec![SigningKey::new("whk_trial")],
            tolerance: Tolerance::default(),
            profile: crate::normalize::Profile { source: "acme".to_owned(), default_country: None },
            allow_ips: Vec::new(),
            report_only: false,
            max_body_bytes: 1 << 20,
            test_reply: true,
            limit: None,
        };
        let rules: Rules = std::mem::take(&mut settings.routes);
        let intake = Intake { sources: [("acme".to_owned(), gate)].into(), rules, destinations: Default::default() };
        let delivery = settings.delivery.clone();
        let destinations =
            std::mem::take(&mut settings.destinations).into_iter().map(|(name, one)| (name.clone(), connect(&name, one, &delivery, None)));
        let bench = Workbench { intake: &intake, destinations: &destinations.collect(), mask: &mask };
        bench.try_body("acme", body.as_bytes(), header, Timestamp::now()).await.unwrap()
    }

    const LEAD: &str = r#"{"Type":"Lead","FirstName":"David","Email":"david@example.com","SessionID":"7"}"#;

    #[tokio::test]
    async fn a_body_is_shown_all_the_way_to_its_requests() {
        let trial = tried(LEAD, None).await;
        assert!(matches!(trial.signature, Signature::None));
        let event = &trial.events[0];
        assert_eq!(event.event.person.email.as_deref(), Some("david@example.com"));
        let (name, outcome) = &event.deliveries[0];
        let Ok(Outcome::Requests(requests)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((name.as_str(), requests[0].url.as_str()), ("backend", "https://example.com/leads"));
    }

    #[tokio::test]
    async fn a_signature_is_judged_and_a_bad_one_explained() {
        let now = Timestamp::now().as_second().to_string();
        let right = sign(&SigningKey::new("whk_trial"), &now, LEAD.as_bytes());
        assert_eq!(tried(LEAD, Some(&right)).await.signature.words(), "signed over the bytes as they are with key 1 of the source");
        let wrong = sign(&SigningKey::new("whk_other"), &now, LEAD.as_bytes());
        let trial = tried(LEAD, Some(&wrong)).await;
        assert!(trial.signature.words().starts_with("it would be refused: the signature"), "{}", trial.signature.words());
        assert_eq!(trial.events.len(), 1, "the rest of the way is shown all the same");
    }

    #[tokio::test]
    async fn what_is_no_json_is_kept_whole_and_goes_nowhere() {
        let trial = tried("not json \u{202e}", None).await;
        assert_eq!(trial.events[0].event.kind, leadwire_connector::Kind::Unrecognized);
        assert!(trial.events[0].deliveries.is_empty());
    }
}
