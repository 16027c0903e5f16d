//! Texts of the trail: short, and naming nobody. Pure.

/// No text of the trail is longer.
const LONGEST: usize = 500;
/// So many digits in a row, whatever stands between them, may be a telephone number.
const PHONE_DIGITS: usize = 7;

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// The text without what looks like an e-mail address or a telephone number.
pub(super) fn without_persons(text: &str) -> String {
    let words = text.split(char::is_whitespace).map(|word| if word.contains('@') { "(e-mail)" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    let (mut told, mut rest) = (String::new(), text.as_str());
    while let Some(start) = rest.find(char::is_numeric) {
        let (before, found) = rest.split_at(start);
        let (number, after) = found.split_at(number_length(found));
        let is_phone = number.chars().filter(|c| c.is_numeric()).count() >= PHONE_DIGITS;
        told.push_str(before);
        told.push_str(if is_phone { "(number)" } else { number });
        rest = after;
    }
    told.push_str(rest);
    told
}

/// From the first digit to the last one that is apart from it by nothing but what people write between digits.
fn number_length(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_numeric() && !"+-(). /".contains(c)).unwrap_or(text.len());
    let (number, _) = text.split_at(end);
    number.trim_end_matches(|c: char| !c.is_numeric()).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_trail_names_nobody() {
        assert_eq!(without_persons("asked by <jane@example.com> today"), "asked by (e-mail) today");
        assert_eq!(without_persons("call +1 (555) 010-0199 first"), "call +(number) first");
        assert_eq!(without_persons("route 12 of 300 failed, see 7.1"), "route 12 of 300 failed, see 7.1");
        assert_eq!(short(&"é".repeat(2 * LONGEST)).chars().count(), LONGEST);
    }

    proptest! {
        #[test]
        fn no_address_and_no_number_is_left(before in "[a-z ]{0,9}", number in "[0-9]{7,12}", after in "[a-z ]{0,9}", at in "[a-z]{1,5}@[a-z]{1,5}") {
            let told = without_persons(&format!("{before} {number} {after} {at}"));
            prop_assert!(!told.contains(&number) && !told.contains('@'), "{}", told);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = without_persons(&text);
        }
    }
}
