//! What is known of the services that people connect most: how they say yes, how they say no, and what they can read. Each is a
//! set of defaults; every key of the configuration goes before them.

use crate::rules::{Rule, Statuses, Success, Word};
use leadwire_connector::Limits;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// What somebody switched off there is switched on again there: looking every ten minutes burns no attempt, and nobody has to think
/// of resuming the destination.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// The flat fields that visual tools can be fed with: they show each as a field to pick.
pub(crate) const FLAT: [(&str, &str); 15] = [
    ("event_id", "{{ id }}"),
    ("kind", "{{ kind }}"),
    ("first_name", "{{ person.first_name }}"),
    ("last_name", "{{ person.last_name }}"),
    ("full_name", "{{ person.first_name }} {{ person.last_name }}"),
    ("email", "{{ person.email }}"),
    ("phone", "{{ person.phone }}"),
    ("content", "{{ content }}"),
    ("transcript", "{% for message in messages %}{{ message.author }}: {{ message.text }}\n{% endfor %}"),
    ("session_id", "{{ session_id }}"),
    ("page_url", "{{ page_url }}"),
    ("chatbot", "{{ chatbot_name or chatbot_id }}"),
    ("source", "{{ source }}"),
    ("created_at", "{{ created_at or received_at }}"),
    ("received_at", "{{ received_at }}"),
];

/// A service whose ways are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A catch hook of Zapier.
    Zapier,
    /// A custom webhook of Make.
    Make,
    /// A webhook node of n8n.
    N8n,
    /// An incoming webhook of Slack, or of a chat that speaks its language.
    Slack,
    /// The inbound webhook that starts a workflow of GoHighLevel.
    GoHighLevel,
}

