//! What an answer must be to count as delivered, and what other answers mean: as they are configured.

use leadwire_connector::settings::{Fault, duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// More rules than a person can keep in mind.
const RULES_MOST: usize = 50;

/// What an answer must be to count as delivered; every condition that is given must hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Success {
    /// The statuses that count. Default 200 to 299.
    #[serde(default)]
    pub statuses: Option<Vec<Statuses>>,
    /// Text that the body must contain.
    #[serde(default)]
    pub body_contains: Option<String>,
    /// What the whole body must be, but for white space around it.
    #[serde(default)]
    pub body_equals: Option<String>,
    /// JSON pointers (RFC 6901) and the values that must be there.
    #[serde(default)]
    pub json: Option<BTreeMap<String, Value>>,
    /// JSON pointers at which there must be something: no `null`, no empty text.
    #[serde(default)]
    pub present: Option<Vec<String>>,
    /// JSON pointers at which there must be nothing but `null` or empty text.
    #[serde(default)]
    pub absent: Option<Vec<String>>,
    /// The JSON pointer at which a body says what is wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// What becomes of a delivery whose answer would count by its status and does not by its body. Default retry.
    #[serde(default)]
    pub otherwise: Option<Word>,
}

impl Success {
    /// These, and those of a preset where these say nothing.
    pub(crate) fn or(self, preset: Self) -> Self {
        Self {
            statuses: self.statuses.or(preset.statuses),
            body_contains: self.body_contains.or(preset.body_contains),
            body_equals: self.body_equals.or(preset.body_equals),
            json: self.json.or(preset.json),
            present: self.present.or(preset.present),
            absent: self.absent.or(preset.absent),
            error: self.error.or(preset.error),
            otherwise: self.otherwise.or(preset.otherwise),
        }
    }

    /// Whether something is asked of the body.
    pub(crate) fn asks_the_body(&self) -> bool {
        let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let has_text = [&self.body_contains, &self.body_equals].into_iter().any(Option::is_some);
        has_text || self.json.as_ref().is_some_and(|json| !json.is_empty()) || has(&self.present) || has(&self.absent)
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.statuses.as_ref().is_some_and(Vec::is_empty) {
            let fault = Fault::new(["success", "statuses"], "without a status nothing is ever delivered");
            faults.push(fault.with_help("leave it out for any 2xx"));
        }
        for pointer in self.json.iter().flatten().map(|(pointer, _)| pointer) {
            faults.extend(pointer_fault(&["json", pointer], pointer));
        }
        for (key, pointers) in [("present", &self.present), ("absent", &self.absent)] {
            for (index, pointer) in pointers.iter().flatten().enumerate() {
                faults.extend(pointer_fault(&[key, &index.to_string()], pointer));
            }
        }
        faults.extend(self.error.iter().filter_map(|pointer| pointer_fault(&["error"], pointer)));
        faults
    }
}

/// An empty pointer is the whole body.
fn pointer_fault(place: &[&str], pointer: &str) -> Option<Fault> {
    let is_pointer = pointer.is_empty() || pointer.starts_with('/');
    let path = ["success"].iter().chain(place).map(|part| (*part).to_owned());
    (!is_pointer).then(|| Fault::new(path, "a JSON pointer starts with `/`").with_help(format!("write \"/{pointer}\"")))
}

/// A status, or the statuses from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(RangeInclusive<u16>);

impl Statuses {
    /// From the first to the last one, both included.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self(range)
    }

    pub(crate) fn holds(&self, status: u16) -> bool {
        self.0.contains(&status)
    }

    fn read(first: &str, last: &str) -> Option<Self> {
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (200..600).contains(status));
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(Self(first..=last))
    }
}

impl JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 200, "maximum": 599}, {"type": "string", "pattern": "^[2-5][0-9]{2}-[2-5][0-9]{2}$"}]})
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

struct StatusesVisitor;

impl Visitor<'_> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status of an answer, 200 to 599, or a range such as \"200-204\"")
    }

    fn visit_u64<E: Error>(self, status: u64) -> Result<Statuses, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<Statuses, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Statuses, E> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Statuses::read(first, last).ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            E::custom(format!("`{shown}` is no status of an answer; write 200 to 599, or a range such as \"200-204\""))
        })
    }
}

/// The word for what becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Tried again.
    Retry,
    /// A dead letter.
    Reject,
    /// The destination is parked.
    Hold,
}

impl Word {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Hold => "hold",
        }
    }
}

/// What one sort of answer means: `[[destinations.NAME.answers]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The statuses it is for. Default every one.
    #[serde(default)]
    pub statuses: Vec<Statuses>,
    /// Text that the body contains, in any case.
    #[serde(default)]
    pub contains: Option<String>,
    /// What becomes of the delivery.
    pub verdict: Word,
    /// How long to wait, unless the answer asks for longer.
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    #[schemars(with = "Option<duration::Text>")]
    pub after: Option<Duration>,
    /// What a person should know or do, in a sentence.
    #[serde(default)]
    pub message: Option<String>,
}

impl Rule {
    pub(crate) fn is_for(&self, status: u16, body: &str) -> bool {
        let says = |text: &String| body.to_lowercase().contains(&text.to_lowercase());
        (self.statuses.is_empty() || self.statuses.iter().any(|statuses| statuses.holds(status))) && self.contains.as_ref().is_none_or(says)
    }
}

pub(crate) fn rule_faults(rules: &[Rule]) -> Vec<Fault> {
    let at = |index: usize, key: &str| ["answers".to_owned(), index.to_string(), key.to_owned()];
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if rule.statuses.is_empty() && rule.contains.as_ref().is_none_or(String::is_empty) {
            let fault = Fault::new(at(index, "statuses"), "this rule is for every answer, so that nothing would ever be delivered");
            faults.push(fault.with_help("give `statuses`, or the text of the body in `contains`, or both"));
        }
        if rule.verdict == Word::Reject && rule.after.is_some() {
            faults.push(Fault::new(at(index, "after"), "what is rejected is not tried again").with_help("take it out"));
        }
        if rule.message.as_ref().is_some_and(|message| message.chars().any(char::is_control) || message.chars().count() > 300) {
            faults.push(Fault::new(at(index, "message"), "a message is one line of at most 300 characters"));
        }
    }
    if rules.len() > RULES_MOST {
        faults.push(Fault::new(["answers"], format!("there are more than {RULES_MOST} rules")));
    }
    faults
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let statuses: Vec<Statuses> = serde_json::from_value(json!([200, "202", "409-410"])).unwrap();
        let holds = |status| statuses.iter().any(|statuses| statuses.holds(status));
        assert!(holds(200) && holds(202) && holds(409) && holds(410) && !holds(201) && !holds(411));
        for wrong in [json!(99), json!(600), json!("204-200"), json!("2xx"), json!(-200), json!("")] {
            let told = serde_json::from_value::<Statuses>(wrong).unwrap_err().to_string();
            assert!(told.contains("no status of an answer"), "{told}");
        }
    }

    #[test]
    fn a_rule_looks_at_the_status_and_the_body() {
        let rule: Rule = serde_json::from_value(json!({"statuses": [400], "contains": "Queue is FULL", "verdict": "retry"})).unwrap();
        assert!(rule.is_for(400, "queue is full."));
        assert!(!rule.is_for(400, "bad") && !rule.is_for(200, "queue is full"));
    }
}
