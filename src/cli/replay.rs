//! `leadwire replay`: deliver again what has ended.

use super::deliveries::StateArg;
use super::show::line;
use super::{Context, Failure, time};
use crate::store::{DeliveryFilter, DeliveryKey, Sqlite};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;
use uuid::Uuid;

/// Deliveries made pending in one transaction.
const PIECE: usize = 100;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Events or deliveries, by id.
    ids: Vec<String>,
    /// To this destination.
    #[arg(long, short)]
    destination: Option<String>,
    /// Those in this state.
    #[arg(long, default_value = "dead")]
    state: StateArg,
    /// Of events received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// How many become due per second.
    #[arg(long, default_value_t = 1_000)]
    per_second: u32,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say how many there are.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: ReplayArgs, context: &Context) -> Result<(), Failure> {
    let store = context.store()?;
    let keys = find(&store, &args).await?;
    if args.dry_run || keys.is_empty() {
        return report(context, keys.len(), 0);
    }
    if !args.yes && !confirm(keys.len())? {
        return Err(Failure::Failed("nothing was replayed".to_owned()));
    }
    let replayed = replay(&store, &keys, args.per_second.max(1)).await?;
    report(context, keys.len(), replayed)
}

async fn find(store: &Sqlite, args: &ReplayArgs) -> Result<Vec<DeliveryKey>, Failure> {
    if let Some(name) = &args.destination {
        store.find_destination(name).await.map_err(|error| Failure::Usage(error.to_string()))?;
    }
    if args.ids.is_empty() {
        if args.destination.is_none() && args.since.is_none() {
            return Err(Failure::Usage("say what to replay: ids, --destination D, or --since T".to_owned()));
        }
        let filter = DeliveryFilter { states: args.state.states(), destination: args.destination.clone(), since: args.since, limit: 0 };
        return Ok(store.find_ended(filter).await?);
    }
    let mut keys = Vec::new();
    for id in &args.ids {
        let (event, destination) = read_id(id)?;
        keys.extend(store.find_ended_of(event, destination.or_else(|| args.destination.clone())).await?);
    }
    Ok(keys)
}

/// An event's id, or a delivery's, which is the event's, `_` and the destination.
fn read_id(id: &str) -> Result<(Uuid, Option<String>), Failure> {
    let (event, destination) = match id.split_once('_') {
        Some((event, destination)) => (event, Some(destination.to_owned())),
        None => (id, None),
    };
    let event = event
        .parse()
        .map_err(|_| Failure::Usage(format!("`{id}` is no id of an event or delivery; `leadwire deliveries list` finds them")))?;
    Ok((event, destination))
}

fn confirm(count: usize) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("this replays {count} deliveries; add --yes to do it without being asked")));
    }
    eprint!("Replay {count} deliveries? [y/N] ");
    std::io::stderr().flush().map_err(|_| Failure::Silent)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|_| Failure::Silent)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What was replayed before an interruption is pending and is not found again, so running the command once more goes on.
async fn replay(store: &Sqlite, keys: &[DeliveryKey], per_second: u32) -> Result<usize, Failure> {
    let bar = ProgressBar::new(keys.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} replayed, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut replayed = 0;
    for piece in keys.chunks(PIECE.min(per_second as usize)) {
        replayed += store.replay(piece.to_vec(), Timestamp::now()).await?;
        bar.inc(piece.len() as u64);
        if replayed < keys.len() {
            tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / f64::from(per_second))).await;
        }
    }
    bar.finish_and_clear();
    Ok(replayed)
}

fn report(context: &Context, found: usize, replayed: usize) -> Result<(), Failure> {
    if context.json {
        return context.print_json(&json!({"found": found, "replayed": replayed}));
    }
    line(&format!("{found} found, {replayed} replayed{}", if replayed > 0 { "; a running bridge delivers them now" } else { "" }))
}
