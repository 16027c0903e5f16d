//! `leadwire replay`: deliver again what has ended.

use super::id::{self, Id};
use super::remote::{Deed, Selected, Server};
use super::show::{ask, line, note};
use super::{Context, Failure, time, who};
use crate::store::{Act, DeliveryFilter, DeliveryKey, EventRow, NewAction, Pace, State, Store};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// How many become due per second, if nobody says otherwise.
const PER_SECOND: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Events or deliveries, by id, or by the first 8 digits of it or more.
    #[arg(value_parser = id::parse)]
    ids: Vec<Id>,
    /// To this destination.
    #[arg(long, short)]
    destination: Option<String>,
    /// Those in this state.
    #[arg(long, default_value = "dead")]
    state: EndedArg,
    /// Dead letters of this cause, as `leadwire deliveries list --state dead --by-cause` names it.
    #[arg(long)]
    cause: Option<String>,
    /// Of events received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// How many become due per second.
    #[arg(long, default_value_t = PER_SECOND)]
    per_second: u32,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say how many there are.
    #[arg(long)]
    dry_run: bool,
}

/// How those that are replayed have ended. What is pending needs no replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EndedArg {
    /// Accepted by the destination.
    Delivered,
    /// Not taken by the destination, by its nature.
    Skipped,
    /// Dead letters.
    Dead,
}

impl EndedArg {
    fn state(self) -> State {
        match self {
            Self::Delivered => State::Delivered,
            Self::Skipped => State::Skipped,
            Self::Dead => State::Dead,
        }
    }
}

pub(super) async fn run(args: ReplayArgs, context: &Context) -> Result<(), Failure> {
    args.refuse_nonsense()?;
    if let Some(server) = &context.server {
        return args.over(server, context).await;
    }
    let store = context.store().await?;
    let keys = find(&store, &args.ids, args.filter()).await?;
    if args.dry_run || keys.is_empty() {
        return report(context, keys.len(), 0);
    }
    let count = keys.len();
    let without_terminal = format!("this replays {count} deliveries; add --yes to do it without being asked");
    if !args.yes && !ask(&format!("Replay {count} deliveries?"), &without_terminal)? {
        return Err(Failure::Failed("nothing was replayed".to_owned()));
    }
    let replayed = replay(&store, &keys, &args).await?;
    report(context, keys.len(), replayed)
}

/// The ended deliveries that match, of these ids only when there are any. A destination that there is not is a mistake.
pub(super) async fn find(store: &Store, ids: &[Id], filter: DeliveryFilter) -> Result<Vec<DeliveryKey>, Failure> {
    if let Some(name) = &filter.destination {
        store.find_destination(name).await.map_err(|error| Failure::Usage(error.to_string()))?;
    }
    if ids.is_empty() { Ok(store.find_ended(filter).await?) } else { find_of(store, ids, &filter).await }
}

impl ReplayArgs {
    fn filter(&self) -> DeliveryFilter {
        DeliveryFilter {
            states: vec![self.state.state()],
            destination: self.destination.clone(),
            cause: self.cause.clone(),
            since: self.since,
            ..DeliveryFilter::default()
        }
    }

    fn refuse_nonsense(&self) -> Result<(), Failure> {
        if self.cause.is_some() && self.state != EndedArg::Dead {
            return Err(Failure::Usage("only dead letters have a cause; leave out --cause or --state".to_owned()));
        }
        if self.ids.is_empty() && self.destination.is_none() && self.since.is_none() && self.cause.is_none() {
            return Err(Failure::Usage("say what to replay: ids, --destination D, --cause C, or --since T".to_owned()));
        }
        Ok(())
    }

    async fn over(&self, server: &Arc<Server>, context: &Context) -> Result<(), Failure> {
        if self.per_second != PER_SECOND {
            return Err(Failure::Usage(format!("a bridge replays {PER_SECOND} per second; leave out --per-second with --server")));
        }
        self.ids.iter().try_for_each(|id| narrowed(&self.filter(), id).map(drop))?;
        let Self { ids, destination, cause, since, .. } = self;
        let which = Selected { ids, destination: destination.as_deref(), cause: cause.as_deref(), since: *since };
        let more = json!({"state": self.state.state().as_str()});
        Deed { action: "replay", done: "replayed", more, which, dry_run: self.dry_run, yes: self.yes }.run(server, context).await
    }
}

/// Fails when nothing matches. When only some ids have nothing, says so: the others may be what is left of an interrupted replay.
async fn find_of(store: &Store, ids: &[Id], filter: &DeliveryFilter) -> Result<Vec<DeliveryKey>, Failure> {
    let (mut keys, mut reasons) = (Vec::new(), Vec::new());
    for id in ids {
        let event = id.find_in(store).await?;
        let filter = narrowed(filter, id)?;
        let found = store.find_ended_of(event.event.id, filter.clone()).await?;
        if found.is_empty() {
            reasons.push(why_not(&event, &filter));
        }
        keys.extend(found);
    }
    if keys.is_empty() {
        return Err(Failure::Failed(reasons.join("\n")));
    }
    reasons.iter().for_each(|reason| note(&format!("leadwire: {reason}")));
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(*key));
    Ok(keys)
}

