//! `[destinations.NAME]`: the bridge's own keys are read here, all others by the connector that `type` names.

use super::reader::Reader;
use super::settings::{Destination, Drive};
use crate::connectors::Connectors;
use leadwire_connector::settings::{Fault, Secret, did_you_mean};
use leadwire_connector::{Build, Claim, ConnectorKind};
use serde::Deserialize as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// More attempts at once than this to one destination is a mistake in the number.
const MOST_AT_ONCE: u32 = 1_000;

/// The destinations that are right, and the names of all, also of those that are not.
pub(super) fn read(
    reader: &mut Reader<'_>,
    connectors: &Connectors,
    give_up_after: Duration,
) -> (BTreeMap<String, Destination>, Vec<String>) {
    let base_directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut destinations = BTreeMap::new();
    let mut declared = Vec::new();
    for (name, mut table) in reader.named("destinations") {
        let path = ["destinations", &name];
        let fingerprint = fingerprint(&table, give_up_after);
        let drive = read_drive(reader, &path, &mut table);
        if let Some((kind, settings)) = read_settings(reader, &path, table, connectors) {
            for warning in settings.warnings() {
                reader.warnings.push(Fault::new(path, warning));
            }
            destinations
                .insert(name.clone(), destination(kind.name, settings, &drive, give_up_after, (fingerprint, base_directory.clone())));
        }
        declared.push(name);
    }
    refuse_shared(reader, &destinations);
    (destinations, declared)
}

/// Tells settings that are the same from others, also when only what a secret or a file holds is another.
fn fingerprint(table: &Map<String, Value>, give_up_after: Duration) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(format!("{give_up_after:?} "));
    feed(&Value::Object(table.clone()), &mut hasher);
    hasher.finalize().into()
}

fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Object(table) => {
            if let Ok(secret) = Secret::deserialize(value) {
                hasher.update(Sha256::digest(secret.expose()));
            }
            for (key, below) in table {
                hasher.update(format!("{key:?}:"));
                feed(below, hasher);
            }
            hasher.update("}");
        }
        Value::Array(items) => {
            items.iter().for_each(|item| feed(item, hasher));
            hasher.update("]");
        }
        other => {
            hasher.update(format!("{other} "));
            // A program, a template: whatever a setting names as a file counts with its age.
            if let Some(found) = other.as_str().and_then(|text| std::fs::metadata(text).ok()).filter(std::fs::Metadata::is_file) {
                hasher.update(format!("{} {:?} ", found.len(), found.modified().ok()));
            }
        }
    }
}

/// What one destination needs for itself, no other may use: the second one would never deliver, or take it from the first.
fn refuse_shared(reader: &mut Reader<'_>, destinations: &BTreeMap<String, Destination>) {
    let mut known: Vec<(&str, Claim)> = Vec::new();
    for (name, destination) in destinations {
        for claim in destination.settings.claims(&destination.base_directory) {
            if let Some((first, _)) = known.iter().find(|(_, other)| (other.what, &other.id) == (claim.what, &claim.id)) {
                let path: Vec<&str> = ["destinations", name].into_iter().chain(claim.path.iter().map(String::as_str)).collect();
                reader.fault(&path, format!("this is the {} of `{first}`, too", claim.what), claim.help);
            }
            known.push((name, claim));
        }
    }
}

fn read_drive(reader: &mut Reader<'_>, path: &[&str; 2], table: &mut Map<String, Value>) -> Drive {
    let own = Drive::KEYS.iter().filter_map(|key| table.shift_remove_entry(*key)).collect();
    let drive: Drive = reader.read(path, own);
    if drive.concurrency.is_some_and(|concurrency| concurrency > MOST_AT_ONCE) {
        let place = [path[0], path[1], "concurrency"];
        reader.fault(
            &place,
            format!("out of range: at most {MOST_AT_ONCE} attempts at once"),
            "connectors bring a good default; leave it out",
        );
    }
    drive
}

fn read_settings<'c>(
    reader: &mut Reader<'_>,
    path: &[&str; 2],
    mut table: Map<String, Value>,
    connectors: &'c Connectors,
) -> Option<(&'c ConnectorKind, Box<dyn Build>)> {
    let place = [path[0], path[1], "type"];
    let kind = match table.shift_remove("type") {
        Some(Value::String(name)) => connectors.get(&name).ok_or_else(|| {
            reader.fault(&place, format!("unknown type `{name}`"), did_you_mean(&name, &connectors.names()));
        }),
        Some(_) => {
            reader.fault(&place, "expected text in quotes", did_you_mean("", &connectors.names()));
            Err(())
        }
        None if reader.is_faulty(path) && table.is_empty() => Err(()),
        None => {
            reader.fault(&place, "`type` is missing", did_you_mean("", &connectors.names()));
            Err(())
        }
    };
    let kind = kind.ok()?;
    match (kind.parse)(table, &reader.below(path)) {
        Ok(settings) => Some((kind, settings)),
        Err(faults) => {
            reader.faults.extend(faults.into_iter().map(|fault| with_own_keys(fault).under(*path)));
            None
        }
    }
}

/// A connector knows only its own keys; a misspelt key of the bridge would be told as one of those.
fn with_own_keys(fault: Fault) -> Fault {
    let [key] = fault.path.as_slice() else { return fault };
    let nearest = did_you_mean(key, &Drive::KEYS);
    let is_near = |help: &str| help.starts_with("did you mean");
    if fault.message.starts_with("unknown key") && is_near(&nearest) && !fault.help.as_deref().is_some_and(is_near) {
        return fault.with_help(nearest);
    }
    fault
}

fn destination(
    kind: &str,
    settings: Box<dyn Build>,
    drive: &Drive,
    give_up_after: Duration,
    (fingerprint, base_directory): ([u8; 32], PathBuf),
) -> Destination {
    let limits = settings.limits();
    // A burst that was made for the connector's own rate would defeat a lower one.
    let burst = match drive.rate_per_second {
        Some(rate) => limits.burst.min(rate.ceil() as u32).max(1),
        None => limits.burst.max(1),
    };
    Destination {
        kind: kind.to_owned(),
        concurrency: drive.concurrency.unwrap_or(limits.concurrency).max(1),
        per_second: drive.rate_per_second.or(limits.per_second),
        burst: drive.burst.unwrap_or(burst),
        give_up_after: drive.give_up_after.unwrap_or(give_up_after),
        settings,
        fingerprint,
        base_directory,
    }
}
