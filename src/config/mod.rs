//! The configuration: one TOML file, with single values overridden by the environment, read strictly.
//!
//! Every fault is found at once and told with its place, its line and what would be right. Nothing here touches the network or
//! writes a file.

mod advice;
mod alerts;
mod backfill;
mod change;
mod channels;
mod console;
mod destinations;
mod diagnostics;
mod document;
mod effective;
mod kinds;
mod layers;
mod reader;
mod reference;
mod routes;
mod schema;
mod secrets;
mod sections;
mod settings;
mod shown;
mod spool;
mod tls;
mod traces;
mod values;
mod variables;

pub use alerts::{AlertKind, Alerts, Digest};
pub use backfill::Backfill;
pub use change::{Changed, Lasting, Reloaded};
pub use channels::{AlertChannel, AlertSeverity, MailTls, Medium, Smtp};
pub use diagnostics::{Diagnostic, Diagnostics, Excerpt, Place};
pub use effective::{Effective, Layer, effective};
pub use reference::reference;
pub use schema::schema;
pub use settings::{Console, Delivery, Destination, Log, LogFormat, Role, Server, Settings, Source, Store, StoreUrl, User};
pub use tls::Tls;
pub use traces::Traces;
pub use variables::{variables, variables_file};

use crate::connectors::Connectors;
use document::Document;
use layers::Layers;
use leadwire_connector::settings::{Fault, with_variables};
use reader::Reader;
use std::path::Path;

/// Everything that may stand at the top of the file.
const SECTIONS: [&str; 10] = ["server", "console", "store", "delivery", "alerts", "traces", "log", "sources", "destinations", "routes"];

/// Reads the file at `path` and the variables `LEADWIRE__SECTION__KEY` of `environment`, which win over it. A file `.env` beside it has
/// further variables, over which those of the process win.
///
/// # Errors
/// Everything that is wrong, for a person to read; see [`Diagnostics`].
pub fn load(path: &Path, connectors: &Connectors, environment: impl Iterator<Item = (String, String)>) -> Result<Settings, Diagnostics> {
    let text = read(path).map_err(|message| unreadable(path, message))?;
    let beside = variables::read(path);
    with_variables(beside.clone(), || parse(path, &text, connectors, beside.into_iter().chain(environment)))
}

fn unreadable(path: &Path, message: String) -> Diagnostics {
    let help = "`leadwire init` makes one, and config/examples holds files to start from; `--config FILE` names another one";
    Diagnostics::new(vec![Diagnostic::whole(&path.display().to_string(), message, help)])
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("the configuration cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("line {} is not UTF-8 text", good.iter().filter(|byte| **byte == b'\n').count() + 1)
    })
}

/// Where a bridge of this configuration listens, for a command that only asks how it is. Whatever else is wrong with the configuration is
/// no news of that bridge, which goes on by what it has read.
///
/// # Errors
/// What keeps from knowing where it listens.
pub fn load_server(path: &Path, environment: impl Iterator<Item = (String, String)>) -> Result<Server, Diagnostics> {
    let text = read(path).map_err(|message| unreadable(path, message))?;
    let document = Document::parse(&path.display().to_string(), &text).map_err(Diagnostics::new)?;
    let (layers, faults) = Layers::merge(&document, variables::read(path).into_iter().chain(environment));
    let mut reader = Reader::new(&layers, faults);
    let server = sections::server_alone(&mut reader);
    let is_of_it = |fault: &Fault| match fault.path.get(..2) {
        Some([section, key]) => section == "server" && ["listen", "tls"].contains(&key.as_str()),
        _ => fault.path.first().is_none_or(|section| section == "server"),
    };
    let faults: Vec<_> =
        first_of_each_place(reader.faults).into_iter().filter(is_of_it).map(|fault| tell(fault, &document, &layers)).collect();
    if faults.is_empty() { Ok(server) } else { Err(Diagnostics::new(faults)) }
}

