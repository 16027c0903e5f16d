//! Every secret of a configuration, so that no output shows one, whatever a connector makes of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leadwire_connector::Redactor;
use leadwire_connector::settings::Secret;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use std::path::Path;
use url::Url;

/// What stands below this key is sent on purpose.
const SENT: &str = "fields";

/// What the names of secrets end with.
const SECRET: [&str; 14] = [
    "token",
    "tokens",
    "secret",
    "secrets",
    "password",
    "passphrase",
    "pass",
    "pwd",
    "auth",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "cookie",
];
/// Not every key opens something: `custom_field_key` names a field.
const OPENS: [&str; 8] = ["", "access", "api", "auth", "private", "secret", "service", "signing"];

/// Whether a key is named like a secret, by its last words: `client_secret`, `X-Api-Key`, but neither `token_url` nor `author`.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let mut words = key.rsplit(['_', '-', '.']);
    match words.next() {
        Some("key" | "keys" | "apikey") => OPENS.contains(&words.next().unwrap_or_default()),
        last => last.is_some_and(|last| SECRET.contains(&last)),
    }
}

/// Masks what is a secret by its form (`{ env = … }`, `{ file = … }`, a password in a URL) or by the name of its key.
pub(super) fn redactor(merged: &Map<String, Value>) -> Redactor {
    let mut secrets = Vec::new();
    merged.values().for_each(|value| collect(value, false, &mut secrets));
    Redactor::new(secrets)
}

fn collect(value: &Value, is_named: bool, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) => collect_text(text, is_named, secrets),
        Value::Array(items) => items.iter().for_each(|item| collect(item, is_named, secrets)),
        Value::Object(table) => collect_table(table, secrets),
        _ => {}
    }
}

fn collect_table(table: &Map<String, Value>, secrets: &mut Vec<String>) {
    if is_elsewhere(table)
        && let Ok(secret) = Secret::deserialize(&Value::Object(table.clone()))
    {
        collect_url(secret.expose(), secrets);
        secrets.push(secret.expose().to_owned());
        return;
    }
    for (key, value) in table.iter().filter(|(key, _)| *key != SENT) {
        collect(value, is_secret(key), secrets);
    }
    secrets.extend(basic(table));
}

/// A pipe can be read once only, and has been.
fn is_elsewhere(table: &Map<String, Value>) -> bool {
    let is_file = |value: &Value| value.as_str().is_some_and(|path| Path::new(path).is_file());
    table.len() == 1 && (table.contains_key("env") || table.get("file").is_some_and(is_file))
}

/// An address may stand under `token_url`, and is none.
fn collect_text(text: &str, is_named: bool, secrets: &mut Vec<String>) {
    if text.contains("://") {
        collect_url(text, secrets);
    } else if is_named {
        secrets.push(text.to_owned());
    }
}

/// Password, a token in its place, and parameters that are named like secrets.
fn collect_url(text: &str, secrets: &mut Vec<String>) {
    let Ok(url) = Url::parse(text.trim()) else { return };
    secrets.extend(url.password().or((!url.username().is_empty()).then(|| url.username())).map(str::to_owned));
    let parameters = url.query_pairs().filter(|(name, _)| is_secret(name));
    secrets.extend(parameters.map(|(_, value)| value.into_owned()));
}

/// As `Authorization: Basic` sends them.
fn basic(table: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| secret_text(table.get(key)?);
    let (user, password) = (text("user").or_else(|| text("username"))?, text("password")?);
    Some(STANDARD.encode(format!("{user}:{password}")))
}

fn secret_text(value: &Value) -> Option<String> {
    if value.as_object().is_some_and(|table| !is_elsewhere(table)) {
        return None;
    }
    Secret::deserialize(value).ok().map(|secret| secret.expose().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_their_form_or_by_the_name_of_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from-the-file\n").unwrap();
        let merged = json!({
            "store": {"url": "postgres://lead:pass-word-1@db/leads"},
            "sources": {"acme": {"signing_keys": ["whk_literal_1", {"file": file}]}},
            "destinations": {"crm": {
                "url": "https://example.com/in?api_key=query-secret&a=plain-value", "headers": {"X-Api-Key": "header-secret"},
                "basic": {"user": "ann", "password": "basic-secret"}, "token_url": "https://example.com/token",
                "fields": {"key_account": "Key account one"}, "custom_field_key": "budget_range", "author": "Leadwire bot",
            }},
        });
        let redactor = redactor(merged.as_object().unwrap());
        let basic = STANDARD.encode("ann:basic-secret");
        for secret in ["pass-word-1", "whk_literal_1", "from-the-file", "query-secret", "header-secret", "basic-secret", &basic] {
            assert_eq!(redactor.clean(&format!("a {secret} b")), "a •••• b", "{secret}");
        }
        for harmless in ["plain-value", "Key account one", "budget_range", "Leadwire bot", "https://example.com/token"] {
            assert_eq!(redactor.clean(harmless), harmless);
        }
    }
}
