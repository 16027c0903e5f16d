//! Whether what was sent is what was previewed, as far as that could be known.

use crate::PreviewRequest;
use crate::simulator::Request;
use serde_json::Value;
use url::Url;

/// Whether this is the request that was previewed. A placeholder stands for anything, and so does a mask.
pub(super) fn is_same(previewed: &PreviewRequest, sent: &Request, base: &Url) -> bool {
    let url = base.join(&sent.target).map(String::from).unwrap_or_default();
    let has = |(name, value): &(String, String)| sent.header(name).is_some_and(|found| matches(value, found));
    let body = match sent.json() {
        Value::Null => Value::String(String::from_utf8_lossy(&sent.body).into_owned()),
        body => body,
    };
    previewed.method == sent.method
        && matches(&decoded(&previewed.url), &decoded(&url))
        && previewed.headers.iter().all(has)
        && is_same_value(&previewed.body, &body)
}

/// `%20` and `+` are the same space.
fn decoded(url: &str) -> String {
    let plus = url.replace('+', " ");
    url::form_urlencoded::parse(format!("u={}", plus.replace('&', "%26").replace('=', "%3D")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, url)| url.into_owned())
}

fn is_same_value(previewed: &Value, sent: &Value) -> bool {
    match (previewed, sent) {
        (Value::String(pattern), Value::String(text)) => matches(pattern, text),
        (Value::String(pattern), Value::Number(number)) => is_placeholder(pattern) || *pattern == number.to_string(),
        (Value::Array(previewed), Value::Array(sent)) => {
            previewed.len() == sent.len() && previewed.iter().zip(sent).all(|(previewed, sent)| is_same_value(previewed, sent))
        }
        (Value::Object(previewed), Value::Object(sent)) => {
            let is_there = |(name, value): (&String, &Value)| sent.get(name).is_some_and(|found| is_same_value(value, found));
            previewed.len() == sent.len() && previewed.iter().all(is_there)
        }
        _ => previewed == sent,
    }
}

fn is_placeholder(text: &str) -> bool {
    text.starts_with('(') && text.ends_with(')')
}

/// Whether the text has all pieces of the pattern in their order, with anything in the place of placeholders and masks.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pieces(pattern).into_iter();
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    true
}

/// What stands between the placeholders and masks; one piece more than there are of those.
fn pieces(pattern: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((start, end)) = wildcard(rest) {
        pieces.push(&rest[..start]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

/// Where the first placeholder or mask begins and ends.
fn wildcard(text: &str) -> Option<(usize, usize)> {
    let placeholder = text.find('(').and_then(|start| Some((start, start + text[start..].find(')')? + 1)));
    let mask = text.find("••••").map(|start| (start, start + "••••".len()));
    [placeholder, mask].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn placeholders_and_masks_stand_for_anything() {
        for (pattern, text) in
            [("a", "a"), ("(id)", "17"), ("x/(id of it)/y", "x/17/y"), ("Bearer pat-••••", "Bearer pat-1234"), ("(a)-(b)", "1-2"), ("", "")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "b"), ("a", "ab"), ("x/(id)/y", "x/17/z"), ("x(id)x", "x"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(is_same_value(&json!({"id": "(id of the contact)", "a": [1]}), &json!({"id": 17, "a": [1]})));
        assert!(!is_same_value(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }

    #[test]
    fn an_address_is_compared_as_it_is_meant() {
        let request =
            Request { method: "GET".to_owned(), target: "/a%28id%29?q=x+y".to_owned(), headers: Vec::new(), body: bytes::Bytes::new() };
        let previewed = PreviewRequest {
            method: "GET".to_owned(),
            url: "http://h/a(id)?q=x%20y".to_owned(),
            body: json!(""),
            ..PreviewRequest::default()
        };
        assert!(is_same(&previewed, &request, &"http://h/".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_text_matches_itself(text in ".{0,30}", pattern in ".{0,30}") {
            prop_assert!(matches(&text, &text));
            let _ = matches(&pattern, &text);
            let _ = decoded(&text);
        }
    }
}
