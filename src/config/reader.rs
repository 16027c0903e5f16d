//! Reads the parts of the merged configuration and gathers what is wrong with them, so that one fault hides no other.

use super::layers::{Below, Layers};
use leadwire_connector::settings::{self, Fault};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The merged configuration, and what was found in it so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers, faults: Vec<Fault>) -> Self {
        Self { layers, faults, warnings: Vec::new() }
    }

    /// A section of the top; empty when it is not given.
    pub(super) fn section(&mut self, name: &str) -> Map<String, Value> {
        let value = self.layers.merged.get(name).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        self.table(&[name], value)
    }

    /// The tables below a section, by name: `[sources.NAME]`.
    pub(super) fn named(&mut self, section: &str) -> Vec<(String, Map<String, Value>)> {
        let value = Value::Object(self.section(section));
        self.named_at(&[section], value)
    }

    /// The same for the tables in `value`, which stands at `path`.
    pub(super) fn named_at(&mut self, path: &[&str], value: Value) -> Vec<(String, Map<String, Value>)> {
        self.table(path, value)
            .into_iter()
            .map(|(name, value)| {
                let below: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
                if !is_name(&name) {
                    let message =
                        format!("the name `{name}` has other characters than lower-case letters, digits, `_` and `-`, or is too long");
                    self.faults.push(
                        Fault::new(below.iter().copied(), message)
                            .with_help("names start with a letter or digit, such as `acme` or `crm-2`"),
                    );
                }
                let table = self.table(&below, value);
                (name, table)
            })
            .collect()
    }

    /// `value` as a table, which it should be.
    pub(super) fn table(&mut self, path: &[&str], value: Value) -> Map<String, Value> {
        if let Value::Object(table) = value {
            return table;
        }
        let fault =
            Fault::new(path.iter().copied(), "expected a table").with_help(format!("write a line [{}] and its keys below", path.join(".")));
        self.faults.push(fault);
        Map::new()
    }

    /// Reads a table. What is wrong is noted, and the rest is returned as if the wrong parts were not given, so that it can be looked
    /// at too.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self, path: &[&str], mut table: Map<String, Value>) -> T {
        let origin = self.below(path);
        let faults = match settings::parse(table.clone(), &origin) {
            Ok(read) => return read,
            Err(faults) => faults,
        };
        table.retain(|key, _| !faults.iter().any(|fault| fault.path.first() == Some(key)));
        let rest = settings::parse(table, &origin).unwrap_or_default();
        self.faults.extend(faults.into_iter().map(|fault| fault.under(path.iter().copied())));
        rest
    }

    /// Says which values below `path` came from the environment.
    pub(super) fn below(&self, path: &[&str]) -> Below<'a> {
        Below { layers: self.layers, prefix: path.iter().map(|key| (*key).to_owned()).collect() }
    }

    pub(super) fn fault(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(path.iter().copied(), message).with_help(help));
    }

    pub(super) fn warn(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(Fault::new(path.iter().copied(), message).with_help(help));
    }

    /// Whether something is wrong at `path` or below.
    pub(super) fn is_faulty(&self, path: &[&str]) -> bool {
        self.faults.iter().any(|fault| path.iter().zip(&fault.path).filter(|(a, b)| a == b).count() == path.len())
    }
}

/// Names become parts of URLs, of environment variables and of metrics.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64 && name.starts_with(is_plain) && name.chars().all(|c| is_plain(c) || matches!(c, '_' | '-'))
}
