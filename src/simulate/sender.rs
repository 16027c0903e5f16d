//! How the platform posts: signed, three times at most, and believing nothing but the answer's `status`.
//!
//! From the platform's webhook pages: the reply must be `{"status":"success"}` or `{"status":"Success: test request received"}`, in this
//! case; "returning other values is considered a failure. After failure, retry within 1 minute and 3 minutes." Then it forgets.

use crate::verify::{self, Form, SigningKey};
use bytes::Bytes;
use jiff::Timestamp;
use leadwire_connector::http::{Client, HttpSettings, Method, Request};
use leadwire_connector::settings::duration;
use leadwire_connector::text::truncate;
use serde::Serialize;
use serde_json::Value;
use std::time::{Duration, Instant};
use url::Url;

const SUCCESSES: [&str; 2] = ["success", "Success: test request received"];
/// An answer's start is enough to see what it was.
const SHOWN_CHARACTERS: usize = 500;
const MOST_TRIES: usize = 20;

/// Posts bodies to one URL.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Where to.
    pub url: Url,
    /// What to sign with; `None` sends no signature.
    pub key: Option<SigningKey>,
    /// What to sign.
    pub form: Form,
    /// The pause before each try; it has an entry for the first one too.
    pub schedule: Vec<Duration>,
    client: Client,
}

/// One try and its answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Try {
    /// 1 for the first.
    pub number: usize,
    /// Whether the sender takes it for done.
    pub success: bool,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The start of the answer's body.
    pub answer: Option<String>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// From the first byte sent to the last one read.
    pub milliseconds: f64,
}

impl Try {
    /// What came back, on one line.
    #[must_use]
    pub fn told(&self) -> &str {
        self.answer.as_deref().or(self.error.as_deref()).unwrap_or_default()
    }
}

impl Sender {
    /// One with the platform's own schedule: at once, within a minute, and within three more.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn new(url: Url, key: Option<SigningKey>, form: Form) -> Result<Self, String> {
        Self::by(url, key, form, &HttpSettings::default())
    }

    /// The same with these settings of its HTTP client.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn by(url: Url, key: Option<SigningKey>, form: Form, settings: &HttpSettings) -> Result<Self, String> {
        let schedule = [0, 60, 180].map(Duration::from_secs).to_vec();
        Ok(Self { url, key, form, schedule, client: Client::new(settings)? })
    }

    /// With these pauses before each try.
    #[must_use]
    pub fn with_schedule(self, schedule: Vec<Duration>) -> Self {
        Self { schedule, ..self }
    }

    /// Posts until there is success or the schedule ends. `told` gets each try, and the pause before the next if there is one.
    /// Returns whether there was success.
    pub async fn send(&self, body: &Bytes, mut told: impl FnMut(&Try, Option<Duration>)) -> bool {
        for (index, pause) in self.schedule.iter().enumerate() {
            tokio::time::sleep(*pause).await;
            let tried = self.post(body, index + 1).await;
            let next = if tried.success { None } else { self.schedule.get(index + 1).copied() };
            told(&tried, next);
            if tried.success {
                return true;
            }
        }
        false
    }

    /// One try, which calls itself the `number`th. Each has its own time and signature. Redirects are not followed.
    pub async fn post(&self, body: &Bytes, number: usize) -> Try {
        let request = self.request(body);
        let started = Instant::now();
        let sent = self.client.send(&request).await;
        let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
        match sent {
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = truncate(text.trim(), SHOWN_CHARACTERS).into_owned();
                let success = is_success(&answer.body);
                Try { number, success, status: Some(answer.status), answer: Some(text), error: None, milliseconds }
            }
            Err(error) => Try { number, success: false, status: None, answer: None, error: Some(error.message), milliseconds },
        }
    }

    fn request(&self, body: &Bytes) -> Request {
        // The same body is the same event, so repeating it on a fresh connection does no harm.
        let request = Request::new(Method::Post, self.url.clone()).body("application/json", body.clone()).repeatable();
        match &self.key {
            Some(key) => request.secret_header("X-Webhook-Signature", self.signature(key, body)),
            None => request,
        }
    }

    fn signature(&self, key: &SigningKey, body: &Bytes) -> String {
        let t = Timestamp::now().as_second().to_string();
        let canonical = match self.form {
            Form::Raw => None,
            Form::Canonical => verify::json::parse(body).ok().map(|value| value.canonical()),
        };
        // What is no JSON has no canonical form; the platform posts nothing of that kind.
        verify::sign(key, &t, canonical.as_ref().map_or(&body[..], String::as_bytes))
    }
}

