//! What is sent to each of the known services, and what their answers mean.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::sample;
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::Request;
use leadwire_connector::testing::Stage;
use leadwire_connector::{Author, Conversation, DeliveryError, Event, Kind, Message, Receipt, Verdict};
use leadwire_connector_json::{KIND, simulator::Endpoint};
use serde_json::{Map, Value, json};
use std::time::Duration;

struct Story(Stage);

impl Story {
    /// The simulated service at this path, asked with these settings.
    async fn at(path: &str, mut settings: Value) -> Self {
        let settings = |url: &Url| {
            settings["url"] = json!(url.join(path).unwrap());
            settings
        };
        Self(Stage::start(KIND, Box::<Endpoint>::default(), settings).await)
    }

    /// The service of that name at its usual path, or where it answers otherwise.
    async fn of(preset: &str, rest: &str) -> Self {
        Self::at(&format!("{preset}/{rest}"), json!({"preset": preset})).await
    }

    async fn deliver(&self, event: Event) -> Result<Receipt, DeliveryError> {
        self.0.deliver("d-1", &event).await
    }

    fn sent(&self) -> Request {
        self.0.requests().remove(0)
    }
}

fn conversation() -> Event {
    let said = |author, text: &str| Message { author, text: text.to_owned() };
    let messages = vec![said(Author::Ai, "Hi, how can I help?"), said(Author::User, "A table for <two> & a \"dog\"?")];
    let conversation = Conversation { chatbot_name: Some("Reception".to_owned()), messages, ..Conversation::default() };
    Event { kind: Kind::Conversation, content: None, conversation: Some(conversation), ..sample() }
}

/// Without what is another one in every run.
fn shown(request: &Request) -> Value {
    let volatile = ["host", "webhook-timestamp", "content-length", "webhook-signature", "user-agent"];
    let kept = request.headers.iter().filter(|(name, _)| !volatile.contains(&name.to_ascii_lowercase().as_str()));
    let headers: Map<String, Value> = kept.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().into())).collect();
    let body = match request.json() {
        Value::Null => String::from_utf8_lossy(&request.body).into_owned().into(),
        body => body,
    };
    json!({"method": request.method, "target": request.target, "headers": headers, "body": body})
}

#[tokio::test]
async fn each_service_is_sent_what_it_can_read() {
    for (preset, path) in [
        ("zapier", "hooks/catch/1/abc/"),
        ("make", "abc"),
        ("n8n", "webhook/abc"),
        ("slack", "services/T0/B0/abc"),
        ("gohighlevel", "hooks/L/abc"),
    ] {
        for (kind, event) in [("lead", sample()), ("conversation", conversation())] {
            let story = Story::of(preset, path).await;
            story.deliver(event).await.unwrap();
            insta::assert_json_snapshot!(format!("{preset}_{kind}"), shown(&story.sent()));
        }
    }
}

#[tokio::test]
async fn each_envelope_is_sent_as_it_was() {
    for envelope in ["standard", "event", "cloudevents", "cloudevents-binary", "form"] {
        let settings =
            json!({"envelope": envelope, "headers": {"X-Lead": "{{ person.email }} of {{ source }}", "X-None": "{{ extra.none }}"}});
        let story = Story::at("leads", settings).await;
        story.deliver(sample()).await.unwrap();
        insta::assert_json_snapshot!(format!("envelope_{envelope}"), shown(&story.sent()));
    }
}

