//! From an answer to a receipt, or to what failed and the verdict.

use crate::rules::{Rule, Success, Word};
use leadwire_connector::http::Answer;
use leadwire_connector::{DeliveryError, ErrorKind, Person, Receipt, Verdict, text};
use serde_json::Value;
use std::time::Duration;

const MAX_MESSAGE: usize = 300;
const MAX_ID: usize = 200;
/// A shorter name would be found inside unrelated words.
const LEAST_MASKED: usize = 3;
/// Longer waits are a mistake, and could leave the range of a moment in time.
const MAX_AFTER: f64 = 366.0 * 86_400.0;

/// What an answer is read by.
pub(crate) struct Judge<'a> {
    pub(crate) success: &'a Success,
    pub(crate) answers: &'a [Rule],
    /// Names the other side in messages, which get into logs and therefore do not name the person.
    pub(crate) what: &'a str,
    pub(crate) person: &'a Person,
}

/// What the answer means: what its body asks for, then what a rule says of it, then whether it is a success, then what its status says.
pub(crate) fn read(answer: &Answer, judge: &Judge<'_>) -> Result<Receipt, DeliveryError> {
    let Judge { success, what, .. } = *judge;
    let body = answer.json();
    if let Some(said) = body.as_ref().and_then(Said::find) {
        return Err(said.error(answer, what, judge.person));
    }
    if let Some(rule) = judge.rule(answer) {
        return Err(judge.ruled(answer, body.as_ref(), rule));
    }
    let counts = match &success.statuses {
        Some(statuses) => statuses.iter().any(|statuses| statuses.holds(answer.status)),
        None => answer.is_2xx(),
    };
    if !counts && !answer.is_2xx() {
        let error = answer.error(what);
        let message = judge.with_reason(&error.message, body.as_ref());
        return Err(DeliveryError { message, ..error });
    }
    match shortfall(answer, body.as_ref(), success, counts).or_else(|| page(answer, success)) {
        Some(shortfall) => Err(judge.fell_short(answer, body.as_ref(), &shortfall)),
        None => Ok(body.as_ref().and_then(record_id).map_or_else(Receipt::delivered, Receipt::record)),
    }
}

impl Judge<'_> {
    fn rule(&self, answer: &Answer) -> Option<&Rule> {
        if self.answers.is_empty() {
            return None;
        }
        let body = String::from_utf8_lossy(&answer.body);
        self.answers.iter().find(|rule| rule.is_for(answer.status, &body))
    }

    fn ruled(&self, answer: &Answer, body: Option<&Value>, rule: &Rule) -> DeliveryError {
        let told = match &rule.message {
            Some(message) => format!("{} answered {}: {message}", self.what, answer.status),
            None => format!("{} answered {}, which means {} by the rules of `answers`", self.what, answer.status, rule.verdict.as_str()),
        };
        let after = rule.after.max(answer.retry_after());
        as_error(answer, rule.verdict, after, self.with_reason(&told, body), self.what)
    }

    fn fell_short(&self, answer: &Answer, body: Option<&Value>, shortfall: &str) -> DeliveryError {
        let message = format!("{} answered {}, but {shortfall}, so the event counts as not delivered", self.what, answer.status);
        let message = self.with_reason(&message, body);
        match self.success.otherwise {
            Some(word) => as_error(answer, word, answer.retry_after(), message, self.what),
            None => DeliveryError::retry_after(ErrorKind::Unexpected, message, answer.retry_after())
                .with_status(answer.status)
                .with_excerpt(&answer.body),
        }
    }

    /// Adds what stands at `success.error`.
    fn with_reason(&self, message: &str, body: Option<&Value>) -> String {
        let found = self.success.error.as_ref().and_then(|pointer| body?.pointer(pointer)?.as_str());
        let reason = found.map(|reason| clean(&without_person(reason, self.person))).filter(|reason| !reason.is_empty());
        reason.map_or_else(|| message.to_owned(), |reason| format!("{message} (\"{reason}\")"))
    }
}

