//! Bodies of the owner's own making: a text with templates in it, or a table whose texts are templates.

use leadwire_connector::mapping::FieldMap;
use leadwire_connector::settings::Fault;
use leadwire_connector::{Author, Conversation, DeliveryError, ErrorKind, Event, Kind, Message, Person};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The name of a text's only template.
const WHOLE: &str = "body";
/// A deeper table is a mistake.
const DEPTH_MOST: usize = 32;

/// A body of the owner's own making.
#[derive(Debug, Clone)]
pub(crate) enum Template {
    /// What comes out is the body.
    Text(FieldMap),
    /// What comes out of its texts is put where they stood; the rest is as it was.
    Table { tree: Value, texts: FieldMap },
}

impl Template {
    /// `body` as it stands in the configuration; `is_json` says that the result must be JSON.
    pub(crate) fn compile(body: &Value, is_json: bool) -> Result<Self, Vec<Fault>> {
        let template = match body {
            Value::String(text) => Self::Text(FieldMap::compile(&[(WHOLE.to_owned(), text.clone())].into()).map_err(at_body)?),
            Value::Object(_) | Value::Array(_) => {
                let mut texts = BTreeMap::new();
                collect(body, "", 0, &mut texts)?;
                Self::Table { tree: body.clone(), texts: FieldMap::compile(&texts).map_err(at_body)? }
            }
            _ => return Err(vec![Fault::new(["body"], "a body is a text with templates in it, or a table")]),
        };
        let fault = is_json.then(|| template.broken()).flatten();
        fault.map_or(Ok(template), |fault| Err(vec![fault]))
    }

    /// The body of this event, and what is missing from it. A table does without a text that fails; a text of one piece cannot.
    pub(crate) fn render(&self, event: &Event, is_json: bool) -> Result<(Vec<u8>, Option<String>), DeliveryError> {
        match self {
            Self::Text(map) => {
                let text = map.render(event).require(|_| true)?.fields.into_iter().next().map_or_else(String::new, |(_, text)| text);
                if is_json && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
                    let told = "what the template `body` makes of this event is not JSON; write values as {{ person.email|tojson }}";
                    return Err(DeliveryError::reject(ErrorKind::Configuration, told));
                }
                Ok((text.into_bytes(), None))
            }
            Self::Table { tree, texts } => {
                let rendered = texts.render(event);
                let remark = rendered.remark();
                let texts: BTreeMap<String, String> = rendered.fields.into_iter().collect();
                Ok((filled(tree, "", &texts).unwrap_or_else(|| Value::Object(Map::new())).to_string().into_bytes(), remark))
            }
        }
    }

    /// Why it would not be JSON for some event; found by trying events whose texts are as bad as they get.
    fn broken(&self) -> Option<Fault> {
        let Self::Text(_) = self else { return None };
        let fails = |event: &Event| self.render(event, true).is_err();
        if samples("plain").iter().any(fails) {
            let fault = Fault::new(["body"], "what this template makes is not JSON");
            return Some(fault.with_help("write values as {{ person.email|tojson }}, without quotes: `tojson` brings them"));
        }
        if samples("a \"quoted\" \\ text\nof two lines").iter().any(fails) {
            let fault = Fault::new(["body"], "a value with a quote or a line break in it makes this JSON invalid");
            return Some(fault.with_help("write {{ content|tojson }} in place of \"{{ content }}\", or write `body` as a table"));
        }
        None
    }
}

