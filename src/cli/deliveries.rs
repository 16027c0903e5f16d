//! `leadwire deliveries`: what is under way, what ended, and how.

use super::show::table;
use super::{Context, Failure, time};
use crate::store::{DeliveryFilter, DeliveryRow, State};
use clap::ValueEnum;
use jiff::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct DeliveriesArgs {
    #[command(subcommand)]
    command: DeliveriesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeliveriesCommand {
    /// Newest first.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only in this state.
    #[arg(long)]
    state: Option<StateArg>,
    /// Only to this destination.
    #[arg(long, short)]
    destination: Option<String>,
    /// Only of events received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// The states that people ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StateArg {
    /// Not ended: waiting, leased or blocked.
    Pending,
    /// Accepted by the destination.
    Delivered,
    /// Not taken by the destination, by its nature.
    Skipped,
    /// Dead letters: for a person to look at.
    Dead,
}

impl StateArg {
    pub(super) fn states(self) -> Vec<State> {
        match self {
            Self::Pending => vec![State::Waiting, State::Leased, State::Blocked],
            Self::Delivered => vec![State::Delivered],
            Self::Skipped => vec![State::Skipped],
            Self::Dead => vec![State::Dead],
        }
    }
}

pub(super) async fn run(args: DeliveriesArgs, context: &Context) -> Result<(), Failure> {
    let DeliveriesCommand::List(args) = args.command;
    let states = args.state.map(StateArg::states).unwrap_or_default();
    let filter = DeliveryFilter { states, destination: args.destination, since: args.since, limit: args.limit };
    let deliveries = context.store()?.deliveries(filter).await?;
    if context.json {
        return context.print_json(&deliveries);
    }
    table(&["received", "event", "destination", "state", "attempts", "remark"], deliveries.iter().map(row).collect(), "no delivery matches")
}

fn row(delivery: &DeliveryRow) -> Vec<String> {
    let record = delivery.record.as_ref().map(|record| format!("record {}", record.id));
    vec![
        time::short(delivery.received_at),
        delivery.event.to_string(),
        delivery.destination.clone(),
        delivery.state.as_str().to_owned(),
        delivery.attempts.to_string(),
        delivery.remark.clone().or(record).unwrap_or_default(),
    ]
}
