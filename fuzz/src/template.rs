//! Templates and conditions of the configuration: what compiles runs within its limits, whatever the event holds, and tells no value of it.
//!
//! The input is a template or an expression, and the content of an event.

use super::{normalizer, parts};
use leadwire::route::Condition;
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::reexport::minijinja::Value;
use serde_json::json;

/// As the reference of the connectors says.
const LONGEST: usize = 4 << 20;
const SAID: &str = "Kw9-what-the-visitor-said";

pub fn check(data: &[u8]) {
    let [template, content] = parts(data).map(String::from_utf8_lossy);
    let content = format!("{SAID}{content}");
    let body =
        json!({"Type": "Lead", "Email": "jane@example.com", "Content": content, "Company": "Acme", "List": [1, "two", {"three": null}]});
    let event = normalizer::events_of(body.to_string().as_bytes(), Some("US")).remove(0).event;
    if let Ok(fields) = FieldMap::compile(&[("field".to_owned(), template.clone().into_owned())].into()) {
        let rendered = fields.render(&event);
        assert!(rendered.fields.len() + rendered.failed.len() <= 1);
        assert!(rendered.fields.iter().all(|(_, value)| !value.trim().is_empty() && value.len() <= LONGEST));
        assert!(rendered.remark().is_none_or(|remark| !remark.contains(SAID)), "a remark tells a value of the event");
    }
    if let Ok(condition) = Condition::compile(&template) {
        let why = condition.holds(&Value::from_serialize(&event)).err().unwrap_or_default();
        assert!(!why.contains(SAID), "a condition tells a value of the event");
    }
}
