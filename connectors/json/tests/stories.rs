//! Deliveries over real sockets, with things going wrong.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::sample;
use leadwire_connector::http::HttpSettings;
use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::testing::{Stage, deliver};
use leadwire_connector::{DeliveryError, ErrorKind, Receipt, Verdict};
use leadwire_connector_json::{KIND, simulator::Endpoint};
use serde_json::{Value, json};
use std::ops::Deref;
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Story(Stage);

impl Deref for Story {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

impl Story {
    /// An endpoint that wants signatures, these faults, and these settings beside the address and the key.
    async fn begin(rules: &[&str], settings: Value) -> Self {
        Self::with(Box::new(Endpoint::signed(SECRET).unwrap()), rules, settings).await
    }

    async fn with(service: Box<dyn Service>, rules: &[&str], mut settings: Value) -> Self {
        let http = HttpSettings { timeout: Duration::from_secs(20), max_answer_bytes: 10_000, ..HttpSettings::default() };
        let settings = |url: &Url| {
            let table = settings.as_object_mut().unwrap();
            table.insert("url".to_owned(), json!(url.join("leads?list=1").unwrap()));
            table.entry("secret").or_insert(json!(SECRET));
            settings
        };
        let stage = Stage::start_with(KIND, service, http, settings).await;
        rules.iter().for_each(|rule| stage.order(rule));
        Self(stage)
    }

    async fn deliver(&self, id: &str) -> Result<Receipt, DeliveryError> {
        self.0.deliver(id, &sample()).await
    }

    /// The ids that arrived, and how often each.
    fn arrived(&self) -> Vec<(String, u64)> {
        let read = |seen: &Value| (seen["id"].as_str().unwrap().to_owned(), seen["count"].as_u64().unwrap());
        self.list("deliveries").iter().map(read).collect()
    }
}

#[tokio::test]
async fn a_signed_event_arrives_once_with_its_headers() {
    let story = Story::begin(&[], json!({"headers": {"X-Team": "sales"}, "basic": {"username": "u", "password": "p4ss"}})).await;
    assert_eq!(story.deliver("d-1").await.unwrap(), Receipt::delivered());
    assert_eq!(story.arrived(), [("d-1".to_owned(), 1)]);
    let sent = story.requests().remove(0);
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/leads?list=1"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!((sent.header("idempotency-key"), sent.header("webhook-id")), (Some("\"d-1\""), Some("d-1")));
    assert_eq!((sent.header("x-team"), sent.header("authorization")), (Some("sales"), Some("Basic dTpwNHNz")));
    assert_eq!(sent.json()["data"], serde_json::to_value(sample()).unwrap());
}

#[tokio::test]
async fn another_method_and_fields_of_ones_own_are_sent() {
    let story = Story::begin(&[], json!({"method": "PUT", "envelope": false, "fields": {"mail": "{{ person.email }}"}})).await;
    story.deliver("d-1").await.unwrap();
    let sent = story.requests().remove(0);
    assert_eq!((sent.method.as_str(), sent.json()), ("PUT", json!({"mail": "david@example.com"})));
}

