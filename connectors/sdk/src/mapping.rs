//! Mapping an event to a destination's fields with [minijinja](https://docs.rs/minijinja) templates.
//!
//! A template sees the event's fields by their JSON names: `{{ person.email }}`, `{{ content }}`, `{{ extra.Company }}`. A field
//! that the event does not have is empty; an empty result is not sent.

use crate::settings::Fault;
use crate::{DeliveryError, ErrorKind, Event};
use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeMap;

/// Steps of the template engine for one value; a loop over a long conversation needs some 10 per message.
const FUEL: u64 = 1_000_000;

/// Templates by the name of the field they fill.
#[derive(Debug, Clone)]
pub struct FieldMap {
    environment: Environment<'static>,
    names: Vec<String>,
}

impl FieldMap {
    /// Compiles the templates.
    ///
    /// # Errors
    /// One fault for each template that does not compile, at `fields.NAME`.
    pub fn compile(templates: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, state, value| {
            // `null` is "not given" here, and must not become the word "none".
            if value.is_none() { Ok(()) } else { minijinja::escape_formatter(out, state, value) }
        });
        let faults: Vec<Fault> = templates
            .iter()
            .filter_map(|(name, template)| {
                let error = environment.add_template_owned(name.clone(), template.clone()).err()?;
                Some(Fault::new(["fields", name], format!("this template does not compile: {}", explain(&error))))
            })
            .collect();
        let names = templates.keys().cloned().collect();
        if faults.is_empty() { Ok(Self { environment, names }) } else { Err(faults) }
    }

    /// The fields and their values for this event, in the order of their names; empty ones are left out, others are trimmed.
    ///
    /// # Errors
    /// A rejection that names the field, when its template fails on this event.
    pub fn render(&self, event: &Event) -> Result<Vec<(String, String)>, DeliveryError> {
        if self.names.is_empty() {
            return Ok(Vec::new());
        }
        let context = minijinja::Value::from_serialize(event);
        let mut fields = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let rendered = self.environment.get_template(name).and_then(|template| template.render(&context)).map_err(|error| {
                DeliveryError::reject(ErrorKind::Configuration, format!("the template of field `{name}` failed: {}", explain(&error)))
            })?;
            let rendered = rendered.trim();
            if !rendered.is_empty() {
                fields.push((name.clone(), rendered.to_owned()));
            }
        }
        Ok(fields)
    }

    /// The names of all fields, whether or not an event fills them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// The kind of error and the detail; never the values of the event.
fn explain(error: &minijinja::Error) -> String {
    match (error.detail(), error.line()) {
        (Some(detail), Some(line)) if line > 1 => format!("{} ({detail}, line {line})", error.kind()),
        (Some(detail), _) => format!("{} ({detail})", error.kind()),
        (None, _) => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    fn event() -> Event {
        serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": "David", "last_name": null, "email": null, "phone": null},
            "content": null, "session_id": "1", "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z",
            "extra": {"Company": "Acme"}, "raw": {}
        }))
        .unwrap()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned())).collect()
    }

    #[test]
    fn words_stay_words_and_missing_fields_are_not_sent() {
        let fields = FieldMap::compile(&map(&[
            ("stage", "lead"),
            ("company", "{{ extra.Company }}"),
            ("mail", "{{ person.email }}"),
            ("nothing", "{{ extra.No.Such }}"),
        ]))
        .unwrap();
        let rendered = fields.render(&event()).unwrap();
        assert_eq!(rendered, [("company".to_owned(), "Acme".to_owned()), ("stage".to_owned(), "lead".to_owned())]);
    }

    #[test]
    fn a_template_that_does_not_compile_is_a_fault_with_a_place() {
        let faults = FieldMap::compile(&map(&[("stage", "{{ person. }}")])).unwrap_err();
        assert_eq!(faults[0].path, ["fields", "stage"]);
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let fields =
            FieldMap::compile(&map(&[("x", "{% for i in range(10000) %}{% for j in range(10000) %}{{ j }}{% endfor %}{% endfor %}")]))
                .unwrap();
        assert!(fields.render(&event()).is_err());
    }
}
