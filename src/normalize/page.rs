//! The page a chat was on.

use url::Url;

/// Browsers and servers stop at about this length.
const URL_MOST: usize = 8_000;

/// The address with a scheme: senders leave it out (`www.google.com`). Otherwise as sent. `None` for what is no address of a web page,
/// and above all for what a browser would run.
pub(super) fn page_url(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > URL_MOST || text.contains(|c: char| c.is_control() || matches!(c, '\\' | '<' | '>' | '"')) {
        return None;
    }
    let text = text.replace(' ', "%20");
    if has_web_scheme(&text) {
        return parse(&text).map(|_| text);
    }
    let whole = format!("https://{}", text.strip_prefix("//").unwrap_or(&text));
    // Without a scheme, `javascript:…` and `mailto:…` would pass as host and port, or as user and host; a path would pass as a host.
    let url = parse(&whole).filter(|_| !text.contains("://") && !text.strip_prefix("//").unwrap_or(&text).starts_with('/'))?;
    let host = url.host_str()?;
    let is_site = host.contains(['.', ':']) || host == "localhost";
    (is_site && url.username().is_empty() && url.password().is_none()).then_some(whole)
}

fn has_web_scheme(text: &str) -> bool {
    let has = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    has("https://") || has("http://")
}

fn parse(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_added_when_missing() {
        for (sent, expected) in [
            ("www.google.com", "https://www.google.com"),
            (" shop.example/a?b=c:d#e ", "https://shop.example/a?b=c:d#e"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("localhost:3000/chat", "https://localhost:3000/chat"),
            ("http://example.com/a b", "http://example.com/a%20b"),
            ("HTTPS://Example.com", "HTTPS://Example.com"),
            ("192.168.0.1:8080", "https://192.168.0.1:8080"),
            ("münchen.example", "https://münchen.example"),
        ] {
            assert_eq!(page_url(sent).as_deref(), Some(expected), "{sent}");
        }
    }

    #[test]
    fn what_is_no_web_page_is_refused() {
        for text in [
            "",
            "javascript:alert(1)",
            "JavaScript:1",
            "javascript://x.y/%0aalert(1)",
            "data:text/html,x",
            "mailto:a@b.c",
            "a@b.c",
            "ftp://x.y",
            "/pricing",
            "//",
            "///a.b",
            "file:///etc/passwd",
            "https://",
            "hello",
            "two words",
            "java\tscript:alert(1)",
            "x.y/<script>",
            "https://a.b\\c",
        ] {
            assert_eq!(page_url(text), None, "{text}");
        }
    }
}
