//! The configuration as its own manual: schema, reference, what holds, and advice.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::*;
use crate::connectors::builtin;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

/// Compares with what is kept, or writes it.
fn keep(file: &str, made: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("LEADWIRE_WRITE").is_some() {
        std::fs::write(&kept, made).unwrap();
    }
    let is_same = std::fs::read_to_string(&kept).unwrap_or_default() == made;
    assert!(is_same, "docs/{file} is not what the settings say; run this test with LEADWIRE_WRITE=1, and look at what changed");
}

#[test]
fn the_schema_in_the_repository_is_what_the_program_prints() {
    keep("config.schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema(&builtin())).unwrap()));
}

#[test]
fn the_reference_in_the_repository_is_what_the_program_prints() {
    let page = reference(&builtin());
    keep("configuration.md", &page);
    let bare: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")).collect();
    assert_eq!(bare, Vec::<&str>::new(), "every key says what it means");
}

/// As much of JSON Schema (draft 7) as ours uses; what it does not know it refuses.
fn faults(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let mut fault = |what: &str| found.push(format!("{at}: {what}"));
    for (keyword, rule) in schema.as_object().unwrap() {
        let is_met = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "writeOnly" | "format" => true,
            "type" => {
                let names: Vec<&Value> = rule.as_array().map_or_else(|| vec![rule], |names| names.iter().collect());
                names.iter().any(|name| is_of(value, name.as_str().unwrap()))
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            // What they say is what the loader checks more exactly.
            "pattern" | "propertyNames" => true,
            "required" => {
                value.as_object().is_none_or(|table| rule.as_array().unwrap().iter().all(|key| table.contains_key(key.as_str().unwrap())))
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|choice| is_valid(choice, value)),
            "oneOf" => rule.as_array().unwrap().iter().filter(|choice| is_valid(choice, value)).count() == 1,
            "properties" | "additionalProperties" | "items" => true,
            other => panic!("{at}: the check knows no `{other}`"),
        };
        if !is_met {
            fault(&format!("{keyword} {rule} is not met by {value}"));
        }
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        let own = schema.get("properties").and_then(|properties| properties.get(key));
        match (own, schema.get("additionalProperties")) {
            (Some(schema), _) => faults(schema, below, &format!("{at}.{key}"), found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: unknown key {key}")),
            (None, Some(schema @ Value::Object(_))) => faults(schema, below, &format!("{at}.{key}"), found),
            _ => {}
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items").filter(|schema| schema.is_object())) {
        items.iter().for_each(|item| faults(schema, item, &format!("{at}[]"), found));
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("an unknown type {other}"),
    }
}

fn is_valid(schema: &Value, value: &Value) -> bool {
    if schema.is_boolean() {
        return schema == true;
    }
    let mut found = Vec::new();
    faults(schema, value, "", &mut found);
    found.is_empty()
}

fn judge(text: &str) -> Vec<String> {
    let value: Value = serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let mut found = Vec::new();
    faults(&schema(&builtin()), &value, "", &mut found);
    found
}

#[test]
fn every_file_that_comes_with_leadwire_fits_the_schema() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let examples = std::fs::read_dir(shipped.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = examples.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    let mut count = 0;
    for file in examples.chain([shipped.join("leadwire.toml")]) {
        count += 1;
        assert_eq!(judge(&std::fs::read_to_string(&file).unwrap()), Vec::<String>::new(), "{}", file.display());
    }
    assert!(count > 5);
    let is_setting = |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', ':']));
    let uncomment = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line);
    let all: Vec<&str> = include_str!("../../config/leadwire.toml").lines().map(uncomment).collect();
    assert_eq!(judge(&all.join("\n")), Vec::<String>::new());
}

#[test]
fn the_schema_finds_what_an_editor_should_underline() {
    for (text, part) in [
        ("[server]\nlistn = \"127.0.0.1:1\"", "unknown key listn"),
        ("[store]\nretention = 90", "type"),
        ("[destinations.crm]\ntype = \"fax\"", "oneOf"),
        ("[destinations.archive]\ntype = \"csv\"\ndirectory = \"drop\"\nconcurrency = 0", "oneOf"),
        ("[destinations.backend]\ntype = \"json\"", "oneOf"),
        ("[sources.a]\nsigning_keys = [{ evn = \"A\" }]", "anyOf"),
        ("[[routes]]\nsources = [\"a\"]", "required"),
        ("[[alerts.channels]]\ntype = \"slack\"\nhost = \"a\"", "oneOf"),
    ] {
        assert!(judge(text).iter().any(|fault| fault.contains(part)), "{text}: {:?}", judge(text));
    }
}

const FILE: &str = "[server]\nlisten = \"127.0.0.1:8088\"\n\n[sources.acme]\nsigning_keys = [\"whk_literal_secret\", { env = \"PATH\" }]\n\
    [destinations.backend]\ntype = \"json\"\nurl = \"https://example.com/in?api_key=query-secret-1&a=1\"\n\
    headers = { X-Tenant = \"header-secret-1\" }\nbearer = \"bearer-secret-1\"\n[destinations.backend.fields]\nkey = \"{{ person.email }}\"\n\
    [[routes]]\nto = [\"backend\"]\n";

fn written(text: &str, mode: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("l.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    folder
}

#[test]
fn what_holds_is_told_with_its_layer_and_without_secrets() {
    let folder = written(FILE, 0o600);
    let environment =
        [("LEADWIRE__STORE__RETENTION", "90d"), ("LEADWIRE__DESTINATIONS__BACKEND__SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")];
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let told = effective(&folder.path().join("l.toml"), &builtin(), environment).unwrap();
    let one = |key: &str| told.iter().find(|value| value.key == key).unwrap_or_else(|| panic!("no {key}: {told:#?}"));
    assert_eq!((&one("server.listen").value, &one("server.listen").from), (&json!("127.0.0.1:8088"), &Layer::File { line: Some(2) }));
    assert_eq!(one("store.retention").from, Layer::Environment { variable: "LEADWIRE__STORE__RETENTION".into() });
    assert_eq!((&one("delivery.give_up_after").value, &one("delivery.give_up_after").from), (&json!("3d"), &Layer::Default));
    assert_eq!(one("sources.acme.signing_keys.0").value, "••••");
    assert_eq!(one("sources.acme.signing_keys.1").value, json!({"env": "PATH"}));
    assert_eq!(one("sources.acme.tolerance_past").value, "10m");
    assert_eq!(one("destinations.backend.concurrency").from, Layer::Default);
    assert_eq!(one("destinations.backend.fields.key").value, "{{ person.email }}", "what is sent on purpose is shown");
    assert_eq!(one("routes.0.to").value, json!(["backend"]));
    let all = serde_json::to_string(&told).unwrap();
    for secret in ["whk_literal", "query-secret", "header-secret", "bearer-secret", "MDEyMz"] {
        assert!(!all.contains(secret), "{all}");
    }
}

fn advice(text: &str, mode: u32) -> Vec<String> {
    let folder = written(text, mode);
    let settings = load(&folder.path().join("l.toml"), &builtin(), std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}"));
    settings.warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect()
}

fn is_advised(text: &str, path: &str, part: &str) -> bool {
    advice(text, 0o600).iter().any(|told| told.starts_with(&format!("{path}: ")) && told.contains(part))
}

#[test]
fn secrets_in_a_file_that_others_can_read_are_told() {
    assert!(advice(FILE, 0o644).iter().any(|told| told.contains("everyone on this machine can read this file")));
    assert!(!advice(FILE, 0o640).iter().any(|told| told.contains("can read this file")));
    let without = FILE.replace("\"whk_literal_secret\", ", "").replace("bearer = \"bearer-secret-1\"\n", "");
    assert!(!advice(&without, 0o644).iter().any(|told| told.contains("can read this file")), "{:?}", advice(&without, 0o644));
    assert!(is_advised(FILE, "destinations.backend.bearer", "stands in the file"));

    let secrets = tempfile::tempdir().unwrap();
    let key = secrets.path().join("key");
    std::fs::write(&key, "from-a-file").unwrap();
    let text = FILE.replace("{ env = \"PATH\" }", &format!("{{ file = \"{}\" }}", key.display()));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(is_advised(&text, "sources.acme.signing_keys.1", "can read this secret"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!is_advised(&text, "sources.acme.signing_keys.1", "can read this secret"));
}

#[test]
fn two_sources_with_one_key_are_told_and_one_source_is_not() {
    let text = format!("{FILE}[sources.other]\nsigning_keys = [\"whk_literal_secret\"]\n");
    assert!(is_advised(&text, "sources.other.signing_keys.0", "`acme` has this signing key, too"));
    assert!(!advice(FILE, 0o600).iter().any(|told| told.contains("has this signing key")));
}

#[test]
fn each_of_many_sources_with_one_key_is_told() {
    let more: String = (0..6).map(|n| format!("[sources.s{n}]\nsigning_keys = [\"whk_literal_secret\"]\n")).collect();
    let folder = written(&format!("{FILE}{more}"), 0o600);
    let settings = load(&folder.path().join("l.toml"), &builtin(), std::iter::empty()).unwrap();
    let told = settings.told_warnings().concat();
    assert!((0..5).all(|n| told.contains(&format!("the source `s{n}` has this signing key, too"))), "{told}");
}

#[test]
fn addresses_of_another_brand_are_told_unless_they_are_only_watched() {
    let with = |more: &str| FILE.replace("[sources.acme]\n", &format!("[sources.acme]\nallow_ips = [\"138.91.187.181\"]\n{more}"));
    assert!(is_advised(&with(""), "sources.acme.allow_ips", "Hello Client"));
    for fine in ["report_only = true\n", "test_reply = false\n"] {
        assert!(!is_advised(&with(fine), "sources.acme.allow_ips", "Hello Client"), "{fine}");
    }
    let own = FILE.replace("[sources.acme]\n", "[sources.acme]\nallow_ips = [\"203.0.113.7\", \"10.0.0.0/8\"]\n");
    assert!(!is_advised(&own, "sources.acme.allow_ips", "Hello Client"));
}

#[test]
fn a_destination_that_is_tried_for_longer_than_leads_are_kept_is_told() {
    let text = |give_up: &str| {
        format!(
            "[store]\nretention = \"7d\"\n{}",
            FILE.replace("type = \"json\"", &format!("type = \"json\"\ngive_up_after = \"{give_up}\""))
        )
    };
    assert!(is_advised(&text("30d"), "destinations.backend.give_up_after", "longer than `retention`"));
    assert!(!is_advised(&text("5d"), "destinations.backend.give_up_after", "longer than `retention`"));
}

#[test]
fn a_destination_that_cannot_be_reached_is_told() {
    let at = |url: &str| FILE.replace("https://example.com/in?api_key=query-secret-1&a=1", url);
    let blocked = |url: &str| format!("[delivery]\nblock_private_addresses = true\n{}", at(url));
    for url in ["https://10.0.0.8/in", "https://localhost/in", "https://[::1]/in"] {
        assert!(is_advised(&blocked(url), "destinations.backend.url", "not public"), "{url}");
        assert!(!is_advised(&at(url), "destinations.backend.url", "not public"), "{url}");
    }
    assert!(!is_advised(&blocked("https://example.com/in"), "destinations.backend.url", "not public"));
    assert!(is_advised(&at("http://127.0.0.1:8088/hooks/acme"), "destinations.backend.url", "this bridge itself"));
    assert!(!is_advised(&at("http://127.0.0.1:9000/hooks/acme"), "destinations.backend.url", "this bridge itself"));
}

#[test]
fn advice_shows_no_secret() {
    let folder = written(&format!("{FILE}[sources.other]\nsigning_keys = [\"whk_literal_secret\"]\n"), 0o644);
    let settings = load(&folder.path().join("l.toml"), &builtin(), std::iter::empty()).unwrap();
    let told: String = settings.warnings.iter().map(ToString::to_string).collect();
    for secret in ["whk_literal", "query-secret", "header-secret", "bearer-secret"] {
        assert!(!told.contains(secret), "{told}");
    }
}
