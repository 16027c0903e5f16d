//! `leadwire quarantine`: bodies that could not be verified.

use super::show::{line, table};
use super::{Context, Failure, time, who};
use crate::app;
use crate::receive::{Reverified, reverify};
use crate::store::{Act, Entry, Purge, QuarantineRow};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Map, json};

#[derive(Debug, clap::Args)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, clap::Subcommand)]
enum QuarantineCommand {
    /// Newest first, with the reason of each refusal.
    List {
        /// Only of this source.
        #[arg(long)]
        source: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Verify again with the keys of the configuration; what verifies is delivered. Works beside a running bridge.
    Verify {
        /// Only of this source.
        #[arg(long)]
        source: Option<String>,
    },
    /// Remove bodies for good.
    Purge {
        /// Only of this source.
        #[arg(long)]
        source: Option<String>,
        /// Only those that came before: a moment, a day, or an age such as 7d.
        #[arg(long, value_parser = time::parse)]
        before: Option<Timestamp>,
        /// Also those whose sender was told success while the source awaited its key. They may be leads.
        #[arg(long)]
        with_promised: bool,
        /// Do it; without this, nothing is removed.
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(args: QuarantineArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        QuarantineCommand::List { source, limit } => list(source, limit, context).await,
        QuarantineCommand::Verify { source } => verify(source, context).await,
        QuarantineCommand::Purge { source, before, with_promised, yes } => purge(source, before, with_promised, yes, context).await,
    }
}

async fn list(source: Option<String>, limit: u32, context: &Context) -> Result<(), Failure> {
    let rows = context.desk_to_read().await?.quarantined(source, limit).await?;
    if context.json {
        return context.print_json(&rows);
    }
    table(&["came", "source", "from", "times", "bytes", "why"], rows.iter().map(row).collect(), "the quarantine is empty")
}

fn row(row: &QuarantineRow) -> Vec<String> {
    vec![time::short(row.at), row.source.clone(), row.client.clone(), row.times.to_string(), row.size.to_string(), row.reason.clone()]
}

async fn verify(only: Option<String>, context: &Context) -> Result<(), Failure> {
    if let Some(server) = &context.server {
        let done = server.act("verify", &json!({"source": only})).await?;
        return context.tell_done(&json!({"verified": done.count}), &done.message);
    }
    let mut settings = context.settings()?;
    if let Some(name) = only.as_ref().filter(|name| !settings.sources.contains_key(*name)) {
        let known: Vec<&str> = settings.sources.keys().map(String::as_str).collect();
        return Err(Failure::Usage(format!("there is no source `{name}`; known are {}", known.join(", "))));
    }
    let store = app::open_store(&settings).await?;
    let intake = app::build_intake(&mut settings, &store);
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {pos} bodies verified again").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let names: Vec<&String> = intake.sources.keys().filter(|name| only.as_ref().is_none_or(|only| only == *name)).collect();
    let planned = usize::try_from(store.count_quarantined().await?).unwrap_or(0);
    let new = who::acts("verify", only.as_deref().unwrap_or("all sources"), planned, String::new());
    let action = store.begin_action(new, Timestamp::now()).await?;
    let mut reports: Vec<(String, Reverified)> = Vec::new();
    for name in names {
        let report = reverify(&intake, &store, name, || bar.inc(1)).await;
        let failure = report.as_ref().err().map(ToString::to_string);
        if failure.is_some() {
            store.end_action(action, admitted(&reports), failure, Timestamp::now()).await?;
        }
        reports.push((name.clone(), report?));
    }
    store.end_action(action, admitted(&reports), None, Timestamp::now()).await?;
    bar.finish_and_clear();
    if context.json {
        let by_source: Map<_, _> = reports.iter().map(|(name, report)| (name.clone(), json!(report))).collect();
        return context.print_json(&by_source);
    }
    let rows = reports.iter().map(|(name, report)| {
        vec![
            name.clone(),
            report.admitted.to_string(),
            report.events.to_string(),
            report.duplicates.to_string(),
            report.refused.to_string(),
        ]
    });
    table(&["source", "verified", "new events", "known events", "still refused"], rows.collect(), "there is no source")
}

fn admitted(reports: &[(String, Reverified)]) -> usize {
    usize::try_from(reports.iter().map(|(_, report)| report.admitted).sum::<u64>()).unwrap_or(usize::MAX)
}

async fn purge(
    source: Option<String>,
    before: Option<Timestamp>,
    with_promised: bool,
    yes: bool,
    context: &Context,
) -> Result<(), Failure> {
    if !yes {
        return Err(Failure::Usage(
            "this removes bodies for good; add --yes to do it, or look at `leadwire quarantine list` first".to_owned(),
        ));
    }
    if let Some(server) = &context.server {
        let before = before.map(|before| before.to_string()).or_else(|| source.is_none().then(|| Timestamp::now().to_string()));
        let body = json!({"source": source, "before": before, "with_promised": with_promised});
        let done = server.act("purge", &body).await?;
        return context.tell_done(&json!({"removed": done.count}), &format!("{} bodies removed", done.count));
    }
    let store = context.store().await?;
    let also = if with_promised { "also promised ones" } else { "no promised ones" };
    let detail = before.map_or_else(|| also.to_owned(), |before| format!("from before {before}; {also}"));
    let new = who::acts("purge", source.as_deref().unwrap_or("all sources"), 0, detail);
    let which = Purge { id: None, source, before, with_promised };
    let removed = store.perform(Entry::New(new), Act::Purge(which), Timestamp::now()).await?;
    if context.json { context.print_json(&json!({"removed": removed})) } else { line(&format!("{removed} bodies removed")) }
}
