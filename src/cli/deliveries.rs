//! `leadwire deliveries`: what is under way, what ended, and how.

use super::show::{is_narrow, table};
use super::{Context, Failure, time};
use crate::store::{DeadCause, DeliveryFilter, DeliveryRow, State};
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
    /// Only dead letters of this cause, as `--by-cause` names it.
    #[arg(long)]
    cause: Option<String>,
    /// Only of events received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Instead of each delivery, how many dead letters died of what.
    #[arg(long, conflicts_with_all = ["cause", "since"])]
    by_cause: bool,
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
    if args.by_cause {
        return list_causes(&args, context).await;
    }
    let states = args.state.map(StateArg::states).unwrap_or_default();
    let ListArgs { destination, cause, since, limit, .. } = args;
    let filter = DeliveryFilter { states, destination, cause, since, before: None, limit };
    let deliveries = context.desk_to_read().await?.deliveries(filter).await?;
    if context.json {
        return context.print_json(&deliveries);
    }
    show(&deliveries, is_narrow())
}

async fn list_causes(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    if args.state.is_some_and(|state| state != StateArg::Dead) {
        return Err(Failure::Usage("only dead letters have a cause; say --state dead".to_owned()));
    }
    let mut causes = context.desk_to_read().await?.dead_causes().await?;
    causes.retain(|cause| args.destination.as_ref().is_none_or(|name| *name == cause.destination));
    causes.truncate(args.limit as usize);
    if context.json {
        return context.print_json(&causes);
    }
    let row = |cause: &DeadCause| {
        vec![cause.count.to_string(), cause.destination.clone(), cause.cause.clone(), time::short(cause.newest), cause.message.clone()]
    };
    table(
        &["dead", "destination", "cause", "newest", "what the newest says"],
        causes.iter().map(row).collect(),
        "there are no dead letters",
    )
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
