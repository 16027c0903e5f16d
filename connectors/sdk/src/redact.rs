//! Taking secrets out of text that others wrote.

use bytes::Bytes;
use std::borrow::Cow;

/// A shorter secret would be found inside unrelated words, and taking it out would break what is around it.
const SHORTEST: usize = 8;
const MASK: &str = "••••";

/// Masks secrets in text, plain and however JSON, forms and addresses write them. A service, or a proxy before it, may well repeat what
/// it was sent.
///
/// Answers of [`Client`](crate::http::Client) are clean of the secrets of their own request already.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor of {} secrets", self.secrets.len())
    }
}

impl Redactor {
    /// For these secrets. Those of fewer than 8 characters are left out: they would be found inside unrelated words.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let secrets = secrets.into_iter().map(|secret| secret.as_ref().trim().to_owned());
        let mut secrets: Vec<String> = secrets.filter(|secret| secret.chars().count() >= SHORTEST).collect();
        // The longest first: one secret may be a part of another.
        secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// The text without the secrets.
    #[must_use]
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let forms = self.secrets.iter().flat_map(|secret| [(secret, Form::Plain), (secret, Form::Json), (secret, Form::Percent)]);
        forms.fold(Cow::Borrowed(text), |text, (secret, form)| match without(&text, secret, form) {
            Some(clean) => Cow::Owned(clean),
            None => text,
        })
    }

    /// How many bytes the longest text has that it looks for, for readers of pieces of a text: a secret may go on in the next one.
    #[must_use]
    pub fn longest(&self) -> usize {
        // No form takes more than `\uXXXX` for a byte of the secret.
        self.secrets.first().map_or(0, |longest| 6 * longest.len())
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

/// How a secret may be written. Which characters are escaped, and in which case, differs from program to program.
#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    /// RFC 8259, 7.
    Json,
    /// Addresses (RFC 3986, 2.1) and forms, which write a space as `+`.
    Percent,
}

/// `None` when the secret does not stand in the text in this form.
fn without(text: &str, secret: &str, form: Form) -> Option<String> {
    match form {
        Form::Plain => return text.contains(secret).then(|| text.replace(secret, MASK)),
        Form::Json if !text.contains('\\') => return None,
        Form::Percent if !text.contains(['%', '+']) => return None,
        Form::Json | Form::Percent => {}
    }
    let (mut clean, mut rest, mut is_found) = (String::new(), text, false);
    while let Some(first) = rest.chars().next() {
        if let Some(after) = secret.chars().try_fold(rest, |rest, c| strip(rest, c, form)) {
            clean.push_str(MASK);
            (rest, is_found) = (after, true);
        } else {
            clean.push(first);
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
    }
    is_found.then_some(clean)
}

/// The text after this character, when it begins with it.
fn strip(text: &str, c: char, form: Form) -> Option<&str> {
    match form {
        Form::Json if text.starts_with('\\') => strip_json(text, c),
        Form::Percent if text.starts_with('%') => {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().try_fold(text, |text, byte| strip_hex(text.strip_prefix('%')?, 2, byte.into()))
        }
        Form::Percent if c == ' ' => text.strip_prefix([' ', '+']),
        Form::Plain | Form::Json | Form::Percent => text.strip_prefix(c),
    }
}

fn strip_json(text: &str, c: char) -> Option<&str> {
    let short = match c {
        '"' | '\\' | '/' => Some(c),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        _ => None,
    };
    let escaped = text.strip_prefix('\\')?;
    short.and_then(|short| escaped.strip_prefix(short)).or_else(|| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().try_fold(text, |text, unit| strip_hex(text.strip_prefix("\\u")?, 4, *unit))
    })
}

fn strip_hex(text: &str, digits: usize, value: u16) -> Option<&str> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_hex = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && u16::from_str_radix(number, 16) == Ok(value)).then_some(rest)
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
    fn a_secret_is_found_as_other_programs_write_json_and_percents() {
        let redactor = Redactor::new(["a/b+c d=&<é\"~*"]);
        for text in [
            r#"a\/b+c d=&<é\"~*"#,
            r#"a/b+c d=\u0026\u003cé\"~*"#,
            r#"a\/b+c d=&<\u00e9\"~*"#,
            r#"a/b+c d\u003d\u0026\u003C\u00E9\u0022~*"#,
            "a%2Fb%2Bc+d%3D%26%3C%C3%A9%22%7E*",
            "a%2fb%2bc+d%3d%26%3c%c3%a9%22%7e*",
            "a%2Fb%2Bc%20d%3D%26%3C%C3%A9%22~%2A",
            "a%2fb%2bc%20d%3d%26%3c%c3%a9%22~*",
            "a/b+c%20d=&%3C%C3%A9%22~*",
        ] {
            assert_eq!(redactor.clean(&format!("<{text}>")), "<••••>");
        }
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
