//! Spans as OTLP writes them in JSON: ids in hexadecimal digits, moments and whole numbers as text, kinds and states as numbers
//! (opentelemetry.io, "OTLP Specification", "JSON Protobuf Encoding"; opentelemetry-proto, `trace.proto`).

use super::span::{Attribute, Span, SpanKind};
use jiff::Timestamp;
use serde_json::{Value, json};

/// `STATUS_CODE_ERROR`.
const FAILED: u8 = 2;
/// Sampled, and with a random part in the id of the trace (W3C Trace Context, level 2).
const FLAGS: u8 = 0b11;

/// Who sends spans.
#[derive(Debug)]
pub(super) struct Resource {
    attributes: Value,
}

impl Resource {
    /// This process of a service.
    pub(super) fn new(service_name: &str, instance: String) -> Self {
        let attributes = [
            ("service.name", service_name.into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", instance.into()),
            ("host.name", rustix::system::uname().nodename().to_string_lossy().into_owned().into()),
        ];
        Self { attributes: write_attributes(&attributes) }
    }

    /// An `ExportTraceServiceRequest`.
    pub(super) fn request(&self, spans: &[Span]) -> Value {
        let scope = json!({"name": "leadwire", "version": env!("CARGO_PKG_VERSION")});
        let spans: Vec<Value> = spans.iter().map(write).collect();
        json!({"resourceSpans": [{
            "resource": {"attributes": self.attributes},
            "scopeSpans": [{"scope": scope, "spans": spans}],
        }]})
    }
}

fn write(span: &Span) -> Value {
    let mut written = json!({
        "traceId": span.event.simple().to_string(),
        "spanId": write_id(span.id),
        "flags": FLAGS,
        "name": span.name,
        "kind": write_kind(span.kind),
        "startTimeUnixNano": write_moment(span.began),
        "endTimeUnixNano": write_moment(span.ended),
        "attributes": write_attributes(&span.attributes),
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = write_id(parent).into();
    }
    if span.failed {
        written["status"] = json!({"code": FAILED});
    }
    written
}

fn write_id(id: u64) -> String {
    format!("{id:016x}")
}

fn write_kind(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    }
}

fn write_moment(moment: Timestamp) -> String {
    moment.as_nanosecond().max(0).to_string()
}

fn write_attributes(attributes: &[(&'static str, Attribute)]) -> Value {
    let written = attributes.iter().map(|(name, value)| json!({"key": name, "value": write_value(value)}));
    Value::Array(written.collect())
}

fn write_value(value: &Attribute) -> Value {
    match value {
        Attribute::Text(text) => json!({"stringValue": text}),
        Attribute::Number(number) => json!({"intValue": number.to_string()}),
        Attribute::Flag(flag) => json!({"boolValue": flag}),
    }
}

/// How many of a request's spans were not taken, by its answer: `partialSuccess`, whose count is a number as text.
pub(super) fn rejected(answer: &Value) -> u64 {
    let count = &answer["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use std::time::Duration;
    use uuid::uuid;

    #[test]
    fn spans_are_written_as_otlp_says() {
        let event = uuid!("0199f3c2-1b2c-7d3e-8f4a-5b6c7d8e9f00");
        let began: Timestamp = "2026-11-22T10:00:00.25Z".parse().unwrap();
        let first = Span::first(event, "POST /hooks/{source}", began, Duration::from_micros(1_500))
            .with("http.response.status_code", 200_u16)
            .with("leadwire.event.stale", false)
            .with("leadwire.source", "acme");
        let child = Span::within(event, "deliver crm", began, Duration::ZERO).of_kind(SpanKind::Client).failed(true);
        let written = Resource::new("bridge", "one".to_owned()).request(&[first, child]);
        let spans = written["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let wanted = json!({
            "traceId": "0199f3c21b2c7d3e8f4a5b6c7d8e9f00", "spanId": "8f4a5b6c7d8e9f00", "flags": 3, "name": "POST /hooks/{source}", "kind": 2,
            "startTimeUnixNano": "1795341600250000000", "endTimeUnixNano": "1795341600251500000",
            "attributes": [
                {"key": "http.response.status_code", "value": {"intValue": "200"}},
                {"key": "leadwire.event.stale", "value": {"boolValue": false}},
                {"key": "leadwire.source", "value": {"stringValue": "acme"}},
            ],
        });
        assert_eq!(spans[0], wanted);
        let child = &spans[1];
        assert_eq!(
            (child["parentSpanId"].as_str(), &child["kind"], &child["status"]["code"]),
            (Some("8f4a5b6c7d8e9f00"), &json!(3), &json!(2))
        );
        assert_eq!(child["spanId"].as_str().map(str::len), Some(16));
        let resource = written["resourceSpans"][0]["resource"]["attributes"].to_string();
        assert!(resource.contains(r#"{"key":"service.name","value":{"stringValue":"bridge"}}"#), "{resource}");
    }

    #[test]
    fn what_a_collector_does_not_take_of_a_request_is_read_in_both_writings() {
        assert_eq!(rejected(&json!({"partialSuccess": {"rejectedSpans": "3"}})), 3);
        assert_eq!(rejected(&json!({"partialSuccess": {"rejectedSpans": 4}})), 4);
        assert_eq!(rejected(&json!({})), 0);
    }
}
