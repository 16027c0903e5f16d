//! A message for Slack, or for a chat that takes what Slack takes: `text` alone, which all of them show.
//!
//! `&`, `<` and `>` are escaped (<https://docs.slack.dev/messaging/formatting-message-text>), so that no text mentions a channel.

use super::Sender;
use crate::alerts::note::{Letter, Note, What};
use crate::config::AlertSeverity;
use leadwire_connector::http::{Method, Request};
use serde_json::json;
use url::Url;

pub(super) fn request(url: Url, letter: &Letter, sender: &Sender) -> Request {
    // Whoever knows the path may write there.
    let path = url.path().to_owned();
    Request::new(Method::Post, url).secret(&path).json(&json!({"text": text(&letter.note, sender)}))
}

fn text(note: &Note, sender: &Sender) -> String {
    let sign = match (note.what, note.severity) {
        (What::Resolved, _) => ":white_check_mark:",
        (What::Digest | What::Test, _) => ":information_source:",
        (_, AlertSeverity::Critical) => ":rotating_light:",
        (_, AlertSeverity::Warning) => ":warning:",
    };
    let mut lines = vec![format!("{sign} *{}*", escape(&note.title))];
    lines.extend([&note.detail, &note.remedy].into_iter().filter(|text| !text.is_empty()).map(|text| escape(text.trim_end())));
    lines.push(match &sender.console_url {
        Some(url) => format!("<{url}|Leadwire on {}>", escape(&sender.host)),
        None => format!("Leadwire on {}", escape(&sender.host)),
    });
    lines.join("\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::alerts::note::tests::note;

    #[test]
    fn a_text_mentions_nobody_and_links_to_the_console() {
        let note = Note { detail: "<!channel> & more".into(), ..note(What::Opened) };
        let sender = Sender { host: "box".into(), console_url: Some("https://leads.example.com/".parse().unwrap()) };
        assert_eq!(
            text(&note, &sender),
            ":rotating_light: *crm is on hold*\n&lt;!channel&gt; &amp; more\nmend it\n<https://leads.example.com/|Leadwire on box>"
        );
    }
}
