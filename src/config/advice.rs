//! What a careful colleague would say of a configuration that is right: it works, and something about it is probably not meant.
//!
//! What concerns a single value is said where that is read; here is what needs several, or the machine.

use super::reader::Reader;
use super::secrets::{SENT, is_secret};
use super::sections::LITERAL;
use super::settings::{Settings, Source};
use super::variables_file;
use ipnet::IpNet;
use leadwire_connector::http::{is_loopback, is_public};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use url::{Host, Url};

/// The addresses that Hello Client's page names for itself ("Triggering IP"); no other brand of the platform names any.
const HELLO_CLIENT: [&str; 3] = ["138.91.187.181", "20.245.232.251", "51.116.103.131"];

/// Everything there is to say.
pub(super) fn give(reader: &mut Reader<'_>, settings: &Settings) {
    shared_keys(reader, settings);
    for (name, source) in &settings.sources {
        other_brand(reader, name, source);
    }
    short_retention(reader, settings);
    unreachable(reader, settings);
    let has_literal = literal_secrets(reader) || reader.warnings.iter().any(|warning| warning.message.contains("stands in the file"));
    readable_files(reader, settings, has_literal);
}

/// Two sources with one key: what somebody saw posted to one can be posted to the other, and usually one of the two was pasted wrongly.
fn shared_keys(reader: &mut Reader<'_>, settings: &Settings) {
    let mut known: HashMap<&str, &str> = HashMap::new();
    for (name, source) in &settings.sources {
        for (at, key) in source.signing_keys.iter().enumerate() {
            // Each is told of the one before it, so that however many share a key, all are named. A source may list a key twice; that hurts
            // nobody.
            if let Some(other) = known.insert(key.expose(), name).filter(|other| other != name) {
                let message = format!("the source `{other}` has this signing key, too: what is signed for one is good for the other");
                let help = "copy the Sign Key of each chatbot's own Webhook tab, or use one source for both";
                reader.warn(&["sources", name, "signing_keys", &at.to_string()], message, help);
            }
        }
    }
}

/// With an enforced list of another brand's addresses, every lead is refused.
fn other_brand(reader: &mut Reader<'_>, name: &str, source: &Source) {
    let is_documented = |net: &IpNet| {
        HELLO_CLIENT
            .iter()
            .any(|address| address.parse().is_ok_and(|address: IpAddr| net.contains(&address)) && net.prefix_len() == net.max_prefix_len())
    };
    let is_hello_client = !source.test_reply || name.contains("hello");
    if source.allow_ips.iter().any(is_documented) && !source.report_only && !is_hello_client {
        let message =
            "these are the addresses that Hello Client names for itself; if this chatbot is another brand's, its leads are refused";
        let help = "set `report_only = true` until `leadwire sources list` shows who really posts; a source of Hello Client has `test_reply = false`";
        reader.warn(&["sources", name, "allow_ips"], message, help);
    }
}

/// `[store] retention` against the destinations that have a time of their own.
fn short_retention(reader: &mut Reader<'_>, settings: &Settings) {
    let Some(retention) = settings.store.retention.filter(|age| *age >= settings.delivery.give_up_after) else { return };
    for (name, _) in settings.destinations.iter().filter(|(_, destination)| destination.give_up_after > retention) {
        let message =
            "`give_up_after` is longer than `retention` in [store]: other deliveries are forgotten while this destination is still tried";
        reader.warn(&["destinations", name, "give_up_after"], message, "lengthen `retention`, or shorten this");
    }
}

