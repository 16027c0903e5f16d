//! Mapping an event to a destination's fields with [minijinja](https://docs.rs/minijinja) templates.
//!
//! A template sees the event's fields by their JSON names: `{{ person.email }}`, `{{ content }}`, `{{ extra.Company }}`. A field
//! that the event does not have is empty; an empty result is not sent.

use crate::settings::{Fault, did_you_mean};
use crate::{DeliveryError, ErrorKind, Event, Kind};
use minijinja::{Environment, ErrorKind as TemplateErrorKind, UndefinedBehavior, Value};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Steps of the template engine for one value; a loop over a long conversation needs some 10 per message.
const FUEL: u64 = 1_000_000;
/// No field of any service takes more; a template that loops over its own output is stopped here.
const LONGEST_VALUE: usize = 4 << 20;

/// Every field that an event may have. Another name would be empty for ever, and so would lose what it was meant to carry.
pub const EVENT_FIELDS: [&str; 16] = [
    "id",
    "kind",
    "source",
    "chatbot_id",
    "person",
    "content",
    "session_id",
    "page_url",
    "created_at",
    "received_at",
    "stale",
    "chatbot_name",
    "window",
    "messages",
    "extra",
    "raw",
];

/// The fields of an event's `person`.
pub const PERSON_FIELDS: [&str; 4] = ["first_name", "last_name", "email", "phone"];

/// The fields of a conversation's `window`.
pub const WINDOW_FIELDS: [&str; 2] = ["start", "end"];

/// The templates of a connector with those of the configuration over them. An empty one switches its field off.
///
/// ```
/// # use leadwire_connector::mapping;
/// let own = [("stage", "lead"), ("phone", " ")].map(|(name, template)| (name.to_owned(), template.to_owned()));
/// let all = mapping::over(&[("email", "{{ person.email }}"), ("phone", "{{ person.phone }}")], &own.into());
/// assert_eq!(all.keys().collect::<Vec<_>>(), ["email", "stage"]);
/// ```
#[must_use]
pub fn over(defaults: &[(&str, &str)], own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let defaults = defaults.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned()));
    let own = own.iter().map(|(name, template)| (name.clone(), template.clone()));
    let mut all: BTreeMap<String, String> = defaults.chain(own).collect();
    all.retain(|_, template| !template.trim().is_empty());
    all
}

/// What templates make of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Names and values, in the order of the names; empty ones are left out, others are trimmed.
    pub fields: Vec<(String, String)>,
    /// The fields whose templates failed on this event, and why, without its values.
    pub failed: Vec<(String, String)>,
}

impl Rendered {
    /// What a person should know of the fields that failed, for the remark of a [`Receipt`](crate::Receipt).
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let told: Vec<String> = self.failed.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
        (!told.is_empty()).then(|| format!("left out, since the template fails on this event: {}", told.join(", ")))
    }

    /// Itself, if no field failed without which the event must not be delivered, such as what a person is found by.
    ///
    /// # Errors
    /// A rejection that names the field.
    pub fn require(self, is_needed: impl Fn(&str) -> bool) -> Result<Self, DeliveryError> {
        match self.failed.iter().find(|(name, _)| is_needed(name)) {
            Some((name, why)) => {
                let told = format!("the template of field `{name}` fails on this event: {why}; mend it, then replay the delivery");
                Err(DeliveryError::reject(ErrorKind::Configuration, told))
            }
            None => Ok(self),
        }
    }
}

/// Templates by the name of the field they fill.
#[derive(Debug, Clone)]
pub struct FieldMap {
    environment: Environment<'static>,
    names: Vec<String>,
}

impl FieldMap {
    /// Compiles the templates of `[destinations.NAME.fields]`.
    ///
    /// # Errors
    /// At `fields.NAME`: a template that does not compile, that names a field no event has, or that uses a filter, test, function or
    /// method which does not exist.
    pub fn compile(templates: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        Self::compile_at("fields", templates)
    }

