//! Phone numbers as people write them: `+14155550100`, `(415) 555-0100`.

/// Two numbers with as many digits in common at their end are one, as far as can be told from numbers of which one has no country's code.
const ENOUGH: usize = 7;

/// Whether two numbers are the same, however they are written: by their digits. A country's code on one side only counts as equal.
///
/// ```
/// use leadwire_connector::phone::is_same;
/// assert!(is_same("+1 (415) 555-0100", "415 555 0100") && is_same("+49 30 123456", "030/123456"));
/// assert!(!is_same("+14155550100", "+4155550100"), "each says its country");
/// assert!(!is_same("100", "+14155550100"));
/// ```
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let says_country = |text: &str| text.trim_start().starts_with('+');
    let is_end = !says_country(one) || !says_country(other);
    let (one, other) = (digits(one), digits(other));
    one == other || is_end && one.len().min(other.len()) >= ENOUGH && (one.ends_with(&other) || other.ends_with(&one))
}

/// The digits at the end of a number that are the same in every way of writing it. `None` when it has too few to look for it by them.
#[must_use]
pub fn ending(number: &str) -> Option<String> {
    let digits = digits(number);
    digits.len().checked_sub(ENOUGH).and_then(|start| digits.get(start..)).map(str::to_owned)
}

/// Without the zeros that numbers within a country, and calls to another one, begin with.
fn digits(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        assert!(is_same("+1 (415) 555-0100", "4155550100") && is_same("+14155550100", "+14155550100"));
        assert!(!is_same("+14155550100", "+14155550101") && !is_same("100", "+14155550100") && !is_same("", "+14155550100"));
        assert!(is_same("0041 55 555 01 00", "+41555550100"));
        assert_eq!(ending("+1 (415) 555-0100").as_deref(), Some("5550100"));
        assert_eq!((ending("+123456"), ending("call me")), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_the_same_ends_alike(one in "[0-9+ ()-]{0,20}", other in "[0-9+ ()-]{0,20}") {
            prop_assert_eq!(is_same(&one, &other), is_same(&other, &one));
            if let (Some(ours), Some(theirs)) = (ending(&one), ending(&other)) {
                prop_assert!(!is_same(&one, &other) || ours == theirs);
            }
        }
    }
}