/// The same as [`load`] for a text that is already at hand; `path` is only what messages call it.
///
/// # Errors
/// Everything that is wrong, for a person to read; see [`Diagnostics`].
pub fn parse(
    path: &Path,
    text: &str,
    connectors: &Connectors,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Diagnostics> {
    assembled(path, text, connectors, environment).map(|(settings, ..)| settings)
}

/// With what it was made of.
fn assembled<'t>(
    path: &Path,
    text: &'t str,
    connectors: &Connectors,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Settings, Document<'t>, Layers), Diagnostics> {
    let document = Document::parse(&path.display().to_string(), text).map_err(Diagnostics::new)?;
    let (layers, faults) = Layers::merge(&document, environment);
    let mut reader = Reader::new(&layers, faults);
    let mut settings = assemble(path, &mut reader, connectors);
    let tell = |faults: Vec<Fault>| Diagnostics::new(faults.into_iter().map(|fault| tell(fault, &document, &layers)).collect());
    if reader.faults.is_empty() {
        advice::give(&mut reader, &settings);
        settings.warnings = tell(reader.warnings).into_faults();
        return Ok((settings, document, layers));
    }
    Err(tell(first_of_each_place(reader.faults)))
}

/// With faults noted in the reader, the settings are only as good as what was left.
fn assemble(path: &Path, reader: &mut Reader<'_>, connectors: &Connectors) -> Settings {
    let server = sections::server(reader);
    let console = console::read(reader, &server);
    let store = sections::store(reader);
    let delivery = sections::delivery(reader);
    sections::check_keeping(reader, &store, &delivery);
    let log = sections::log(reader);
    let sources = sections::sources(reader);
    let alerts = alerts::read(reader, &sources);
    let traces = traces::read(reader);
    let (destinations, declared) = destinations::read(reader, connectors, delivery.give_up_after);
    let routes = routes::read(reader, &sources, &declared);
    let redactor = secrets::redactor(&reader.layers.merged);
    let path = path.to_owned();
    Settings { path, server, console, store, delivery, alerts, traces, log, sources, destinations, routes, redactor, warnings: Vec::new() }
}

/// What could not be read counts as not given, which may be wrong in turn; only the first thing said of a place is news.
fn first_of_each_place(faults: Vec<Fault>) -> Vec<Fault> {
    let mut told: Vec<Fault> = Vec::new();
    for fault in faults {
        if !told.iter().any(|known| known.path == fault.path) {
            told.push(fault);
        }
    }
    told
}

fn tell(fault: Fault, document: &Document<'_>, layers: &Layers) -> Diagnostic {
    let place = match layers.variable(&fault.path, document) {
        Some(variable) => Place::Variable(variable.to_owned()),
        None => document.place(&fault),
    };
    let plain = in_plain_words(&fault.message).unwrap_or(fault.message);
    // Where serde takes a message it takes no help, so the help follows a semicolon there.
    let (message, help) = match (plain.split_once("; "), fault.help) {
        (Some((message, help)), None) => (message.to_owned(), Some(help.to_owned())),
        (_, help) => (plain, help),
    };
    Diagnostic { file: document.name().to_owned(), place, path: fault.path.join("."), message, help }
}

/// serde's words for a wrong type, in ours, and without the value: it may be a secret.
fn in_plain_words(message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("invalid ")?.split_once(", expected ")?;
    let wanted = match expected {
        "a string" | "string" | "str" => "text in quotes",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a table",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("a nonzero ") => "a whole number above 0",
        _ if matches!(expected.trim_start_matches(['u', 'i']), "8" | "16" | "32" | "64" | "128" | "size") => "a whole number",
        _ if expected.starts_with("struct ") => "a table",
        other => other,
    };
    if found.starts_with("value: ") || found.starts_with("length ") {
        return Some(format!("out of range: expected {wanted}"));
    }
    let given = match found.strip_prefix("type: ")?.split([' ', '`']).next()? {
        "string" => "text",
        "integer" | "floating" => "a number",
        "boolean" => "`true` or `false`",
        "sequence" => "a list",
        "map" => "a table",
        _ => "something else",
    };
    Some(format!("expected {wanted}, found {given}"))
}

#[cfg(all(test, feature = "hubspot", feature = "gohighlevel", feature = "json", feature = "csv", feature = "process"))]
mod manual_tests;
#[cfg(test)]
mod tests;
