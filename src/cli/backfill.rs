//! `leadwire backfill`: fetch from the platform's list of leads what its webhooks lost.

use super::show::line;
use super::{Context, Failure, time};
use crate::app;
use crate::config::{Settings, Source};
use crate::receive::{Backfilled, LeadList, Pages, Span, backfill};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Requests in a minute when the configuration does not say.
const PER_MINUTE: u32 = 60;
/// The length of a page when the configuration does not say.
const PAGE_SIZE: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct BackfillArgs {
    /// The source, which has a section [sources.NAME.backfill].
    #[arg(long)]
    source: String,
    /// Leads that the platform says came since: a moment, a day, or an age such as 7d.
    #[arg(long, value_parser = time::parse)]
    since: Timestamp,
    /// And until then; by default until now.
    #[arg(long, value_parser = time::parse)]
    until: Option<Timestamp>,
    /// Store what is missing; without this, it is only counted.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(args: BackfillArgs, context: &Context) -> Result<(), Failure> {
    let mut settings = context.settings()?;
    let source = find(&settings, &args.source)?;
    refuse_forgotten(&settings, args.since)?;
    let list = lead_list(source, &args.source)?;
    let store = context.whole_store().await?;
    let intake = app::build_intake(&mut settings, &store);
    let span = Span { since: args.since, until: args.until.unwrap_or_else(Timestamp::now), store: args.yes };
    let bar = ProgressBar::new((span.days().len() * list.chatbots().count()) as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} days, {msg}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let told = |total: &Backfilled| {
        bar.set_message(format!("{} missing", total.missing));
        bar.inc(1);
    };
    let result = backfill(&intake, &store, &args.source, &list, span, told).await;
    bar.finish_and_clear();
    report(context, &args, result.map_err(|error| Failure::Failed(error.to_string()))?)
}

fn find<'a>(settings: &'a Settings, name: &str) -> Result<&'a Source, Failure> {
    settings.sources.get(name).ok_or_else(|| {
        let known: Vec<&str> = settings.sources.keys().map(String::as_str).collect();
        Failure::Usage(format!("there is no source `{name}`; known are {}", known.join(", ")))
    })
}

/// What retention has removed is not recognised any more, and would be delivered again.
fn refuse_forgotten(settings: &Settings, since: Timestamp) -> Result<(), Failure> {
    let age = settings.store.retention.and_then(|age| SignedDuration::try_from(age).ok());
    let Some(oldest) = age.and_then(|age| Timestamp::now().checked_sub(age).ok()).filter(|oldest| since < *oldest) else { return Ok(()) };
    Err(Failure::Usage(format!(
        "events are kept for `retention`, so that what came before {} is not known here any more, and would be delivered again; give a later --since",
        time::long(oldest)
    )))
}

fn lead_list(source: &Source, name: &str) -> Result<LeadList, Failure> {
    let missing = || Failure::Usage(format!("add [sources.{name}.backfill] with `token` and `chatbots` to the configuration first"));
    let settings = source.backfill.as_ref().ok_or_else(missing)?;
    let (url, token) = (settings.address().ok_or_else(missing)?, settings.token.as_ref().ok_or_else(missing)?);
    let pages = settings.page_field.clone().map(|field| Pages {
        field,
        size_field: settings.page_size_field.clone(),
        size: settings.page_size.unwrap_or(PAGE_SIZE),
    });
    let per_minute = settings.requests_per_minute.unwrap_or(PER_MINUTE);
    LeadList::new(url, token.expose(), settings.chatbots.clone(), pages, per_minute).map_err(Failure::Failed)
}

fn report(context: &Context, args: &BackfillArgs, total: Backfilled) -> Result<(), Failure> {
    if context.json {
        return context.print_json(&json!({"source": args.source, "dry_run": !args.yes, "found": total}));
    }
    line(&format!("{} on the platform's list, {} known here, {} missing", total.listed, total.known, total.missing))?;
    if total.undated + total.unreadable > 0 {
        line(&format!("{} without a time and {} of no known shape were left out", total.undated, total.unreadable))?;
    }
    match (args.yes, total.missing) {
        (true, _) => line(&format!("{} stored; a running bridge delivers them", total.stored)),
        (false, 0) => Ok(()),
        (false, _) => line("nothing was stored; add --yes to store what is missing"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn what_is_not_known_any_more_is_not_fetched() {
        let parse = |retention: &str| {
            let text = format!(
                "[store]\n{retention}\n[sources.a]\n[destinations.d]\ntype = \"csv\"\ndirectory = \"x\"\n[[routes]]\nto = [\"d\"]\n"
            );
            crate::config::parse("t.toml".as_ref(), &text, &crate::connectors::builtin(), std::iter::empty()).unwrap()
        };
        let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
        assert!(refuse_forgotten(&parse(""), ago(100_000)).is_ok());
        assert!(refuse_forgotten(&parse("retention = \"30d\""), ago(29 * 24)).is_ok());
        assert!(matches!(refuse_forgotten(&parse("retention = \"30d\""), ago(31 * 24)), Err(Failure::Usage(_))));
    }
}
