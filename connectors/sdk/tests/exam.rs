//! The exam finds what is wrong with a connector: one that is as careless as they come fails where it should.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]
#![cfg(feature = "conformance")]

use leadwire_connector::conformance::{Mark, Subject, examine};
use leadwire_connector::http::{Client, HttpSettings, Method, Request};
use leadwire_connector::reexport::{Url, async_trait};
use leadwire_connector::settings::{Fault, Origin};
use leadwire_connector::simulator::{self, Response, Service};
use leadwire_connector::{
    Build, BuildContext, Connector, ConnectorKind, Delivery, DeliveryError, ErrorKind, Event, PreviewRequest, Receipt, Report, Steps,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

const SECRET: &str = "a-secret-that-is-long-enough";

/// Posts, believes every answer below 500, tries everything again, and writes what it sent into its errors.
#[derive(Debug, Clone)]
struct Careless {
    url: Url,
}

impl Careless {
    fn request(&self) -> Request {
        Request::new(Method::Post, self.url.clone()).secret_header("Authorization", SECRET).json(&json!({"a": 1})).repeatable()
    }
}

#[async_trait]
impl Connector for Careless {
    async fn deliver(&self, _: &Delivery, _: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let client = Client::new(&HttpSettings { timeout: Duration::from_millis(500), ..HttpSettings::default() }).unwrap();
        let answer = client.send(&self.request()).await?;
        if answer.status < 500 {
            return Ok(Receipt::delivered());
        }
        Err(DeliveryError::retry(ErrorKind::Server, format!("it failed with {SECRET}")))
    }

    async fn check(&self) -> Report {
        let client = Client::new(&HttpSettings::default()).unwrap();
        let _ = client.send(&self.request()).await;
        Report::default().good("all", "is well")
    }

    fn preview(&self, _: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        Ok(vec![self.request().json(&json!({"a": 2})).preview()])
    }
}

impl Build for Careless {
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(self.clone()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the form of a parser of settings")]
fn parse(table: Map<String, Value>, _: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(Careless { url: table["url"].as_str().unwrap().parse().unwrap() }))
}

/// Makes a record of every request.
#[derive(Default)]
struct Heap(usize);

impl Service for Heap {
    fn answer(&mut self, _: &simulator::Request) -> Response {
        self.0 += 1;
        Response::json(200, &json!({"id": self.0}))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"error": "no"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({}))
    }

    fn state(&self) -> Value {
        self.0.into()
    }
}

struct Candidate;

impl Subject for Candidate {
    fn kind(&self) -> ConnectorKind {
        ConnectorKind { name: "careless", about: "", reference: "", parse, simulator: None, schema: None }
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::<Heap>::default())
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        json!({"url": url}).as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    fn records(&self, state: &Value) -> usize {
        usize::try_from(state.as_u64().unwrap()).unwrap()
    }

    fn exempt(&self) -> Vec<(&'static str, &'static str)> {
        vec![("redirect", "it is not asked in this test")]
    }
}

#[tokio::test]
async fn a_careless_connector_fails_in_every_way_in_which_it_is_careless() {
    let exam = examine(&Candidate).await;
    let failed: Vec<&str> = exam.answered.iter().filter(|one| matches!(one.mark, Mark::Failed(_))).map(|one| one.case).collect();
    for case in [
        "repeat",
        "lost-answer",
        "error-inside",
        "unauthorized",
        "forbidden",
        "conflict",
        "invalid-field",
        "rate-limit",
        "rate-limit-seconds",
        "error-500",
        "garbage",
        "huge-body",
        "slow-body",
        "preview",
        "check",
        "check-refused",
        "check-outage",
        "echo",
    ] {
        assert!(failed.contains(&case), "{case} passed:\n{exam}");
    }
    for case in ["reset", "hang"] {
        assert!(!failed.contains(&case), "{exam}");
    }
    assert!(!exam.is_passed() && exam.to_string().contains("exempt  redirect"));
}
