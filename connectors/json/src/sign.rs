//! Signatures by Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): symmetric, version 1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leadwire_connector::settings::{Fault, Secret};
pub(crate) use leadwire_connector::signature::Key;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// Each adds to every request, and no rotation needs more.
const KEYS_MOST: usize = 4;

/// The keys of one destination, the newest first. While a key is replaced there are two, and each request has a signature by each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Every fault, at its place below `secret`.
    pub(crate) fn parse(secrets: &Secrets) -> Result<Self, Vec<Fault>> {
        let mut keys = Vec::new();
        let mut faults = Vec::new();
        for (index, secret) in secrets.all.iter().enumerate() {
            let place = ["secret".to_owned()].into_iter().chain(secrets.is_list.then(|| index.to_string()));
            match Key::parse(secret.expose()) {
                Ok(key) => keys.push(key),
                Err((message, help)) => faults.push(Fault::new(place, message).with_help(help)),
            }
        }
        if secrets.all.len() > KEYS_MOST || (secrets.is_list && secrets.all.is_empty()) {
            faults.push(Fault::new(["secret"], format!("there are 1 to {KEYS_MOST} keys, the newest first")));
        }
        if faults.is_empty() { Ok(Self(keys)) } else { Err(faults) }
    }

    /// The value of `webhook-signature`; none without a key.
    pub(crate) fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> Option<String> {
        let signatures: Vec<String> = self.0.iter().map(|key| key.sign(id, seconds, body)).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_any_short(&self) -> bool {
        self.0.iter().any(Key::is_short)
    }
}

/// What stands under `secret`: one key, or a list of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// The newest first.
    pub all: Vec<Secret>,
    is_list: bool,
}

impl JsonSchema for Secrets {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secrets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = Secret::json_schema(generator);
        json_schema!({"writeOnly": true, "anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": KEYS_MOST}]})
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretsVisitor)
    }
}

struct SecretsVisitor;

impl<'de> Visitor<'de> for SecretsVisitor {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key, or a list of keys, the newest first")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secrets, E> {
        let secret = Secret::deserialize(text.into_deserializer())?;
        Ok(Secrets { all: vec![secret], is_list: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Secrets, A::Error> {
        let secret = Secret::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Secrets { all: vec![secret], is_list: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Secrets, A::Error> {
        let all = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(Secrets { all, is_list: true })
    }
}

/// Base64 as in `Authorization: Basic`.
pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector that the specification's own libraries are tested with; `openssl dgst -sha256 -mac HMAC` agrees.
    #[test]
    fn the_reference_vector_is_met() {
        let key = Key::parse(SECRET).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn any_of_several_signatures_is_enough_and_others_are_ignored() {
        let key = Key::parse(SECRET).unwrap();
        let right = key.sign("id", "1", b"body");
        assert!(key.verifies(&format!("v1a,x v1,AAAA v1,*** {right}"), "id", "1", b"body"));
        assert!(!key.verifies(&right, "id", "2", b"body"));
        assert!(!key.verifies(&right, "other", "1", b"body"));
        assert!(!key.verifies("", "id", "1", b"body"));
    }

    #[test]
    fn while_keys_rotate_each_request_has_a_signature_by_both() {
        let (new, old) = ("whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldw==", SECRET);
        let secrets: Secrets = serde_json::from_value(serde_json::json!([new, old])).unwrap();
        let signatures = Keys::parse(&secrets).unwrap().sign("id", "1", b"body").unwrap();
        let expected = [new, old].map(|key| Key::parse(key).unwrap().sign("id", "1", b"body"));
        assert_eq!(signatures.split(' ').collect::<Vec<_>>(), expected);
        let one: Secrets = serde_json::from_value(serde_json::json!(old)).unwrap();
        assert_eq!(Keys::parse(&one).unwrap().sign("id", "1", b"body").unwrap(), expected[1]);
        assert_eq!(Keys::default().sign("id", "1", b"body"), None);
    }

    #[test]
    fn a_key_of_several_that_is_wrong_is_named_by_its_place() {
        let places = |secret: serde_json::Value| -> Vec<String> {
            let secrets: Secrets = serde_json::from_value(secret).unwrap();
            Keys::parse(&secrets).unwrap_err().iter().map(|fault| fault.path.join(".")).collect()
        };
        assert_eq!(places(serde_json::json!([SECRET, "hunter2"])), ["secret.1"]);
        assert_eq!(places(serde_json::json!([])), ["secret"]);
        assert_eq!(places(serde_json::json!("hunter2")), ["secret"]);
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_showing_it() {
        for (text, told) in [("hunter2", "starts with"), ("whsec_hunter2!", "not base64"), ("whsec_", "nothing follows")] {
            let (message, help) = Key::parse(text).unwrap_err();
            assert!(message.contains(told), "{message}");
            assert!(!help.contains("hunter2"));
        }
        assert!(Key::parse("whsec_c2hvcnQ").unwrap().is_short());
        assert!(!Key::parse(SECRET).unwrap().is_short());
        assert_eq!(format!("{:?}", Key::parse(SECRET).unwrap()), "••••");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_no_other_body_does(body in prop::collection::vec(any::<u8>(), 0..200), id in "[a-z0-9-]{1,40}") {
            let key = Key::parse(SECRET).unwrap();
            let signature = key.sign(&id, "1614265330", &body);
            prop_assert!(key.verifies(&signature, &id, "1614265330", &body));
            let longer = [&body[..], b"x"].concat();
            prop_assert!(!key.verifies(&signature, &id, "1614265330", &longer));
        }
    }
}