/// The filter for what this id names.
pub(super) fn narrowed(filter: &DeliveryFilter, id: &Id) -> Result<DeliveryFilter, Failure> {
    match (&id.destination, &filter.destination) {
        (Some(own), Some(asked)) if own != asked => {
            Err(Failure::Usage(format!("a delivery to {own} is named, but --destination is {asked}")))
        }
        (Some(own), _) => Ok(DeliveryFilter { destination: Some(own.clone()), ..filter.clone() }),
        (None, _) => Ok(filter.clone()),
    }
}

/// What there is instead of what was asked for.
fn why_not(row: &EventRow, filter: &DeliveryFilter) -> String {
    let event = &row.event;
    if filter.since.is_some_and(|since| event.received_at < since) {
        return format!("nothing of {} is replayed: it was received at {}, before --since", event.id, time::long(event.received_at));
    }
    let is_meant = |name: &String| filter.destination.as_ref().is_none_or(|meant| meant == name);
    let deliveries = row.deliveries.iter().filter(|delivery| is_meant(&delivery.destination));
    let states: BTreeSet<State> = deliveries.map(|delivery| delivery.state).collect();
    match &filter.destination {
        Some(name) if states.is_empty() => format!("the event {} has no delivery to {name}", event.id),
        None if states.is_empty() => format!("the event {} has no deliveries", event.id),
        _ => format!("nothing of {} is replayed: {}", event.id, instead(&states)),
    }
}

fn instead(states: &BTreeSet<State>) -> String {
    let mut words: Vec<&str> = states.iter().map(|state| if state.is_pending() { "pending" } else { state.as_str() }).collect();
    words.dedup();
    let found = format!("its deliveries are {}", words.join(" and "));
    let ended = EndedArg::value_variants().iter().map(|ended| ended.state()).filter(|state| states.contains(state));
    let options: Vec<String> = ended.map(|state| format!("--state {}", state.as_str())).collect();
    if options.is_empty() { found } else { format!("{found}; add {} to send them again", options.join(" or ")) }
}

/// What was replayed before an interruption is pending and is not found again, so running the command once more goes on.
async fn replay(store: &Store, keys: &[DeliveryKey], args: &ReplayArgs) -> Result<usize, Failure> {
    let bar = ProgressBar::new(keys.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} replayed, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let from = vec![args.state.state()];
    let pace = Pace { per_second: Some(args.per_second) };
    let act = |keys| Act::Replay { keys, from: from.clone() };
    let replayed = store.perform_all(noted(args, keys.len()), keys, pace, act, |rows| bar.inc(rows as u64)).await?;
    bar.finish_and_clear();
    Ok(replayed)
}

fn noted(args: &ReplayArgs, planned: usize) -> NewAction {
    let since = args.since.map(|since| format!(", received since {since}")).unwrap_or_default();
    let cause = args.cause.as_ref().map(|cause| format!(", died of {cause}")).unwrap_or_default();
    let target = id::target(&args.ids).or_else(|| args.destination.clone()).unwrap_or_else(|| "all destinations".to_owned());
    who::acts("replay", &target, planned, format!("those {}{cause}{since}", args.state.state().as_str()))
}

fn report(context: &Context, found: usize, replayed: usize) -> Result<(), Failure> {
    if context.json {
        return context.print_json(&json!({"found": found, "replayed": replayed}));
    }
    line(&format!("{found} found, {replayed} replayed{}", if replayed > 0 { "; a running bridge delivers them now" } else { "" }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn what_was_found_instead_is_told_with_the_way_to_replay_it() {
        let told = |states: &[State]| instead(&states.iter().copied().collect());
        assert_eq!(told(&[State::Delivered]), "its deliveries are delivered; add --state delivered to send them again");
        assert_eq!(told(&[State::Waiting, State::Blocked]), "its deliveries are pending");
        assert_eq!(
            told(&[State::Skipped, State::Leased, State::Delivered]),
            "its deliveries are pending and delivered and skipped; add --state delivered or --state skipped to send them again"
        );
        assert_eq!(told(&[State::Erased]), "its deliveries are erased");
    }

    #[test]
    fn an_id_of_a_delivery_names_the_destination_and_another_one_contradicts_it() {
        let id = id::parse("019abc12_crm").unwrap();
        let asked = |name: Option<&str>| DeliveryFilter { destination: name.map(str::to_owned), ..DeliveryFilter::default() };
        for filter in [asked(None), asked(Some("crm"))] {
            assert_eq!(narrowed(&filter, &id).unwrap().destination.as_deref(), Some("crm"));
        }
        assert!(matches!(narrowed(&asked(Some("archive")), &id), Err(Failure::Usage(_))));
        let event = id::parse("019abc12").unwrap();
        assert_eq!(narrowed(&asked(Some("archive")), &event).unwrap().destination.as_deref(), Some("archive"));
    }
}