#[tokio::test]
async fn bodies_of_ones_own_are_sent_as_they_were() {
    let text = r#"{"mail": {{ person.email|tojson }}, "turns": [{% for m in messages %}{{ m.text|tojson }}{{ "," if not loop.last }}{% endfor %}]}"#;
    let file = std::env::temp_dir().join(format!("leadwire-body-{}.json", std::process::id()));
    std::fs::write(&file, text).unwrap();
    for (name, settings) in [
        ("text", json!({"body": text, "method": "PUT"})),
        ("file", json!({"body_file": file})),
        ("table", json!({"body": {"list": 17, "subscriber": {"email": "{{ person.email }}", "tags": ["chat", "{{ extra.tag }}"]}}})),
        ("plain", json!({"body": "{{ person.email }}: {{ content }}", "content_type": "text/plain; charset=utf-8"})),
        ("thin", json!({"envelope": "event", "max_bytes": 1_100})),
    ] {
        let story = Story::at("leads", settings).await;
        let mut event = conversation();
        if let Some(conversation) = event.conversation.as_mut().filter(|_| name == "thin") {
            conversation.messages = conversation.messages.iter().cycle().take(40).cloned().collect();
        }
        story.deliver(event).await.unwrap();
        insta::assert_json_snapshot!(format!("own_{name}"), shown(&story.sent()));
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_flow_that_is_switched_off_is_looked_at_again_in_ten_minutes_and_burns_nothing() {
    for (preset, path, told) in [
        ("zapier", "off", "the Zap is switched off or deleted"),
        ("make", "off", "the scenario is switched off"),
        ("n8n", "off", "the workflow is not active"),
        ("n8n", "webhook-test/abc", "the workflow is not active"),
        ("gohighlevel", "draft", "no workflow was started"),
    ] {
        let error = Story::of(preset, path).await.deliver(sample()).await.unwrap_err();
        let Verdict::Hold { until: Some(until) } = error.verdict else { panic!("{preset}: {error:?}") };
        let seconds = until.duration_since(Timestamp::now()).as_secs();
        assert!((540..=600).contains(&seconds) && error.message.contains(told), "{preset}: {error:?}");
    }
}

#[tokio::test]
async fn each_refusal_of_slack_has_its_meaning() {
    for (path, told) in [("archived", "the channel is archived"), ("gone", "is gone"), ("prohibited", "may not post there")] {
        let error = Story::of("slack", path).await.deliver(sample()).await.unwrap_err();
        assert!(error.verdict == Verdict::Hold { until: None } && error.message.contains(told), "{path}: {error:?}");
    }
    let unreadable = Story::at("slack/x", json!({"preset": "slack", "body": {"colour": "{{ kind }}"}})).await;
    assert_eq!(unreadable.deliver(sample()).await.unwrap_err().verdict, Verdict::Reject);
}

#[tokio::test]
async fn a_full_queue_of_make_is_tried_again() {
    let error = Story::of("make", "full").await.deliver(sample()).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(60)) });
    assert!(error.message.contains("the queue of the webhook is full"), "{error}");
}

#[tokio::test]
async fn a_200_without_an_id_is_no_delivery_to_gohighlevel_and_one_with_an_id_is_its_record() {
    assert_eq!(Story::of("gohighlevel", "hooks/x").await.deliver(sample()).await.unwrap(), Receipt::record("d-1"));
    // Another service's success: whatever the words, there is no id.
    let error = Story::at("make/x", json!({"preset": "gohighlevel"})).await.deliver(sample()).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Hold { until: None });
    assert!(error.message.contains("nothing at `/id`"), "{error}");
}

#[tokio::test]
async fn what_the_owner_says_goes_before_the_preset() {
    let answers = json!([{"statuses": [410], "verdict": "reject", "message": "we said so"}]);
    let error = Story::at("make/off", json!({"preset": "make", "answers": answers})).await.deliver(sample()).await.unwrap_err();
    assert_eq!((error.verdict, error.message.contains("we said so")), (Verdict::Reject, true));
    let lenient = Story::at("gohighlevel/draft", json!({"preset": "gohighlevel", "success": {"present": []}})).await;
    assert!(lenient.deliver(sample()).await.is_err(), "the rule of the preset is still there");
    let other = Story::at("make/x", json!({"preset": "gohighlevel", "success": {"present": []}})).await;
    other.deliver(sample()).await.unwrap();
}

#[tokio::test]
async fn the_path_of_a_webhook_is_in_no_preview_no_error_and_no_check() {
    let story = Story::of("slack", "services/T0/B0/s3cret/prohibited").await;
    let preview = story.0.connector.preview(&sample()).unwrap().remove(0);
    let error = story.deliver(sample()).await.unwrap_err();
    let report = story.0.connector.check().await;
    assert!(!format!("{preview:?} {error:?} {report:?}").contains("s3cret"), "{preview:?} {error:?} {report:?}");
    assert!(preview.url.ends_with("/••••") && report.is_good());
    let looked = story.0.requests().pop().unwrap();
    assert_eq!((looked.method.as_str(), looked.target.as_str()), ("HEAD", "/"), "a check starts no flow");
}
