//! In which places two lists of requests differ. Pure.

use super::Outcome;
use crate::inspect::is_masked;
use leadwire_connector::PreviewRequest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use url::form_urlencoded;

/// Headers that follow from the body and the moment.
const DERIVED: [&str; 5] = ["content-length", "content-digest", "digest", "date", "webhook-timestamp"];

/// Which part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// What becomes of the event: requests, a skip, a refusal.
    Outcome,
    /// The steps, in their order.
    Order,
    /// The whole request, which one side does not send.
    Request,
    /// When it is sent.
    Condition,
    Method,
    Url,
    Header,
    Body,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Order => "order",
            Self::Request => "request",
            Self::Condition => "condition",
            Self::Method => "method",
            Self::Url => "url",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Place {
    /// The step of the request, or `request` where it has none; empty for all of them together.
    pub(super) request: String,
    pub(super) part: Part,
    /// The name of the header; in the body, a JSON pointer (RFC 6901).
    pub(super) at: String,
}

/// What stands there on each side; `None` where nothing does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Values {
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

pub(super) type Differences = BTreeMap<Place, Values>;

/// Everything that differs. Secrets, signatures and what follows from the moment are not compared.
pub(super) fn compare(old: &Outcome, new: &Outcome) -> Differences {
    let mut found = Finder::default();
    match (old, new) {
        (Outcome::Requests(old), Outcome::Requests(new)) if old.is_empty() == new.is_empty() => found.requests(old, new),
        _ => found.texts("", Part::Outcome, "", &old.words(), &new.words()),
    }
    found.differences
}

#[derive(Default)]
struct Finder {
    differences: Differences,
}

impl Finder {
    fn add(&mut self, request: &str, part: Part, at: &str, old: Option<Value>, new: Option<Value>) {
        if old != new {
            self.differences.insert(Place { request: request.to_owned(), part, at: at.to_owned() }, Values { old, new });
        }
    }

    fn texts(&mut self, request: &str, part: Part, at: &str, old: &str, new: &str) {
        self.add(request, part, at, Some(old.into()), Some(new.into()));
    }

    fn requests(&mut self, old: &[PreviewRequest], new: &[PreviewRequest]) {
        let (old, new) = (labelled(old), labelled(new));
        let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.iter().cloned().collect(), new.iter().cloned().collect());
        for (label, request) in &old {
            match after.get(label) {
                Some(other) => self.request(label, request, other),
                None => self.add(label, Part::Request, "", Some(whole(request)), None),
            }
        }
        for (label, request) in new.iter().filter(|(label, _)| !before.contains_key(label)) {
            self.add(label, Part::Request, "", None, Some(whole(request)));
        }
        let order = |side: &[(String, &PreviewRequest)], other: &BTreeMap<String, &PreviewRequest>| {
            side.iter().map(|(label, _)| label.as_str()).filter(|label| other.contains_key(*label)).collect::<Vec<_>>().join(", ")
        };
        self.texts("", Part::Order, "", &order(&old, &after), &order(&new, &before));
    }

    fn request(&mut self, label: &str, old: &PreviewRequest, new: &PreviewRequest) {
        self.texts(label, Part::Method, "", &old.method, &new.method);
        self.texts(label, Part::Url, "", &old.url, &new.url);
        self.add(label, Part::Condition, "", old.condition.clone().map(Value::from), new.condition.clone().map(Value::from));
        self.headers(label, &headers(old), &headers(new));
        self.values(label, &mut String::new(), Some(&body(old)), Some(&body(new)));
    }

    fn headers(&mut self, label: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) {
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (old.get(name).map(|value| comparable(value)), new.get(name).map(|value| comparable(value)));
            self.add(label, Part::Header, name, old.map(Value::from), new.map(Value::from));
        }
    }

    fn values(&mut self, label: &str, at: &mut String, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
                    self.below(label, at, &key.replace('~', "~0").replace('/', "~1"), old.get(key), new.get(key));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                for index in 0..old.len().max(new.len()) {
                    self.below(label, at, &index.to_string(), old.get(index), new.get(index));
                }
            }
            (Some(Value::String(old)), Some(Value::String(new))) if is_masked(old) && is_masked(new) => {}
            _ => self.add(label, Part::Body, at, old.cloned(), new.cloned()),
        }
    }

    fn below(&mut self, label: &str, at: &mut String, key: &str, old: Option<&Value>, new: Option<&Value>) {
        let length = at.len();
        at.push('/');
        at.push_str(key);
        self.values(label, at, old, new);
        at.truncate(length);
    }
}

/// Requests are known by their step; one that comes again, by its number.
fn labelled(requests: &[PreviewRequest]) -> Vec<(String, &PreviewRequest)> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    requests
        .iter()
        .map(|request| {
            let name = if request.step.is_empty() { "request" } else { request.step.as_str() };
            let times = times.entry(name).or_default();
            *times += 1;
            (if *times == 1 { name.to_owned() } else { format!("{name} ({times})") }, request)
        })
        .collect()
}

fn whole(request: &PreviewRequest) -> Value {
    json!({"method": request.method, "url": request.url, "body": request.body})
}