/// The texts of a table by their JSON pointers.
fn collect(value: &Value, place: &str, depth: usize, texts: &mut BTreeMap<String, String>) -> Result<(), Vec<Fault>> {
    if depth > DEPTH_MOST {
        return Err(vec![Fault::new(["body"], format!("the table is deeper than {DEPTH_MOST} levels"))]);
    }
    match value {
        Value::String(text) => drop(texts.insert(place.to_owned(), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{place}/{index}"), depth + 1, texts)?;
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, &format!("{place}/{}", escaped(name)), depth + 1, texts)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The table with its texts filled in. What comes out empty is left out, and so is what has nothing in it for that reason.
fn filled(value: &Value, place: &str, texts: &BTreeMap<String, String>) -> Option<Value> {
    match value {
        Value::String(_) => texts.get(place).map(|text| Value::from(text.as_str())),
        Value::Array(items) => {
            let kept = items.iter().enumerate().filter_map(|(index, item)| filled(item, &format!("{place}/{index}"), texts));
            let kept: Vec<Value> = kept.collect();
            (items.is_empty() || !kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(members) => {
            let keep =
                |(name, member): (&String, &Value)| Some((name.clone(), filled(member, &format!("{place}/{}", escaped(name)), texts)?));
            let kept: Map<String, Value> = members.iter().filter_map(keep).collect();
            (members.is_empty() || !kept.is_empty()).then_some(Value::Object(kept))
        }
        other => Some(other.clone()),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The mapping places a fault at `fields.NAME`; here the name is `body`, or the pointer of a text in it.
fn at_body(faults: Vec<Fault>) -> Vec<Fault> {
    let place = |mut fault: Fault| {
        let pointer = fault.path.pop().unwrap_or_default();
        let steps = pointer.strip_prefix('/').into_iter().flat_map(|steps| steps.split('/'));
        let names = steps.map(|step| step.replace("~1", "/").replace("~0", "~"));
        fault.path = ["body".to_owned()].into_iter().chain(names).collect();
        fault
    };
    faults.into_iter().map(place).collect()
}

/// An event of each kind with this text everywhere, and one of each kind with nothing.
fn samples(text: &str) -> Vec<Event> {
    let given = || Some(text.to_owned());
    let full = |kind| Event {
        source: text.to_owned(),
        chatbot_id: given(),
        person: Person { first_name: given(), last_name: given(), email: given(), phone: given() },
        content: given(),
        session_id: given(),
        page_url: given(),
        conversation: (kind == Kind::Conversation).then(|| Conversation {
            chatbot_name: given(),
            messages: vec![Message { author: Author::Ai, text: text.to_owned() }, Message { author: Author::User, text: text.to_owned() }],
            ..Conversation::default()
        }),
        ..bare(kind)
    };
    Kind::ALL.into_iter().flat_map(|kind| [full(kind), bare(kind)]).collect()
}

fn bare(kind: Kind) -> Event {
    Event {
        id: leadwire_connector::reexport::Uuid::nil(),
        kind,
        source: "example".to_owned(),
        chatbot_id: None,
        person: Person::default(),
        content: None,
        session_id: None,
        page_url: None,
        created_at: None,
        received_at: leadwire_connector::reexport::Timestamp::UNIX_EPOCH,
        stale: false,
        conversation: (kind == Kind::Conversation).then(Conversation::default),
        extra: Map::new(),
        raw: Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::lead;
    use proptest::prelude::*;
    use serde_json::json;

    fn sent(body: &Value, event: &Event) -> Value {
        let template = Template::compile(body, true).unwrap();
        serde_json::from_slice(&template.render(event, true).unwrap().0).unwrap()
    }

    fn told(body: &Value) -> Vec<String> {
        let faults = Template::compile(body, true).unwrap_err();
        faults
            .iter()
            .map(|fault| format!("{}: {} {}", fault.path.join("."), fault.message, fault.help.clone().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_text_writes_its_values_as_json() {
        let body = json!(
            "{\"mail\": {{ person.email|tojson }}, \"phone\": {{ person.phone|tojson }}, \"n\": [{% for m in messages %}1{% endfor %}]}"
        );
        assert_eq!(sent(&body, &lead()), json!({"mail": "test@qq.com", "phone": null, "n": []}));
    }

    #[test]
    fn a_table_fills_its_texts_and_keeps_what_is_none() {
        let body = json!({
            "contact": {"mail": "{{ person.email }}", "phone": "{{ person.phone }}", "company": {"name": "{{ extra.Company }}"}},
            "tags": ["chat", "{{ source }}", "{{ extra.Tag }}"], "priority": 3, "is_new": true, "a/b~c": "{{ kind }}", "none": [],
        });
        let expected = json!({
            "contact": {"mail": "test@qq.com"}, "tags": ["chat", "acme"], "priority": 3, "is_new": true, "a/b~c": "lead", "none": [],
        });
        assert_eq!(sent(&body, &lead()), expected);
        assert_eq!(sent(&json!({"a": "{{ extra.nothing }}"}), &lead()), json!({}));
    }

    #[test]
    fn what_would_not_be_json_for_some_event_is_found_before_there_is_one() {
        assert!(told(&json!("{\"mail\": {{ person.email }}}"))[0].contains("what this template makes is not JSON"));
        assert!(told(&json!("{\"mail\": \"{{ person.email }}\"}"))[0].contains("a quote or a line break"));
        assert!(told(&json!("{\"c\": [{% for m in messages %}{{ m.text|tojson }},{% endfor %}]}"))[0].contains("not JSON"));
        assert!(Template::compile(&json!("mail={{ person.email }}"), false).is_ok());
        assert!(Template::compile(&json!(7), true).is_err());
    }

    #[test]
    fn a_fault_has_the_place_of_its_text() {
        assert!(told(&json!("{{ person.emial }}"))[0].starts_with("body: a person has no field `emial` did you mean `email`?"));
        assert!(told(&json!({"a/b": ["x", "{{ contnet }}"]}))[0].starts_with("body.a/b.1: no event has a field `contnet`"));
    }

    #[test]
    fn a_text_that_fails_on_a_value_is_left_out_of_a_table_and_told() {
        let template = Template::compile(&json!({"zip": "{{ content|int }}", "mail": "{{ person.email }}"}), true).unwrap();
        let (bytes, remark) = template.render(&lead(), true).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), json!({"mail": "test@qq.com"}));
        assert!(remark.unwrap().contains("`/zip`"));
        let whole = Template::compile(&json!("zip={{ content|int }}"), false).unwrap();
        assert!(whole.render(&lead(), false).is_err());
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_json(text in "\\PC{0,40}|[\"\\\\\n\r\t{}%]{0,20}") {
            let event = Event { content: Some(text.clone()), ..lead() };
            let told = sent(&json!({"a": ["{{ content }}"]}), &event);
            prop_assert_eq!(told["a"][0].as_str().unwrap_or_default(), text.trim());
            prop_assert_eq!(&sent(&json!("[{{ content|tojson }}]"), &event)[0], &json!(text));
        }
    }
}
