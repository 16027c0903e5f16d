//! `[destinations.NAME]` of `type = "acme"`. Nothing here touches the network or the disk.

use crate::deliver::Acme;
use leadwire_connector::http;
use leadwire_connector::mapping::{self, FieldMap};
use leadwire_connector::reexport::Url;
use leadwire_connector::reexport::schemars::{self, JsonSchema};
use leadwire_connector::settings::{self, Fault, Origin, Secret, valid};
use leadwire_connector::{Build, BuildContext, Connector, Limits};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where the API is, unless `url` says otherwise.
const API: &str = "https://api.acme.example";
/// What a contact says, unless `fields` says otherwise. Empty values are not sent.
const FIELDS: [(&str, &str); 4] = [
    ("first_name", "{{ person.first_name }}"),
    ("last_name", "{{ person.last_name }}"),
    ("phone", "{{ person.phone }}"),
    ("source", "{{ source }}"),
];

/// The keys as they are written. The README is their reference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The API key of the account.
    token: Secret,
    /// Where the API is, unless it is Acme's own.
    url: Option<String>,
    /// Fields of a contact by name, as templates over the event.
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) token: Secret,
    pub(crate) url: Url,
    pub(crate) fields: FieldMap,
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
        let mut faults = Vec::new();
        let url = valid(url(keys.url.as_deref()), &mut faults);
        let fields = valid(FieldMap::compile(&mapping::over(&FIELDS, &keys.fields)), &mut faults);
        match (url, fields) {
            (Some(url), Some(fields)) if faults.is_empty() => Ok(Self { token: keys.token, url, fields }),
            _ => Err(faults),
        }
    }
}

fn url(given: Option<&str>) -> Result<Url, Vec<Fault>> {
    let unusable = || Fault::new(["url"], "this is no web address").with_help(format!("write it as \"{API}\", or leave it out"));
    let url = Url::parse(given.unwrap_or(API)).map_err(|_| vec![unusable()])?;
    let faults = http::base_faults("url", &url, unusable());
    if faults.is_empty() { Ok(url) } else { Err(faults) }
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(Acme::new(self.clone(), context)?))
    }

    /// Acme documents 10 requests per second; a delivery makes two.
    fn limits(&self) -> Limits {
        Limits { concurrency: 4, per_second: Some(5.0), burst: 5 }
    }
}
