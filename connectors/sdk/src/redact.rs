//! Taking secrets out of text that others wrote.

use bytes::Bytes;
use std::borrow::Cow;
use url::form_urlencoded;

/// A shorter secret would be found inside unrelated words, and taking it out would break what is around it.
const SHORTEST: usize = 8;
const MASK: &str = "••••";

/// Masks secrets in text, plain and as JSON and forms write them. A service, or a proxy before it, may well repeat what it was sent.
///
/// Answers of [`Client`](crate::http::Client) are clean of the secrets of their own request already.
#[derive(Clone, Default)]
pub struct Redactor {
    forms: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor of {} forms", self.forms.len())
    }
}

impl Redactor {
    /// For these secrets. Those of fewer than 8 characters are left out: they would be found inside unrelated words.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut forms: Vec<String> = secrets.into_iter().flat_map(|secret| forms(secret.as_ref().trim())).collect();
        // The longest first: one secret may be a part of another.
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// The text without the secrets.
    #[must_use]
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.forms.iter().fold(Cow::Borrowed(text), |text, form| {
            if text.contains(form.as_str()) { Cow::Owned(text.replace(form.as_str(), MASK)) } else { text }
        })
    }

    /// How many bytes the longest text has that it looks for, for readers of pieces of a text: a secret may go on in the next one.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.forms.first().map_or(0, String::len)
    }

    pub(crate) fn clean_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.clean(text) {
            *text = clean;
        }
    }

    /// The body without the secrets; bytes that are no text stay as they are unless a secret stands among them.
    pub(crate) fn clean_bytes(&self, body: Bytes) -> Bytes {
        let text = String::from_utf8_lossy(&body);
        let Cow::Owned(clean) = self.clean(&text) else { return body };
        clean.into()
    }
}

fn forms(secret: &str) -> Vec<String> {
    if secret.chars().count() < SHORTEST {
        return Vec::new();
    }
    let json = serde_json::Value::from(secret).to_string();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json).to_owned();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![secret.to_owned(), json, form]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_found_in_each_form_and_short_ones_are_left_alone() {
        let redactor = Redactor::new(["pa\"ss word&1", "ok"]);
        assert_eq!(redactor.clean("a pa\"ss word&1 b pa\\\"ss word&1 c pa%22ss+word%261 ok"), "a •••• b •••• c •••• ok");
        assert!(matches!(redactor.clean("nothing"), Cow::Borrowed("nothing")));
        assert_eq!(redactor.clean_bytes(Bytes::from_static(b"\xff\xfe")), Bytes::from_static(b"\xff\xfe"));
    }

    #[test]
    fn of_two_secrets_of_which_one_holds_the_other_nothing_is_left() {
        assert_eq!(Redactor::new(["12345678", "12345678-abcdef"]).clean("x12345678-abcdefx"), "x••••x");
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(before in ".{0,20}", secret in "[!-~]{8,30}", after in ".{0,20}") {
            let clean = Redactor::new([&secret]).clean(&format!("{before}{secret}{after}")).into_owned();
            prop_assert!(!clean.contains(&secret));
        }
    }
}