    /// Compiles templates that stand elsewhere, such as the title under `appointments`.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), at `key.NAME`.
    pub fn compile_at(key: &str, templates: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, state, value| {
            // `null` is "not given" here, and must not become the word "none".
            if value.is_none() { Ok(()) } else { minijinja::escape_formatter(out, state, value) }
        });
        let mut faults: Vec<Fault> = templates
            .iter()
            .filter_map(|(name, template)| {
                let error = environment.add_template_owned(name.clone(), template.clone()).err()?;
                Some(Fault::new([key, name], format!("this template does not compile: {}", explain(&error))))
            })
            .collect();
        faults.extend(templates.keys().flat_map(|name| faults_of_use(&environment, key, name)));
        let names = templates.keys().cloned().collect();
        if faults.is_empty() { Ok(Self { environment, names }) } else { Err(faults) }
    }

    /// Compiles a list of templates, such as tags. What comes out is in the order of the list.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), at `key.INDEX`.
    pub fn compile_list(key: &str, templates: &[String]) -> Result<Self, Vec<Fault>> {
        // Wider than any list is long, so that the order of the names is that of the list.
        let named = templates.iter().enumerate().map(|(index, template)| (format!("{index:05}"), template.clone())).collect();
        let index = |mut fault: Fault| {
            let name = fault.path.pop().unwrap_or_default();
            fault.path.push(name.parse::<usize>().unwrap_or_default().to_string());
            fault
        };
        Self::compile_at(key, &named).map_err(|faults| faults.into_iter().map(index).collect())
    }

    /// The fields and their values for this event. A field whose template fails on it is left out, and told: one odd value must not
    /// cost the whole lead.
    #[must_use]
    pub fn render(&self, event: &Event) -> Rendered {
        let mut all = Rendered::default();
        if self.names.is_empty() {
            return all;
        }
        let context = Value::from_serialize(event);
        for name in &self.names {
            match self.environment.get_template(name).and_then(|template| render(&template, &context)) {
                Ok(value) if value.trim().is_empty() => {}
                Ok(value) => all.fields.push((name.clone(), value.trim().to_owned())),
                Err(error) => all.failed.push((name.clone(), explain(&error))),
            }
        }
        all
    }

    /// The names of all fields, whether or not an event fills them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

fn render(template: &minijinja::Template<'_, '_>, context: &Value) -> Result<String, minijinja::Error> {
    let mut value = Capped::default();
    let result = template.render_captured_to(context, &mut value).map(drop);
    if value.is_full {
        let told = format!("the value is longer than {} MiB", LONGEST_VALUE >> 20);
        return Err(minijinja::Error::new(TemplateErrorKind::OutOfFuel, told));
    }
    result.map(|()| String::from_utf8_lossy(&value.bytes).into_owned())
}

/// Takes no more than a value may be long.
#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
    is_full: bool,
}