/// How the body is made when the owner says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// [`FLAT`] fields.
    Flat,
    /// The event as it is.
    Event,
    /// A chat message.
    Chat,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Zapier, Self::Make, Self::N8n, Self::Slack, Self::GoHighLevel];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zapier => "zapier",
            Self::Make => "make",
            Self::N8n => "n8n",
            Self::Slack => "slack",
            Self::GoHighLevel => "gohighlevel",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Zapier | Self::Make | Self::GoHighLevel => Shape::Flat,
            Self::N8n => Shape::Event,
            Self::Slack => Shape::Chat,
        }
    }

    /// How the service says that it has an event.
    ///
    /// - Zapier answers a catch hook with `{"status":"success","attempt":…,"id":…,"request_id":…}`, as public clients' tests have it.
    /// - Make answers `Accepted`, unless the scenario has an answer of its own, so that any 2xx counts.
    /// - n8n answers what its webhook node is told to, so that any 2xx counts.
    /// - Slack answers `ok` (<https://api.slack.com/messaging/webhooks>).
    /// - GoHighLevel answers 200 to everything: `{"status":"Success: request sent to trigger execution server","id":…}` when a workflow
    ///   was started, and `{"status":"Success: test request received"}` when none was, because it is a draft or the address is of a
    ///   trigger that is gone. Measured and written down by several users in public repositories; not documented by the company.
    pub(crate) fn success(self) -> Success {
        match self {
            Self::Zapier => {
                Success { json: Some([("/status".to_owned(), Value::from("success"))].into_iter().collect()), ..Success::default() }
            }
            Self::Make => Success::default(),
            Self::N8n => Success { error: Some("/message".to_owned()), ..Success::default() },
            Self::Slack => Success { body_equals: Some("ok".to_owned()), ..Success::default() },
            Self::GoHighLevel => Success {
                present: Some(vec!["/id".to_owned()]),
                error: Some("/message".to_owned()),
                otherwise: Some(Word::Hold),
                ..Success::default()
            },
        }
    }

    /// How it says no.
    ///
    /// - Zapier: 404 `please unsubscribe me!` when the Zap is off or gone, as users have written down; 429 over the limits of
    ///   <https://help.zapier.com/hc/en-us/articles/29972220283789-Webhooks-by-Zapier-rate-limits>.
    /// - Make: 410 `There is no scenario listening for this webhook.` when the scenario is off, as users have written down; events over
    ///   the size of the queue are refused (<https://support.integromat.com/hc/en-us/articles/360001986633>), and since nothing else of a
    ///   body of ours can be wrong for it, every 400 counts as that.
    /// - n8n: 404 `The requested webhook … is not registered.` when the workflow is not active (`packages/cli` of n8n-io/n8n).
    /// - Slack: 400 `invalid_payload`, 403 `action_prohibited`, 404 `channel_not_found`, 410 `channel_is_archived`
    ///   (<https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>), and `no_service`, `no_active_hooks`,
    ///   `invalid_token` for a webhook that was taken back.
    pub(crate) fn answers(self) -> Vec<Rule> {
        let off = |statuses: &[u16], contains: &str, message: &str| rule(statuses, contains, Word::Hold, Some(LOOK_AGAIN), message);
        match self {
            Self::Zapier => vec![off(&[404, 410], "", "the Zap is switched off or deleted, or the address is wrong; switch it on")],
            Self::Make => vec![
                off(&[410], "", "the scenario is switched off; switch it on"),
                rule(
                    &[400],
                    "",
                    Word::Retry,
                    Some(Duration::from_secs(60)),
                    "the queue of the webhook is full; see why the scenario does not empty it",
                ),
            ],
            Self::N8n => vec![off(&[404], "not registered", "the workflow is not active; activate it")],
            Self::Slack => vec![
                rule(&[400], "", Word::Reject, None, "the message is not accepted as it is; see `leadwire preview`"),
                rule(&[403], "", Word::Hold, None, "the webhook may not post there; make a new one"),
                rule(&[404], "", Word::Hold, None, "the channel or the webhook is gone; make a new one"),
                rule(&[410], "", Word::Hold, None, "the channel is archived; make a webhook for another one"),
            ],
            Self::GoHighLevel => vec![off(
                &[200],
                "test request received",
                "no workflow was started: it is a draft, or the trigger of this address is gone; publish it, or copy its address again",
            )],
        }
    }

    /// - Slack: one message per second, with short bursts (<https://api.slack.com/docs/rate-limits>).
    /// - Zapier: 30 a second for each webhook (<https://zapier.com/help/rate-limiting/>).
    /// - Make: five a second (<https://support.integromat.com/hc/en-us/articles/360001986633>); newer plans take more.
    pub(crate) fn limits(self) -> Limits {
        let (concurrency, per_second) = match self {
            Self::Slack => (1, Some(1.0)),
            Self::Zapier => (8, Some(30.0)),
            Self::Make => (4, Some(5.0)),
            Self::N8n | Self::GoHighLevel => (8, None),
        };
        Limits { concurrency, per_second, ..Limits::default() }
    }

    /// What is probably not meant with this address.
    pub(crate) fn warnings(self, url: &Url) -> Vec<String> {
        let mut warnings = Vec::new();
        // https://docs.n8n.io/integrations/builtin/core-nodes/n8n-nodes-base.webhook/: the test URL listens for 120 seconds.
        if self == Self::N8n && url.path().contains("/webhook-test/") {
            warnings.push(
                "`url` is the test URL of n8n, which listens only while the editor waits; use the production URL (/webhook/) of the \
                 active workflow"
                    .to_owned(),
            );
        }
        warnings
    }
}

fn rule(statuses: &[u16], contains: &str, verdict: Word, after: Option<Duration>, message: &str) -> Rule {
    Rule {
        statuses: statuses.iter().map(|status| Statuses::new(*status..=*status)).collect(),
        contains: Some(contains.to_owned()).filter(|text| !text.is_empty()),
        verdict,
        after,
        message: Some(message.to_owned()),
    }
}
