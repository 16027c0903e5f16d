//! `[destinations.NAME]` of `type = "csv"`: read, checked as a whole, ready to be built.

use crate::Csv;
use crate::files::{self, Rotation};
use crate::map::{self, Column, Table};
use leadwire_connector::settings::{self, Fault, Origin, did_you_mean};
use leadwire_connector::{Build, BuildContext, Claim, Connector, Kept, Limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROWS_MOST: u64 = 1_000_000;
const AGES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// The keys as they are written. The README is their reference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// Where the files are, relative to the working directory; it is made when it is not there.
    directory: PathBuf,
    /// Whether files are finished after a while, or there is one a day.
    #[serde(default)]
    mode: Mode,
    /// A file is finished after so many rows. Default 1000.
    max_rows: Option<u64>,
    /// A file is finished after this time. Default `"60s"`.
    #[serde(default, deserialize_with = "settings::duration::option::deserialize")]
    #[schemars(with = "Option<settings::duration::Text>")]
    max_age: Option<Duration>,
    /// The columns, in order: names, or tables with a name and a template.
    columns: Option<Vec<Column>>,
    /// What stands between two cells.
    #[serde(default = "comma")]
    delimiter: String,
    /// Whether a file begins with the mark that Excel wants.
    #[serde(default)]
    byte_order_mark: bool,
    /// Where copies of finished files go, in a build with the feature `s3`.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    s3: Option<S3>,
}

#[cfg(feature = "s3")]
type S3 = crate::s3::Keys;
/// Whatever stands there, this program cannot do it.
#[cfg(not(feature = "s3"))]
type S3 = serde::de::IgnoredAny;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Each is finished by `max_rows` or `max_age`.
    #[default]
    Files,
    /// One a day, appended to until midnight UTC.
    Daily,
}

fn comma() -> String {
    ",".to_owned()
}

/// Valid settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) rotation: Rotation,
    pub(crate) table: Table,
    #[cfg(feature = "s3")]
    pub(crate) s3: Option<S3>,
    warnings: Vec<String>,
}

/// What editors are told of the keys.
pub(crate) fn schema() -> Value {
    settings::schema::<Keys>()
}

/// Reads the keys; every fault at once.
pub(crate) fn parse(keys: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(settings::parse_and(keys, origin, Settings::new)?))
}

impl Settings {
    fn new(keys: Keys) -> Result<Self, Vec<Fault>> {
        let mut faults = keys.faults();
        let warnings = keys.warnings();
        let rotation = keys.rotation();
        let delimiter = keys.delimiter.bytes().next().unwrap_or(b',');
        match Table::new(keys.columns.unwrap_or_else(map::default_columns), delimiter, keys.byte_order_mark) {
            Ok(table) if faults.is_empty() => Ok(Self {
                directory: keys.directory,
                rotation,
                table,
                #[cfg(feature = "s3")]
                s3: keys.s3,
                warnings,
            }),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }
}

impl Keys {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.directory.as_os_str().is_empty() {
            faults.push(Fault::new(["directory"], "the directory is empty").with_help("name a folder, such as \"drop\""));
        }
        if self.max_rows.is_some_and(|rows| !(1..=ROWS_MOST).contains(&rows)) {
            faults.push(Fault::new(["max_rows"], format!("a file has 1 to {ROWS_MOST} rows")));
        }
        if self.max_age.is_some_and(|age| !AGES.contains(&age)) {
            faults.push(Fault::new(["max_age"], "a file is finished after \"1s\" to \"30d\""));
        }
        #[cfg(feature = "s3")]
        faults.extend(self.s3.iter().flat_map(S3::faults));
        #[cfg(not(feature = "s3"))]
        if self.s3.is_some() {
            let fault = Fault::new(["s3"], "this program was built without the feature `s3`");
            faults.push(fault.with_help("build it with `cargo build --release --features s3`, or take the table out"));
        }
        if !matches!(self.delimiter.as_str(), "," | ";" | "|" | "\t") {
            faults.push(Fault::new(["delimiter"], "this is no delimiter").with_help("write \",\", \";\", \"|\" or \"\\t\""));
        }
        faults
    }

    fn rotation(&self) -> Rotation {
        match self.mode {
            Mode::Daily => Rotation::Daily,
            Mode::Files => Rotation::Files { rows: self.max_rows.unwrap_or(1_000), age: self.max_age.unwrap_or(Duration::from_secs(60)) },
        }
    }

