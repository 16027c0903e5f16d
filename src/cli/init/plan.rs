//! What is to be added, and how it is written.

use super::InitArgs;
use crate::cli::{Context, Failure};
use crate::config::Settings;
use leadwire_connector::settings::did_you_mean;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use url::Url;

/// What was said, by flags or by answers.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) sources: Vec<String>,
    pub(super) keys: BTreeMap<String, String>,
    pub(super) country: Option<String>,
    pub(super) destinations: Vec<Wanted>,
    pub(super) public_url: Option<Url>,
    pub(super) listen: Option<SocketAddr>,
}

/// A destination.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) settings: BTreeMap<String, String>,
}

/// Text for the end of the file, and variables for `.env`.
#[derive(Debug, Default)]
pub(super) struct Addition {
    pub(super) toml: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) sources: Vec<String>,
    pub(super) destinations: Vec<String>,
    pub(super) left_alone: Vec<String>,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write it with a `=`, as the help shows".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// `ACME_SIGNING_KEY`.
pub(super) fn variable(name: &str, key: &str) -> String {
    format!("{name}_{key}").to_ascii_uppercase().replace(['-', '.'], "_")
}

/// As a text of TOML, which JSON's texts are, but for a character that no setting needs.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text.replace('\u{7f}', "")).to_string()
}

impl Plan {
    pub(super) fn of(args: &InitArgs, context: &Context) -> Result<Self, Failure> {
        let mut plan = Self {
            sources: args.source.clone(),
            keys: args.key.iter().cloned().collect(),
            country: args.country.clone(),
            public_url: args.public_url.clone(),
            listen: Some(args.listen),
            ..Self::default()
        };
        for (name, kind) in &args.destination {
            let of_it =
                args.set.iter().filter_map(|(place, value)| Some((place.strip_prefix(&format!("{name}."))?.to_owned(), value.clone())));
            plan.destinations.push(Wanted { name: name.clone(), kind: kind.clone(), settings: of_it.collect() });
        }
        for (place, _) in &args.set {
            let name = place.split('.').next().unwrap_or_default();
            if !plan.destinations.iter().any(|wanted| wanted.name == name) {
                return Err(Failure::Usage(format!("--set {place}: there is no --destination {name}=TYPE for it")));
            }
        }
        if let Some(name) = plan.keys.keys().find(|name| !plan.sources.contains(name)) {
            return Err(Failure::Usage(format!("--key {name}=…: there is no --source {name} for it")));
        }
        for wanted in &plan.destinations {
            known_kind(&wanted.kind, context)?;
        }
        Ok(plan)
    }

    /// What of it is not there yet, as text.
    pub(super) fn addition(&self, known: Option<&Settings>, context: &Context) -> Result<Addition, Failure> {
        let mut addition = Addition::default();
        if known.is_none() {
            self.begin(&mut addition);
        }
        for name in &self.sources {
            match known.and_then(|known| known.sources.get(name)) {
                None => self.add_source(name, &mut addition),
                Some(source) => self.add_key(name, source.signing_keys.is_empty(), &mut addition),
            }
        }
        for wanted in &self.destinations {
            if known.is_some_and(|known| known.destinations.contains_key(&wanted.name)) {
                addition.left_alone.push(format!("the destination {}", wanted.name));
            } else {
                add_destination(wanted, context, &mut addition)?;
            }
        }
        if !addition.destinations.is_empty() {
            let names: Vec<String> = addition.destinations.iter().map(|name| quoted(name)).collect();
            let _ = write!(
                addition.toml,
                "\n[[routes]] # what every source receives; `sources` and `kinds` would choose\nto = [{}]\n",
                names.join(", ")
            );
        }
        Ok(addition)
    }

