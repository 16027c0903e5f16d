//! Finished files on their way to a bucket.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use hmac::{Hmac, KeyInit, Mac};
use leadwire_connector::settings::Typed;
use leadwire_connector::simulator::{Faults, Request, Response, Server, Service};
use leadwire_connector::testing;
use leadwire_connector::{BuildContext, Connector, DeliveryError, Erased, ErrorKind, Event, Receipt, Verdict};
use leadwire_connector_csv::KIND;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SECRET_KEY: &str = "s3cret-key-of-the-bucket";

/// A bucket that takes what is signed rightly, and says no as S3 does.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, String>,
    puts: u64,
    refuses: bool,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hmac.update(text.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

/// Signature Version 4, once more and apart from the connector's.
fn is_signed(request: &Request) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    let part = |name: &str| authorization.split_once(name).unwrap().1.split(',').next().unwrap().to_owned();
    let (credential, names, signature) = (part("Credential="), part("SignedHeaders="), part("Signature="));
    let (user, scope) = credential.split_once('/').unwrap();
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let body = hex(&Sha256::digest(&request.body));
    let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{body}", request.method, request.target);
    let hash = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", header("x-amz-date"));
    let key = scope.split('/').fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, step| keyed(&key, step));
    user == "AKID" && header("x-amz-content-sha256") == body && hex(&keyed(&key, &text)) == signature
}

fn no(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    Response { status, headers: vec![("Content-Type".to_owned(), "application/xml".to_owned())], body: body.into() }
}

impl Service for Bucket {
    fn answer(&mut self, request: &Request) -> Response {
        if self.refuses || !is_signed(request) {
            return no(403, "SignatureDoesNotMatch");
        }
        match (request.method.as_str(), request.target.strip_prefix("/leads-bucket/")) {
            ("PUT", Some(key)) => {
                self.puts += 1;
                self.objects.insert(key.to_owned(), String::from_utf8_lossy(&request.body).into_owned());
                Response::json(200, &json!({}))
            }
            ("HEAD", None) if request.target == "/leads-bucket" => Response::json(200, &json!({})),
            _ => no(404, "NoSuchBucket"),
        }
    }

    fn error_inside(&self) -> Response {
        no(200, "InternalError")
    }

    fn rate_limited(&self) -> Response {
        no(503, "SlowDown")
    }

    fn failing(&self, status: u16) -> Option<Response> {
        Some(no(status, "InternalError"))
    }

    fn state(&self) -> Value {
        json!({"objects": self.objects, "puts": self.puts})
    }
}

struct Story {
    server: Server,
    base: TempDir,
    keys: Value,
    connector: Option<Box<dyn Connector>>,
}

impl Story {
    async fn begin(rules: &[&str], bucket: Bucket) -> Self {
        let faults = Faults::new(rules.iter().map(|rule| rule.parse().unwrap()));
        let server = Server::start(Box::new(bucket), "127.0.0.1:0".parse().unwrap(), faults).await.unwrap();
        let s3 = json!({
            "endpoint": server.url(), "bucket": "leads-bucket", "prefix": "a b/ü/", "region": "eu-central-1",
            "access_key": "AKID", "secret_key": SECRET_KEY, "max_lag": "1s",
        });
        let keys = json!({"directory": "drop", "max_rows": 2, "columns": ["email", "content"], "s3": s3});
        let mut story = Self { server, base: TempDir::new().unwrap(), keys, connector: None };
        story.restart().await;
        story
    }

    /// As a bridge does.
    async fn restart(&mut self) {
        self.connector = None;
        let connector = testing::build(KIND, &self.keys, &BuildContext::new("archive").with_base_directory(self.base.path()));
        connector.prepare().await.unwrap();
        self.connector = Some(connector);
    }

    fn connector(&self) -> &dyn Connector {
        &**self.connector.as_ref().unwrap()
    }

    async fn deliver(&self, id: &str) -> Result<Receipt, DeliveryError> {
        testing::deliver(self.connector(), id, &event(id)).await
    }

    fn objects(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.server.state()["objects"].clone()).unwrap()
    }

    /// Waits until the bucket has so many objects.
    async fn arrive(&self, count: usize) -> Vec<(String, String)> {
        eventually("the objects", async || self.objects().len() >= count).await;
        self.objects().into_iter().collect()
    }

    fn hidden(&self) -> std::path::PathBuf {
        self.base.path().join("drop/.leadwire")
    }

    fn waiting(&self) -> usize {
        std::fs::read_dir(self.hidden().join("outbox")).unwrap().count()
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < patience, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn event(content: &str) -> Event {
    serde_json::from_value(json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": "bot",
        "person": {"first_name": "David", "last_name": "Garcia", "email": "test@qq.com", "phone": null},
        "content": content, "session_id": "31305", "page_url": null, "created_at": null,
        "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {}
    }))
    .unwrap()
}

