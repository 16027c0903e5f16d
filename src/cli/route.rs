//! `leadwire route`: give events deliveries that no route took.

use super::desk::Desk;
use super::id::{self, Id};
use super::remote::Server;
use super::show::{ask, count, line, note};
use super::{Context, Failure, who};
use crate::app;
use crate::receive::{Intake, Rerouted, route_unrouted, routing};
use crate::store::{Act, DestinationId, EventRow, NewAction, Pace, Routing, Store};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct RouteArgs {
    /// Events, by id, or by the first 8 digits of it or more.
    #[arg(value_parser = id::parse, required_unless_present = "unrouted")]
    ids: Vec<Id>,
    /// All events that no route took, tests aside.
    #[arg(long, conflicts_with = "ids")]
    unrouted: bool,
    /// To these destinations, instead of where the routes of the configuration say.
    #[arg(long, value_name = "DESTINATION", value_delimiter = ',')]
    to: Vec<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: RouteArgs, context: &Context) -> Result<(), Failure> {
    if let Some(server) = &context.server {
        return over(server, &args, context).await;
    }
    // Looks whether there is a store at all, and a whole one.
    drop(context.whole_store().await?);
    let mut settings = context.settings()?;
    let store = app::open_store(&settings).await?;
    let intake = app::build_intake(&mut settings, &store);
    let to = find_destinations(&intake, &args.to)?;
    let report = if args.unrouted { all(&store, &intake, &to, &args).await? } else { some(&store, &intake, &to, &args).await? };
    if context.json {
        return context.print_json(&json!({"routed": !args.dry_run, "events": report.events, "deliveries": report.deliveries}));
    }
    let verb = if args.dry_run { "would go" } else { "go" };
    let them = if report.deliveries == 1 { "a delivery".to_owned() } else { count(report.deliveries, "delivery").replace("ys", "ies") };
    line(&format!("{} of {} {verb} somewhere now, with {them}", report.events, count(report.unrouted, "event")))
}

/// At a bridge, by its routes.
async fn over(server: &Arc<Server>, args: &RouteArgs, context: &Context) -> Result<(), Failure> {
    if args.dry_run {
        return Err(Failure::Usage("a bridge cannot be asked for a --dry-run of this; leave out --server, where the store is".to_owned()));
    }
    let what = if args.unrouted { "all events that no route took".to_owned() } else { count(args.ids.len(), "event") };
    let without_terminal = format!("this gives deliveries to {what}; add --yes to do it without being asked");
    if !args.yes && !ask(&format!("Give deliveries to {what}?"), &without_terminal)? {
        return Err(Failure::Failed("nothing was routed".to_owned()));
    }
    let (desk, to) = (Desk::Server(Arc::clone(server)), args.to.join(","));
    let mut requests = vec![json!({"unrouted": true, "to": to})];
    if !args.unrouted {
        requests.clear();
        for id in &args.ids {
            requests.push(json!({"event": id.find(&desk).await?.event.id, "to": to}));
        }
    }
    let mut made = 0;
    for request in &requests {
        made += server.act("route", request).await?.count;
    }
    context.tell_done(&json!({"routed": true, "deliveries": made}), &format!("{made} new deliveries"))
}

fn find_destinations(intake: &Intake, names: &[String]) -> Result<Vec<DestinationId>, Failure> {
    let find = |name: &String| {
        let mut known: Vec<&str> = intake.destinations.keys().map(String::as_str).collect();
        known.sort_unstable();
        let unknown = || Failure::Usage(format!("there is no destination `{name}` in the configuration; known are {}", known.join(", ")));
        intake.destinations.get(name).copied().ok_or_else(unknown)
    };
    names.iter().map(find).collect()
}

async fn all(store: &Store, intake: &Intake, to: &[DestinationId], args: &RouteArgs) -> Result<Rerouted, Failure> {
    let planned = usize::try_from(store.count_unrouted().await?).unwrap_or(0);
    let bar = ProgressBar::new(planned as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} looked at").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let seen = route_unrouted(intake, store, to, None, || bar.inc(1)).await?;
    bar.finish_and_clear();
    if args.dry_run || seen.deliveries == 0 {
        return Ok(seen);
    }
    agree(args, seen.deliveries)?;
    let action = store.begin_action(noted(args, "unrouted events", seen.deliveries), Timestamp::now()).await?;
    bar.reset();
    let routed = route_unrouted(intake, store, to, Some(action), || bar.inc(1)).await;
    bar.finish_and_clear();
    let failure = routed.as_ref().err().map(ToString::to_string);
    store.end_action(action, 0, failure, Timestamp::now()).await?;
    Ok(routed?)
}

async fn some(store: &Store, intake: &Intake, to: &[DestinationId], args: &RouteArgs) -> Result<Rerouted, Failure> {
    let mut routings: Vec<Routing> = Vec::new();
    for id in &args.ids {
        let row = id.find_in(store).await?;
        let new = missing(intake, &row, to);
        if new.destinations.is_empty() {
            note(&format!("leadwire: {}", why_nowhere(&row, to)));
        }
        routings.push(new);
    }
    let unrouted = routings.len();
    routings.retain(|routing| !routing.destinations.is_empty());
    let deliveries: usize = routings.iter().map(|routing| routing.destinations.len()).sum();
    let report = Rerouted { unrouted, events: routings.len(), deliveries };
    if deliveries == 0 {
        return Err(Failure::Failed("nothing was routed".to_owned()));
    }
    if args.dry_run {
        return Ok(report);
    }
    agree(args, deliveries)?;
    let target = id::target(&args.ids).unwrap_or_default();
    let act = |routings| Act::Route { routings };
    let made = store.perform_all(noted(args, &target, deliveries), &routings, Pace { per_second: None }, act, |_| {}).await?;
    Ok(Rerouted { deliveries: made, ..report })
}

/// Where it goes now and did not go until now.
fn missing(intake: &Intake, row: &EventRow, to: &[DestinationId]) -> Routing {
    let mut new = routing(intake, &row.event, to);
    let has = |id: &DestinationId| row.deliveries.iter().any(|delivery| intake.destinations.get(&delivery.destination) == Some(id));
    new.destinations.retain(|id| row.erased_at.is_none() && !has(id));
    new
}

fn why_nowhere(row: &EventRow, to: &[DestinationId]) -> String {
    let id = row.event.id;
    match (row.erased_at, row.deliveries.is_empty(), to.is_empty()) {
        (Some(_), _, _) => format!("the person of {id} was erased"),
        (None, true, true) => format!("no route of the configuration takes {id}; name a destination with --to"),
        _ => format!("{id} has a delivery there already; `leadwire replay` sends it again"),
    }
}

fn agree(args: &RouteArgs, deliveries: usize) -> Result<(), Failure> {
    let without_terminal = format!("this makes {deliveries} deliveries; add --yes to do it without being asked");
    if args.yes || ask(&format!("Make {deliveries} deliveries?"), &without_terminal)? {
        return Ok(());
    }
    Err(Failure::Failed("nothing was routed".to_owned()))
}

fn noted(args: &RouteArgs, target: &str, planned: usize) -> NewAction {
    let how = if args.to.is_empty() { "by the routes".to_owned() } else { format!("to {}", args.to.join(", ")) };
    who::acts("route", target, planned, how)
}
