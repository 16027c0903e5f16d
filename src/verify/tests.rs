//! Stories of signed bodies, and of those that only look signed.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;
use proptest::prelude::*;

const BODY: &[u8] = br#"{ "Type": "Lead", "FirstName": "Jos\u00e9" }"#;
const CANONICAL: &str = r#"{"Type":"Lead","FirstName":"José"}"#;
const T: i64 = 1_492_774_577;

fn key(secret: &str) -> SigningKey {
    SigningKey::new(secret)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// Received one second after it was signed.
fn check_now(body: &[u8], header: &str, keys: &[SigningKey]) -> Result<Verified, Refusal> {
    verify(body, Some(header), keys, &Tolerance::default(), at(T + 1))
}

fn signed(secret: &str, body: &[u8]) -> String {
    sign(&key(secret), &T.to_string(), body)
}

fn unknown() -> Refusal {
    Refusal::NoKeyMatched { other_source: None, age_s: 1 }
}

#[test]
fn every_vector_verifies_in_both_forms() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../tests/fixtures/vectors/signatures.json")).unwrap();
    assert_eq!(vectors.len(), 10);
    for vector in &vectors {
        let text = |field: &str| vector[field].as_str().unwrap();
        let body = hex::decode(text("input_hex")).unwrap();
        let keys = [key(text("key"))];
        let same = vector["same"].as_bool().unwrap();
        for (field, form) in [("v1_over_raw_body", Form::Raw), ("v1_over_json_stringify", if same { Form::Raw } else { Form::Canonical })] {
            let verified = check_now(&body, &format!("t={},v1={}", text("t"), text(field)), &keys).unwrap();
            assert_eq!(verified.proof().form, form, "{}", text("name"));
            assert_eq!(verified.canonical(), json::parse(&body).unwrap().canonical());
        }
        assert_eq!(sign(&keys[0], text("t"), json::parse(&body).unwrap().canonical().as_bytes()), text("header"));
    }
}

#[test]
fn either_form_gives_the_same_value_and_text() {
    for (header, form) in [(signed("a", BODY), Form::Raw), (signed("a", CANONICAL.as_bytes()), Form::Canonical)] {
        let verified = check_now(BODY, &header, &[key("a")]).unwrap();
        assert_eq!(*verified.proof(), Proof { form, key: 0, signed_at: at(T), stale: false, age_s: 1 });
        assert_eq!((verified.canonical(), verified.received_at()), (CANONICAL, at(T + 1)));
        assert_eq!(verified.value().get("FirstName"), Some(&Value::String("José".into())));
        assert_eq!(verified.into_value().canonical(), CANONICAL);
    }
}

#[test]
fn while_keys_change_any_key_and_any_signature_will_do() {
    let keys = [key("old"), key("new"), key("new")];
    let both = format!("{},{}", signed("other", BODY), signed("new", BODY).replacen(&format!("t={T},"), "", 1));
    assert_eq!(check_now(BODY, &both, &keys).unwrap().proof().key, 1);
    assert_eq!(check_now(BODY, &signed("old", BODY), &keys).unwrap().proof().key, 0);
    assert_eq!(check_now(BODY, &signed("other", BODY), &keys).unwrap_err(), unknown());
}

#[test]
fn the_case_of_the_digits_does_not_matter() {
    let upper = signed("a", BODY).to_uppercase().replace("T=", "t=").replace("V1=", "v1=");
    assert!(check_now(BODY, &upper, &[key("a")]).is_ok());
}

#[test]
fn the_time_is_signed_as_it_is_written() {
    let literal = sign(&key("a"), "0001492774577", BODY);
    assert_eq!(check_now(BODY, &literal, &[key("a")]).unwrap_err(), Refusal::Milliseconds);
    let literal = sign(&key("a"), "01492774577", BODY);
    assert_eq!(check_now(BODY, &literal, &[key("a")]).unwrap().proof().signed_at, at(T));
    assert_eq!(check_now(BODY, &literal.replace("t=0", "t="), &[key("a")]).unwrap_err(), unknown());
}

#[test]
fn a_changed_body_or_time_is_refused() {
    let header = signed("a", BODY);
    assert_eq!(check_now(b"{\"Type\":\"Lead\"}", &header, &[key("a")]).unwrap_err(), unknown());
    assert_eq!(check_now(b"not JSON", &header, &[key("a")]).unwrap_err(), unknown());
    let later = header.replace("577,", "578,");
    assert_eq!(check_now(BODY, &later, &[key("a")]).unwrap_err(), Refusal::NoKeyMatched { other_source: None, age_s: 0 });
}

#[test]
fn a_genuine_body_of_another_time_is_kept_and_marked() {
    let tolerance = Tolerance::default();
    for (age_s, stale) in [(0, false), (600, false), (601, true), (-300, false), (-301, true), (i64::from(u32::MAX), true)] {
        let verified = verify(BODY, Some(&signed("a", BODY)), &[key("a")], &tolerance, at(T + age_s)).unwrap();
        assert_eq!((verified.proof().stale, verified.proof().age_s), (stale, age_s));
        assert_eq!(verified.proof().remark().is_some(), stale);
    }
    let late = verify(BODY, Some(&signed("a", BODY)), &[key("a")], &tolerance, at(T - 412)).unwrap();
    assert_eq!(late.proof().remark().unwrap(), "signed 412 s ahead of the clock here: check the clocks");
}

