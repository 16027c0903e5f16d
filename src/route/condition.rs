//! `when` of a route: a [minijinja](https://docs.rs/minijinja) expression over the event's JSON fields.

use leadwire_connector::mapping::check_names;
use leadwire_connector::reexport::minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use std::fmt;
use std::sync::LazyLock;

/// Steps that one evaluation may take. Expressions cannot loop, so this is far more than one that a person writes can need.
const FUEL: u64 = 100_000;

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
        if closes_too_much(source) {
            return Err(
                "syntax error: a bracket closes that was never opened; a condition is an expression, without `{{` and `}}`".to_owned()
            );
        }
        let expression = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| explain(&error))?;
        let wrong = check_names(&ENVIRONMENT, expression.undeclared_variables(true));
        if let Some((message, help)) = wrong.into_iter().next() {
            return Err(format!("{message}; {help}"));
        }
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

/// Whether a bracket closes that was never opened. At `}}`, which ends an expression within a template, minijinja stops to read the
/// expression; it panics when anything follows.
fn closes_too_much(source: &str) -> bool {
    let (mut open, mut quote, mut is_escaped) = (0_usize, None, false);
    for c in source.chars() {
        match (quote, c) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(closing), _) if c == closing => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => open += 1,
            (None, ')' | ']' | '}') => match open.checked_sub(1) {
                Some(left) => open = left,
                None => return true,
            },
            (None, _) => {}
        }
    }
    false
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
    fn what_a_template_would_end_with_is_a_mistake() {
        for wrong in ["kind }} and more", "kind == 'lead' }} ", "(kind)) }} x", "kind -}} x"] {
            let error = Condition::compile(wrong).unwrap_err();
            assert!(error.contains("without `{{` and `}}`"), "{wrong}: {error}");
        }
        for right in ["content == '}} \\' ]' and kind", "{'a': {'b': 1}} and kind", "kind == \"'}}\""] {
            Condition::compile(right).unwrap();
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
