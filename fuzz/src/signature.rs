//! A signature is taken when, and only when, an independent HMAC over the bytes or their canonical form says that the key made it.
//!
//! The input is the value of the header, a separator, and the body.

use super::parts;
use jiff::Timestamp;
use leadwire::verify::{Form, Refusal, SigningKey, Tolerance, Verified, json, matches_other, sign, verify};
use sha2::{Digest, Sha256};

const SECRET: &str = "whk_test_0123456789abcdef";
const NOW: i64 = 1_492_774_600;

pub fn check(data: &[u8]) {
    let [header, body] = parts(data);
    let header = String::from_utf8_lossy(header);
    let expected = reference(&header, body);
    match told(&header, body, SECRET) {
        Ok(verified) => assert_eq!(Some(verified.proof().form), expected, "a signature is taken that the key did not make"),
        Err(refusal) => {
            assert_eq!(expected, None, "a genuine signature is refused: {refusal}");
            assert!(!refusal.to_string().contains(SECRET));
        }
    }
    let keys = [SigningKey::new(SECRET)];
    let is_named = matches_other(body, Some(&header), [("acme", &keys[..])].into_iter()).is_some();
    assert_eq!(is_named, expected.is_some(), "a refusal names a source whose key it was not, or none whose key it was");
    own_signatures_hold(body);
}

fn told(header: &str, body: &[u8], secret: &str) -> Result<Verified, Refusal> {
    verify(body, Some(header), &[SigningKey::new(secret)], &Tolerance::default(), Timestamp::from_second(NOW).unwrap())
}

/// What the key signs is taken, in both forms, and by no other key; nor is it for another body.
fn own_signatures_hold(body: &[u8]) {
    let key = SigningKey::new(SECRET);
    let header = sign(&key, &NOW.to_string(), body);
    let verified = told(&header, body, SECRET).expect("what the key signed is genuine");
    assert_eq!(verified.proof().form, Form::Raw);
    assert!(told(&header, body, "whk_another").is_err(), "another key takes it");
    if json::parse(body).is_ok() {
        let header = sign(&key, &NOW.to_string(), verified.canonical().as_bytes());
        assert_eq!(told(&header, body, SECRET).expect("its canonical form is genuine").canonical(), verified.canonical());
    }
    let other = [body, b" "].concat();
    let is_same = json::parse(&other).is_ok_and(|value| value.canonical().as_bytes() == body);
    assert_eq!(told(&header, &other, SECRET).is_ok(), is_same, "a signature is taken for another body");
}

/// Which form of the body one of the header's first five signatures is over; `None` also for a header that is none.
fn reference(header: &str, body: &[u8]) -> Option<Form> {
    let items: Vec<(&str, &str)> = header.split(',').filter_map(|item| item.trim_matches([' ', '\t']).split_once('=')).collect();
    let times: Vec<&str> = items.iter().filter(|(key, _)| *key == "t").map(|(_, value)| *value).collect();
    let [t] = times[..] else { return None };
    if header.len() > 1_024 || t.is_empty() || t.len() > 12 || !t.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_whole = |value: &&str| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let signatures: Vec<String> = items
        .iter()
        .filter(|(key, _)| *key == "v1")
        .map(|(_, value)| *value)
        .filter(is_whole)
        .take(5)
        .map(str::to_ascii_lowercase)
        .collect();
    let is_over = |bytes: &[u8]| signatures.contains(&hex::encode(hmac(SECRET.as_bytes(), &[t.as_bytes(), b".", bytes].concat())));
    if is_over(body) {
        return Some(Form::Raw);
    }
    let canonical = json::parse(body).ok()?.canonical();
    is_over(canonical.as_bytes()).then_some(Form::Canonical)
}

/// RFC 2104, as it stands there, for keys of at most 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c), &inner[..]].concat()).to_vec()
}
