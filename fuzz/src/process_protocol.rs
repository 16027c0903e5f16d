//! What a program of a user's says over its pipe: any bytes are read or told, and nothing that is told has the destination's secret in it,
//! or in messages the person the event is about. What the program is sent is one line.
//!
//! The input is the output of the program. It may name the secret, `hunter22-secret`.

use super::normalizer;
use leadwire_connector::Redactor;
use leadwire_connector_process::fuzzing::{sent, told};
use serde_json::{Value, json};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const SECRET: &str = "hunter22-secret";

pub fn check(data: &[u8]) {
    let content = String::from_utf8_lossy(data);
    let body = json!({"Type": "Lead", "FirstName": "Zebulon", "Email": "zeb.q9@example.com", "Content": content});
    let event = normalizer::events_of(body.to_string().as_bytes(), None).remove(0).event;
    let line = sent(&event);
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "what is sent is one line");
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["event"], json!(event));
    for told in ready(told(data, &event, &Redactor::new([SECRET]))) {
        assert!(!told.contains(SECRET), "a secret is told: {told}");
    }
}

/// Bytes at hand are read without waiting.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("bytes at hand are waited for"),
    }
}
