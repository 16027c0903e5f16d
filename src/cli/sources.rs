//! `leadwire sources`: what is pasted into the chatbot platform, and what came of it.

use super::show::{line, table};
use super::{Context, Failure, time};
use crate::app;
use crate::config::{Server, Settings};
use crate::store::{ClientSeen, Sightings, Silence};
use jiff::Timestamp;
use serde::Serialize;

/// Addresses shown in a table; `--json` has all that are kept.
const SHOWN: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct SourcesArgs {
    #[command(subcommand)]
    command: SourcesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SourcesCommand {
    /// Each with its URL, when it was last seen, by which key, what was refused, from where it came, and whether it is unusually silent.
    List,
}

#[derive(Debug, Serialize)]
struct SourceRow {
    name: String,
    /// To paste into the chatbot platform.
    url: String,
    /// How many signing keys it has; without one it awaits its key.
    signing_keys: usize,
    allow_list: bool,
    report_only: bool,
    #[serde(flatten)]
    seen: Sightings,
    silence: Option<Silence>,
}

pub(super) async fn run(args: SourcesArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        SourcesCommand::List => list(context).await,
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let store = app::open_store(&settings).await?;
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for (name, source) in &settings.sources {
        let seen = store.sightings(name).await?;
        rows.push(SourceRow {
            name: name.clone(),
            url: paste(&settings.server, name),
            signing_keys: source.signing_keys.len(),
            allow_list: !source.allow_ips.is_empty(),
            report_only: source.report_only,
            silence: seen.silence(now),
            seen,
        });
    }
    if context.json { context.print_json(&rows) } else { show(&settings, &rows) }
}

/// The URL of a source, as the platform reaches it.
fn paste(server: &Server, name: &str) -> String {
    format!("{}/hooks/{name}", server.reached_by(server.listen))
}

fn show(settings: &Settings, rows: &[SourceRow]) -> Result<(), Failure> {
    let overview = rows.iter().map(|row| vec![row.name.clone(), moment(row.seen.last_seen), lead(row), row.url.clone()]);
    table(&["source", "last seen", "last lead", "url to paste"], overview.collect(), "there is no source")?;
    if settings.server.public_url.is_none() {
        line("\nset `public_url` in [server] to see the URLs as the platform reaches them")?;
    }
    line("\nwhat is seen is brought up to date about once a minute")?;
    rows.iter().try_for_each(show_one)
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), time::short)
}

fn lead(row: &SourceRow) -> String {
    match &row.silence {
        Some(silence) if silence.unusual => format!("{}, unusually silent", time::short(silence.since)),
        _ => moment(row.seen.last_lead),
    }
}

fn show_one(row: &SourceRow) -> Result<(), Failure> {
    line(&format!("\n{}", row.name))?;
    if row.signing_keys == 0 {
        line("  awaits its signing key: what comes is kept in quarantine until the key is there")?;
    }
    if let Some(by) = row.silence.and_then(|silence| silence.expected_by) {
        line(&format!("  the next lead is expected by {}, by its own week", time::long(by)))?;
    }
    for key in &row.seen.keys {
        line(&format!("  key {} last used {}, {} times", key.key, time::long(key.last_used), key.times))?;
    }
    for refusal in &row.seen.refusals {
        line(&format!("  refused {} times, last {}: {}", refusal.times, time::long(refusal.last), refusal.cause))?;
    }
    for client in row.seen.clients.iter().take(SHOWN) {
        line(&format!("  from {} {} times, last {}{}", client.address, client.times, time::long(client.last), listed(row, client)))?;
    }
    let hidden = row.seen.clients.iter().skip(SHOWN).map(|client| client.times).sum::<i64>() + row.seen.other_clients;
    if hidden > 0 { line(&format!("  from other addresses {hidden} times")) } else { Ok(()) }
}

fn listed(row: &SourceRow, client: &ClientSeen) -> &'static str {
    match (row.allow_list, client.listed, row.report_only) {
        (false, ..) | (_, true, _) => "",
        (true, false, true) => ", not in allow_ips, let in because of report_only",
        (true, false, false) => ", not in allow_ips",
    }
}
