//! `leadwire deliveries`: what is under way, what ended, and how.

use super::show::{is_narrow, table};
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
enum StateArg {
    /// Not ended: waiting, leased or blocked.
    Pending,
    /// Due now or later.
    Waiting,
    /// Under way.
    Leased,
    /// Behind an earlier delivery of the same person.
    Blocked,
    /// Accepted by the destination.
    Delivered,
    /// Not taken by the destination, by its nature.
    Skipped,
    /// Dead letters: for a person to look at.
    Dead,
    /// Of an erased person.
    Erased,
}

impl StateArg {
    fn states(self) -> Vec<State> {
        match self {
            Self::Pending => vec![State::Waiting, State::Leased, State::Blocked],
            Self::Waiting => vec![State::Waiting],
            Self::Leased => vec![State::Leased],
            Self::Blocked => vec![State::Blocked],
            Self::Delivered => vec![State::Delivered],
            Self::Skipped => vec![State::Skipped],
            Self::Dead => vec![State::Dead],
            Self::Erased => vec![State::Erased],
        }
    }
}

pub(super) async fn run(args: DeliveriesArgs, context: &Context) -> Result<(), Failure> {
    let DeliveriesCommand::List(args) = args.command;
    let states = args.state.map(StateArg::states).unwrap_or_default();
    let filter = DeliveryFilter { states, destination: args.destination, since: args.since, before: None, limit: args.limit };
    let deliveries = context.store_to_read().await?.deliveries(filter).await?;
    if context.json {
        return context.print_json(&deliveries);
    }
    show(&deliveries, is_narrow())
}

fn show(deliveries: &[DeliveryRow], is_narrow: bool) -> Result<(), Failure> {
    let none = "no delivery matches";
    if is_narrow {
        return table(&["received", "delivery and remark", "state"], deliveries.iter().flat_map(narrow).collect(), none);
    }
    table(&["received", "delivery", "state", "attempts", "remark"], deliveries.iter().map(wide).collect(), none)
}

fn wide(delivery: &DeliveryRow) -> Vec<String> {
    vec![
        time::short(delivery.received_at),
        delivery.id.clone(),
        delivery.state.as_str().to_owned(),
        delivery.attempts.to_string(),
        remark(delivery),
    ]
}

/// The id alone fills half of the line, so the rest has a second one.
fn narrow(delivery: &DeliveryRow) -> [Vec<String>; 2] {
    let attempts = if delivery.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", delivery.attempts) };
    [
        vec![time::short(delivery.received_at), delivery.id.clone(), delivery.state.as_str().to_owned()],
        vec![String::new(), remark(delivery), attempts],
    ]
}

fn remark(delivery: &DeliveryRow) -> String {
    let record = || delivery.record.as_ref().map(|record| format!("record {}", record.id));
    delivery.remark.clone().or_else(record).unwrap_or_default()
}
