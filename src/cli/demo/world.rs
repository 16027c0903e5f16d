//! What the demo runs: the bridge, a simulated service of every kind that has one, and a sender, in a folder of their own.

use super::super::{Context, Failure};
use crate::app::Bridge;
use crate::cli::simulate::simulated;
use crate::config;
use crate::simulate::Sender;
use crate::verify::{Form, SigningKey};
use leadwire_connector::simulator::{Faults, Server};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

const SOURCE: &str = "website";
const SPREADSHEET: &str = "spreadsheet";
/// The kind of destination that writes spreadsheets, where this program knows it.
const SPREADSHEET_KIND: &str = "csv";

/// A simulated service and the destination that delivers to it.
#[derive(Debug)]
pub(super) struct Crm {
    pub(super) destination: String,
    pub(super) kind: &'static str,
    pub(super) server: Server,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct World {
    pub(super) folder: PathBuf,
    pub(super) bridge: Bridge,
    pub(super) crms: Vec<Crm>,
    pub(super) sender: Sender,
    has_spreadsheet: bool,
}

impl World {
    pub(super) async fn start(context: &Context) -> Result<Self, Failure> {
        let crms = start_crms(context).await?;
        let has_spreadsheet = context.connectors.get(SPREADSHEET_KIND).is_some();
        if crms.is_empty() && !has_spreadsheet {
            return Err(Failure::Failed("no kind of destination in this program can be shown: none comes with a simulation".to_owned()));
        }
        let folder = make_folder().map_err(|error| Failure::Failed(format!("a temporary folder cannot be made: {error}")))?;
        let key = format!("{:032x}", rand::random::<u128>());
        let destinations = crms.iter().map(|crm| (crm.destination.as_str(), settings(crm, context))).collect::<Vec<_>>();
        let text = configuration(&folder, &key, &destinations, has_spreadsheet);
        let path = folder.join("leadwire.toml");
        std::fs::write(&path, text).map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", path.display())))?;
        // What the environment says is meant for the real bridge.
        let settings =
            config::load(&path, &context.connectors, std::iter::empty()).map_err(|faults| Failure::Failed(faults.to_string()))?;
        let bridge = Box::pin(Bridge::start(settings)).await.map_err(|error| Failure::Failed(error.to_string()))?;
        let sender = sender(bridge.address, &key).map_err(Failure::Failed)?;
        Ok(Self { folder, bridge, crms, sender, has_spreadsheet })
    }

    /// The destinations, in the order in which they are shown.
    pub(super) fn stations(&self) -> Vec<String> {
        let crms = self.crms.iter().map(|crm| crm.destination.clone());
        crms.chain(self.has_spreadsheet.then(|| SPREADSHEET.to_owned())).collect()
    }

    pub(super) fn introduction(&self) -> String {
        let crms = self
            .crms
            .iter()
            .map(|crm| format!("  {:<12} a simulated {}, {}_simulator/state\n", crm.destination, crm.kind, crm.server.url()));
        let sheet =
            if self.has_spreadsheet { format!("  {SPREADSHEET:<12} a CSV file in {}\n", self.drop().display()) } else { String::new() };
        format!(
            "A simulated chatbot posts to {}\nThe bridge delivers everything to:\n{}{sheet}Watch it at http://{}/\n",
            self.sender.url,
            crms.collect::<String>(),
            self.bridge.console
        )
    }

    /// What each destination holds, as text.
    pub(super) fn look(&self) -> Vec<(String, String)> {
        let crms = self.crms.iter().map(|crm| (crm.destination.clone(), crm.server.state().to_string()));
        let sheet = self
            .has_spreadsheet
            .then(|| (SPREADSHEET.to_owned(), self.sheets().iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()));
        crms.chain(sheet).collect()
    }

    pub(super) fn farewell(&self) -> String {
        let sheets: String = self.sheets().iter().map(|path| format!("The spreadsheet:\n  {}\n", path.display())).collect();
        format!(
            "{sheets}Configuration and store:
  {}
Delete the folder when you like.

Next, for your own leads:
  1. leadwire init --config leadwire.toml
     asks for your chatbot and your CRM, and says what to click.
  2. leadwire run --config leadwire.toml",
            self.folder.display()
        )
    }

