//! `when` of a route: a [minijinja](https://docs.rs/minijinja) expression over the event's JSON fields.

use leadwire_connector::reexport::minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use leadwire_connector::settings::did_you_mean;
use std::fmt;
use std::sync::LazyLock;

/// Steps that one evaluation may take. Expressions cannot loop, so this is far more than one that a person writes can need.
const FUEL: u64 = 100_000;

/// Every field that an event may have. A name that is none of these would never match anything, and so would lose leads silently.
const FIELDS: [&str; 16] = [
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

const PERSON: [&str; 4] = ["first_name", "last_name", "email", "phone"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    // A field that this event does not have is no fault: `extra.Company == "Acme"` is then simply false.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment
});

/// A compiled condition.
pub struct Condition {
    source: String,
    expression: Expression<'static, 'static>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl Condition {
    /// Compiles an expression such as `person.email and extra.Company == "Acme"`.
    ///
    /// # Errors
    /// A sentence, for a syntax error, a field that no event has, or a filter, test or function that does not exist.
    pub fn compile(source: &str) -> Result<Self, String> {
        let expression = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| explain(&error))?;
        let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        names.sort();
        names.iter().try_for_each(|name| check_name(name))?;
        try_out(&expression)?;
        Ok(Self { source: source.to_owned(), expression })
    }

    /// Whether it is true of this event, given as its serialized fields.
    ///
    /// # Errors
    /// The kind of error only: its details may quote the event.
    pub fn holds(&self, event: &Value) -> Result<bool, String> {
        self.expression.eval(event).map(|value| value.is_true()).map_err(|error| error.kind().to_string())
    }
}

/// `name` is dotted as far as the expression is: `person.email`.
fn check_name(name: &str) -> Result<(), String> {
    let (field, rest) = name.split_once('.').unwrap_or((name, ""));
    let is_global = ENVIRONMENT.globals().any(|(global, _)| global == field);
    if !is_global && !FIELDS.contains(&field) {
        return Err(format!("no event has a field `{field}`; {}", did_you_mean(field, &FIELDS)));
    }
    let part = rest.split('.').next().unwrap_or_default();
    if field == "person" && !part.is_empty() && !PERSON.contains(&part) {
        return Err(format!("a person has no `{part}`; {}", did_you_mean(part, &PERSON)));
    }
    Ok(())
}

/// Names of filters, tests and functions are resolved only when an expression runs, so it runs once on an event without fields.
fn try_out(expression: &Expression<'_, '_>) -> Result<(), String> {
    match expression.eval(()) {
        Err(error) if matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction) => {
            Err(explain(&error))
        }
        _ => Ok(()),
    }
}

fn explain(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn mistakes_are_found_when_the_condition_is_compiled() {
        for (wrong, told) in [
            ("kind ==", "syntax error"),
            ("knd == 'lead'", "did you mean `kind`?"),
            ("person.emial", "did you mean `email`?"),
            ("content|shout", "unknown filter"),
            ("kind is leadlike", "unknown test"),
            ("", "syntax error"),
        ] {
            let error = Condition::compile(wrong).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }

    #[test]
    fn fields_that_only_some_events_have_are_no_mistake() {
        for right in
            ["messages|length > 2", "extra['Company Name'] == 'x'", "raw.Deep.Field.Names", "window.start is none", "range(3)|length == 3"]
        {
            Condition::compile(right).unwrap();
        }
    }
}