/// What an answer becomes when somebody said what it means.
fn as_error(answer: &Answer, word: Word, after: Option<Duration>, message: String, what: &str) -> DeliveryError {
    let by_status = answer.error(what);
    let (verdict, kind) = match word {
        Word::Reject => (Verdict::Reject, ErrorKind::Data),
        Word::Hold => (Verdict::Hold { until: after.and_then(|after| answer.at.checked_add(after).ok()) }, ErrorKind::Configuration),
        Word::Retry => (Verdict::Retry { after }, ErrorKind::Unexpected),
    };
    // An answer that is an error by its status is of that kind; a 2xx tells by its verdict alone.
    DeliveryError { kind: if answer.is_2xx() { kind } else { by_status.kind }, message, verdict, ..by_status }
}

/// The first condition of `success` that does not hold.
fn shortfall(answer: &Answer, body: Option<&Value>, success: &Success, counts: bool) -> Option<String> {
    if !counts {
        return Some("`success.statuses` does not list it".to_owned());
    }
    if success.body_contains.as_ref().is_some_and(|text| !contains(&answer.body, text.as_bytes())) {
        return Some("the body does not contain the text of `success.body_contains`".to_owned());
    }
    if success.body_equals.as_ref().is_some_and(|text| answer.truncated || answer.body.trim_ascii() != text.trim().as_bytes()) {
        return Some("the body is not the text of `success.body_equals`".to_owned());
    }
    let at = |pointer: &str| body.and_then(|body| body.pointer(pointer));
    let is_there = |pointer: &String| at(pointer).is_some_and(|found| !found.is_null() && found.as_str() != Some(""));
    if let Some((pointer, _)) =
        success.json.iter().flatten().find(|(pointer, expected)| !at(pointer).is_some_and(|found| same(found, expected)))
    {
        return Some(format!("the body does not have the value of `success.json` at `{pointer}`"));
    }
    if let Some(pointer) = success.present.iter().flatten().find(|pointer| !is_there(pointer)) {
        return Some(format!("the body has nothing at `{pointer}`, which `success.present` asks for"));
    }
    // A body that is not JSON, or was cut, does not say that there is no error.
    let asks_for_none = success.absent.as_ref().is_some_and(|absent| !absent.is_empty());
    if asks_for_none && (answer.truncated || (body.is_none() && !answer.body.is_empty())) {
        return Some("the body is not JSON, so that `success.absent` cannot be looked at".to_owned());
    }
    let unwanted = success.absent.iter().flatten().find(|pointer| is_there(pointer));
    unwanted.map(|pointer| format!("the body has something at `{pointer}`, which `success.absent` forbids"))
}

/// Captive portals, proxies and the start pages of web applications answer 2xx to whatever comes. Where the owner has said what a body
/// must hold, that decides. A framework that calls a plain `ok` `text/html` sends no page.
fn page(answer: &Answer, success: &Success) -> Option<String> {
    let is_page = !success.asks_the_body() && answer.is_2xx() && is_html(answer);
    is_page.then(|| {
        "the body is an HTML page, as proxies and sign-in portals send one (see where `url` leads; if the page is the acceptance, set \
         `success.body_contains` to a text in it)"
            .to_owned()
    })
}

fn is_html(answer: &Answer) -> bool {
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body).trim_ascii_start();
    let starts_with = |text: &str| body.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    let content_type = answer.header("content-type").unwrap_or_default().trim().to_ascii_lowercase();
    let says_html = content_type.starts_with("text/html") || content_type.starts_with("application/xhtml");
    starts_with("<!doctype html") || starts_with("<html") || (says_html && starts_with("<"))
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// `1` in the configuration also means the `1.0` of an answer.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => found == expected || found.as_f64() == expected.as_f64(),
        _ => found == expected,
    }
}

fn record_id(body: &Value) -> Option<String> {
    let id = match body.get("id")? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    let is_id = !id.is_empty() && id.len() <= MAX_ID && !id.contains(char::is_control);
    is_id.then_some(id)
}