/// Addresses that nothing can be delivered to, or that lead back to this bridge.
fn unreachable(reader: &mut Reader<'_>, settings: &Settings) {
    for name in settings.destinations.keys() {
        for key in ["url", "base_url"] {
            let text = reader.layers.merged.get("destinations").and_then(|all| all.get(name)?.get(key)?.as_str());
            let Some(url) = text.and_then(|text| Url::parse(text.trim()).ok()) else { continue };
            let path = ["destinations", name, key];
            if settings.delivery.block_private_addresses && is_private(&url) {
                let message = "this address is not public, and `block_private_addresses` in [delivery] lets nothing go there";
                reader.warn(&path, message, "give a public address, or set `block_private_addresses = false`");
            } else if is_own(&url, settings) {
                let message = "this is the address of this bridge itself: each lead would come back as another request";
                reader.warn(&path, message, "give the address of the service that is to get the leads");
            }
        }
    }
}

fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
        Some(Host::Domain(_)) => is_loopback(url),
        None => false,
    }
}

fn is_own(url: &Url, settings: &Settings) -> bool {
    let public = settings.server.public_url.as_ref();
    let is_public_url =
        public.is_some_and(|own| own.host_str() == url.host_str() && own.port_or_known_default() == url.port_or_known_default());
    let listen = settings.server.listen;
    let is_here = is_loopback(url) && listen.port() != 0 && url.port_or_known_default() == Some(listen.port());
    (is_public_url || is_here) && url.path().starts_with("/hooks/")
}

/// Secrets of destinations: their connectors know them only as text, so that they are recognised by the name of their key.
fn literal_secrets(reader: &mut Reader<'_>) -> bool {
    let Some(Value::Object(destinations)) = reader.layers.merged.get("destinations") else { return false };
    let mut found = Vec::new();
    for (name, table) in destinations {
        if let Value::Object(table) = table {
            collect(table, &mut vec!["destinations".to_owned(), name.clone()], &mut found);
        }
    }
    let mut is_any = false;
    for path in found {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if reader.layers.is_from_file(&path) {
            reader.warn(&path, "this secret stands in the file itself", LITERAL);
            is_any = true;
        }
    }
    is_any
}

fn collect(table: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, value) in table.iter().filter(|(key, _)| *key != SENT) {
        path.push(key.clone());
        match value {
            // A template takes the secret from somewhere else, and an address has a password only if it says so.
            Value::String(text) if is_secret(key) && !text.contains("{{") && !text.contains("://") => found.push(path.clone()),
            Value::Object(below) => collect(below, path, found),
            _ => {}
        }
        path.pop();
    }
}

/// Files with secrets in them that everybody on the machine can read.
fn readable_files(reader: &mut Reader<'_>, settings: &Settings, has_literal: bool) {
    if has_literal && is_open(&settings.path) {
        let message = "everyone on this machine can read this file, and secrets stand in it";
        reader.warn(&[], message, format!("chmod 600 {}", settings.path.display()));
    }
    if is_open(&variables_file(&settings.path)) {
        let file = variables_file(&settings.path);
        let message = format!("everyone on this machine can read {}, where secrets belong", file.display());
        reader.warn(&[], message, format!("chmod 600 {}", file.display()));
    }
    let mut files = Vec::new();
    named_files(&Value::Object(reader.layers.merged.clone()), &mut Vec::new(), &mut files);
    for (path, file) in files {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        reader.warn(&path, "everyone on this machine can read this secret", format!("chmod 600 {file}"));
    }
}

fn named_files(value: &Value, path: &mut Vec<String>, files: &mut Vec<(Vec<String>, String)>) {
    let mut below = |key: String, value: &Value| {
        path.push(key);
        named_files(value, path, files);
        path.pop();
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| below(index.to_string(), item)),
        Value::Object(table) => match table.get("file").and_then(Value::as_str).filter(|_| table.len() == 1) {
            Some(file) if is_open(Path::new(file)) && !is_mounted(file) => files.push((path.clone(), file.to_owned())),
            Some(_) => {}
            None => table.iter().for_each(|(key, value)| below(key.clone(), value)),
        },
        _ => {}
    }
}

/// Containers get their secrets there, readable for all of the few who are inside.
fn is_mounted(file: &str) -> bool {
    ["/run/", "/var/run/"].iter().any(|folder| file.starts_with(folder))
}

fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0)
}
