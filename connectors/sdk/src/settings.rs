//! Reading a part of the configuration strictly: every fault at once, each with its place and what would be right.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Keys and indexes from the top of what was parsed.
    pub path: Vec<String>,
    /// What is wrong, in a sentence without the final dot.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Fault {
    /// A fault at `path`.
    pub fn new<P: Into<String>>(path: impl IntoIterator<Item = P>, message: impl Into<String>) -> Self {
        Self { path: path.into_iter().map(Into::into).collect(), message: message.into(), help: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same fault seen from further up.
    #[must_use]
    pub fn under<P: Into<String>>(mut self, prefix: impl IntoIterator<Item = P>) -> Self {
        self.path.splice(0..0, prefix.into_iter().map(Into::into));
        self
    }
}

/// Says which values were written as plain text, with no type of their own (environment variables): `"8"` may be a number there.
pub trait Origin {
    /// Whether the value at `path` came as plain text.
    fn is_plain_text(&self, path: &[String]) -> bool;
}

/// Everything came from a file, with its type.
#[derive(Debug, Clone, Copy)]
pub struct Typed;

impl Origin for Typed {
    fn is_plain_text(&self, _path: &[String]) -> bool {
        false
    }
}

/// Reads `value` into `T`. Derive `T` with `#[serde(deny_unknown_fields)]`, so that unknown keys are faults.
///
/// # Errors
/// Every unknown key (with the nearest known one), every value of a wrong type or range, every missing field.
pub fn parse<T: DeserializeOwned>(value: Map<String, Value>, origin: &dyn Origin) -> Result<T, Vec<Fault>> {
    parse_and(value, origin, Ok)
}

/// Reads `value` into `T`, then asks `validate` what serde cannot see. When some values are faulty, the others are validated without
/// them, so that a person learns everything at once.
///
/// # Errors
/// Those of [`parse`] and those of `validate`, each place once.
pub fn parse_and<T: DeserializeOwned, U>(
    value: Map<String, Value>,
    origin: &dyn Origin,
    validate: impl FnOnce(T) -> Result<U, Vec<Fault>>,
) -> Result<U, Vec<Fault>> {
    let (parsed, mut faults) = collect::<T>(Value::Object(value), origin);
    let Some(parsed) = parsed else { return Err(faults) };
    match validate(parsed) {
        Ok(valid) if faults.is_empty() => Ok(valid),
        Ok(_) => Err(faults),
        Err(more) => {
            // What was taken away because of a fault may seem to be missing; that is no news.
            let news: Vec<Fault> =
                more.into_iter().filter(|fault| !faults.iter().any(|known| known.path.starts_with(&fault.path))).collect();
            faults.extend(news);
            Err(faults)
        }
    }
}

/// What is valid; the faults of what is not go to the others, so that a person learns everything at once.
pub fn valid<T>(result: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|more| faults.extend(more)).ok()
}

/// What can be read, and every fault on the way. Nothing can be read when a required field is missing.
fn collect<T: DeserializeOwned>(mut value: Value, origin: &dyn Origin) -> (Option<T>, Vec<Fault>) {
    let mut faults: Vec<Fault> = Vec::new();
    // serde stops at the first fault. Each round notes it and takes the value away, until nothing new turns up.
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(parsed) => return (Some(parsed), faults),
            Err(error) => error,
        };
        let path = keys(error.path());
        if origin.is_plain_text(&path) && read_plain_text(&mut value, &path) {
            continue;
        }
        let fault = describe(path, &error.inner().to_string());
        // What was taken away because of an earlier fault is missing now; that is no news.
        let seen = faults.iter().any(|known| known.path.starts_with(&fault.path));
        let removed = (1..=fault.path.len()).rev().any(|depth| remove(&mut value, &fault.path[..depth]));
        if !seen {
            faults.push(fault);
        }
        if !removed {
            return (None, faults);
        }
    }
}

fn keys(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Turns serde's sentence into ours; a missing field is placed at its own path.
fn describe(mut path: Vec<String>, message: &str) -> Fault {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("missing field") {
        let name = quoted.first().copied().unwrap_or_default();
        path.push(name.to_owned());
        return Fault::new(path, format!("`{name}` is missing"));
    }
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let what = if message.starts_with("unknown field") { "key" } else { "value" };
        let (name, known) = quoted.split_first().map_or(("", &[][..]), |(name, known)| (*name, known));
        return Fault::new(path, format!("unknown {what} `{name}`")).with_help(did_you_mean(name, known));
    }
    Fault::new(path, message.to_owned())
}

/// `did you mean …?` with the nearest of `known`, or the list of them when none is near.
#[must_use]
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1));
    match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "nothing is expected here".to_owned(),
        None => format!("known are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn child<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(table) => table.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let Some(parent) = parents.iter().try_fold(value, |value, key| child(value, key)) else { return false };
    match parent {
        Value::Object(table) => table.shift_remove(last).is_some(),
        // An index must keep its meaning for the faults that follow, so an item goes only with its whole list.
        _ => false,
    }
}

