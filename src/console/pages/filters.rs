//! How figures and moments are written on pages. A template module brings them into scope with `use super::filters`.

use askama::filters::Safe;
use askama::{Result, Values};
use jiff::Timestamp;

/// Templates hold values behind one reference or several.
pub(super) trait Amount {
    fn amount(&self) -> Option<i64>;
}

impl Amount for i64 {
    fn amount(&self) -> Option<i64> {
        Some(*self)
    }
}

impl Amount for u64 {
    fn amount(&self) -> Option<i64> {
        Some(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Amount for usize {
    fn amount(&self) -> Option<i64> {
        Some(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Amount for Option<i64> {
    fn amount(&self) -> Option<i64> {
        *self
    }
}

impl<T: Amount> Amount for &T {
    fn amount(&self) -> Option<i64> {
        (**self).amount()
    }
}

/// The same.
pub(super) trait Moment {
    fn moment(&self) -> Timestamp;
}

impl Moment for Timestamp {
    fn moment(&self) -> Timestamp {
        *self
    }
}

impl<T: Moment> Moment for &T {
    fn moment(&self) -> Timestamp {
        (**self).moment()
    }
}

/// A count that may be unknown, which must not look like none. Thousands are set apart by narrow spaces.
#[askama::filter_fn]
pub(super) fn amount<T: Amount>(value: T, _: &dyn Values) -> Result<String> {
    Ok(value.amount().map_or_else(|| "?".to_owned(), group))
}

/// What is counted, in the form that follows this count.
#[askama::filter_fn]
pub(super) fn noun<T: Amount>(count: T, _: &dyn Values, one: &'static str, many: &'static str) -> Result<&'static str> {
    Ok(if count.amount() == Some(1) { one } else { many })
}

/// A moment to the second, in UTC, for people and for programs.
#[askama::filter_fn]
pub(super) fn moment<T: Moment>(value: T, _: &dyn Values) -> Result<Safe<String>> {
    let value = value.moment();
    let (day, time) = (value.strftime("%Y-%m-%d"), value.strftime("%H:%M:%S"));
    Ok(Safe(format!(r#"<time datetime="{day}T{time}Z">{day} {time} UTC</time>"#)))
}

/// A text of ours, in which what stands between backticks is to be written as it is.
#[askama::filter_fn]
pub(super) fn code<T: AsRef<str>>(value: T, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(mark_code(value.as_ref())))
}

/// A backtick without its second one stays what it is.
fn mark_code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    let mut html = String::with_capacity(text.len() + 32);
    for (place, part) in parts.into_iter().enumerate() {
        let is_code = place % 2 == 1;
        let (before, after) = match (is_code, place == last) {
            (true, false) => ("<code>", "</code>"),
            (true, true) => ("`", ""),
            (false, _) => ("", ""),
        };
        html.push_str(before);
        escape(part, &mut html);
        html.push_str(after);
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

fn group(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let places = digits.len();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (places - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::pages::filters;
    use askama::Template;

    #[test]
    fn what_stands_between_backticks_is_code_and_nothing_becomes_markup() {
        assert_eq!(mark_code("set `a<b` in it"), "set <code>a&lt;b</code> in it");
        assert_eq!(mark_code("it's `half"), "it&#39;s `half");
        assert_eq!(mark_code("<script>`</code><b>`\""), "&lt;script&gt;<code>&lt;/code&gt;&lt;b&gt;</code>&quot;");
        assert_eq!(mark_code(""), "");
    }

    #[derive(Template)]
    #[template(source = r#"{{ count|noun("lead", "leads") }}"#, ext = "txt")]
    struct Counted {
        count: Option<i64>,
    }

    #[test]
    fn one_alone_is_not_named_as_many() {
        let told = [None, Some(0), Some(1), Some(2)].map(|count| Counted { count }.to_string());
        assert_eq!(told, ["leads", "leads", "lead", "leads"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (-12_345_678, "-12\u{202f}345\u{202f}678")];
        for (value, text) in cases {
            assert_eq!(group(value), text);
        }
    }
}