    fn begin(&self, addition: &mut Addition) {
        let listen = self.listen.map_or_else(|| "127.0.0.1:8080".to_owned(), |listen| listen.to_string());
        let public = match &self.public_url {
            Some(url) => format!("public_url = {} # how the platform reaches it", quoted(url.as_str())),
            None => "# public_url = \"https://leads.example.com\" # how the platform reaches it, through a proxy with TLS".to_owned(),
        };
        let token = "LEADWIRE_CONSOLE_TOKEN";
        addition.variables.insert(token.to_owned(), format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()));
        let _ = write!(
            addition.toml,
            "# Leadwire's configuration, made by `leadwire init`. Secrets are in the file .env beside it.\n\
             # docs/configuration.md has every key; `leadwire config show` tells what holds; `leadwire check` looks for mistakes.\n\
             \n[server]\nlisten = \"{listen}\"\n{public}\n\
             \n[console] # the page for people; log in with the token\ntoken = {{ env = \"{token}\" }}\n\
             \n[store]\nurl = \"sqlite:data/leadwire.db\" # relative to the folder the bridge runs in\n"
        );
    }

    fn add_source(&self, name: &str, addition: &mut Addition) {
        let variable = variable(name, "signing_key");
        let keys = format!("signing_keys = [{{ env = \"{variable}\" }}] # the Sign Key of the platform's Webhook tab");
        let keys = match self.keys.get(name) {
            Some(key) => {
                addition.variables.insert(variable, key.clone());
                keys
            }
            None => format!("# {keys}; until it is there, nothing is lost"),
        };
        let country = self.country.as_ref().map(|country| format!("\ndefault_country = {}", quoted(country))).unwrap_or_default();
        let _ = write!(addition.toml, "\n[sources.{name}] # its webhook URL ends with /hooks/{name}\n{keys}{country}\n");
        addition.sources.push(name.to_owned());
    }

    /// A source that awaits its key can get it; one that has a key is left alone.
    fn add_key(&self, name: &str, awaits: bool, addition: &mut Addition) {
        match self.keys.get(name) {
            Some(key) if awaits => {
                addition
                    .variables
                    .insert(format!("LEADWIRE__SOURCES__{}__SIGNING_KEYS", name.to_ascii_uppercase().replace('-', "_")), key.clone());
                addition.sources.push(name.to_owned());
            }
            _ => addition.left_alone.push(format!("the source {name}")),
        }
    }
}

pub(super) fn known_kind(kind: &str, context: &Context) -> Result<(), Failure> {
    let names = context.connectors.names();
    if names.contains(&kind) {
        return Ok(());
    }
    Err(Failure::Usage(format!("there is no type `{kind}` of destination; {}", did_you_mean(kind, &names))))
}

/// What a kind says of its keys.
pub(super) fn keys_of(kind: &str, context: &Context) -> Value {
    context.connectors.get(kind).and_then(|kind| kind.schema).map(|schema| schema()).unwrap_or_default()
}

fn add_destination(wanted: &Wanted, context: &Context, addition: &mut Addition) -> Result<(), Failure> {
    let schema = keys_of(&wanted.kind, context);
    let name = &wanted.name;
    let mut text =
        format!("\n[destinations.{name}] # `leadwire connectors {}` has all its keys\ntype = {}\n", wanted.kind, quoted(&wanted.kind));
    for (key, value) in &wanted.settings {
        let about = &schema["properties"][key];
        let is_key = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_key {
            return Err(Failure::Usage(format!("--set {name}.{key}: this is no key; `leadwire connectors {}` has them", wanted.kind)));
        }
        let written = if about["writeOnly"] == true {
            let variable = variable(name, key);
            addition.variables.insert(variable.clone(), value.clone());
            format!("{{ env = \"{variable}\" }}")
        } else if matches!(about["type"].as_str(), Some("integer" | "number" | "boolean" | "array")) {
            value.clone()
        } else {
            quoted(value)
        };
        let _ = writeln!(text, "{key} = {written}");
    }
    addition.toml.push_str(&text);
    addition.destinations.push(name.clone());
    Ok(())
}