    fn warnings(&self) -> Vec<String> {
        let given = [("max_rows", self.max_rows.is_some()), ("max_age", self.max_age.is_some())];
        let idle = given.into_iter().filter(|(_, is_given)| *is_given && self.mode == Mode::Daily);
        let idle = idle.map(|(key, _)| format!("`{key}` does nothing in mode \"daily\": a daily file is finished at midnight UTC"));
        #[cfg(feature = "s3")]
        let idle = idle.chain(self.s3.iter().flat_map(S3::warnings));
        idle.collect()
    }
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(Csv::new(self, context)?))
    }

    /// Deliveries that wait together share one fsync, so many at once are fast.
    fn limits(&self) -> Limits {
        Limits { concurrency: 64, per_second: None, burst: 64 }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn claims(&self, base_directory: &Path) -> Vec<Claim> {
        let directory = base_directory.join(&self.directory);
        // One that is not made yet has no other name than this.
        let resolved = std::fs::canonicalize(&directory).or_else(|_| std::path::absolute(&directory)).unwrap_or(directory);
        let resolved: PathBuf = resolved.components().collect();
        let help = "name a folder for each: it belongs to the one that writes into it";
        vec![Claim { path: vec!["directory".to_owned()], what: "folder", id: resolved.display().to_string(), help }]
    }

    fn kept(&self, context: &BuildContext, wanted: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, String> {
        let directory = context.base_directory.join(&self.directory);
        files::kept(&directory, wanted).map_err(|error| format!("{} cannot be read: {}", directory.display(), files::explain(&error)))
    }
}

impl JsonSchema for Column {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = || json_schema!({"type": "string"});
        json_schema!({
            "anyOf": [
                {"enum": map::standard_names()},
                {
                    "type": "object", "properties": {"name": text(), "value": text()}, "required": ["name", "value"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnColumn {
    name: String,
    value: String,
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = Column;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column, or { name = \"Company\", value = \"{{ extra.Company }}\" }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Column, E> {
        map::standard(name).ok_or_else(|| E::custom(format!("there is no column `{name}`: {}", did_you_mean(name, &map::standard_names()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Column, A::Error> {
        let own = OwnColumn::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Column::Own { name: own.name, template: own.value })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::settings::Typed;
    use serde_json::json;

    fn read(keys: &Value) -> Result<Settings, Vec<Fault>> {
        settings::parse_and(keys.as_object().unwrap().clone(), &Typed, Settings::new)
    }

    fn told(keys: &Value) -> Vec<String> {
        let faults = read(keys).unwrap_err();
        faults
            .iter()
            .map(|fault| format!("{}: {} {}", fault.path.join("."), fault.message, fault.help.clone().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_directory_is_all_that_is_needed() {
        let settings = read(&json!({"directory": "drop"})).unwrap();
        assert_eq!(settings.rotation, Rotation::Files { rows: 1_000, age: Duration::from_secs(60) });
        let header = String::from_utf8(settings.table.header().unwrap()).unwrap();
        assert_eq!(
            header,
            "received_at,created_at,kind,first_name,last_name,email,phone,content,session_id,chatbot_id,page_url,source,event_id,delivery_id\n"
        );
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = told(&json!({"directory": "", "max_rows": 0, "max_age": "100ms", "delimiter": "x"}));
        let places: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(places, ["directory", "max_rows", "max_age", "delimiter"]);
        assert!(told(&json!({"directory": "d", "dilimiter": ";"}))[0].contains("did you mean `delimiter`?"));
        assert!(told(&json!({"directory": "d", "columns": ["emial"]}))[0].contains("did you mean `email`?"));
        let own = |template: &str| told(&json!({"directory": "d", "columns": ["email", {"name": "A", "value": template}]})).remove(0);
        assert!(own("{{ person. }}").starts_with("columns.1: "));
        assert!(own("{{ person.emial }}").starts_with("columns.1: a person has no field `emial` did you mean `email`?"));
        assert!(own("{{ person.email|nofilter }}").contains("unknown filter"));
    }

    #[test]
    fn a_folder_is_the_same_however_it_is_written() {
        let base = tempfile::tempdir().unwrap();
        let id = |directory: &str| read(&json!({"directory": directory})).unwrap().claims(base.path()).remove(0).id;
        assert_eq!(id("drop"), id("./drop/"));
        assert_ne!(id("drop"), id("drop2"));
        std::fs::create_dir_all(base.path().join("drop/deep")).unwrap();
        assert_eq!(id("drop"), id("drop/deep/.."));
    }

    #[test]
    fn rows_and_age_say_nothing_of_a_daily_file() {
        let settings = read(&json!({"directory": "d", "mode": "daily", "max_rows": 5})).unwrap();
        assert_eq!(settings.rotation, Rotation::Daily);
        assert_eq!(settings.warnings.len(), 1);
    }
}