impl std::io::Write for Capped {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + piece.len() > LONGEST_VALUE {
            self.is_full = true;
            return Err(std::io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is wrong with the names that a template or a condition takes from the event, each with what would be right. `names` are dotted
/// as far as the source is (`person.email`), as minijinja's `undeclared_variables(true)` gives them: without what the source declares
/// itself. `environment` knows the global functions.
#[must_use]
pub fn check_names(environment: &Environment<'_>, names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    let wrong: BTreeSet<_> = names.into_iter().filter_map(|name| wrong_name(environment, &name)).collect();
    wrong.into_iter().collect()
}

fn wrong_name(environment: &Environment<'_>, name: &str) -> Option<(String, String)> {
    let mut parts = name.split('.');
    let field = parts.next().unwrap_or_default();
    if environment.globals().any(|(global, _)| global == field) {
        return None;
    }
    let (told, part, known) = match (field, parts.next()) {
        ("person", Some(part)) => ("a person has no field", part, &PERSON_FIELDS[..]),
        ("window", Some(part)) => ("a window has no field", part, &WINDOW_FIELDS[..]),
        (field, _) => ("no event has a field", field, &EVENT_FIELDS[..]),
    };
    (!known.contains(&part)).then(|| (format!("{told} `{part}`"), did_you_mean(part, known)))
}

fn faults_of_use(environment: &Environment<'_>, key: &str, name: &str) -> Vec<Fault> {
    // A template that did not compile is not there, and has its fault.
    let Ok(template) = environment.get_template(name) else { return Vec::new() };
    let names = check_names(environment, template.undeclared_variables(true)).into_iter();
    let mut faults: Vec<Fault> = names.map(|(message, help)| Fault::new([key, name], message).with_help(help)).collect();
    faults.extend(try_out(&template).into_iter().map(|message| {
        let help = "https://docs.rs/minijinja/latest/minijinja/ lists the filters, tests and functions; values have no methods";
        Fault::new([key, name], format!("this template cannot run: {message}")).with_help(help)
    }));
    faults
}

/// Names of filters, tests and functions are resolved only when a template comes to them, so it runs on events of every kind, with
/// everything and with nothing, to come through its branches. What depends on an event's values is no fault.
fn try_out(template: &minijinja::Template<'_, '_>) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    for event in samples() {
        match render(template, &event) {
            Err(error) if error.kind() == TemplateErrorKind::OutOfFuel => break,
            Err(error) if is_unknown_name(error.kind()) => drop(unknown.insert(explain(&error))),
            _ => {}
        }
    }
    unknown
}

fn is_unknown_name(kind: TemplateErrorKind) -> bool {
    use TemplateErrorKind::{TemplateNotFound, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(kind, UnknownFilter | UnknownTest | UnknownFunction | UnknownMethod | TemplateNotFound)
}

/// An event without fields, and one of each kind with all of them.
fn samples() -> impl Iterator<Item = Value> {
    let full = Kind::ALL.into_iter().map(|kind| {
        Value::from_serialize(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": kind, "source": "example", "chatbot_id": "1",
            "person": {"first_name": "David", "last_name": "Garcia", "email": "david@example.com", "phone": "+14155550100"},
            "content": "text", "session_id": "1", "page_url": "https://example.com/", "created_at": "2026-11-22T05:16:00.000000Z",
            "received_at": "2026-11-22T05:17:00.000000Z", "stale": true, "chatbot_name": "Bot",
            "window": {"start": "2026-11-21T00:00:00.000000Z", "end": "2026-11-22T00:00:00.000000Z"},
            "messages": [{"author": "ai", "text": "Hi"}, {"author": "user", "text": "Hi"}], "extra": {}, "raw": {},
        }))
    });
    std::iter::once(Value::UNDEFINED).chain(full)
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
        let rendered = fields.render(&event());
        assert_eq!(rendered.remark(), None);
        assert_eq!(rendered.fields, [("company".to_owned(), "Acme".to_owned()), ("stage".to_owned(), "lead".to_owned())]);
    }

    #[test]
    fn a_template_that_does_not_compile_is_a_fault_with_a_place() {
        let faults = FieldMap::compile(&map(&[("stage", "{{ person. }}")])).unwrap_err();
        assert_eq!(faults[0].path, ["fields", "stage"]);
    }

    #[test]
    fn a_list_keeps_its_order_and_a_fault_has_its_index() {
        let list = |templates: &[&str]| templates.iter().map(|template| (*template).to_owned()).collect::<Vec<_>>();
        let mut many: Vec<&str> = (0..12).map(|_| "{{ extra.No }}").collect();
        many.extend(["z", "a {{ source }}"]);
        let rendered = FieldMap::compile_list("tags", &list(&many)).unwrap().render(&event());
        assert_eq!(rendered.fields.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["z", "a acme"]);
        assert_eq!(FieldMap::compile_list("tags", &list(&["ok", "{{ contnet }}"])).unwrap_err()[0].path, ["tags", "1"]);
        assert_eq!(FieldMap::compile_at("appointments", &map(&[("title", "{{ x }}")])).unwrap_err()[0].path, ["appointments", "title"]);
    }

    fn told(template: &str) -> String {
        let faults = FieldMap::compile(&map(&[("stage", template)])).unwrap_err();
        assert!(faults.iter().all(|fault| fault.path == ["fields", "stage"]), "{faults:?}");
        faults.iter().map(|fault| format!("{} {}\n", fault.message, fault.help.clone().unwrap_or_default())).collect()
    }