#[test]
fn a_time_beyond_the_calendar_is_stale_and_nothing_worse() {
    let header = sign(&key("a"), "999999999999", BODY);
    let verified = check_now(BODY, &header, &[key("a")]).unwrap();
    assert_eq!((verified.proof().stale, verified.proof().signed_at), (true, Timestamp::MAX));
}

#[test]
fn a_genuine_body_that_is_no_json_is_kept_as_its_text() {
    let deep = "[".repeat(10_000);
    for body in [b"Type=Lead&\xFF".as_slice(), b"\"a\"", b"1", b" ", deep.as_bytes()] {
        let verified = check_now(body, &signed("a", body), &[key("a")]).unwrap();
        let text = String::from_utf8_lossy(body);
        assert_eq!(*verified.value(), Value::String(text.as_ref().into()));
        assert_eq!(verified.canonical(), serde_json::to_string(&text).unwrap());
    }
}

#[test]
fn a_body_of_nothing_is_an_empty_object_in_either_form() {
    for (signed_text, form) in [(b"".as_slice(), Form::Raw), (b"{}", Form::Canonical)] {
        let verified = check_now(b"", &signed("a", signed_text), &[key("a")]).unwrap();
        assert_eq!((verified.canonical(), verified.proof().form), ("{}", form));
    }
}

#[test]
fn each_refusal_says_what_to_do_and_has_a_word() {
    let refuse = |header: Option<&str>, keys: &[SigningKey]| verify(BODY, header, keys, &Tolerance::default(), at(T)).unwrap_err();
    let keys = [key("whk_secret")];
    let ms = sign(&keys[0], "1492774577000", BODY);
    let foreign = signed("other", BODY);
    let refusals = [
        (refuse(None, &[]), "awaiting_key", "put the sign key"),
        (refuse(None, &keys), "no_header", "passes that header on"),
        (refuse(Some(""), &keys), "malformed_header", "it has no `t=`; the sender must write"),
        (refuse(Some(&ms), &keys), "milliseconds", "must sign unix seconds"),
        (refuse(Some(&foreign), &keys), "no_key_matched", "dated 0 s ago, is by no signing key of this source; copy the sign key"),
        (Refusal::NoKeyMatched { other_source: Some("acme".into()), age_s: -7 }, "other_source", "post to `/hooks/acme`"),
    ];
    for (refusal, code, advice) in refusals {
        let text = format!("{refusal} {refusal:?}");
        assert_eq!(refusal.code(), code);
        assert!(text.contains(advice), "{text}");
        assert!(!text.contains("whk_secret") && !text.contains(&foreign[foreign.len() - 8..]), "{text}");
    }
}

#[test]
fn what_is_verified_does_not_print_its_body() {
    let text = format!("{:?}", check_now(BODY, &signed("a", BODY), &[key("a")]).unwrap());
    assert!(text.contains("Raw") && !text.contains("Jos"), "{text}");
}

#[test]
fn a_refusal_can_name_the_source_whose_key_it_was() {
    let (acme, globex) = ([key("a"), key("b")], [key("c")]);
    let others = || [("acme", &acme[..]), ("globex", &globex[..])].into_iter();
    assert_eq!(matches_other(BODY, Some(&signed("b", BODY)), others()), Some("acme"));
    assert_eq!(matches_other(BODY, Some(&signed("c", CANONICAL.as_bytes())), others()), Some("globex"));
    assert_eq!(matches_other(BODY, Some(&signed("d", BODY)), others()), None);
    assert_eq!(matches_other(BODY, None, others()), None);
}

#[test]
fn looking_for_the_other_source_has_its_limits() {
    let keys = [key("a")];
    let large = vec![b' '; 64 * 1_024 + 1];
    assert_eq!(matches_other(&large, Some(&signed("a", &large)), [("acme", &keys[..])].into_iter()), None);
    let crowd = |before| std::iter::repeat_n(("none", &[][..]), before).chain([("acme", &keys[..])]);
    assert_eq!(matches_other(BODY, Some(&signed("a", BODY)), crowd(99)), Some("acme"));
    assert_eq!(matches_other(BODY, Some(&signed("a", BODY)), crowd(100)), None);
}

proptest! {
    #[test]
    fn what_one_key_signs_that_key_verifies_and_no_other(
        body in prop::collection::vec(any::<u8>(), 0..100), secret in "\\PC{0,80}", other in "\\PC{0,80}",
    ) {
        let header = signed(&secret, &body);
        prop_assert_eq!(check_now(&body, &header, &[key(&secret)]).unwrap().proof().form, Form::Raw);
        prop_assert_eq!(check_now(&body, &header, &[key(&other)]).is_ok(), secret == other);
    }
}
