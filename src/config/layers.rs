//! The layers of the configuration: the file, and above it the environment. (The defaults below are those of the settings themselves.)

use super::SECTIONS;
use super::document::{Document, Path};
use config::{Config, ConfigError, Source, ValueKind};
use leadwire_connector::settings::{Fault, Origin, did_you_mean};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// What the names of our environment variables start with.
const PREFIX: &str = "LEADWIRE__";

type Table = config::Map<String, config::Value>;

/// Both layers in one, and which part came from which.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) merged: Map<String, Value>,
    /// The variable that gave each value that the environment gave.
    variables: BTreeMap<Path, String>,
}

impl Layers {
    /// Merges both. The faults are about what no section takes: unknown sections, values that no setting can have.
    pub(super) fn merge(document: &Document<'_>, environment: impl Iterator<Item = (String, String)>) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let file = file_layer(document, &mut faults);
        let (variables, environment) = environment_layer(environment, &file, &mut faults);
        let merged = Config::builder().add_source(Layer(file)).add_source(Layer(environment)).build();
        let mut merged = merged.and_then(Config::try_deserialize::<Map<String, Value>>).unwrap_or_else(|error| {
            faults.push(Fault::new([""; 0], format!("the layers do not fit together: {error}")));
            Map::new()
        });
        // The merge keeps no order; the same file is to be read the same way each time.
        merged.values_mut().for_each(Value::sort_all_objects);
        merged.sort_keys();
        (Self { merged, variables }, faults)
    }

    /// The variable that gave the value at `path` or above it; or, where the file has nothing so near, one that gave a neighbour.
    pub(super) fn variable(&self, path: &[String], document: &Document<'_>) -> Option<&str> {
        let prefixes = || (1..=path.len()).rev().map(|depth| &path[..depth]);
        let above = prefixes().find_map(|prefix| self.variables.get(prefix));
        let below = |prefix: &[String]| self.variables.iter().find(|(variable, _)| variable.starts_with(prefix)).map(|(_, name)| name);
        let near = || prefixes().take_while(|prefix| !document.contains(prefix)).find_map(below);
        above.or_else(near).map(String::as_str)
    }

    /// The variable that gave the value at `path` itself, or a table around it.
    pub(super) fn given_by(&self, path: &[String]) -> Option<&str> {
        (1..=path.len()).rev().find_map(|depth| self.variables.get(&path[..depth])).map(String::as_str)
    }

    /// Whether the file alone says what stands at `path`.
    pub(super) fn is_from_file(&self, path: &[&str]) -> bool {
        !(1..=path.len()).any(|depth| self.variables.contains_key(&to_path(&path[..depth])))
    }
}

fn to_path(keys: &[&str]) -> Path {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// Says of a part of the configuration which of its values came as plain text.
#[derive(Debug)]
pub(super) struct Below<'a> {
    pub(super) layers: &'a Layers,
    pub(super) prefix: Path,
}

impl Origin for Below<'_> {
    fn is_plain_text(&self, path: &[String]) -> bool {
        self.layers.variables.contains_key(&[&self.prefix, path].concat())
    }
}

/// One layer, ready to be merged.
#[derive(Debug, Clone)]
struct Layer(Table);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Sections that nothing takes are faults and stay out: the merge would read a name such as `a[9]` as the place of an item.
fn file_layer(document: &Document<'_>, faults: &mut Vec<Fault>) -> Table {
    let mut layer = Table::new();
    for (key, value) in document.table() {
        let path = vec![key.get_ref().to_string()];
        if SECTIONS.contains(&key.get_ref().as_ref()) {
            layer.insert(key.get_ref().to_string(), read_value(value.get_ref(), &path, faults));
        } else {
            faults.push(unknown(&path, key.get_ref()));
        }
    }
    layer
}

fn unknown(path: &[String], key: &str) -> Fault {
    Fault::new(path.to_vec(), format!("unknown key `{key}`")).with_help(did_you_mean(key, &SECTIONS))
}

fn read_value(value: &DeValue<'_>, path: &[String], faults: &mut Vec<Fault>) -> config::Value {
    let below = |key: String| [path, &[key]].concat();
    let mut out_of_range = |number: &str| {
        faults.push(Fault::new(path.to_vec(), format!("`{number}` is no number that a setting can have")));
        ValueKind::Nil
    };
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Boolean(truth) => ValueKind::Boolean(*truth),
        DeValue::Datetime(moment) => ValueKind::String(moment.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| out_of_range(number.as_str()), ValueKind::I64)
        }
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(read) if read.is_finite() => ValueKind::Float(read),
            _ => out_of_range(number.as_str()),
        },
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            ValueKind::Array(items.map(|(index, item)| read_value(item.get_ref(), &below(index.to_string()), faults)).collect())
        }
        DeValue::Table(table) => ValueKind::Table(read_table(table, path, faults)),
    };
    config::Value::new(None, kind)
}

fn read_table(table: &DeTable<'_>, path: &[String], faults: &mut Vec<Fault>) -> Table {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), read_value(value.get_ref(), &[path, &[key.to_string()]].concat(), faults))
    };
    table.iter().map(entry).collect()
}

/// Variables in the order of their names. An empty one counts as not set: that is how compose files pass on what is not given.
fn environment_layer(
    environment: impl Iterator<Item = (String, String)>,
    file: &Table,
    faults: &mut Vec<Fault>,
) -> (BTreeMap<Path, String>, Table) {
    let ours: BTreeMap<String, String> = environment.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
    let mut variables = BTreeMap::new();
    let mut layer = Table::new();
    for (name, value) in ours {
        let path = resolve(name.strip_prefix(PREFIX).unwrap_or_default(), file);
        let fault = match path.first() {
            Some(section) if !SECTIONS.contains(&section.as_str()) => Some(unknown(&path[..1], section)),
            _ if path.iter().any(String::is_empty) => Some(Fault::new(path.clone(), "a part of the name is empty")),
            _ => insert(&mut layer, &path, &value).err().map(|message| Fault::new(path.clone(), message)),
        };
        faults.extend(fault);
        variables.insert(path, name);
    }
    (variables, layer)
}

/// `SOURCES__MY_SHOP__REPORT_ONLY` means the source `my-shop` when the file has one: few shells can set a variable with `-` or tell
/// upper from lower case apart.
fn resolve(name: &str, file: &Table) -> Path {
    let mut table = Some(file);
    name.split("__")
        .map(|part| {
            let folded = part.to_lowercase();
            let alike = |key: &&String| key.to_lowercase().replace('-', "_") == folded.replace('-', "_");
            let known = table.and_then(|table| table.get_key_value(&folded).map(|(key, _)| key).or_else(|| table.keys().find(alike)));
            let key = known.cloned().unwrap_or(folded);
            table = table.and_then(|table| table.get(&key)).and_then(as_table);
            key
        })
        .collect()
}

fn as_table(value: &config::Value) -> Option<&Table> {
    if let ValueKind::Table(table) = &value.kind { Some(table) } else { None }
}

fn insert(layer: &mut Table, path: &[String], value: &str) -> Result<(), &'static str> {
    let Some((last, parents)) = path.split_last() else { return Err("names no setting") };
    let mut table = layer;
    for key in parents {
        let entry = table.entry(key.clone()).or_insert_with(|| config::Value::new(None, ValueKind::Table(Table::new())));
        let ValueKind::Table(below) = &mut entry.kind else { return Err("another variable sets what this one sets a part of") };
        table = below;
    }
    table.insert(last.clone(), config::Value::new(None, ValueKind::String(value.to_owned())));
    Ok(())
}
