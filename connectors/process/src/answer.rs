//! From what a child answered to a receipt, an error, a report or a preview. Pure.

use crate::protocol::{Answer, AnswerKind};
use leadwire_connector::http;
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::{DeliveryError, ErrorKind, Person, PreviewRequest, Receipt, Record, Redactor, Report, Verdict, text};
use serde_json::{Map, Value};
use std::time::Duration;

const LONGEST_MESSAGE: usize = 300;
const LONGEST_ID: usize = 200;
const LONGEST_URL: usize = 2_000;
const MOST_FINDINGS: usize = 50;
const MOST_REQUESTS: usize = 50;
/// A shorter name would be found inside unrelated words.
const LEAST_MASKED: usize = 3;
/// Longer waits are a mistake, and could leave the range of a moment in time.
const MOST_AFTER: f64 = 366.0 * 86_400.0;
const SECRET_HEADERS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// What it takes to read an answer, and to take out of it what must not be told.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// The child's name, for messages.
    pub(crate) who: &'a str,
    pub(crate) redactor: &'a Redactor,
    /// Whom the event is about; messages get into logs, which name nobody.
    pub(crate) person: Option<&'a Person>,
    pub(crate) now: Timestamp,
}

impl Reader<'_> {
    /// The answer to `deliver`. A delivery that succeeded is never spoilt by what is odd in the rest of the answer.
    pub(crate) fn receipt(&self, answer: &Answer) -> Result<Receipt, DeliveryError> {
        match answer.what {
            AnswerKind::Delivered => {
                Ok(Receipt::Delivered { record: self.record(&answer.body), remark: self.sentence(&answer.body, "remark") })
            }
            AnswerKind::Skipped => Ok(Receipt::skipped(self.sentence(&answer.body, "reason").unwrap_or_default())),
            AnswerKind::Error => Err(self.error(&answer.body)),
            AnswerKind::Report | AnswerKind::Preview => Err(self.unexpected("deliver")),
        }
    }

    /// The answer to `check`, added to what the bridge found by itself.
    pub(crate) fn report(&self, answer: &Answer, mut report: Report) -> Report {
        let findings = match (answer.what, answer.body.get("findings")) {
            (AnswerKind::Report, Some(Value::Array(findings))) => findings,
            (AnswerKind::Error, _) => return report.bad("check", self.error(&answer.body).message),
            _ => return report.bad("check", self.unexpected("check").message),
        };
        for finding in findings.iter().filter_map(Value::as_object).take(MOST_FINDINGS) {
            let subject = self.sentence(finding, "subject").unwrap_or_else(|| "check".to_owned());
            let message = self.sentence(finding, "message").unwrap_or_else(|| "the child says no more".to_owned());
            report = match finding.get("severity").and_then(Value::as_str) {
                Some("good") => report.good(&subject, message),
                Some("warn") => report.warn(&subject, message),
                _ => report.bad(&subject, message),
            };
            if let Some(remedy) = self.sentence(finding, "remedy") {
                report = report.remedy(remedy);
            }
        }
        report
    }

    /// The answer to `preview`.
    pub(crate) fn preview(&self, answer: &Answer) -> Result<Vec<PreviewRequest>, DeliveryError> {
        match (answer.what, answer.body.get("requests")) {
            (AnswerKind::Preview, Some(Value::Array(requests))) => {
                Ok(requests.iter().filter_map(Value::as_object).take(MOST_REQUESTS).map(|request| self.request(request)).collect())
            }
            (AnswerKind::Error, _) => Err(self.error(&answer.body)),
            // A preview of an event that the child does not take.
            (AnswerKind::Skipped, _) => Ok(Vec::new()),
            _ => Err(self.unexpected("preview")),
        }
    }

    fn request(&self, request: &Map<String, Value>) -> PreviewRequest {
        let word = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
        let headers = request.get("headers").and_then(Value::as_object);
        PreviewRequest {
            step: self.sentence(request, "step").unwrap_or_default(),
            condition: self.sentence(request, "condition"),
            method: self.line(word("method")),
            url: self.clean(word("url")),
            headers: headers.into_iter().flatten().map(|(name, value)| (self.clean(name), self.header(name, value))).collect(),
            body: self.masked(request.get("body").cloned().unwrap_or(Value::Null)),
        }
    }

    fn header(&self, name: &str, value: &Value) -> String {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_secret = SECRET_HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_secret { text::mask(&value) } else { self.clean(&value) }
    }

    fn masked(&self, body: Value) -> Value {
        match body {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.masked(item)).collect(),
            Value::Object(table) => table.into_iter().map(|(key, value)| (self.clean(&key), self.masked(value))).collect(),
            other => other,
        }
    }

    fn unexpected(&self, asked: &str) -> DeliveryError {
        let message = format!("`{}` answered `{asked}` with a line that is no answer to it; the README of `process` lists them", self.who);
        DeliveryError::retry(ErrorKind::Unexpected, message)
    }

    fn error(&self, body: &Map<String, Value>) -> DeliveryError {
        let word = body.get("verdict").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let after = self.after(body);
        let (verdict, kind, asked) = match word.as_str() {
            "reject" => (Verdict::Reject, ErrorKind::Data, "rejects the event"),
            "hold" => (Verdict::Hold { until: self.until(body, after) }, ErrorKind::Configuration, "asks for a hold"),
            "retry" => (Verdict::Retry { after }, ErrorKind::Unexpected, "asks for another attempt"),
            _ => (Verdict::Retry { after }, ErrorKind::Unexpected, "gives an error without a verdict (retry, reject or hold)"),
        };
        let said = [self.sentence(body, "field").map(|field| format!("field `{field}`")), self.sentence(body, "message")];
        let said: Vec<String> = said.into_iter().flatten().collect();
        let kind = body.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok()).unwrap_or(kind);
        let message = [vec![format!("`{}` {asked}", self.who)], said].concat().join(": ");
        let excerpt = body.get("excerpt").and_then(Value::as_str).map(|excerpt| self.clean(excerpt));
        let error = DeliveryError { verdict, ..DeliveryError::retry(kind, message) };
        let error = error.with_excerpt(excerpt.unwrap_or_default().as_bytes());
        let status = body.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        DeliveryError { status, code: self.sentence(body, "code"), ..error }
    }

    /// `after`: seconds, or the text of a `Retry-After` header; else the time until `until`.
    fn after(&self, body: &Map<String, Value>) -> Option<Duration> {
        match body.get("after") {
            Some(Value::String(header)) => http::parse_retry_after(header, self.now),
            Some(Value::Number(seconds)) => seconds.as_f64().map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, MOST_AFTER))),
            _ => {
                let seconds = moment(body)?.duration_since(self.now).as_secs_f64();
                Some(Duration::from_secs_f64(seconds.clamp(0.0, MOST_AFTER)))
            }
        }
    }

    fn until(&self, body: &Map<String, Value>, after: Option<Duration>) -> Option<Timestamp> {
        moment(body).or_else(|| self.now.checked_add(after?).ok())
    }

    /// One line of bounded length, without secrets and the person.
    fn sentence(&self, body: &Map<String, Value>, key: &str) -> Option<String> {
        let said = match body.get(key)? {
            Value::String(said) => said.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(self.line(&said)).filter(|said| !said.is_empty())
    }

    fn line(&self, said: &str) -> String {
        // Before anything is cut: a part of a secret would not be found.
        let clean = self.without_person(self.clean(said));
        let spaced: String = clean.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text::truncate(&spaced.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_MESSAGE).into_owned()
    }

    fn clean(&self, text: &str) -> String {
        self.redactor.clean(text).into_owned()
    }

    /// `"record": {"id": "c-1", "url": "https://…"}`, or the id alone.
    fn record(&self, body: &Map<String, Value>) -> Option<Record> {
        let given = body.get("record")?;
        let id = match given.get("id").unwrap_or(given) {
            Value::String(id) => self.clean(id),
            Value::Number(id) => self.clean(&id.to_string()),
            _ => return None,
        };
        let is_id = !id.is_empty() && id.len() <= LONGEST_ID && !id.contains(char::is_control);
        let url = given.get("url").and_then(Value::as_str).map(|url| self.clean(url)).filter(|url| is_web_address(url));
        is_id.then_some(Record { id, url })
    }

    fn without_person(&self, message: String) -> String {
        let Some(Person { first_name, last_name, email, phone }) = self.person else { return message };
        let given = [email, phone, first_name, last_name].into_iter().filter_map(|text| text.as_deref());
        given.filter(|text| text.chars().count() >= LEAST_MASKED).fold(message, |message, text| masked(&message, text))
    }
}