/// Reads text as the number or truth value it spells. False when it is no text or spells neither.
fn read_plain_text(value: &mut Value, path: &[String]) -> bool {
    let Some(place) = path.iter().try_fold(value, |value, key| child(value, key)) else { return false };
    let Some(typed) = place.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    let is_typed = !typed.is_string();
    if is_typed {
        *place = typed;
    }
    is_typed
}

/// What editors and the reference are told of the keys of `T`, as JSON Schema; for
/// [`ConnectorKind::schema`](crate::ConnectorKind). Doc comments become descriptions, and what serde's attributes say counts.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    // What editors for TOML know.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// TOML knows no `null`: what may be left out is just not required.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(table) => {
            if table.get("default").is_some_and(Value::is_null) {
                table.shift_remove("default");
            }
            // How many bits a number has says nothing to a person.
            if table.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with(['u', 'i', 'd', 'f']) && format != "uri")
            {
                table.shift_remove("format");
            }
            if let Some(Value::Array(types)) = table.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    table.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = table.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    table.shift_remove("anyOf");
                    for (key, value) in one {
                        table.entry(key).or_insert(value);
                    }
                }
            }
            table.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// A secret of the configuration: `"literal"`, `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`.
///
/// Reading it resolves it, so that a secret that cannot be had is a fault with a place. Never printed: its `Debug` shows dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    literal: bool,
}

impl Secret {
    /// A secret given in place.
    pub fn literal(value: impl Into<String>) -> Self {
        Self { value: value.into(), literal: true }
    }

    /// The secret itself. Hand it to what needs it, and to nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether it stands in the configuration itself.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literal
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

/// Editors are told by `writeOnly` that it is a secret.
impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "writeOnly": true,
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "properties": {"env": {"type": "string"}}, "required": ["env"], "additionalProperties": false},
                {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": false},
            ],
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SecretPlace {
    Literal(String),
    Elsewhere(Elsewhere),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    env: Option<String>,
    file: Option<String>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORMS: &str = "a secret is \"text\", { env = \"NAME\" } or { file = \"/path\" }";
        let place = SecretPlace::deserialize(deserializer).map_err(|error| {
            // A secret that is not there at all is told like any other missing field.
            if error.to_string().starts_with("missing field") { error } else { D::Error::custom(FORMS) }
        })?;
        let (value, literal) = match place {
            SecretPlace::Literal(value) => (value, true),
            SecretPlace::Elsewhere(Elsewhere { env: Some(name), file: None }) => (from_env(&name).map_err(D::Error::custom)?, false),
            SecretPlace::Elsewhere(Elsewhere { env: None, file: Some(path) }) => (from_file(&path).map_err(D::Error::custom)?, false),
            SecretPlace::Elsewhere(_) => return Err(D::Error::custom(FORMS)),
        };
        if value.is_empty() {
            return Err(D::Error::custom("the secret is empty"));
        }
        Ok(Self { value, literal })
    }
}

fn from_env(name: &str) -> Result<String, String> {
    // A secret pasted where a name belongs must not come back in an error message.
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("`env` holds no name of an environment variable (letters, digits and `_`)".to_owned());
    }
    let beside = || VARIABLES.with_borrow(|variables| variables.get(name).cloned());
    std::env::var(name).ok().or_else(beside).ok_or_else(|| format!("the environment variable {name} is not set"))
}