    pub(super) async fn stop(self) {
        // Everything has ended, so there is nothing that a stop could be too short for.
        self.bridge.stop().await;
        for crm in self.crms {
            crm.server.stop().await;
        }
    }

    fn drop(&self) -> PathBuf {
        self.folder.join("drop")
    }

    fn sheets(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.drop()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut sheets: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "csv")).collect();
        sheets.sort();
        sheets
    }
}

/// Readable by this user only, as temporary folders are. It is kept, so that people can look into the files.
fn make_folder() -> std::io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("leadwire-demo-").tempdir()?.keep())
}

/// The first kind is called `crm`, every other by its own name.
async fn start_crms(context: &Context) -> Result<Vec<Crm>, Failure> {
    let mut crms = Vec::new();
    for (index, (kind, simulation)) in simulated(context).into_iter().enumerate() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start((simulation.service)(), address, Faults::default());
        let server = server.await.map_err(|error| Failure::Failed(format!("a simulated service cannot listen on {address}: {error}")))?;
        let destination = if index == 0 { "crm" } else { kind.name }.to_owned();
        crms.push(Crm { destination, kind: kind.name, server });
    }
    Ok(crms)
}

fn settings(crm: &Crm, context: &Context) -> String {
    let simulation = context.connectors.get(crm.kind).and_then(|kind| kind.simulator);
    simulation.map(|simulation| (simulation.settings)(&crm.server.url())).unwrap_or_default()
}

/// Retries come quickly, so that people see them.
fn configuration(folder: &Path, key: &str, destinations: &[(&str, String)], has_spreadsheet: bool) -> String {
    // A JSON text is a TOML text too.
    let quoted = |path: PathBuf| json!(path.to_string_lossy()).to_string();
    let names = destinations.iter().map(|(name, _)| *name).chain(has_spreadsheet.then_some(SPREADSHEET)).collect::<Vec<_>>();
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[console]\nlisten = \"127.0.0.1:0\"\n\n[store]\nurl = {}\n\n\
         [delivery]\nbackoff_initial = \"1s\"\nbackoff_max = \"2s\"\n\n[sources.{SOURCE}]\nsigning_keys = [\"{key}\"]\n\n",
        quoted(PathBuf::from(format!("sqlite:{}", folder.join("leadwire.db").display())))
    );
    for (name, settings) in destinations {
        text.push_str(&format!("[destinations.{name}]\n{settings}\n"));
    }
    if has_spreadsheet {
        let directory = quoted(folder.join("drop"));
        text.push_str(&format!(
            "[destinations.{SPREADSHEET}]\ntype = \"{SPREADSHEET_KIND}\"\ndirectory = {directory}\nmode = \"daily\"\n\n"
        ));
    }
    text.push_str(&format!("[[routes]]\nto = {}\n", json!(names)));
    text
}

fn sender(bridge: SocketAddr, key: &str) -> Result<Sender, String> {
    let url = Url::parse(&format!("http://{bridge}/hooks/{SOURCE}")).map_err(|error| error.to_string())?;
    let schedule = [0, 1, 2].map(Duration::from_secs).to_vec();
    Ok(Sender::new(url, Some(SigningKey::new(key)), Form::Raw)?.with_schedule(schedule))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::connectors;

    #[test]
    fn the_configuration_is_valid_for_all_kinds_and_odd_folders() {
        let connectors = connectors::builtin();
        let url: Url = "http://127.0.0.1:1/".parse().unwrap();
        let settings: Vec<(&str, String)> =
            connectors.iter().filter_map(|kind| Some((kind.name, (kind.simulator?.settings)(&url)))).collect();
        let has_spreadsheet = connectors.get(SPREADSHEET_KIND).is_some();
        let text = configuration(Path::new("/tmp/a \"b\" \\c"), "k", &settings, has_spreadsheet);
        let read = config::parse(Path::new("demo.toml"), &text, &connectors, std::iter::empty()).unwrap();
        assert_eq!(read.destinations.len(), settings.len() + usize::from(has_spreadsheet));
        assert_eq!(read.delivery.backoff_initial, Duration::from_secs(1));
        assert_eq!(read.store.url, config::StoreUrl::Sqlite("/tmp/a \"b\" \\c/leadwire.db".into()));
    }
}