/// The verdict that the other side gave in the body.
struct Said<'a> {
    verdict: Word,
    after: Option<Duration>,
    message: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn find(body: &'a Value) -> Option<Self> {
        let word = body.get("verdict")?.as_str()?;
        let verdict = [Word::Retry, Word::Reject, Word::Hold].into_iter().find(|known| word.eq_ignore_ascii_case(known.as_str()))?;
        let after = body.get("after").and_then(Value::as_f64).map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, MAX_AFTER)));
        Some(Self { verdict, after, message: body.get("message").and_then(Value::as_str) })
    }

    fn error(&self, answer: &Answer, what: &str, person: &Person) -> DeliveryError {
        let message = self.message.map(|message| clean(&without_person(message, person))).filter(|message| !message.is_empty());
        let asked = format!("{what} asked to {} ({})", self.verdict.as_str(), answer.status);
        let message = message.map_or(asked.clone(), |message| format!("{asked}: {message}"));
        as_error(answer, self.verdict, self.after.or_else(|| answer.retry_after()), message, what)
    }
}

fn without_person(message: &str, person: &Person) -> String {
    let Person { first_name, last_name, email, phone } = person;
    let given = [email, phone, first_name, last_name].into_iter().filter_map(|text| text.as_deref());
    given.filter(|text| text.chars().count() >= LEAST_MASKED).fold(message.to_owned(), |message, text| message.replace(text, "••••"))
}

