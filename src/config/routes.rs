//! `[[routes]]`: every name must resolve, and every condition compile.

use super::reader::Reader;
use super::settings::{Route, Source};
use crate::route::{Condition, Rule, Rules};
use leadwire_connector::Kind;
use leadwire_connector::settings::{Fault, did_you_mean};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads all routes against the names of the sources and the destinations, and warns of what no route leads to or from.
pub(super) fn read(reader: &mut Reader<'_>, sources: &BTreeMap<String, Source>, destinations: &[String]) -> Rules {
    let sources: Vec<&str> = sources.keys().map(String::as_str).collect();
    let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
    let mut rules = Vec::new();
    for (index, route) in list(reader).into_iter().enumerate() {
        let index = index.to_string();
        let path = ["routes", &index];
        let Value::Object(table) = route else {
            reader.fault(&path, "expected a route", "write [[routes]], in double brackets, and its keys below");
            continue;
        };
        let route: Route = reader.read(&path, table);
        let mut faults = Vec::new();
        rules.push(check(route, &sources, &destinations, &mut faults));
        reader.faults.extend(faults.into_iter().map(|fault| fault.under(path)));
    }
    if reader.faults.is_empty() {
        warn(reader, &rules, &sources, &destinations);
    }
    Rules::new(rules)
}

fn list(reader: &mut Reader<'_>) -> Vec<Value> {
    match reader.layers.merged.get("routes").cloned() {
        None => Vec::new(),
        Some(Value::Array(routes)) => routes,
        // From the environment a list comes as JSON.
        Some(Value::String(text)) if serde_json::from_str::<Vec<Value>>(&text).is_ok() => serde_json::from_str(&text).unwrap_or_default(),
        Some(_) => {
            reader.fault(&["routes"], "expected a list of routes", "write [[routes]], in double brackets, and its keys below");
            Vec::new()
        }
    }
}

fn check(route: Route, sources: &[&str], destinations: &[&str], faults: &mut Vec<Fault>) -> Rule {
    if route.to.is_empty() {
        faults.push(Fault::new(["to"], "this route leads nowhere").with_help("name destinations: to = [\"crm\"]"));
    }
    check_names("to", &route.to, "destination", destinations, faults);
    for (filter, names) in [("sources", &route.sources), ("kinds", &route.kinds), ("chatbots", &route.chatbots)] {
        if names.as_ref().is_some_and(Vec::is_empty) {
            faults.push(Fault::new([filter], "an empty list lets nothing through").with_help("leave it out to let everything through"));
        }
    }
    check_names("sources", route.sources.as_deref().unwrap_or_default(), "source", sources, faults);
    check_names("kinds", route.kinds.as_deref().unwrap_or_default(), "kind", &Kind::ALL.map(Kind::as_str), faults);
    let when = route.when.and_then(|when| {
        let compiled = Condition::compile(&when);
        compiled.map_err(|error| faults.push(Fault::new(["when"], format!("this condition is wrong: {error}")))).ok()
    });
    let kinds = route.kinds.map(|kinds| kinds.iter().filter_map(|kind| kind.parse().ok()).collect());
    Rule { to: route.to, sources: route.sources, kinds, chatbots: route.chatbots, when }
}

fn check_names(key: &str, names: &[String], noun: &str, known: &[&str], faults: &mut Vec<Fault>) {
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
        let help = if known.is_empty() { format!("there is no {noun} at all") } else { did_you_mean(name, known) };
        faults.push(Fault::new([key, &index.to_string()], format!("unknown {noun} `{name}`")).with_help(help));
    }
}

fn warn(reader: &mut Reader<'_>, rules: &[Rule], sources: &[&str], destinations: &[&str]) {
    for name in destinations.iter().filter(|name| !rules.iter().any(|rule| rule.to.iter().any(|to| to == *name))) {
        let message = format!("no route leads to the destination `{name}`");
        reader.warn(&["destinations", name], message, format!("add it to a route: to = [\"{name}\"]"));
    }
    for name in sources {
        let leads_on = |rule: &Rule| rule.sources.as_ref().is_none_or(|sources| sources.iter().any(|source| source == name));
        if !rules.iter().any(leads_on) {
            let message = format!("no route takes what the source `{name}` receives: it is kept and listed, and goes nowhere");
            reader.warn(&["sources", name], message, "add a [[routes]] for it");
        }
    }
}