thread_local! {
    static VARIABLES: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Reads something, with these variables beside those of the process, which win. For a file of variables: a process cannot change its own
/// environment while it runs, and is to see a secret that was replaced there.
pub fn with_variables<T>(variables: BTreeMap<String, String>, read: impl FnOnce() -> T) -> T {
    let before = VARIABLES.replace(variables);
    let result = read();
    VARIABLES.set(before);
    result
}

/// One line break at the end is not part of the secret: editors and `echo` add it.
fn from_file(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the secret file {path} cannot be read: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// `"90s"`, `"15m"`, `"72h"`, `"90d"`: for `#[serde(with)]` on a [`std::time::Duration`].
pub mod duration {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer};
    use std::borrow::Cow;
    use std::time::Duration;

    /// For `#[schemars(with = "Text")]` or `#[schemars(with = "Option<Text>")]`: a duration as it is written.
    #[derive(Debug, Clone, Copy)]
    pub struct Text;

    impl JsonSchema for Text {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "Duration".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$"})
        }
    }

    /// As it is written, in the largest unit that fits.
    #[must_use]
    pub fn text(duration: Duration) -> String {
        let seconds = duration.as_secs();
        if duration.subsec_millis() > 0 {
            return format!("{}ms", duration.as_millis());
        }
        let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
        let unit = units.into_iter().find(|(each, _)| seconds > 0 && seconds.is_multiple_of(*each));
        unit.map_or_else(|| format!("{seconds}s"), |(each, unit)| format!("{}{unit}", seconds / each))
    }

    /// Reads a number and one of `ms`, `s`, `m`, `h`, `d`.
    ///
    /// # Errors
    /// A sentence that shows the form.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong = || format!("`{text}` is no duration; write a number and a unit, such as \"30s\", \"15m\", \"72h\" or \"90d\"");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds_each = match unit.trim() {
            "ms" => return Ok(Duration::from_millis(number)),
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        number.checked_mul(seconds_each).map(Duration::from_secs).ok_or_else(wrong)
    }

    /// For `#[serde(deserialize_with)]`.
    #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The same for a duration that may be absent.
    pub mod option {
        use super::{D2, Deserialize, Deserializer, Duration};

        /// For `#[serde(default, deserialize_with)]`.
        #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<D2>::deserialize(deserializer)?.map(|D2(duration)| duration))
        }
    }

    struct D2(Duration);

    impl<'de> Deserialize<'de> for D2 {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Example {
        url: String,
        #[serde(default)]
        concurrency: u32,
        #[serde(default)]
        token: Option<Secret>,
    }

    fn table(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn every_fault_is_found_in_one_pass() {
        let faults =
            parse::<Example>(table(&json!({"ulr": "x", "concurrency": "many", "token": {"env": "LEADWIRE_NOT_SET"}})), &Typed).unwrap_err();
        let told: Vec<(String, &str)> = faults.iter().map(|fault| (fault.path.join("."), fault.message.as_str())).collect();
        assert_eq!(told[0], ("ulr".to_owned(), "unknown key `ulr`"));
        assert_eq!(faults[0].help.as_deref(), Some("did you mean `url`?"));
        assert_eq!(told[1].0, "concurrency");
        assert_eq!(told[2], ("token".to_owned(), "the environment variable LEADWIRE_NOT_SET is not set"));
        assert_eq!(told[3], ("url".to_owned(), "`url` is missing"));
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn a_fault_inside_a_list_or_a_nested_table_does_not_hide_the_others() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its faults are looked at")]
        struct Nested {
            ports: Vec<u16>,
            login: Example,
            size: u32,
        }
        let faults = parse::<Nested>(table(&json!({"ports": [1, "x"], "login": {"concurrency": 1}, "size": "big"})), &Typed).unwrap_err();
        let told: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(told, ["ports.1", "login.url", "size"]);
    }

    #[test]
    fn a_secret_pasted_in_place_of_a_name_is_not_repeated() {
        let faults = parse::<Example>(table(&json!({"url": "x", "token": {"env": "pat-na1-0123"}})), &Typed).unwrap_err();
        assert!(!faults[0].message.contains("pat"), "{}", faults[0].message);
    }

    #[test]
    fn what_serde_cannot_see_is_told_beside_what_it_sees() {
        let validate = |example: Example| -> Result<(), Vec<Fault>> {
            let fault = |key: &str| Fault::new([key], "not this one");
            Err([("url", example.url == "x"), ("concurrency", example.concurrency == 0)]
                .into_iter()
                .filter(|(_, wrong)| *wrong)
                .map(|(key, _)| fault(key))
                .collect())
        };
        let faults = parse_and(table(&json!({"url": "x", "concurrency": "many", "nosuch": 1})), &Typed, validate).unwrap_err();
        let places: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(places, ["concurrency", "nosuch", "url"], "the fault that follows from another one is not told");
    }

    #[test]
    fn plain_text_becomes_a_number_only_where_one_is_expected() {
        struct Plain;
        impl Origin for Plain {
            fn is_plain_text(&self, _: &[String]) -> bool {
                true
            }
        }
        let parsed: Example = parse(table(&json!({"url": "00123", "concurrency": "8"})), &Plain).unwrap();
        assert_eq!((parsed.url.as_str(), parsed.concurrency), ("00123", 8));
    }

    #[test]
    fn a_schema_says_what_the_struct_says_and_knows_no_null() {
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Keys {
            /// Where to.
            url: String,
            #[serde(default)]
            size: Option<u32>,
            #[serde(default)]
            token: Option<Secret>,
        }
        let schema = schema::<Keys>();
        assert_eq!(schema["properties"]["url"], json!({"description": "Where to.", "type": "string"}));
        assert_eq!(schema["properties"]["size"]["type"], "integer");
        assert_eq!(schema["properties"]["token"]["writeOnly"], true);
        assert_eq!((&schema["required"], &schema["additionalProperties"]), (&json!(["url"]), &json!(false)));
        assert!(!schema.to_string().contains("null"), "{schema}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::literal("hunter2")), "••••");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration::parse("72h").unwrap().as_secs(), 259_200);
        assert!(duration::parse("72").is_err());
        assert!(duration::parse("h").is_err());
        for text in ["90d", "25h", "90m", "61s", "1500ms", "0s"] {
            assert_eq!(duration::text(duration::parse(text).unwrap()), text);
        }
    }
}
