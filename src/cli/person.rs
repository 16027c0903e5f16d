//! `leadwire person`: everything that is held of one person, and its erasure.

mod certificate;
mod erase;
mod export;
mod find;

use super::show::table;
use super::{Context, Failure, time};
use crate::app::{self, LateConnector};
use crate::config::Settings;
use crate::normalize::Subject;
use crate::store::{Erasure, Store};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct PersonArgs {
    #[command(subcommand)]
    command: PersonCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PersonCommand {
    /// Write everything that is held of a person as one JSON document, for a request of theirs.
    Export {
        #[command(flatten)]
        who: Who,
        /// Write it to this file, which only you can read, instead of to standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Also the events that only mention the person in their text, which are about others.
        #[arg(long)]
        mentions: bool,
    },
    /// Erase a person for good, and print a certificate of it as JSON. Says first what there is, and asks.
    Erase {
        #[command(flatten)]
        who: Who,
        /// Also the events that only mention the person in their text, which are about others.
        #[arg(long)]
        mentions: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        /// Write the certificate to this file as well.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// List what connectors have still to remove, and records that arrived after an erasure.
    Erasures {
        /// Also what is done.
        #[arg(long)]
        all: bool,
    },
}

/// Whom it is about. With both, whoever has the one or the other.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Who {
    /// The person's e-mail address, in any case.
    #[arg(long)]
    email: Option<String>,
    /// The person's phone number, best with its country's code: +14155552671.
    #[arg(long)]
    phone: Option<String>,
}

pub(super) async fn run(args: PersonArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        PersonCommand::Export { who, output, mentions } => export::run(&Scene::open(&who, context).await?, output, mentions, context).await,
        PersonCommand::Erase { who, mentions, yes, certificate } => {
            let scene = Scene::open(&who, context).await?;
            erase::run(&scene, erase::Wish { mentions, yes, certificate }, context).await
        }
        PersonCommand::Erasures { all } => list(all, context).await,
    }
}

/// What both commands work with.
struct Scene {
    store: Store,
    subject: Subject,
    /// Where numbers without a country's code are from, by source.
    countries: HashMap<String, String>,
    /// The destinations of the configuration.
    destinations: BTreeMap<String, LateConnector>,
    /// The `type` of each.
    kinds: BTreeMap<String, String>,
}

impl Scene {
    async fn open(who: &Who, context: &Context) -> Result<Self, Failure> {
        let Settings { sources, destinations, delivery, .. } = context.settings()?;
        let countries: HashMap<String, String> =
            sources.into_iter().filter_map(|(name, source)| Some((name, source.default_country?))).collect();
        let subject = Subject::new(who.email.as_deref(), who.phone.as_deref(), countries.values().map(String::as_str));
        let kinds = destinations.iter().map(|(name, destination)| (name.clone(), destination.kind.clone())).collect();
        let connect = |(name, destination): (String, _)| (name.clone(), app::connect(&name, destination, &delivery, None));
        Ok(Self {
            store: context.store().await?,
            subject: subject.map_err(Failure::Usage)?,
            countries,
            destinations: destinations.into_iter().map(connect).collect(),
            kinds,
        })
    }

    fn country(&self, source: &str) -> Option<&str> {
        self.countries.get(source).map(String::as_str)
    }
}

async fn list(all: bool, context: &Context) -> Result<(), Failure> {
    let mut erasures = context.store().await?.erasures(Timestamp::MIN).await?;
    erasures.retain(|erasure| all || erasure.done_at.is_none() || erasure.arrived.is_some());
    if context.json {
        return context.print_json(&erasures);
    }
    table(&["asked for", "delivery", "result", "to remove there"], erasures.iter().map(row).collect(), "nothing is left to do")
}

fn row(erasure: &Erasure) -> Vec<String> {
    let result = match (&erasure.result, &erasure.place) {
        (Some(result), Some(place)) => format!("{}: {place}", result.replace('_', " ")),
        (Some(result), None) => result.replace('_', " "),
        (None, _) => "open; a running bridge does it".to_owned(),
    };
    vec![time::short(erasure.requested_at), erasure.delivery.clone(), result, erasure.arrived.clone().unwrap_or_default()]
}

/// Writes a file that only its owner can read, also when it was there before.
/// Nothing is written over: it may be an earlier certificate, with records that are still to be removed.
fn must_be_new(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::Failed(format!("{} exists already; name another file", path.display())));
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        writeln!(file, "{text}")?;
        file.sync_all()
    };
    write().map_err(|error: std::io::Error| Failure::Failed(format!("{} cannot be written: {error}", path.display())))
}

/// For programs on one line, for people on many.
fn to_json(value: &impl serde::Serialize, context: &Context) -> Result<String, Failure> {
    let text = if context.json { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
    text.map_err(|error| Failure::Failed(error.to_string()))
}
