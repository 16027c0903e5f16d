//! The platform's list of leads, simulated, as far as its pages tell how it is.

use super::Samples;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Answers `POST` with the leads of a chatbot between two days, in an envelope, to whoever shows the token.
///
/// It takes `page` and `pageSize` besides, since the real one may have pages under some name. Its
/// [`state`](Service::state) is `{"asked": 3, "leads": […]}`.
#[derive(Debug)]
pub struct LeadList {
    token: String,
    /// As they are posted by webhook.
    leads: Vec<Value>,
    asked: u64,
}

impl LeadList {
    /// A list of these leads, which are bodies of webhooks; the list tells them in its own way.
    #[must_use]
    pub fn of(token: impl Into<String>, leads: Vec<Value>) -> Self {
        Self { token: token.into(), leads, asked: 0 }
    }

    /// A list of so many leads of people who do not exist, one an hour, the last one now.
    #[must_use]
    pub fn sample(token: impl Into<String>, count: u32, seed: Option<u64>) -> Self {
        let (mut samples, now) = (Samples::start(seed), Timestamp::now());
        let at = |ago: u32| now.checked_sub(SignedDuration::from_hours(ago.into())).unwrap_or(now);
        Self::of(token, (0..count).rev().map(|ago| samples.lead(at(ago))).collect())
    }

    /// The chatbots that have leads on it.
    #[must_use]
    pub fn chatbots(&self) -> Vec<String> {
        let all = self.leads.iter().filter_map(|lead| lead["SerialNumber"].as_str());
        all.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn objection(&self, request: &Request) -> Option<Response> {
        let refuse = |status, message| Some(Response::json(status, &json!({"Code": status, "Message": message, "Data": null})));
        if request.method != "POST" {
            return refuse(405, "use POST");
        }
        if request.header("authorization") != Some(self.token.as_str()) {
            return refuse(401, "the secret key is wrong");
        }
        let body = request.json();
        let has = |field: &str| body.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if has("serialNumber") { None } else { refuse(400, "serialNumber is required") }
    }

    fn listed(&self, body: &Value) -> Vec<Value> {
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        let (start, end) = (text("startTime"), text("endTime"));
        let is_meant = |lead: &&Value| {
            let day = lead["CreateTime"].as_str().and_then(|at| at.get(..10)).unwrap_or_default();
            lead["SerialNumber"] == text("serialNumber") && (start.is_empty() || day >= start) && (end.is_empty() || day <= end)
        };
        self.leads.iter().filter(is_meant).map(listed).collect()
    }
}

/// One name, no chatbot, whole seconds.
fn listed(lead: &Value) -> Value {
    let text = |field: &str| lead[field].as_str().unwrap_or_default();
    let mut record = Map::new();
    record.insert("Type".to_owned(), lead["Type"].clone());
    record.insert("Name".to_owned(), format!("{} {}", text("FirstName"), text("LastName")).trim().into());
    for field in ["Email", "PhoneNumber", "Content", "SessionID", "URI"] {
        record.insert(field.to_owned(), lead[field].clone());
    }
    let at = text("CreateTime").parse::<Timestamp>().ok().and_then(|at| Timestamp::from_second(at.as_second()).ok());
    let written = at.map(|at| timestamp::format(at).replace(".000000Z", "Z"));
    record.insert("CreateTime".to_owned(), written.map_or(lead["CreateTime"].clone(), Value::String));
    Value::Object(record)
}

impl Service for LeadList {
    fn answer(&mut self, request: &Request) -> Response {
        self.asked += 1;
        if let Some(refusal) = self.objection(request) {
            return refusal;
        }
        let body = request.json();
        let number = |field: &str| body.get(field).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        let mut records = self.listed(&body);
        if let (Some(page), Some(size)) = (number("page"), number("pageSize")) {
            records = records.into_iter().skip(page.saturating_sub(1).saturating_mul(size)).take(size).collect();
        }
        Response::json(200, &json!({"Data": records, "Version": "1.0.0"}))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"Code": 500, "Message": "internal error", "Version": "1.0.0"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({"Code": 429, "Message": "too many requests", "Data": null}))
    }

    fn state(&self) -> Value {
        json!({"asked": self.asked, "leads": self.leads})
    }
}
