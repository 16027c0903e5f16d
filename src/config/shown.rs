//! What of the file may be shown in a message. A secret may stand anywhere: under a misspelt key, in a comment, in a URL. So a value is
//! hidden unless it is known to be harmless.

use super::settings::Drive;
use leadwire_connector::settings::Fault;

pub(super) const DOTS: &str = "\"••••\"";

/// The keys of the bridge whose values are no secrets.
pub(super) const HARMLESS: [&str; 68] = [
    "listen",
    "trusted_proxies",
    "workers",
    "shutdown_timeout",
    "request_timeout",
    "max_connections",
    "public_url",
    "certificate",
    "redirect",
    "challenges",
    "mask_personal_data",
    "session_lifetime",
    "session_idle",
    "role",
    "retention",
    "max_bytes",
    "quarantine_max_bytes",
    "quarantine_max_age",
    "spool",
    "spool_max_bytes",
    "backoff_initial",
    "backoff_max",
    "give_up_after",
    "connect_timeout",
    "timeout",
    "block_private_addresses",
    "level",
    "format",
    "allow_ips",
    "report_only",
    "default_country",
    "tolerance_past",
    "tolerance_future",
    "max_body_bytes",
    "test_reply",
    "max_per_minute",
    "requests_per_minute",
    "page_field",
    "page_size_field",
    "page_size",
    "type",
    "concurrency",
    "rate_per_second",
    "burst",
    "to",
    "sources",
    "kinds",
    "chatbots",
    "when",
    "silence_after",
    "look_every",
    "remind_every",
    "settle",
    "breaker_open_for",
    "lead_older_than",
    "quarantine_per_hour",
    "disk_free",
    "store_sick_for",
    "off",
    "digest_at",
    "time_zone",
    "severity",
    "digest",
    "host",
    "port",
    "tls",
    "sample_ratio",
    "service_name",
];

/// Parts of the names of keys whose values are secrets.
const SECRET: [&str; 9] = ["token", "secret", "key", "pass", "pwd", "auth", "bearer", "credential", "cookie"];

/// Whether the fault is the key, not its value.
pub(super) fn is_about_key(fault: &Fault) -> bool {
    fault.message.starts_with("unknown key") || fault.message.starts_with("the name ")
}

/// Whether the single value at `path` may be shown in a message about `fault`.
pub(super) fn may_be_shown(path: &[String], value: &str, fault: &Fault) -> bool {
    let is_faulty = path == fault.path && !is_about_key(fault);
    match path {
        _ if is_about_key(fault) && path.starts_with(&fault.path) => false,
        [destinations, _, key] if destinations == "destinations" && (key == "type" || Drive::KEYS.contains(&key.as_str())) => true,
        // The faulty value of a connector's own key helps to see what is meant; a URL may be the key to what it names.
        [destinations, _, ..] if destinations == "destinations" => {
            is_env_name(path, value) || (is_faulty && !value.contains("://") && !path.iter().any(|key| is_secret(key)))
        }
        [.., list, index] if index.parse::<usize>().is_ok() => is_harmless(list),
        [.., key] => is_env_name(path, value) || is_harmless(key),
        [] => false,
    }
}

/// `{ env = "NAME" }`, unless a secret was pasted in place of the name.
fn is_env_name(path: &[String], value: &str) -> bool {
    let is_word = value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '"' | '\''));
    path.last().is_some_and(|key| key == "env") && is_word
}

fn is_harmless(key: &str) -> bool {
    HARMLESS.contains(&key)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|part| key.contains(part))
}

/// A line that is not TOML, so that nothing is known of it but its text: only headers and what harmless keys start with are shown.
pub(super) fn of_broken_line(line: &str) -> String {
    let line = line.split('#').next().unwrap_or_default();
    let is_header = line.trim_start().starts_with('[') && line.chars().all(|c| c.is_ascii_alphanumeric() || "[]._- \t\r".contains(c));
    match line.split_once('=') {
        Some((key, value)) if is_harmless(key.trim()) => format!("{key}={}", first_word(value)),
        Some((key, rest)) if is_bare_key(key) && !rest.trim().trim_start_matches('=').is_empty() => format!("{key}= {DOTS}"),
        None if is_header || line.trim().is_empty() => line.to_owned(),
        _ => DOTS.to_owned(),
    }
}

/// Where a value ends is not known in such a line, and what follows may be a comment.
fn first_word(line: &str) -> String {
    let value = line.trim_start();
    let closing_quote = value.match_indices(['"', '\'']).nth(1).map(|(at, _)| at + 1);
    let end = value.find(char::is_whitespace).into_iter().chain(closing_quote).min().unwrap_or(value.len());
    let (word, rest) = value.split_at(end);
    let dots = if rest.trim().is_empty() { "" } else { DOTS };
    format!("{}{word} {dots}", &line[..line.len() - value.len()])
}

/// The end of a secret in Base64 looks like a key at first sight.
fn is_bare_key(key: &str) -> bool {
    key.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// The mistake that most such lines are.
pub(super) fn help_for_broken_line(line: &str) -> Option<&'static str> {
    let value = line.split('#').next()?.split_once('=')?.1.trim();
    let quotes = value.matches(['"', '\'']).count();
    match value.chars().next() {
        None => Some("a value belongs after `=`"),
        Some('"' | '\'') if quotes % 2 == 1 => Some("a quote is missing at the end"),
        Some(first) if first.is_alphanumeric() && quotes == 0 => Some("text stands in quotes: key = \"text\""),
        _ => None,
    }
}
