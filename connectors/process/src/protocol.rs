//! The lines that go to the child and come from it. Pure; the README is the reference of both.

use leadwire_connector::Event;
use leadwire_connector::Redactor;
use serde::Serialize;
use serde_json::{Map, Value};

/// The version of the protocol. A child that speaks another one is not started.
pub(crate) const VERSION: u64 = 1;
/// A line of the child that is longer is a fault of its own: no answer needs so much.
pub(crate) const LONGEST_LINE: usize = 1024 * 1024;
/// More requests at once than this to one child is a mistake in the number.
const MOST_AT_ONCE: u64 = 64;
const LONGEST_NAME: usize = 100;
const LONGEST_REMOTE_ID: usize = 500;

/// A line to the child.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToChild<'a> {
    Hello { protocol: u64, leadwire: &'a str, destination: &'a str, timeout: f64 },
    Deliver { id: u64, delivery_id: &'a str, attempt: u32, event: &'a Event, steps: &'a Map<String, Value> },
    Check { id: u64 },
    Preview { id: u64, event: &'a Event },
    Kept { id: u64, name: &'a str },
}

impl ToChild<'_> {
    /// One line with its line break; JSON has none within.
    pub(crate) fn line(&self) -> Vec<u8> {
        // Only maps with keys that are no text, and numbers that are none, cannot be written; there are none here.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A line from the child.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FromChild {
    Hello(Hello),
    /// Something about the request of this id.
    Of(u64, Message),
}

/// What a child says about a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// A remote write is done; to be kept before the child goes on.
    Step { name: String, remote_id: String },
    /// The request is done.
    Answer(Answer),
}

/// How a request ended. What is in it is read when it is known which request it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) what: AnswerKind,
    pub(crate) body: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    Delivered,
    Skipped,
    Error,
    Report,
    Preview,
}

/// What a child says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol: u64,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) can_check: bool,
    pub(crate) can_preview: bool,
    /// Requests under way at once.
    pub(crate) concurrency: u32,
    /// It exits by itself after so many requests.
    pub(crate) requests: Option<u64>,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, after "the child wrote"; nothing of the line itself, which may hold personal data and gets into the log.
pub(crate) fn parse(line: &[u8]) -> Result<FromChild, String> {
    let body = match serde_json::from_slice(line) {
        Ok(Value::Object(body)) => body,
        Ok(_) => return Err("a line that is no JSON object".to_owned()),
        Err(_) => {
            return Err("a line that is no JSON to its standard output; what is meant for the log belongs to standard error".to_owned());
        }
    };
    let what = match body.get("type").and_then(Value::as_str) {
        Some("hello") => return hello(&body).map(FromChild::Hello),
        Some("step") => return step(&body),
        Some("delivered") => AnswerKind::Delivered,
        Some("skipped") => AnswerKind::Skipped,
        Some("error") => AnswerKind::Error,
        Some("report") => AnswerKind::Report,
        Some("preview") => AnswerKind::Preview,
        Some(other) if is_word(other) => return Err(format!("a line of the unknown type `{other}`")),
        _ => return Err("a line without a known `type`".to_owned()),
    };
    Ok(FromChild::Of(id(&body)?, Message::Answer(Answer { what, body })))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn id(body: &Map<String, Value>) -> Result<u64, String> {
    body.get("id").and_then(Value::as_u64).ok_or_else(|| "an answer without the `id` of its request".to_owned())
}

fn step(body: &Map<String, Value>) -> Result<FromChild, String> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("a step whose `name` is missing or longer than {LONGEST_NAME} bytes"));
    }
    let remote_id = match body.get("remote_id") {
        Some(Value::String(remote_id)) => remote_id.clone(),
        Some(Value::Number(remote_id)) => remote_id.to_string(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return Err("a step whose `remote_id` is neither text nor a number".to_owned()),
    };
    if remote_id.len() > LONGEST_REMOTE_ID {
        return Err(format!("a step whose `remote_id` is longer than {LONGEST_REMOTE_ID} bytes"));
    }
    Ok(FromChild::Of(id(body)?, Message::Step { name: name.to_owned(), remote_id }))
}

fn hello(body: &Map<String, Value>) -> Result<Hello, String> {
    let protocol = body.get("protocol").and_then(Value::as_u64).ok_or("a hello without the number of its `protocol`")?;
    let name = body.get("name").and_then(Value::as_str).map(label).filter(|name| !name.is_empty());
    let can = |what: &str| body.get("capabilities").and_then(Value::as_array).is_some_and(|known| known.iter().any(|known| known == what));
    let concurrency = body.get("concurrency").map_or(Some(1), Value::as_u64).filter(|concurrency| *concurrency > 0);
    let requests = match body.get("requests") {
        None | Some(Value::Null) => None,
        Some(number) => Some(number.as_u64().filter(|requests| *requests > 0).ok_or("a hello whose `requests` is no positive number")?),
    };
    Ok(Hello {
        protocol,
        name: name.ok_or("a hello without its `name`")?,
        version: body.get("version").and_then(Value::as_str).map(label).filter(|version| !version.is_empty()),
        can_check: can("check"),
        can_preview: can("preview"),
        concurrency: concurrency.ok_or("a hello whose `concurrency` is no positive number")?.min(MOST_AT_ONCE) as u32,
        requests,
    })
}

