//! The kinds of values: for `#[serde(with = …)]`. Each says how a value is read, how it is written where a default is told, and what an
//! editor is told of it, so that none of the three can lag behind the others.

use super::AlertKind;
use super::alerts;
use super::settings::StoreUrl;
use super::traces;
use super::values;
use ipnet::IpNet;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use leadwire_connector::settings::{Secret, duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserializer, Serialize as _, Serializer};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

macro_rules! kinds {
    ($($name:ident: $type:ty, read by $read:path, written by $write:expr, $schema:expr;)*) => {$(
        #[derive(Debug)]
        pub(super) struct $name;

        impl $name {
            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                $read(deserializer)
            }

            pub(super) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                let write: fn(&$type) -> Value = $write;
                write(value).serialize(serializer)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let schema: fn(&mut SchemaGenerator) -> Schema = $schema;
                schema(generator)
            }
        }
    )*};
}

kinds! {
    Listen: SocketAddr, read by values::listen, written by |value| json!(value), |_| text();
    Addresses: Vec<IpNet>, read by values::addresses, written by |value| json!(value), |_| texts();
    AtLeastOne: usize, read by values::at_least_one, written by |value| json!(value), |_| json_schema!({"type": "integer", "minimum": 1});
    Period: Duration, read by values::period, written by |value| json!(duration::text(*value)), duration::Text::json_schema;
    SomePeriod: Option<Duration>, read by values::some_period, written by |value| json!(value.map(duration::text)), duration::Text::json_schema;
    WebAddress: Option<Url>, read by values::web_address, written by |value| json!(value), |_| json_schema!({"type": "string", "format": "uri"});
    Place: StoreUrl, read by values::store_url, written by place, url;
    Size: u64, read by values::size, written by |value| json!(size_text(*value)), |_| size();
    SomeSize: Option<u64>, read by values::some_size, written by |value| json!(value.map(size_text)), |_| size();
    BodySize: usize, read by values::body_size, written by |value| json!(size_text(u64::try_from(*value).unwrap_or(u64::MAX))), |_| size();
    SomeListen: Option<SocketAddr>, read by values::some_listen, written by |value| json!(value), |_| text();
    SomeFile: Option<PathBuf>, read by values::some_file, written by |value| json!(value), |_| text();
    SomeFolder: Option<PathBuf>, read by values::some_folder, written by |value| json!(value), |_| text();
    Secrets: Vec<Secret>, read by values::secrets, written by |_| json!([]), secrets;
    Country: Option<String>, read by values::country, written by |value| json!(value), |_| json_schema!({"type": "string", "pattern": "^[A-Za-z]{2}$"});
    SomeCount: Option<u32>, read by values::some_count, written by |value| json!(value), |_| json_schema!({"type": "integer", "minimum": 1});
    SomeRate: Option<f64>, read by values::some_rate, written by |value| json!(value), |_| json_schema!({"type": "number", "exclusiveMinimum": 0});
    LogLevel: String, read by values::log_level, written by |value| json!(value), |_| text();
    Words: Vec<String>, read by values::words, written by |value| json!(value), |_| texts();
    SomeWords: Option<Vec<String>>, read by values::some_words, written by |value| json!(value), |_| texts();
    AlertKinds: Vec<AlertKind>, read by alerts::kinds, written by |value| json!(value),
        |_| json_schema!({"type": "array", "items": {"enum": AlertKind::ALL.map(AlertKind::as_str)}});
    TimeOfDay: Option<Time>, read by alerts::time_of_day, written by |value| json!(value.map(|time| time.strftime("%H:%M").to_string())),
        |_| json_schema!({"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$"});
    Ratio: f64, read by traces::ratio, written by |value| json!(value), |_| json_schema!({"type": "number", "minimum": 0, "maximum": 1});
    Zone: TimeZone, read by alerts::time_zone, written by |value| json!(value.iana_name()), |_| text();
}

fn text() -> Schema {
    json_schema!({"type": "string"})
}

fn texts() -> Schema {
    json_schema!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]})
}

fn size() -> Schema {
    json_schema!({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^ *[0-9]+ *([kKmMgG]i?)?[bB]? *$"}]})
}

fn secrets(generator: &mut SchemaGenerator) -> Schema {
    let one = Secret::json_schema(generator);
    json_schema!({"writeOnly": true, "anyOf": [{"type": "array", "items": one}, one]})
}

/// May stand elsewhere like a secret; a password in it is masked wherever it is shown.
fn url(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Secret::json_schema(generator);
    schema.remove("writeOnly");
    schema
}

/// The one of a PostgreSQL may hold a password.
fn place(url: &StoreUrl) -> Value {
    match url {
        StoreUrl::Sqlite(path) => json!(format!("sqlite:{}", path.display())),
        StoreUrl::Postgres(_) => Value::Null,
    }
}

/// In the largest unit that fits.
fn size_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(each, _)| bytes > 0 && bytes.is_multiple_of(*each));
    unit.map_or_else(|| format!("{bytes}B"), |(each, unit)| format!("{}{unit}", bytes / each))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_size_is_written_as_it_can_be_read() {
        for (bytes, text) in [(32 << 20, "32MiB"), (1 << 30, "1GiB"), (1_500, "1500B"), (2_048, "2KiB")] {
            assert_eq!(size_text(bytes), text);
            assert_eq!(Size::deserialize(json!(text)).unwrap(), bytes);
        }
    }
}