/// In any case of letters: CRMs change that of addresses.
fn masked(message: &str, text: &str) -> String {
    let (haystack, needle) = (message.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut clean = String::new();
    let mut rest = message;
    for (at, _) in haystack.match_indices(&needle) {
        // Lower ASCII letters take the place of the others, so that both texts have the same positions.
        let before = at - (message.len() - rest.len());
        clean.push_str(&rest[..before]);
        clean.push_str("••••");
        rest = &rest[before + text.len()..];
    }
    clean.push_str(rest);
    clean
}

fn moment(body: &Map<String, Value>) -> Option<Timestamp> {
    body.get("until")?.as_str()?.parse().ok()
}

/// It becomes a link on a page, where another scheme could run a script.
fn is_web_address(text: &str) -> bool {
    text.len() <= LONGEST_URL && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::protocol::{FromChild, Message, parse};
    use leadwire_connector::Finding;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(mut body: Value) -> Answer {
        body["id"] = 1.into();
        match parse(body.to_string().as_bytes()) {
            Ok(FromChild::Of(1, Message::Answer(answer))) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn with_reader<T>(read: impl FnOnce(&Reader<'_>) -> T) -> T {
        let person = Person { first_name: Some("David".to_owned()), email: Some("d@example.com".to_owned()), ..Person::default() };
        let redactor = Redactor::new(["hunter22-secret"]);
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        read(&Reader { who: "acme", redactor: &redactor, person: Some(&person), now })
    }

    fn receipt(body: Value) -> Result<Receipt, DeliveryError> {
        with_reader(|reader| reader.receipt(&answer(body)))
    }

    #[test]
    fn a_delivery_names_its_record_and_is_not_spoilt_by_an_odd_one() {
        let told =
            receipt(json!({"type": "delivered", "record": {"id": 17, "url": "https://crm.example.com/17"}, "remark": "no  phone\n"}));
        let record = Record { id: "17".to_owned(), url: Some("https://crm.example.com/17".to_owned()) };
        assert_eq!(told.unwrap(), Receipt::Delivered { record: Some(record), remark: Some("no phone".to_owned()) });
        assert_eq!(receipt(json!({"type": "delivered", "record": "c-1"})).unwrap(), Receipt::record("c-1"));
        assert_eq!(
            receipt(json!({"type": "delivered", "record": {"id": "c", "url": "javascript:alert(1)"}})).unwrap(),
            Receipt::record("c")
        );
        for odd in [json!(null), json!([]), json!({}), json!(""), json!("a\nb"), json!({"id": true})] {
            assert_eq!(receipt(json!({"type": "delivered", "record": odd, "remark": {}})).unwrap(), Receipt::delivered());
        }
        assert_eq!(receipt(json!({"type": "skipped", "reason": "no e-mail"})).unwrap(), Receipt::skipped("no e-mail"));
    }

    #[test]
    fn verdicts_are_what_they_say() {
        let error = |body: Value| receipt(body).unwrap_err();
        let retry = error(json!({"type": "error", "verdict": "retry", "after": 30, "kind": "server", "status": 503}));
        assert_eq!(
            (retry.kind, retry.status, retry.verdict),
            (ErrorKind::Server, Some(503), Verdict::Retry { after: Some(Duration::from_secs(30)) })
        );
        let reject = error(json!({"type": "error", "verdict": "REJECT", "field": "email", "code": "E1", "message": "is no address"}));
        assert_eq!((reject.kind, reject.code.as_deref(), reject.verdict), (ErrorKind::Data, Some("E1"), Verdict::Reject));
        assert_eq!(reject.message, "`acme` rejects the event: field `email`: is no address");
        let until = "2026-11-22T11:00:00Z";
        let hold = error(json!({"type": "error", "verdict": "hold", "until": until, "kind": "quota"}));
        assert_eq!((hold.kind, hold.verdict), (ErrorKind::Quota, Verdict::Hold { until: until.parse().ok() }));
        assert_eq!(error(json!({"type": "error", "verdict": "hold"})).verdict, Verdict::Hold { until: None });
        let hour = Some(Duration::from_secs(3_600));
        for body in [json!({"after": "3600"}), json!({"after": "Sun, 22 Nov 2026 11:00:00 GMT"}), json!({"until": until})] {
            let mut retry = body;
            retry["type"] = "error".into();
            retry["verdict"] = "retry".into();
            assert_eq!(error(retry.clone()).verdict, Verdict::Retry { after: hour }, "{retry}");
        }
        let none = error(json!({"type": "error", "kind": "nonsense"}));
        assert_eq!((none.kind, none.verdict), (ErrorKind::Unexpected, Verdict::Retry { after: None }));
        assert_eq!(error(json!({"type": "report", "findings": []})).kind, ErrorKind::Unexpected);
    }

    #[test]
    fn neither_a_secret_nor_the_person_gets_into_a_message() {
        let said = "David <d@example.com>: token hunter22-secret\u{1b}[31m refused";
        let error = receipt(json!({"type": "error", "verdict": "reject", "message": said, "code": said, "field": said, "excerpt": said}))
            .unwrap_err();
        let told = format!("{error:?}");
        assert!(!told.contains("hunter22") && !told.contains('\u{1b}') && !error.message.contains("David"), "{told}");
        assert!(error.message.ends_with("•••• <••••>: token •••• [31m refused"), "{}", error.message);
        let error = receipt(json!({"type": "error", "verdict": "reject", "message": "D@Example.COM of DAVID is taken, d@example.com"}));
        assert_eq!(error.unwrap_err().message, "`acme` rejects the event: •••• of •••• is taken, ••••");
        let remark = receipt(json!({"type": "delivered", "remark": "left out for David"})).unwrap();
        assert_eq!(remark, Receipt::Delivered { record: None, remark: Some("left out for ••••".to_owned()) });
    }

    #[test]
    fn a_record_is_told_without_secrets() {
        let record = json!({"id": "c-hunter22-secret", "url": "https://acme.example/c?key=hunter22-secret"});
        let record = receipt(json!({"type": "delivered", "record": record})).unwrap();
        let expected = Record { id: "c-••••".to_owned(), url: Some("https://acme.example/c?key=••••".to_owned()) };
        assert_eq!(record, Receipt::Delivered { record: Some(expected), remark: None });
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_a_long_message_is_cut() {
        for blanks in 2_380..2_410 {
            let said = format!("{}hunter22-secret", " ".repeat(blanks));
            let remark = receipt(json!({"type": "delivered", "remark": said})).unwrap();
            assert_eq!(remark, Receipt::Delivered { record: None, remark: Some("••••".to_owned()) });
        }
    }

    #[test]
    fn a_report_takes_the_findings_and_the_remedies() {
        let findings = json!([{"severity": "good", "subject": "credentials", "message": "fine"}, {"severity": "odd", "remedy": "ask"}, 5]);
        let report = with_reader(|reader| reader.report(&answer(json!({"type": "report", "findings": findings})), Report::default()));
        let expected = Report::default().good("credentials", "fine").bad("check", "the child says no more").remedy("ask");
        assert_eq!(report, expected);
        let error = json!({"type": "error", "verdict": "hold", "message": "401"});
        let report = with_reader(|reader| reader.report(&answer(error), Report::default()));
        assert!(matches!(report.findings.as_slice(), [Finding { message, .. }] if message.contains("401")));
    }

    #[test]
    fn a_preview_masks_what_is_secret() {
        let requests = json!([{"method": "POST", "url": "https://x.example/?k=hunter22-secret", "body": {"a": ["hunter22-secret", 1]},
            "headers": {"Authorization": "Bearer 0123456789abcdef", "X-hunter22-secret": "y"}}]);
        let preview = with_reader(|reader| reader.preview(&answer(json!({"type": "preview", "requests": requests}))).unwrap());
        let expected = PreviewRequest {
            method: "POST".to_owned(),
            url: "https://x.example/?k=••••".to_owned(),
            headers: vec![("Authorization".to_owned(), "Bear••••".to_owned()), ("X-••••".to_owned(), "y".to_owned())],
            body: json!({"a": ["••••", 1]}),
            ..PreviewRequest::default()
        };
        assert_eq!(preview, [expected]);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<f64>().prop_map(Value::from),
            ".{0,400}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("id|url|severity|message|[a-z]{0,3}", inner, 0..4)
                    .prop_map(|table| Value::Object(table.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(
            what in "delivered|skipped|error|report|preview",
            body in prop::collection::btree_map("record|remark|reason|verdict|after|until|field|code|message|kind|status|findings|requests|excerpt", values(), 0..8),
        ) {
            let mut line = Value::Object(body.into_iter().collect());
            line["type"] = what.into();
            let answer = answer(line);
            with_reader(|reader| {
                if let Err(error) = reader.receipt(&answer) {
                    assert!(error.message.chars().count() < 800 && !error.message.contains(char::is_control));
                }
                let _ = reader.report(&answer, Report::default());
                let _ = reader.preview(&answer);
            });
        }
    }
}