/// One line of bounded length, whatever was sent.
fn clean(message: &str) -> String {
    let start: String = message.chars().take(4 * MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text::truncate(&start.split_whitespace().collect::<Vec<_>>().join(" "), MAX_MESSAGE).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::Record;
    use leadwire_connector::reexport::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(status: u16, body: &str) -> Answer {
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        Answer { status, headers: Vec::new(), body: body.to_owned().into(), truncated: false, at }
    }

    fn success(rules: &Value) -> Success {
        serde_json::from_value(rules.clone()).unwrap()
    }

    fn judged(answer: &Answer, success: &Success, what: &str, person: &Person) -> Result<Receipt, DeliveryError> {
        read(answer, &Judge { success, answers: &[], what, person })
    }

    fn error(status: u16, body: &str, rules: &Value) -> DeliveryError {
        judged(&answer(status, body), &success(rules), "example.com", &Person::default()).unwrap_err()
    }

    #[test]
    fn any_2xx_is_a_delivery_and_names_its_record() {
        let receipt = |body| judged(&answer(202, body), &Success::default(), "example.com", &Person::default()).unwrap();
        assert_eq!(receipt(""), Receipt::delivered());
        assert_eq!(receipt("thanks, <b>we have it</b>"), Receipt::delivered());
        assert_eq!(receipt("{\"id\":\"c-1\"}"), Receipt::record("c-1"));
        assert_eq!(receipt("{\"id\":17}"), Receipt::Delivered { record: Some(Record { id: "17".to_owned(), url: None }), remark: None });
        assert_eq!(receipt("{\"id\":{}}"), Receipt::delivered());
        assert_eq!(receipt("{\"id\":\"a\\nb\"}"), Receipt::delivered());
    }

    fn page(content_type: &str, body: &str, rules: &Value) -> Result<Receipt, DeliveryError> {
        let mut answer = answer(200, body);
        answer.headers.push(("content-type".to_owned(), content_type.to_owned()));
        judged(&answer, &success(rules), "example.com", &Person::default())
    }

    #[test]
    fn a_page_is_no_delivery() {
        for (content_type, body) in [
            ("text/html; charset=utf-8", "<head><title>Sign in to the guest network</title>"),
            ("Text/HTML", "\n<!-- a portal --><p>"),
            ("application/octet-stream", "<!DOCTYPE HTML><title>App</title>"),
            ("", " \r\n<HTML lang=en>"),
            ("text/plain", "\u{FEFF}<html>"),
        ] {
            let error = page(content_type, body, &json!({})).unwrap_err();
            assert_eq!((error.kind, error.status, &error.verdict), (ErrorKind::Unexpected, Some(200), &Verdict::Retry { after: None }));
            assert!(error.message.contains("the body is an HTML page"), "{}", error.message);
            assert!(page(content_type, body, &json!({"statuses": [200]})).is_err());
        }
    }

    #[test]
    fn an_owner_may_say_that_a_page_is_the_acceptance() {
        assert!(page("text/html", "<html>Thank you", &json!({"body_contains": "Thank you"})).is_ok());
        assert!(page("text/html", "<html>Sign in", &json!({"body_contains": "Thank you"})).is_err());
        assert!(page("text/html", r#"{"ok":true}"#, &json!({"json": {"/ok": true}})).is_ok());
    }

    #[test]
    fn an_acceptance_that_is_only_called_html_is_one() {
        for body in ["", "ok", r#"{"id":"1"}"#] {
            assert!(page("text/html; charset=UTF-8", body, &json!({})).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_verdict_in_the_body_decides_whatever_the_status() {
        let none = json!({});
        for status in [200, 400, 503] {
            assert_eq!(
                error(status, r#"{"verdict":"retry","after":30}"#, &none).verdict,
                Verdict::Retry { after: Some(Duration::from_secs(30)) }
            );
            assert_eq!(error(status, r#"{"verdict":"Reject","message":"no such list"}"#, &none).verdict, Verdict::Reject);
            let until = "2026-11-22T10:01:00Z".parse().ok();
            assert_eq!(error(status, r#"{"verdict":"hold","after":60}"#, &none).verdict, Verdict::Hold { until });
            assert_eq!(error(status, r#"{"verdict":"hold"}"#, &none).verdict, Verdict::Hold { until: None });
        }
        assert_eq!(
            error(422, r#"{"verdict":"reject","message":"no such list"}"#, &none).message,
            "example.com asked to reject (422): no such list"
        );
        assert_eq!(error(200, r#"{"verdict":"reject"}"#, &none).kind, ErrorKind::Data);
        assert_eq!(error(503, r#"{"verdict":"reject"}"#, &none).kind, ErrorKind::Server);
    }

    #[test]
    fn a_verdict_without_after_takes_retry_after() {
        let mut answer = answer(503, r#"{"verdict":"retry"}"#);
        answer.headers.push(("retry-after".to_owned(), "Sun, 22 Nov 2026 10:00:30 GMT".to_owned()));
        let error = judged(&answer, &Success::default(), "example.com", &Person::default()).unwrap_err();
        assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(30)) });
    }

    #[test]
    fn another_word_is_no_verdict() {
        assert!(judged(&answer(200, r#"{"verdict":"ham"}"#), &Success::default(), "x", &Person::default()).is_ok());
        assert_eq!(error(400, r#"{"verdict":{"retry":1}}"#, &json!({})).verdict, Verdict::Reject);
    }

    #[test]
    fn a_message_does_not_name_the_person() {
        let person = Person { first_name: Some("Al".to_owned()), email: Some("al@example.org".to_owned()), ..Person::default() };
        let answer = answer(409, r#"{"verdict":"reject","message":"Also al@example.org is known"}"#);
        let error = judged(&answer, &Success::default(), "x", &person).unwrap_err();
        assert_eq!(error.message, "x asked to reject (409): Also •••• is known");
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let body = json!({"verdict": "reject", "message": format!("a\r\n\u{1b}[31mb {}", "x".repeat(10_000))}).to_string();
        let message = error(400, &body, &json!({})).message;
        assert!(message.starts_with("example.com asked to reject (400): a [31mb xxx"), "{message}");
        assert!(message.chars().count() < 400 && !message.contains(char::is_control));
    }

    #[test]
    fn success_rules_are_all_to_be_met() {
        let rules = json!({"statuses": [200, 409], "body_contains": "ok", "json": {"/ok": true, "/n": 1}});
        for status in [200, 409] {
            assert!(judged(&answer(status, r#"{"ok":true,"n":1.0}"#), &success(&rules), "x", &Person::default()).is_ok());
        }
        for (status, body, told) in [
            (201, r#"{"ok":true,"n":1}"#, "`success.statuses` does not list it"),
            (200, r#"{"n":1}"#, "`success.body_contains`"),
            (200, r#"{"ok":false,"n":1}"#, "at `/ok`"),
            (200, "ok", "at `/n`"),
        ] {
            let error = error(status, body, &rules);
            assert!(error.message.contains(told), "{}", error.message);
            assert_eq!((error.kind, error.verdict), (ErrorKind::Unexpected, Verdict::Retry { after: None }));
        }
        assert_eq!(error(500, "ok", &rules).kind, ErrorKind::Server);
    }

    fn ruled(status: u16, body: &str, success: &Value, answers: &Value) -> Result<Receipt, DeliveryError> {
        let (success, answers): (Success, Vec<Rule>) = (self::success(success), serde_json::from_value(answers.clone()).unwrap());
        let judge = Judge { success: &success, answers: &answers, what: "example.com", person: &Person::default() };
        read(&answer(status, body), &judge)
    }

    #[test]
    fn what_must_be_there_and_what_must_not_decides() {
        let rules = json!({"present": ["/id"], "absent": ["/error"]});
        for fine in [r#"{"id":1}"#, r#"{"id":"x","error":null}"#, r#"{"id":0,"error":""}"#] {
            assert!(ruled(200, fine, &rules, &json!([])).is_ok(), "{fine}");
        }
        for (body, told) in [
            (r#"{"id":null}"#, "nothing at `/id`"),
            (r#"{"id":""}"#, "nothing at `/id`"),
            ("ok", "nothing at `/id`"),
            (r#"{"id":1,"error":{"code":7}}"#, "something at `/error`"),
        ] {
            assert!(error(200, body, &rules).message.contains(told), "{body}");
        }
        assert!(error(200, "a page", &json!({"absent": ["/error"]})).message.contains("is not JSON"));
        assert!(ruled(204, "", &json!({"absent": ["/error"]}), &json!([])).is_ok());
        assert!(ruled(200, " ok\n", &json!({"body_equals": "ok"}), &json!([])).is_ok());
        assert!(error(200, "<p>ok</p>", &json!({"body_equals": "ok"})).message.contains("`success.body_equals`"));
    }

    #[test]
    fn what_is_no_success_is_what_the_owner_says() {
        let with = |word: &str| error(200, r#"{"ok":false}"#, &json!({"json": {"/ok": true}, "otherwise": word})).verdict;
        assert_eq!(
            (with("retry"), with("reject"), with("hold")),
            (Verdict::Retry { after: None }, Verdict::Reject, Verdict::Hold { until: None })
        );
    }

    #[test]
    fn the_first_rule_that_fits_goes_before_the_status() {
        let rules = json!([
            {"statuses": [400], "contains": "queue", "verdict": "retry", "after": "1m", "message": "the queue is full"},
            {"statuses": ["400-499"], "verdict": "hold", "after": "10m"},
            {"contains": "duplicate", "verdict": "reject"},
        ]);
        let told = |status, body| ruled(status, body, &json!({}), &rules).unwrap_err();
        let full = told(400, "Queue is full.");
        assert_eq!((full.verdict, full.kind), (Verdict::Retry { after: Some(Duration::from_secs(60)) }, ErrorKind::Data));
        assert_eq!(full.message, "example.com answered 400: the queue is full");
        assert_eq!(told(404, "").verdict, Verdict::Hold { until: "2026-11-22T10:10:00Z".parse().ok() });
        assert_eq!(told(200, "a Duplicate").verdict, Verdict::Reject);
        assert!(ruled(200, "fine", &json!({}), &rules).is_ok());
    }

    #[test]
    fn the_reason_in_a_body_is_told_without_the_person() {
        let error = error(422, r#"{"e":{"m":"no list\nof that name"}}"#, &json!({"error": "/e/m"}));
        assert_eq!(error.message, "example.com refused the data (422) (\"no list of that name\")");
        assert_eq!(self::error(422, r#"{"e":7}"#, &json!({"error": "/e"})).message, "example.com refused the data (422)");
    }

    #[test]
    fn statuses_decide_what_no_body_does() {
        let verdict = |status| error(status, "", &json!({})).verdict;
        assert_eq!(verdict(401), Verdict::Hold { until: None });
        assert_eq!(verdict(302), Verdict::Hold { until: None });
        assert_eq!(verdict(429), Verdict::Retry { after: None });
        assert_eq!(verdict(422), Verdict::Reject);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(status in 100_u16..1000, body in "\\PC{0,100}", word in "retry|reject|hold", after in any::<f64>(), message in ".{0,400}") {
            let _ = judged(&answer(status, &body), &Success::default(), "x", &Person::default());
            let body = json!({"verdict": word, "after": after, "message": message}).to_string();
            let error = judged(&answer(status, &body), &Success::default(), "x", &Person::default()).unwrap_err();
            prop_assert!(error.message.chars().count() < 400);
        }
    }
}
