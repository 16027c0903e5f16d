//! Reading single values: what a key accepts, and the sentence a person reads when it does not.

use super::settings::{StoreUrl, read_period};
use crate::store::check_postgres_url;
use ipnet::IpNet;
use leadwire_connector::settings::{Secret, did_you_mean};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// One body is held in memory while it is verified.
const LARGEST_BODY: u64 = 1 << 30;

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is no address with a port; write one such as \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for every interface"
        ))
    })
}

pub(super) fn some_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    listen(deserializer).map(Some)
}

/// The path of a file, plainly or as `{ file = "PATH" }`. What stands in it is read where it is needed, and again when it changes.
pub(super) fn some_file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.get("file").filter(|_| value.as_object().is_some_and(|table| table.len() == 1)).unwrap_or(&value);
    match text.as_str() {
        Some(text) if text.contains("-----BEGIN") => Err(D::Error::custom("expected the path of a file, not what stands in it")),
        Some(text) if !text.trim().is_empty() && !text.contains('\0') => Ok(Some(PathBuf::from(text))),
        _ => Err(D::Error::custom("expected the path of a file, such as \"/etc/leadwire/privkey.pem\"")),
    }
}

/// Networks and plain addresses, as a list, or as one text with commas between.
pub(super) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = words(deserializer)?;
    let texts = || texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    let wrong: Vec<String> = texts().filter(|text| network(text).is_none()).map(|text| format!("`{text}`")).collect();
    if wrong.is_empty() {
        return Ok(texts().filter_map(network).collect());
    }
    let noun = if wrong.len() == 1 { "is no address or network" } else { "are no addresses or networks" };
    Err(D::Error::custom(format!("{} {noun}; write \"203.0.113.7\" or \"10.0.0.0/8\"", wrong.join(", "))))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().map(|network| network.trunc()).or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}

/// A list. Text alone is a list of one, and text that is a JSON list (from the environment) is that list.
fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        Value::String(text) if text.starts_with('[') => serde_json::from_str(&text).unwrap_or_else(|_| vec![Value::String(text)]),
        one => vec![one],
    })
}

pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let word = |item| {
        if let Value::String(word) = item { Ok(word) } else { Err(D::Error::custom("expected a list of texts, such as [\"a\", \"b\"]")) }
    };
    items(deserializer)?.into_iter().map(word).collect()
}

pub(super) fn some_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    words(deserializer).map(Some)
}

/// Every secret that cannot be had is told, by its place in the list.
pub(super) fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let read: Vec<Result<Secret, serde_json::Error>> = items(deserializer)?.into_iter().map(serde_json::from_value).collect();
    let wrong: Vec<String> = read
        .iter()
        .enumerate()
        .filter_map(|(index, secret)| secret.as_ref().err().map(|error| (index + 1, error)))
        .map(|(number, error)| if read.len() == 1 { error.to_string() } else { format!("number {number}: {error}") })
        .collect();
    if wrong.is_empty() { Ok(read.into_iter().flatten().collect()) } else { Err(D::Error::custom(wrong.join(", and "))) }
}

pub(super) fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read_period(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn some_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    period(deserializer).map(Some)
}

/// A whole number above 0.
pub(super) fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    std::num::NonZeroU32::deserialize(deserializer).map(|number| usize::try_from(number.get()).unwrap_or(usize::MAX))
}

/// A whole number above 0, where no number means no limit.
pub(super) fn some_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    std::num::NonZeroU32::deserialize(deserializer).map(|number| Some(number.get()))
}

pub(super) fn some_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let rate = f64::deserialize(deserializer)?;
    // Slower than one a day is a mistake, and would make the waiting time overflow long before it makes sense.
    if rate.is_finite() && rate >= 1.0 / 86_400.0 {
        Ok(Some(rate))
    } else {
        Err(D::Error::custom("out of range: expected a number above 0"))
    }
}

/// `33554432`, `"32MiB"`, `"500 kB"`.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let read = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => read_size(&text),
        _ => None,
    };
    read.filter(|bytes| *bytes > 0).ok_or_else(|| D::Error::custom("expected a size above 0, such as \"32MiB\", or a number of bytes"))
}

pub(super) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

fn read_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let bytes_each = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes_each)
}

pub(super) fn body_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let bytes = size(deserializer)?;
    let too_large = || D::Error::custom("too large: a body is held in memory while it is verified, so at most \"1GiB\"");
    usize::try_from(bytes).ok().filter(|_| bytes <= LARGEST_BODY).ok_or_else(too_large)
}

pub(super) fn some_folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() || text.contains('\0') {
        return Err(D::Error::custom("expected the path of a folder, such as \"/var/spool/leadwire\""));
    }
    Ok(Some(PathBuf::from(text)))
}

/// The URL itself is not repeated in the error: it may hold a password. For that, too, it may stand elsewhere, like any secret.
pub(super) fn store_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StoreUrl, D::Error> {
    let url = match Value::deserialize(deserializer)? {
        Value::String(text) => Secret::literal(text),
        elsewhere @ Value::Object(_) => serde_json::from_value(elsewhere).map_err(D::Error::custom)?,
        _ => return Err(D::Error::custom("expected text in quotes, such as \"sqlite:data/leadwire.db\", or { env = \"NAME\" }")),
    };
    read_store_url(url).map_err(D::Error::custom)
}

fn read_store_url(url: Secret) -> Result<StoreUrl, String> {
    let (scheme, rest) = url.expose().split_once(':').unwrap_or_default();
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "sqlite" if path.is_empty() || path.contains(['?', '\0']) || path.starts_with(':') => {
            Err("expected the path of a file after `sqlite:`, without options, such as \"sqlite:data/leadwire.db\"".to_owned())
        }
        "sqlite" => Ok(StoreUrl::Sqlite(PathBuf::from(path))),
        "postgres" | "postgresql" => check_postgres_url(url.expose()).map(|()| StoreUrl::Postgres(url)),
        _ => Err("unknown kind of store; write \"sqlite:data/leadwire.db\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"".to_owned()),
    }
}

pub(super) fn web_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let url = Url::parse(&String::deserialize(deserializer)?).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| D::Error::custom("expected a web address, such as \"https://leads.example.com\""))
}

/// The countries for which telephone numbers can be read.
pub(super) fn country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let code = text.to_ascii_uppercase();
    if code.len() == 2 && code.parse::<phonenumber::country::Id>().is_ok() {
        return Ok(Some(code));
    }
    let help = if code == "UK" { "did you mean `GB`?" } else { "write the two letters of ISO 3166-1, such as `US` or `DE`" };
    Err(D::Error::custom(format!("`{text}` is no country code; {help}")))
}

pub(super) fn log_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let text = String::deserialize(deserializer)?;
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit('=').next().unwrap_or(part);
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(D::Error::custom(format!("unknown level `{level}`; {}", did_you_mean(level, &LEVELS))));
        }
    }
    Ok(text)
}
