//! Who it is: e-mail and phone in one form each.

use email_address::{EmailAddress, Options};
use phonenumber::{Mode, country};

/// The longest address that SMTP can carry (RFC 5321, 4.5.3.1.3).
const EMAIL_MOST: usize = 254;
/// E.164 has 15 digits; the rest is for what people write between them.
const PHONE_MOST: usize = 40;

/// The address, with its domain in lower case; also out of `mailto:…`, `<…>` and `Name <…>`. `None` when it is no address that mail
/// could reach from elsewhere.
pub(super) fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map_or(text, |(_, address)| address);
    let bare = match bare.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => bare.get(7..)?.split('?').next()?,
        _ => bare,
    };
    let bare = bare.trim();
    if bare.len() > EMAIL_MOST || bare.contains(char::is_control) {
        return None;
    }
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    let address = EmailAddress::parse_with_options(bare, options).ok()?;
    Some(format!("{}@{}", address.local_part(), address.domain().to_lowercase()))
}

/// A phone number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Phone {
    /// E.164 when it can be read as a number that exists, else as sent.
    pub(super) text: String,
    /// Whether `text` leaves something out that was sent: an extension.
    pub(super) is_shortened: bool,
    /// Whether `text` is E.164: one as sent may begin with a plus sign as well.
    pub(super) exists: bool,
}

/// Reads the tables of phone numbers, which the first number would otherwise wait for.
pub(super) fn warm_up() {
    // The tables are read on first use, whatever the number.
    let _ = phonenumber::parse(None, "+14155552671");
}

/// `country` is where a number without a country code is from. `None` when there is no digit in it.
pub(super) fn phone(text: &str, country: Option<&str>) -> Option<Phone> {
    let text = text.trim();
    if !text.contains(|c: char| c.is_numeric()) {
        return None;
    }
    let as_sent = || Phone { text: text.to_owned(), is_shortened: false, exists: false };
    Some(dialable(text).and_then(|plain| e164(&plain, country)).unwrap_or_else(as_sent))
}

/// The text in the letters that people write numbers with. The parser sees nothing else, because it looks for numbers in any text,
/// takes letters for digits, and was not made for hostile input.
fn dialable(text: &str) -> Option<String> {
    let text = text.get(..4).filter(|start| start.eq_ignore_ascii_case("tel:")).map_or(text, |start| &text[start.len()..]);
    if text.chars().count() > PHONE_MOST {
        return None;
    }
    let plain: String = text.chars().map(plain).collect::<String>().to_ascii_lowercase();
    let words = ["extension", "ext", "x"];
    let (number, extension) = words.iter().find_map(|word| plain.split_once(word)).unwrap_or((&plain, ""));
    let has_plus_inside = number.trim_start_matches(['(', ' ']).rfind('+').is_some_and(|at| at > 0);
    let is_number = number.chars().all(|c| c.is_ascii_digit() || "+()-./ ".contains(c)) && !has_plus_inside;
    (is_number && extension.chars().all(|c| c.is_ascii_digit() || ".: ".contains(c))).then_some(plain)
}

fn plain(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}' => '-',
        '\u{FF0B}' => '+',
        '·' => '.',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

fn e164(plain: &str, country: Option<&str>) -> Option<Phone> {
    let country = country.and_then(|code| code.to_ascii_uppercase().parse::<country::Id>().ok());
    let is_international = plain.trim_start_matches(['(', ' ']).starts_with('+');
    if country.is_none() && !is_international {
        return None;
    }
    let number = phonenumber::parse(country, plain).ok().filter(phonenumber::is_valid)?;
    let text = number.format().mode(Mode::E164).to_string();
    Some(Phone { text, is_shortened: number.extension().is_some(), exists: true })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_taken_out_of_what_surrounds_it() {
        for text in [
            "test@QQ.com",
            " test@qq.com\n",
            "mailto:test@qq.com?subject=Hi",
            "<test@qq.com>",
            "David Garcia <test@Qq.Com>",
            "MAILTO:test@qq.com",
        ] {
            assert_eq!(email(text).as_deref(), Some("test@qq.com"), "{text}");
        }
        assert_eq!(email("David.Garcia+tag@Example.CO.UK").as_deref(), Some("David.Garcia+tag@example.co.uk"));
        assert_eq!(email("josé@exámple.com").as_deref(), Some("josé@exámple.com"));
    }

    #[test]
    fn what_mail_cannot_reach_is_no_address() {
        for text in
            ["", "n/a", "a@b", "a@@b.com", "@b.com", "a@", "a b@c.com", "a@[127.0.0.1]", "a@b.com\r\nBcc: x@y.z", "<>", "mailto:", "é"]
        {
            assert_eq!(email(text), None, "{text}");
        }
        assert_eq!(email(&format!("{}@b.com", "a".repeat(300))), None);
    }

    fn told(text: &str, country: Option<&str>) -> (String, bool) {
        let phone = phone(text, country).unwrap();
        (phone.text, phone.is_shortened)
    }

    #[test]
    fn a_number_that_exists_becomes_e164() {
        for (text, country, expected) in [
            ("+1 415 555 2671", None, "+14155552671"),
            ("(415) 555-2671", Some("US"), "+14155552671"),
            ("tel:+1-415-555-2671", None, "+14155552671"),
            ("415.555.2671", Some("us"), "+14155552671"),
            ("+1\u{a0}415\u{2011}555\u{2011}2671", Some("DE"), "+14155552671"),
            ("06 6982", Some("IT"), "+39066982"),
            ("030/901820", Some("DE"), "+4930901820"),
            ("0044 20 7946 0958", Some("IT"), "+442079460958"),
        ] {
            assert_eq!(told(text, country), (expected.to_owned(), false), "{text}");
        }
        assert_eq!(told("415-555-2671 ext. 5", Some("US")), ("+14155552671".to_owned(), true));
    }

    #[test]
    fn other_numbers_stay_as_they_were_sent() {
        for (text, country) in [
            ("415-555-2671", None),
            ("12", Some("US")),
            ("call 415-555-2671 please", Some("US")),
            ("0800 FOR PIZZA 1", Some("NZ")),
            ("415-555-2671", Some("ZZZ")),
        ] {
            assert_eq!(told(text, country), (text.to_owned(), false), "{text}");
        }
        assert_eq!(phone("none", Some("US")), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_text_is_too_much_for_an_address(text in ".{0,60}|[a-z@.<>\"\\[\\](): -]{0,40}") {
            if let Some(address) = email(&text) {
                prop_assert!(address.contains('@') && address.len() <= EMAIL_MOST);
                prop_assert_eq!(email(&address), Some(address));
            }
        }

        #[test]
        fn no_text_is_too_much_for_a_number(text in "(tel:)?[+]?[0-9()./ ext-]{0,24}|.{0,40}", country in "AR|BR|MX|US|IT|DE|NZ|CN|[A-Z]{2}", known: bool) {
            let country = known.then_some(country.as_str());
            if let Some(phone) = phone(&text, country) {
                prop_assert!(phone.text.contains(char::is_numeric));
            }
        }
    }
}