/// Whether the platform takes this answer for success: its `status` decides, to the letter.
#[must_use]
pub fn is_success(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.get("status").and_then(Value::as_str).is_some_and(|status| SUCCESSES.contains(&status))
}

/// Reads the pauses before each try, such as `0s,60s,180s`.
///
/// # Errors
/// A sentence that shows the form.
pub fn parse_schedule(text: &str) -> Result<Vec<Duration>, String> {
    let pauses: Vec<Duration> = text.split(',').map(|pause| duration::parse(pause.trim())).collect::<Result<_, _>>()?;
    if pauses.len() > MOST_TRIES {
        return Err(format!("{} tries are too many; there may be {MOST_TRIES}", pauses.len()));
    }
    Ok(pauses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::verify::Tolerance;
    use leadwire_connector::simulator::{self, FaultKind, FaultRule, Faults, Response, Server, Service};
    use serde_json::json;

    /// Answers as Leadwire does.
    struct Hook;

    impl Service for Hook {
        fn answer(&mut self, _: &simulator::Request) -> Response {
            Response::json(200, &json!({"status": "success"}))
        }

        fn error_inside(&self) -> Response {
            Response::json(200, &json!({"status": "error"}))
        }

        fn rate_limited(&self) -> Response {
            Response::json(429, &json!({}))
        }

        fn state(&self) -> Value {
            Value::Null
        }
    }

    async fn hook(rules: impl IntoIterator<Item = FaultRule>) -> Server {
        Server::start(Box::new(Hook), "127.0.0.1:0".parse().unwrap(), Faults::new(rules)).await.unwrap()
    }

    fn sender(server: &Server, form: Form) -> Sender {
        let sender = Sender::new(server.url(), Some(SigningKey::new("k")), form).unwrap();
        sender.with_schedule([0, 1, 2].map(Duration::from_millis).to_vec())
    }

    #[test]
    fn only_the_two_words_are_success() {
        for body in [r#"{"status":"success"}"#, r#"{"status":"Success: test request received"}"#, r#"{ "status": "success", "id": "1" }"#] {
            assert!(is_success(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            "success",
            r#""success""#,
            r#"{"status":"Success"}"#,
            r#"{"status":"success "}"#,
            r#"{"Status":"success"}"#,
            r#"[{"status":"success"}]"#,
            r#"{"status":true}"#,
        ] {
            assert!(!is_success(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_schedule_is_a_list_of_pauses() {
        assert_eq!(parse_schedule("0s, 60s,3m").unwrap(), [0, 60, 180].map(Duration::from_secs));
        for wrong in ["", "0s,", "1", "soon", &["1s"; 21].join(",")] {
            assert!(parse_schedule(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn failures_are_tried_again_until_one_answer_is_success() {
        let server = hook([FaultRule::next(1, FaultKind::Status(503)), FaultRule::next(1, FaultKind::ErrorInside)]).await;
        let mut tries = Vec::new();
        let body = Bytes::from_static(b"{}");
        let success = sender(&server, Form::Raw).send(&body, |tried, next| tries.push((tried.number, tried.status, next.is_some()))).await;
        assert!(success);
        assert_eq!(tries, [(1, Some(503), true), (2, Some(200), true), (3, Some(200), false)]);
    }

    #[tokio::test]
    async fn after_the_last_try_the_sender_forgets() {
        let server = hook([FaultRule::always(FaultKind::Status(302))]).await;
        let mut statuses = Vec::new();
        assert!(!sender(&server, Form::Raw).send(&Bytes::from_static(b"{}"), |tried, _| statuses.push(tried.status)).await);
        assert_eq!(statuses, [Some(302); 3]);
        assert_eq!(server.count(), 3);
        server.stop().await;
    }

    #[tokio::test]
    async fn what_is_sent_verifies_in_the_form_that_was_asked_for() {
        let server = hook([]).await;
        for form in [Form::Raw, Form::Canonical] {
            sender(&server, form).post(&Bytes::from_static(b"{ \"a\": 1 }"), 1).await;
            let request = server.requests().pop().unwrap().request;
            let (keys, header) = ([SigningKey::new("k")], request.header("x-webhook-signature"));
            let verified = verify::verify(&request.body, header, &keys, &Tolerance::default(), Timestamp::now()).unwrap();
            assert_eq!(verified.proof().form, form);
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_failed_try_with_a_reason() {
        let server = hook([]).await;
        let sender = Sender { schedule: vec![Duration::ZERO], key: None, ..sender(&server, Form::Raw) };
        server.stop().await;
        let tried = sender.post(&Bytes::from_static(b"{}"), 1).await;
        assert_eq!((tried.status, tried.success), (None, false));
        assert!(tried.told().contains("cannot be reached"), "{}", tried.told());
    }
}