impl Hello {
    /// Without what the child was given in confidence.
    pub(crate) fn clean(self, redactor: &Redactor) -> Self {
        let clean = |text: String| redactor.clean(&text).into_owned();
        Self { name: clean(self.name), version: self.version.map(clean), ..self }
    }
}

/// A name for messages and the log.
fn label(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::conformance::sample;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(line: &Value) -> Result<FromChild, String> {
        parse(line.to_string().as_bytes())
    }

    #[test]
    fn what_is_sent_is_one_line_of_json() {
        let mut event = sample();
        event.content = Some("two\nlines\r\u{2028}\u{0}".to_owned());
        let steps = json!({"contact": "101"}).as_object().unwrap().clone();
        let line = ToChild::Deliver { id: 7, delivery_id: "d-1", attempt: 2, event: &event, steps: &steps }.line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let sent: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({"type": "deliver", "id": 7, "delivery_id": "d-1", "attempt": 2, "event": event, "steps": {"contact": "101"}});
        assert_eq!(sent, expected);
        let line = ToChild::Hello { protocol: VERSION, leadwire: "0.1.0", destination: "crm", timeout: 30.0 }.line();
        assert_eq!(line, b"{\"type\":\"hello\",\"protocol\":1,\"leadwire\":\"0.1.0\",\"destination\":\"crm\",\"timeout\":30.0}\n");
        assert_eq!(ToChild::Check { id: 1 }.line(), b"{\"type\":\"check\",\"id\":1}\n");
    }

    #[test]
    fn a_hello_says_what_the_child_can_do() {
        let told =
            read(&json!({"type": "hello", "protocol": 1, "name": "ac\u{1b}me", "capabilities": ["check", "fly"], "concurrency": 900}));
        let expected = Hello { protocol: 1, name: "acme".to_owned(), can_check: true, concurrency: 64, ..Hello::default() };
        assert_eq!(told, Ok(FromChild::Hello(expected)));
        for faulty in [
            json!({"type": "hello", "name": "acme"}),
            json!({"type": "hello", "protocol": "1", "name": "acme"}),
            json!({"type": "hello", "protocol": 1}),
            json!({"type": "hello", "protocol": 1, "name": " "}),
            json!({"type": "hello", "protocol": 1, "name": "acme", "concurrency": 0}),
            json!({"type": "hello", "protocol": 1, "name": "acme", "requests": 0}),
        ] {
            assert!(read(&faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn a_step_and_an_answer_name_their_request() {
        let step = read(&json!({"type": "step", "id": 3, "name": "contact", "remote_id": 101})).unwrap();
        assert_eq!(step, FromChild::Of(3, Message::Step { name: "contact".to_owned(), remote_id: "101".to_owned() }));
        let answer = read(&json!({"type": "delivered", "id": 3})).unwrap();
        assert!(matches!(answer, FromChild::Of(3, Message::Answer(Answer { what: AnswerKind::Delivered, .. }))));
    }

    #[test]
    fn hostile_lines_are_told_without_their_content() {
        for line in [
            "",
            "null",
            "[]",
            "{",
            "david@example.com",
            r#"{"type":"david@example.com","id":1}"#,
            r#"{"type":"delivered"}"#,
            r#"{"type":"delivered","id":-1}"#,
            r#"{"type":"delivered","id":1.5}"#,
            r#"{"type":"delivered","id":99999999999999999999}"#,
            r#"{"type":"step","id":1}"#,
            r#"{"type":"step","id":1,"name":"a","remote_id":{}}"#,
            r#"{"type":"explode","id":1}"#,
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(!error.contains("david"), "{error}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
        let long = json!({"type": "step", "id": 1, "name": "a", "remote_id": "x".repeat(501)});
        assert!(read(&long).is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn no_message_makes_the_reader_panic_or_is_repeated(
            what in "hello|step|delivered|skipped|error|report|preview|[a-z]{1,8}",
            id in prop_oneof![any::<u64>().prop_map(Value::from), any::<f64>().prop_map(Value::from), ".{0,5}".prop_map(Value::from)],
            key in "name|remote_id|protocol|concurrency|requests|capabilities",
            value in prop_oneof![any::<i64>().prop_map(Value::from), ".{0,40}".prop_map(Value::from), Just(json!([[], {}]))],
        ) {
            let line = json!({"type": what, "id": id, key: value, "secret": "hunter22"});
            if let Err(error) = read(&line) {
                prop_assert!(!error.contains("hunter22"));
            }
        }

        #[test]
        fn an_id_comes_back_as_it_was_sent(id in any::<u64>()) {
            let read = read(&json!({"type": "delivered", "id": id})).unwrap();
            prop_assert!(matches!(read, FromChild::Of(known, _) if known == id));
        }
    }
}
