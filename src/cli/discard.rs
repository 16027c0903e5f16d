//! `leadwire discard`: end dead letters that need not be delivered.

use super::id::{self, Id};
use super::remote::{Deed, Selected, Server};
use super::replay::{find, narrowed};
use super::show::{ask, count, line};
use super::{Context, Failure, hold, time, who};
use crate::store::{Act, DeliveryFilter, DeliveryKey, NewAction, Pace, State, Store};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    /// Events or deliveries, by id, or by the first 8 digits of it or more.
    #[arg(value_parser = id::parse)]
    ids: Vec<Id>,
    /// To this destination.
    #[arg(long, short)]
    destination: Option<String>,
    /// Of this cause, as `leadwire deliveries list --state dead --by-cause` names it.
    #[arg(long)]
    cause: Option<String>,
    /// Of events received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// Why, for whoever looks later.
    #[arg(long, value_parser = hold::reason)]
    reason: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say how many there are.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: DiscardArgs, context: &Context) -> Result<(), Failure> {
    if args.ids.is_empty() && args.destination.is_none() && args.cause.is_none() {
        return Err(Failure::Usage("say what to discard: ids, --destination D, or --cause C".to_owned()));
    }
    args.ids.iter().try_for_each(|id| narrowed(&args.filter(), id).map(drop))?;
    if let Some(server) = &context.server {
        return args.over(server, context).await;
    }
    let store = context.store().await?;
    let keys = find(&store, &args.ids, args.filter()).await?;
    if args.dry_run || keys.is_empty() {
        return report(context, keys.len(), 0);
    }
    let what = count(keys.len(), "dead letter");
    let without_terminal = format!("this discards {what}; add --yes to do it without being asked");
    if !args.yes && !ask(&format!("Discard {what}?"), &without_terminal)? {
        return Err(Failure::Failed("nothing was discarded".to_owned()));
    }
    let discarded = discard(&store, &keys, &args).await?;
    report(context, keys.len(), discarded)
}

impl DiscardArgs {
    fn filter(&self) -> DeliveryFilter {
        let (destination, cause) = (self.destination.clone(), self.cause.clone());
        DeliveryFilter { states: vec![State::Dead], destination, cause, since: self.since, ..DeliveryFilter::default() }
    }

    async fn over(&self, server: &Arc<Server>, context: &Context) -> Result<(), Failure> {
        let Self { ids, destination, cause, since, .. } = self;
        let which = Selected { ids, destination: destination.as_deref(), cause: cause.as_deref(), since: *since };
        let more = json!({"reason": self.reason});
        Deed { action: "discard", done: "discarded", more, which, dry_run: self.dry_run, yes: self.yes }.run(server, context).await
    }
}

/// What was discarded before an interruption is not found again, so running the command once more goes on.
async fn discard(store: &Store, keys: &[DeliveryKey], args: &DiscardArgs) -> Result<usize, Failure> {
    let bar = ProgressBar::new(keys.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} discarded").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let remark = format!("discarded by {}: {}", who::name(), args.reason);
    let target = id::target(&args.ids).or_else(|| args.destination.clone()).unwrap_or_else(|| "all destinations".to_owned());
    let cause = args.cause.as_ref().map(|cause| format!("died of {cause}")).unwrap_or_default();
    let new = NewAction { reason: args.reason.clone(), ..who::acts("discard", &target, keys.len(), cause) };
    let act = |keys| Act::Discard { keys, remark: remark.clone() };
    let discarded = store.perform_all(new, keys, Pace { per_second: None }, act, |rows| bar.inc(rows as u64)).await?;
    bar.finish_and_clear();
    Ok(discarded)
}

fn report(context: &Context, found: usize, discarded: usize) -> Result<(), Failure> {
    if context.json {
        return context.print_json(&json!({"found": found, "discarded": discarded}));
    }
    let again = if discarded > 0 { "; `leadwire replay … --state skipped` sends them all the same" } else { "" };
    line(&format!("{found} found, {discarded} discarded{again}"))
}