/// In small letters; the values of one that is repeated are joined.
fn headers(request: &PreviewRequest) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if name.contains("signature") || DERIVED.contains(&name.as_str()) {
            continue;
        }
        headers.entry(name).and_modify(|joined| *joined = format!("{joined}, {value}")).or_insert_with(|| value.clone());
    }
    headers
}

/// Of what was masked, the scheme is all that can be compared.
fn comparable(value: &str) -> String {
    match value.split_once(' ') {
        _ if !is_masked(value) => value.to_owned(),
        Some((scheme, _)) => format!("{scheme} ••••"),
        None => "••••".to_owned(),
    }
}

/// A form as its fields.
fn body(request: &PreviewRequest) -> Value {
    let is_form = |(name, value): &(String, String)| name.eq_ignore_ascii_case("content-type") && value.contains("form-urlencoded");
    match &request.body {
        Value::String(text) if request.headers.iter().any(is_form) => {
            let mut fields = Map::new();
            for (name, value) in form_urlencoded::parse(text.as_bytes()) {
                let values = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(values) = values {
                    values.push(value.into());
                }
            }
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn post(step: &str, body: Value) -> PreviewRequest {
        PreviewRequest {
            method: "POST".to_owned(),
            url: "https://crm.example/contacts".to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer pat-••••".to_owned())],
            body,
            ..PreviewRequest::default()
        }
        .step(step)
    }

    fn told(old: Vec<PreviewRequest>, new: Vec<PreviewRequest>) -> Vec<String> {
        let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
        let differences = compare(&Outcome::Requests(old), &Outcome::Requests(new));
        let tell = |(place, values): (&Place, &Values)| {
            format!("{} {} {} {} {}", place.request, place.part.as_str(), place.at, side(&values.old), side(&values.new))
        };
        differences.iter().map(tell).collect()
    }

    #[test]
    fn a_field_is_told_by_its_pointer() {
        let old = post("contact", json!({"properties": {"stage": "lead", "a/b": 1}, "tags": ["x"]}));
        let new = post("contact", json!({"properties": {"stage": "customer", "a/b": 2}, "tags": ["x", "y"], "new": null}));
        assert_eq!(
            told(vec![old], vec![new]),
            [
                "contact body /new - null",
                "contact body /properties/a~1b 1 2",
                "contact body /properties/stage \"lead\" \"customer\"",
                "contact body /tags/1 - \"y\"",
            ]
        );
    }

    #[test]
    fn secrets_signatures_and_the_moment_are_not_compared_but_the_scheme_is() {
        let with = |name: &str, value: &str| {
            let mut request = post("contact", Value::Null);
            request.headers = vec![(name.to_owned(), value.to_owned())];
            vec![request]
        };
        assert!(told(with("Authorization", "Bearer pat-••••"), with("authorization", "Bearer new-••••")).is_empty());
        assert!(told(with("webhook-signature", "v1,a••••"), with("webhook-signature", "v1,b")).is_empty());
        assert_eq!(
            told(with("Authorization", "Bearer pat-••••"), with("Authorization", "Basic ••••")),
            ["contact header authorization \"Bearer ••••\" \"Basic ••••\""]
        );
        assert_eq!(told(with("X-Tag", "a"), with("X-Other", "a")), ["contact header x-other - \"a\"", "contact header x-tag \"a\" -"]);
    }

    #[test]
    fn requests_are_matched_by_their_steps() {
        let (find, contact, note) = (post("find", Value::Null), post("contact", Value::Null), post("note", json!("text")));
        let two_notes = vec![contact.clone(), note.clone(), note.clone()];
        let whole = "{\"method\":\"POST\",\"url\":\"https://crm.example/contacts\",\"body\":\"text\"}";
        assert_eq!(told(two_notes, vec![contact.clone(), note.clone()]), [format!("note (2) request  {whole} -")]);
        let swapped = told(vec![find.clone(), contact.clone()], vec![contact.clone(), find.clone()]);
        assert_eq!(swapped, [" order  \"find, contact\" \"contact, find\""]);
        let condition = told(vec![contact.clone()], vec![contact.only_when("only when there is none")]);
        assert_eq!(condition, ["contact condition  - \"only when there is none\""]);
    }

    #[test]
    fn a_form_is_compared_field_by_field() {
        let form = |body: &str| {
            let mut request = post("", body.into());
            request.headers = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
            vec![request]
        };
        assert_eq!(told(form("a=1&b=x+y"), form("b=x+y&a=2")), ["request body /a/0 \"1\" \"2\""]);
    }

    #[test]
    fn a_skip_is_another_outcome() {
        let differences = compare(&Outcome::Requests(Vec::new()), &Outcome::Requests(vec![post("a", Value::Null)]));
        assert_eq!(differences.len(), 1);
        assert!(differences.keys().all(|place| place.part == Part::Outcome));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c/~]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bodies_differ_where_the_pointer_says_and_nowhere_else(old in any_json(), new in any_json()) {
            let differences = compare(&Outcome::Requests(vec![post("a", old.clone())]), &Outcome::Requests(vec![post("a", new.clone())]));
            prop_assert_eq!(differences.is_empty(), old == new);
            for (place, values) in differences {
                prop_assert_eq!(old.pointer(&place.at), values.old.as_ref());
                prop_assert_eq!(new.pointer(&place.at), values.new.as_ref());
            }
        }
    }
}
