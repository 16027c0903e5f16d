//! The page to go back to, as a stranger may have written it into a link.

const LONGEST: usize = 2_000;

/// `path` when it is one of this console, else the first page. A browser takes `//host` and `/\\host` for other sites.
pub(in crate::console) fn local(path: &str) -> &str {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = path.starts_with('/') && !path.starts_with("//") && path.len() <= LONGEST && is_plain;
    // Back to the login means round in circles.
    let is_way_in = ["/login", "/logout", "/actions"].iter().any(|prefix| path.starts_with(prefix));
    if is_local && !is_way_in { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_pages_of_the_console_are_gone_back_to() {
        for path in ["/", "/leads?q=a%20b&kind=lead", "/events/0199f3c2#attempts"] {
            assert_eq!(local(path), path);
        }
        for path in [
            "",
            "leads",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
            "/\t/evil",
            "/login?back=/",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn no_way_leads_out(path in "[/\\\\a-z:@.?#%\r\n\t ]{0,40}") {
            let base = url::Url::parse("https://console.example/x/").map_err(|error| TestCaseError::fail(error.to_string()))?;
            let target = base.join(local(&path)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(target.origin(), base.origin());
        }
    }
}
