//! From a verified body to what is stored: normalise, then route. Shared by receiving and by verifying the quarantine again.

use crate::bucket::Bucket;
use crate::normalize::{Normalized, Profile, normalize};
use crate::route::Rules;
use crate::store::{DestinationId, Form, NewEvent, Receipt, Signed, Via};
use crate::verify::{self, Refusal, SigningKey, Tolerance, Verified, matches_other, verify};
use ipnet::IpNet;
use jiff::Timestamp;
use leadwire_connector::Event;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use uuid::Uuid;

/// A source, ready to receive.
#[derive(Debug)]
pub struct SourceGate {
    /// Any of them may have signed.
    pub keys: Vec<SigningKey>,
    /// How old a signature may be before its event is stale.
    pub tolerance: Tolerance,
    /// How its bodies are read.
    pub profile: Profile,
    /// Who may post; empty is everyone.
    pub allow_ips: Vec<IpNet>,
    /// Whether strangers are only logged.
    pub report_only: bool,
    /// Of one request, inflated.
    pub max_body_bytes: usize,
    /// Whether test requests get the platform's reply to tests.
    pub test_reply: bool,
    /// Requests per minute.
    pub limit: Option<Mutex<Bucket>>,
}

impl SourceGate {
    /// Whether the address is on the list, if there is one.
    #[must_use]
    pub fn lists(&self, address: &IpAddr) -> bool {
        self.allow_ips.is_empty() || self.allow_ips.iter().any(|net| net.contains(address))
    }

    /// Whether one more request fits into this minute.
    #[must_use]
    pub fn has_room(&self, now: Timestamp) -> bool {
        self.limit.as_ref().is_none_or(|bucket| bucket.lock().unwrap_or_else(std::sync::PoisonError::into_inner).try_take(now))
    }
}

/// How a body came to be examined.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// When it was received.
    pub at: Timestamp,
    /// Who posted it; `None` when that is not known any more.
    pub client: Option<IpAddr>,
    /// By which way its events go into the store.
    pub via: Via,
}

impl Came {
    fn receipt(&self, verified: &Verified) -> Receipt {
        let proof = verified.proof();
        let form = match proof.form {
            verify::Form::Raw => Form::Raw,
            verify::Form::Canonical => Form::Canonical,
        };
        let key = u32::try_from(proof.key).unwrap_or(u32::MAX).saturating_add(1);
        Receipt { via: self.via, client: self.client, signed: Some(Signed { form, key, stale: proof.stale, age_s: proof.age_s }) }
    }
}

/// What a body became.
#[derive(Debug)]
pub struct Examined {
    /// With their destinations.
    pub events: Vec<NewEvent>,
    /// When its signature had been verified.
    pub verified_at: Instant,
}

/// For a body that the bridge itself failed on.
pub(super) const UNEXAMINED: Refusal = Refusal::Malformed { detail: "the body could not be examined" };

/// An event is strings, numbers and maps with text keys, which always are JSON.
fn write(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// All sources, the routes, and the destinations' numbers.
#[derive(Debug)]
pub struct Intake {
    /// By name.
    pub sources: BTreeMap<String, SourceGate>,
    /// First to last.
    pub rules: Rules,
    /// By name.
    pub destinations: HashMap<String, DestinationId>,
}

impl Intake {
    /// Checks a body that was posted to a source.
    ///
    /// # Errors
    /// Why it is refused; the words may name another source and are for the owner, not for the sender.
    pub fn verify(&self, name: &str, body: &[u8], header: Option<&str>, received_at: Timestamp) -> Result<Verified, Refusal> {
        let Some(source) = self.sources.get(name) else { return Err(Refusal::AwaitingKey) };
        verify(body, header, &source.keys, &source.tolerance, received_at).map_err(|refusal| match refusal {
            Refusal::NoKeyMatched { age_s, .. } => {
                let others =
                    self.sources.iter().filter(|(other, _)| *other != name).map(|(other, gate)| (other.as_str(), gate.keys.as_slice()));
                Refusal::NoKeyMatched { other_source: matches_other(body, header, others).map(str::to_owned), age_s }
            }
            other => other,
        })
    }

    /// What a body that was posted to a source becomes. A panic on the way is a bug, and must lose no lead: it is a refusal, and the
    /// body is kept.
    ///
    /// # Errors
    /// Why the body is refused; the words may name another source and are for the owner, not for the sender.
    pub fn examine(&self, name: &str, body: &[u8], header: Option<&str>, came: Came) -> Result<Examined, Refusal> {
        let prepare = |verified: Verified| {
            let verified_at = Instant::now();
            Examined { events: self.prepare(name, &verified, came.receipt(&verified)), verified_at }
        };
        let work = AssertUnwindSafe(|| self.verify(name, body, header, came.at).map(prepare));
        std::panic::catch_unwind(work).unwrap_or(Err(UNEXAMINED))
    }

    /// The events of a verified body, each with its destinations.
    fn prepare(&self, name: &str, verified: &Verified, receipt: Receipt) -> Vec<NewEvent> {
        let Some(source) = self.sources.get(name) else { return Vec::new() };
        normalize(verified, &source.profile, &mut Uuid::now_v7).into_iter().map(|normalized| self.address(normalized, receipt)).collect()
    }

    /// An event with its destinations.
    pub(super) fn address(&self, normalized: Normalized, receipt: Receipt) -> NewEvent {
        NewEvent {
            content_key: normalized.content_key.0,
            person_key: normalized.person_key.map(|key| key.0),
            destinations: self.route(&normalized.event),
            body: write(&normalized.event),
            event: Arc::new(normalized.event),
            receipt: Some(receipt),
        }
    }

    /// Where an event goes by the rules.
    #[must_use]
    pub fn route(&self, event: &Event) -> Vec<DestinationId> {
        let routed = self.rules.route(event);
        for fault in &routed.faults {
            tracing::warn!(source = event.source, event = %event.id, "{fault}");
        }
        routed.destinations.iter().filter_map(|name| self.destinations.get(name).copied()).collect()
    }
}