    #[test]
    fn a_name_that_no_event_has_is_a_fault_with_the_nearest_one() {
        for (wrong, right) in [
            ("{{ person.emial }}", "a person has no field `emial` did you mean `email`?"),
            ("{{ contnet|upper }}", "no event has a field `contnet` did you mean `content`?"),
            ("{{ window.strat }}", "did you mean `start`?"),
            ("{% if kind == 'lead' %}{{ sesion_id }}{% endif %}", "did you mean `session_id`?"),
            ("{{ person.emial }}{{ persn.email }}", "did you mean `person`?"),
        ] {
            assert!(told(wrong).contains(right), "{wrong}: {}", told(wrong));
        }
        assert_eq!(told("{{ person.emial }}{{ person.emial|upper }}").lines().count(), 1);
    }

    #[test]
    fn what_would_fail_on_every_event_is_found_in_every_branch() {
        for (wrong, right) in [
            ("{{ person.email | nofilter }}", "unknown filter"),
            ("{% if person.email %}{{ content|shout }}{% endif %}", "unknown filter"),
            ("{% if not person.email %}{{ content|shout }}{% endif %}", "unknown filter"),
            ("{% if kind == 'appointment' %}{{ content|shout }}{% endif %}", "unknown filter"),
            ("{% for message in messages %}{{ message.text|shout }}{% endfor %}", "unknown filter"),
            ("{{ content is leadlike }}", "unknown test"),
            ("{{ shout(content) }}", "unknown function"),
            ("{{ content.upper() }}", "unknown method"),
            ("{% include 'other' %}", "template not found"),
        ] {
            assert!(told(wrong).contains(right), "{wrong}: {}", told(wrong));
        }
    }

    #[test]
    fn names_of_the_template_itself_and_fields_of_some_events_are_no_fault() {
        for right in [
            "{% for message in messages %}{{ loop.index }}: {{ message.author }} {{ message.text }}{% endfor %}",
            "{% set name = person.first_name %}{{ name|default('you') }}",
            "{% macro greet(name) %}Hi {{ name }}{% endmacro %}{{ greet(person.last_name) }}",
            "{% with short = content|default('')|title %}{{ short }}{% endwith %}",
            "{{ extra['Company Name'] }}{{ raw.Deep.Field.Names }}{{ window.start }}{{ range(3)|join }}",
            "{{ stale }}{{ chatbot_name }}{{ created_at[:10] }}{{ 'a' ~ person }}{{ dict(a=1).a }}",
        ] {
            FieldMap::compile(&map(&[("x", right)])).unwrap_or_else(|faults| panic!("{right}: {faults:?}"));
        }
    }

    #[test]
    fn the_known_names_are_those_of_an_event() {
        for sample in samples().skip(1) {
            let event: Event = serde_json::from_value(serde_json::to_value(&sample).unwrap()).unwrap();
            let event = serde_json::to_value(event).unwrap();
            let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(&event), EVENT_FIELDS.map(str::to_owned).into());
            assert_eq!(names(&event["person"]), PERSON_FIELDS.map(str::to_owned).into());
            assert_eq!(names(&event["window"]), WINDOW_FIELDS.map(str::to_owned).into());
        }
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let fields =
            FieldMap::compile(&map(&[("x", "{% for i in range(10000) %}{% for j in range(10000) %}{{ j }}{% endfor %}{% endfor %}")]))
                .unwrap();
        assert_eq!(fields.render(&event()).failed.len(), 1);
    }

    #[test]
    fn a_value_has_an_end() {
        let templates = map(&[("x", "{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}")]);
        let told = FieldMap::compile(&templates).unwrap().render(&event()).remark().unwrap();
        assert!(told.contains("longer than 4 MiB"), "{told}");
    }

    #[test]
    fn a_template_that_fails_on_a_value_costs_its_field_and_not_the_lead() {
        let event = Event { extra: json!({"Zip": "12-345"}).as_object().unwrap().clone(), ..event() };
        let rendered = FieldMap::compile(&map(&[("zip", "{{ extra.Zip|int }}"), ("stage", "lead")])).unwrap().render(&event);
        assert_eq!(rendered.fields, [("stage".to_owned(), "lead".to_owned())]);
        let told = rendered.remark().unwrap();
        assert!(told.contains("`zip`: ") && !told.contains("12-345"), "{told}");
        assert!(rendered.clone().require(|name| name == "email").is_ok());
        assert!(rendered.require(|name| name == "zip").unwrap_err().message.contains("`zip`"));
    }
}