fn in_sight(base: &Path) -> Vec<String> {
    let paths = std::fs::read_dir(base.join("drop")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn a_finished_file_is_in_the_folder_and_in_the_bucket() {
    let story = Story::begin(&[], Bucket::default()).await;
    for id in ["d-1", "d-2", "d-3"] {
        story.deliver(id).await.unwrap();
    }
    let objects = story.arrive(1).await;
    let (key, text) = &objects[0];
    assert_eq!(text, "email,content,delivery_id\ntest@qq.com,d-1,d-1\ntest@qq.com,d-2,d-2\n");
    assert!(key.starts_with("a%20b/%C3%BC/leads-20") && key.ends_with(".csv"), "{key}");
    assert_eq!(in_sight(story.base.path()), std::slice::from_ref(text));
    eventually("the end of the copy", async || story.waiting() == 0).await;
    let report = story.connector().check().await;
    assert!(report.is_good(), "{report:?}");
    let preview = story.connector().preview(&event("x")).unwrap().remove(1);
    assert!(preview.method == "PUT" && preview.url.ends_with("-(hash of the rows).csv"), "{preview:?}");
}

#[tokio::test]
async fn somebody_who_takes_the_file_away_at_once_takes_it_from_nobody() {
    let story = Story::begin(&["503x1"], Bucket::default()).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    eventually("the file", async || !in_sight(story.base.path()).is_empty()).await;
    for entry in std::fs::read_dir(story.base.path().join("drop")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::remove_file(entry.path()).unwrap();
    }
    assert_eq!(story.arrive(1).await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_got_lost_makes_no_second_object_also_after_a_restart() {
    let mut story = Story::begin(&["reset-after-write x2"], Bucket::default()).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    eventually("the lost answers", async || story.server.state()["puts"] == 2).await;
    story.restart().await;
    eventually("the end of the copy", async || story.waiting() == 0).await;
    assert_eq!(story.objects().len(), 1);
    assert!(story.server.state()["puts"].as_u64() >= Some(3));
    story.restart().await;
    assert_eq!(story.waiting(), 0, "what is there is not sent again");
}

#[tokio::test]
async fn a_bucket_that_is_down_for_a_moment_stops_nothing_and_one_that_stays_down_stops_deliveries() {
    let story = Story::begin(&["503"], Bucket::default()).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    eventually("the objection", async || story.deliver("d-3").await.is_err()).await;
    let error = story.deliver("d-3").await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Server, &Verdict::Retry { after: None }));
    assert!(error.message.contains("wait for their upload since") && error.message.contains("InternalError"), "{error}");
    assert!(!story.connector().check().await.is_good());
    story.server.clear_faults();
    assert_eq!(story.arrive(1).await.len(), 1);
    eventually("deliveries", async || story.deliver("d-3").await.is_ok()).await;
}

#[tokio::test]
async fn a_bucket_that_refuses_the_key_holds_the_destination_and_loses_nothing() {
    let story = Story::begin(&[], Bucket { refuses: true, ..Bucket::default() }).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    eventually("the objection", async || story.deliver("d-3").await.is_err()).await;
    let error = story.deliver("d-3").await.unwrap_err();
    assert!(error.kind == ErrorKind::Credentials && matches!(error.verdict, Verdict::Hold { until: Some(_) }), "{error:?}");
    assert!(error.message.contains("SignatureDoesNotMatch") && !format!("{error:?}").contains(SECRET_KEY), "{error:?}");
    assert_eq!(story.waiting(), 1);
}

#[tokio::test]
async fn erasing_a_person_names_the_objects_that_hold_them() {
    let mut story = Story::begin(&[], Bucket::default()).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    story.arrive(1).await;
    eventually("the end of the copy", async || story.waiting() == 0).await;
    for entry in std::fs::read_dir(story.base.path().join("drop")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::remove_file(entry.path()).unwrap();
    }
    story.restart().await;
    let Erased::Looked(places) = story.connector().erase(&["d-2".to_owned()]).await.unwrap() else { panic!() };
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places[0].place.starts_with("s3://leads-bucket/a b/ü/leads-") && !places[0].is_removed, "{places:?}");
    assert_eq!(story.objects().len(), 1, "nothing is removed from a bucket");
}

#[tokio::test]
async fn a_copy_that_waits_is_erased_and_its_object_named_since_it_may_be_there() {
    let story = Story::begin(&["503"], Bucket::default()).await;
    for id in ["d-1", "d-2"] {
        story.deliver(id).await.unwrap();
    }
    eventually("the copy", async || story.waiting() == 1).await;
    let Erased::Looked(places) = story.connector().erase(&["d-1".to_owned()]).await.unwrap() else { panic!() };
    let named: Vec<_> = places.iter().filter(|place| !place.is_removed).collect();
    assert!(named.len() == 1 && named[0].place.starts_with("s3://"), "{places:?}");
    assert_eq!(places.len(), 3, "the file, its copy, its object: {places:?}");
    story.server.clear_faults();
    let objects = story.arrive(1).await;
    assert!(!objects[0].1.contains("d-1") && objects[0].1.contains("d-2"), "{objects:?}");
}

#[tokio::test]
async fn what_is_no_bucket_is_a_fault_with_its_place() {
    let places = |s3: Value| -> Vec<String> {
        let keys = json!({"directory": "drop", "s3": s3});
        let faults = (KIND.parse)(keys.as_object().unwrap().clone(), &Typed).unwrap_err();
        assert!(!format!("{faults:?}").contains("hunter2"));
        faults.iter().map(|fault| fault.path.join(".")).collect()
    };
    let wrong = json!({
        "endpoint": "https://s3.example.com/bucket", "bucket": "s3://x", "prefix": "/../x", "region": "", "access_key": "a b", "secret_key": "hunter2",
    });
    assert_eq!(places(wrong), ["s3.endpoint", "s3.bucket", "s3.prefix", "s3.prefix", "s3.region", "s3.access_key"]);
    assert_eq!(places(json!({"endpoint": "ftp://x", "bucket": "abc", "access_key": "a", "secret_key": "hunter2"})), ["s3.endpoint"]);
}