#[tokio::test]
async fn a_500_is_not_a_delivery_and_the_next_attempt_is() {
    let story = Story::begin(&["500x1"], json!({})).await;
    let error = story.deliver("d-1").await.unwrap_err();
    assert_eq!((error.kind, error.status, error.verdict), (ErrorKind::Server, Some(500), Verdict::Retry { after: None }));
    assert!(story.arrived().is_empty());
    story.deliver("d-1").await.unwrap();
    assert_eq!(story.arrived(), [("d-1".to_owned(), 1)]);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_asked_for_again_with_the_same_id() {
    let story = Story::begin(&["reset-after-write x1"], json!({})).await;
    story.deliver("d-1").await.unwrap();
    assert_eq!(story.arrived(), [("d-1".to_owned(), 2)]);
}

#[tokio::test]
async fn answers_that_keep_getting_lost_are_ambiguous() {
    let story = Story::begin(&["reset-after-write x2"], json!({})).await;
    let error = story.deliver("d-1").await.unwrap_err();
    assert_eq!((error.kind, error.verdict), (ErrorKind::Ambiguous, Verdict::Retry { after: None }));
    story.deliver("d-1").await.unwrap();
    assert_eq!(story.arrived(), [("d-1".to_owned(), 3)]);
}

#[tokio::test]
async fn a_kept_connection_that_closes_is_replaced_at_once() {
    let story = Story::begin(&["close-idle x1"], json!({})).await;
    story.deliver("d-1").await.unwrap();
    story.deliver("d-2").await.unwrap();
    assert_eq!(story.arrived(), [("d-1".to_owned(), 1), ("d-2".to_owned(), 1)]);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let story = Story::begin(&[], json!({})).await;
    let Stage { server, connector, .. } = story.0;
    server.stop().await;
    let error = deliver(&*connector, "d-1", &sample()).await.unwrap_err();
    assert_eq!((error.kind, error.verdict), (ErrorKind::Unreachable, Verdict::Retry { after: None }));
    assert!(!connector.check().await.is_good());
}

#[tokio::test]
async fn a_wait_that_takes_too_long_ends_by_the_destinations_own_timeout() {
    let story = Story::begin(&["hang"], json!({"timeout": "50ms"})).await;
    let error = story.deliver("d-1").await.unwrap_err();
    assert!(error.is_ambiguous() && error.message.contains("did not answer in time"), "{error:?}");
}

#[tokio::test]
async fn a_huge_answer_is_cut_and_a_2xx_still_counts_unless_the_body_must_say_more() {
    let plain = Story::begin(&["huge-body:50000000"], json!({})).await;
    plain.deliver("d-1").await.unwrap();
    let strict = Story::begin(&["huge-body:50000000"], json!({"success": {"body_contains": "accepted"}})).await;
    let error = strict.deliver("d-1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
    assert!(error.excerpt.unwrap().chars().count() <= 500);
}

#[tokio::test]
async fn a_page_of_a_proxy_in_between_is_no_delivery() {
    for settings in [json!({}), json!({"success": {"json": {"/status": "accepted"}}})] {
        let story = Story::begin(&["garbage x1"], settings.clone()).await;
        let error = story.deliver("d-1").await.unwrap_err();
        assert_eq!((error.kind, error.verdict), (ErrorKind::Unexpected, Verdict::Retry { after: None }), "{settings}");
        assert!(story.arrived().is_empty());
    }
    let story = Story::begin(&["garbage x1"], json!({})).await;
    story.deliver("d-1").await.unwrap_err();
    story.deliver("d-1").await.unwrap();
    assert_eq!(story.arrived(), [("d-1".to_owned(), 1)]);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_holds() {
    let story = Story::begin(&["307"], json!({})).await;
    assert_eq!(story.deliver("d-1").await.unwrap_err().verdict, Verdict::Hold { until: None });
    assert_eq!(story.server.count(), 1);
}

/// Answers with this status and repeats everything it was sent.
struct Echo(u16);

impl Service for Echo {
    fn answer(&mut self, request: &Request) -> Response {
        let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Response::json(self.0, &json!({"verdict": "reject", "message": headers.join(" "), "headers": headers}))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &Value::Null)
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &Value::Null)
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

#[tokio::test]
async fn an_endpoint_that_repeats_what_it_was_sent_gets_no_secret_into_the_error() {
    let settings = json!({"basic": {"username": "u", "password": "hunter22"}, "headers": {"X-Api-Key": "key-\"1234"}});
    let story = Story::with(Box::new(Echo(400)), &[], settings).await;
    let error = format!("{:?}", story.deliver("d-1").await.unwrap_err());
    for secret in ["hunter22", "dTpodW50ZXIyMg", "1234"] {
        assert!(!error.contains(secret), "{error}");
    }
    assert!(error.contains("x-api-key: ••••"), "{error}");
}

#[tokio::test]
async fn a_preview_masks_the_signature_and_the_credentials() {
    let story = Story::begin(&[], json!({"bearer": "0123456789-bearer", "headers": {"X-Team": "sales", "X-Path": {"env": "PATH"}}})).await;
    let preview = story.connector.preview(&sample()).unwrap().remove(0);
    let header = |name: &str| preview.headers.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert!(header("webhook-signature").ends_with("••••"));
    assert!(header("X-Path").ends_with("••••"));
    assert_eq!((header("X-Team"), header("Authorization")), ("sales".to_owned(), "Bearer 0123••••".to_owned()));
    story.deliver("d-1").await.unwrap();
    assert_eq!(story.requests()[0].json(), preview.body);
}

#[tokio::test]
async fn a_check_says_what_it_finds() {
    for (rule, settings, good) in [
        ("200", json!({}), true),
        ("405", json!({}), true),
        ("501", json!({}), true),
        ("401", json!({}), true),
        ("401", json!({"bearer": "x", "secret": SECRET}), true),
        ("302", json!({}), false),
        ("503", json!({}), false),
    ] {
        let report = Story::begin(&[rule], settings).await.connector.check().await;
        assert_eq!(report.is_good(), good, "{rule}: {report:?}");
    }
}
