//! What holds: every value of a configuration with the layer it came from, and without secrets.

use super::document::{Document, Path};
use super::layers::Layers;
use super::secrets::{SENT, is_secret};
use super::settings::Settings;
use super::{Diagnostics, assembled, read, schema, unreadable, variables};
use crate::connectors::Connectors;
use leadwire_connector::settings::with_variables;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const DOTS: &str = "••••";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "lowercase")]
pub enum Layer {
    /// A line of the file.
    File {
        /// From 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// Nobody gave one.
    Default,
}

/// One value that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// The key, dotted: `server.listen`.
    pub key: String,
    /// The value; dots in place of a secret.
    pub value: Value,
    /// Where it came from.
    #[serde(flatten)]
    pub from: Layer,
}

/// Reads a configuration as [`super::load`] does, and tells all of it.
///
/// # Errors
/// Everything that is wrong with it; see [`Diagnostics`].
pub fn effective(
    path: &std::path::Path,
    connectors: &Connectors,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Effective>, Diagnostics> {
    let text = read(path).map_err(|message| unreadable(path, message))?;
    let beside = variables::read(path);
    let assembled = || assembled(path, &text, connectors, beside.clone().into_iter().chain(environment));
    let (settings, document, layers) = with_variables(beside.clone(), assembled)?;
    let teller = Teller { document: &document, layers: &layers, settings: &settings, schema: schema(connectors) };
    Ok(teller.tell())
}

struct Teller<'a> {
    document: &'a Document<'a>,
    layers: &'a Layers,
    settings: &'a Settings,
    schema: Value,
}

impl Teller<'_> {
    fn tell(&self) -> Vec<Effective> {
        let merged = Value::Object(self.layers.merged.clone());
        let mut told = BTreeMap::new();
        self.given(&merged, &mut Vec::new(), &merged, &mut told);
        for (section, _) in self.sections() {
            self.defaults(&merged, &[section], &mut told);
        }
        for path in self.tables(&merged) {
            self.defaults(&merged, &path, &mut told);
        }
        self.driven(&mut told);
        told.into_values().collect()
    }

    /// The sections that hold whether they are given or not.
    fn sections(&self) -> impl Iterator<Item = (String, &Value)> {
        let properties = self.schema["properties"].as_object().into_iter().flatten();
        properties.filter(|(_, schema)| schema.get("properties").is_some()).map(|(name, schema)| (name.clone(), schema))
    }

    /// The tables with names, and those in lists.
    fn tables(&self, merged: &Value) -> Vec<Path> {
        let mut found = Vec::new();
        for place in [&["sources"][..], &["destinations"], &["console", "users"], &["routes"], &["alerts", "channels"]] {
            let table = place.iter().try_fold(merged, |table, key| table.get(*key));
            let names: Vec<String> = match table {
                Some(Value::Object(table)) => table.keys().cloned().collect(),
                Some(Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
                _ => Vec::new(),
            };
            let path = |name| place.iter().map(|key| (*key).to_owned()).chain([name]).collect();
            found.extend(names.into_iter().map(path));
        }
        found
    }

    fn given(&self, value: &Value, path: &mut Path, merged: &Value, told: &mut BTreeMap<Path, Effective>) {
        match value {
            Value::Object(table) if !is_elsewhere(table) => {
                for (key, below) in table {
                    path.push(key.clone());
                    self.given(below, path, merged, told);
                    path.pop();
                }
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) || self.is_secret(path, merged) => {
                for (index, below) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.given(below, path, merged, told);
                    path.pop();
                }
            }
            value => drop(told.insert(path.clone(), self.tell_one(path, value, merged))),
        }
    }

    fn tell_one(&self, path: &Path, value: &Value, merged: &Value) -> Effective {
        let value = match value {
            Value::String(_) if self.is_secret(path, merged) => json!(DOTS),
            other => self.cleaned(other),
        };
        let from = match self.layers.given_by(path) {
            Some(variable) => Layer::Environment { variable: variable.to_owned() },
            None => Layer::File { line: self.document.line(path) },
        };
        Effective { key: path.join("."), value, from }
    }

    /// By the schema, or by the name of its key.
    fn is_secret(&self, path: &Path, merged: &Value) -> bool {
        let is_sent = path.iter().any(|key| key == SENT);
        let by_schema = (1..=path.len()).any(|depth| schema::at(&self.schema, &path[..depth], merged).is_some_and(is_write_only));
        by_schema || (!is_sent && path.iter().skip(2).any(|key| is_secret(key)))
    }

    fn cleaned(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.settings.redactor.clean(text)),
            Value::Array(items) => items.iter().map(|item| self.cleaned(item)).collect(),
            other => other.clone(),
        }
    }

    fn defaults(&self, merged: &Value, path: &[String], told: &mut BTreeMap<Path, Effective>) {
        let Some(schema) = schema::at(&self.schema, path, merged) else { return };
        let table = path.iter().try_fold(merged, |table, key| key.parse::<usize>().map_or_else(|_| table.get(key), |at| table.get(at)));
        let schema = schema::chosen(schema, table.unwrap_or(&Value::Null));
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let below = [path, std::slice::from_ref(key)].concat();
            let is_given = told.keys().any(|known| known.starts_with(&below));
            if let Some(default) = schema.get("default").filter(|_| !is_given) {
                told.insert(below.clone(), by_default(&below, default.clone()));
            }
        }
    }

    /// What the machine and the connectors say.
    fn driven(&self, told: &mut BTreeMap<Path, Effective>) {
        let workers = (vec!["server".to_owned(), "workers".to_owned()], json!(self.settings.server.workers));
        let of_destinations = self.settings.destinations.iter().flat_map(|(name, destination)| {
            let path = |key: &str| vec!["destinations".to_owned(), name.clone(), key.to_owned()];
            let give_up_after = leadwire_connector::settings::duration::text(destination.give_up_after);
            let rate = destination.per_second.map(|rate| (path("rate_per_second"), json!(rate)));
            let others = [
                (path("concurrency"), json!(destination.concurrency)),
                (path("burst"), json!(destination.burst)),
                (path("give_up_after"), json!(give_up_after)),
            ];
            others.into_iter().chain(rate)
        });
        for (path, value) in of_destinations.chain([workers]) {
            told.entry(path.clone()).or_insert_with(|| by_default(&path, value));
        }
    }
}

fn by_default(path: &Path, value: Value) -> Effective {
    Effective { key: path.join("."), value, from: Layer::Default }
}

fn is_write_only(schema: &Value) -> bool {
    schema.get("writeOnly").is_some_and(|is| is == true)
}

/// `{ env = "NAME" }` says where a secret is, and is none.
fn is_elsewhere(table: &Map<String, Value>) -> bool {
    table.len() == 1 && table.iter().all(|(key, value)| (key == "env" || key == "file") && value.is_string())
}
