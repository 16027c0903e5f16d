//! `leadwire person`: everything that is held of one person, and its erasure.

mod certificate;
mod erase;
mod export;
mod find;

use super::show::{line, table};
use super::{Context, Failure, time};
use crate::config::Settings;
use crate::deliver::{LateConnector, connect};
use crate::normalize::Subject;
use crate::store::{Erasure, Store, Unfinished};
use certificate::Head;
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
    /// List erasures that are not finished, what connectors have still to remove, and records that arrived after an erasure.
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
        let store = context.whole_store().await?;
        let connect = |(name, destination): (String, _)| {
            let at = store.destination_id(&name).map(|id| (&store, id));
            (name.clone(), connect(&name, destination, &delivery, at))
        };
        let destinations = destinations.into_iter().map(connect).collect();
        Ok(Self { store, subject: subject.map_err(Failure::Usage)?, countries, destinations, kinds })
    }

    fn country(&self, source: &str) -> Option<&str> {
        self.countries.get(source).map(String::as_str)
    }
}

/// What is left to do.
#[derive(serde::Serialize)]
struct Left {
    /// Interrupted, or under way now.
    unfinished: Vec<Begun>,
    erasures: Vec<Erasure>,
}

/// An erasure whose certificate is not out yet.
#[derive(serde::Serialize)]
struct Begun {
    #[serde(with = "leadwire_connector::timestamp")]
    begun_at: Timestamp,
    #[serde(flatten)]
    head: Option<Head>,
    events: usize,
    quarantined: usize,
}

impl Begun {
    fn new(unfinished: &Unfinished) -> Self {
        let Unfinished { owed, removed } = unfinished;
        Self {
            begun_at: owed.begun_at,
            head: Head::read(owed),
            events: removed.iter().map(|removed| removed.events.len()).sum(),
            quarantined: removed.iter().map(|removed| removed.quarantined).sum(),
        }
    }

    fn row(&self) -> Vec<String> {
        let who = self.head.as_ref().map_or_else(|| "unknown to this version".to_owned(), |head| head.subject.masked());
        vec![time::short(self.begun_at), who, format!("{} events, {} quarantined bodies", self.events, self.quarantined)]
    }
}

async fn list(all: bool, context: &Context) -> Result<(), Failure> {
    let store = context.whole_store().await?;
    let unfinished: Vec<Begun> = store.unfinished_erasures().await?.iter().map(Begun::new).collect();
    let mut erasures = store.erasures(Timestamp::MIN).await?;
    erasures.retain(|erasure| all || erasure.done_at.is_none() || erasure.arrived.is_some());
    let left = Left { unfinished, erasures };
    if context.json { context.print_json(&left) } else { show(&left) }
}

fn show(Left { unfinished, erasures }: &Left) -> Result<(), Failure> {
    if !unfinished.is_empty() {
        table(&["not finished, begun", "of", "erased so far"], unfinished.iter().map(Begun::row).collect(), "")?;
        line("interrupted, or still under way; the same `leadwire person erase` finishes it and certifies all of it")?;
        line("")?;
    }
    let none = if unfinished.is_empty() { "nothing is left to do" } else { "nothing is left to connectors" };
    table(&["asked for", "delivery", "result", "to remove there"], erasures.iter().map(row).collect(), none)
}

fn row(erasure: &Erasure) -> Vec<String> {
    let result = match (&erasure.result, &erasure.place) {
        (Some(result), Some(place)) => format!("{}: {place}", result.replace('_', " ")),
        (Some(result), None) => result.replace('_', " "),
        (None, _) => "open; a running bridge does it".to_owned(),
    };
    vec![time::short(erasure.requested_at), erasure.delivery.clone(), result, erasure.arrived.clone().unwrap_or_default()]
}

/// Nothing is written over: it may be an earlier certificate, with records that are still to be removed. And no folder is made, as by
/// no other command: it would be a misspelt one.
fn must_be_new(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Failed(format!("{} exists already; name another file", path.display())));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(Failure::Failed(format!("there is no folder {}; make it first, or name another file", folder.display()))),
        None => Ok(()),
    }
}

/// Writes a file that only its owner can read, also when it was there before.
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
