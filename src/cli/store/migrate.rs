//! `leadwire store migrate`.

use super::{bar, spinner};
use crate::app;
use crate::cli::show::{line, note, table};
use crate::cli::{Context, Failure, time};
use crate::config::StoreUrl;
use crate::store::{Beginning, Comparison, Transfer};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// The store with everything in it, or a backup: sqlite:FILE or postgres://…. No bridge may run on it.
    #[arg(long, value_name = "URL", env = "LEADWIRE_MIGRATE_FROM", hide_env_values = true)]
    from: String,
    /// The store that gets everything: an empty one, or none yet.
    #[arg(long, value_name = "URL", env = "LEADWIRE_MIGRATE_TO", hide_env_values = true)]
    to: String,
}

pub(super) async fn run(args: MigrateArgs, context: &Context) -> Result<(), Failure> {
    let (from, to) = (read("--from", &args.from)?, read("--to", &args.to)?);
    refuse_same(&from, &to)?;
    let origin = app::open_origin(&from).await?;
    let target = app::open_target(&to).await?;
    let started_at = Instant::now();
    let spinner = spinner("reading every page of the origin");
    let begun = Transfer::begin(origin, target, &app::place(&from)).await;
    spinner.finish_and_clear();
    let transfer = match begun? {
        Beginning::Open(transfer) => transfer,
        Beginning::Finished(at) => return tell_finished(context, at, started_at.elapsed()),
    };
    let events = transfer.progress().events;
    if events > 0 {
        note(&format!("goes on where it was interrupted: {events} events are there already"));
    }
    let comparison = copy(*transfer).await?;
    if context.json {
        let (same, seconds) = (comparison.is_same(), started_at.elapsed().as_secs_f64());
        context.print_json(&Report { same, seconds, finished_at: comparison.finished_at, comparison: Some(&comparison) })?;
    } else {
        show(&comparison, started_at.elapsed())?;
    }
    if comparison.is_same() && comparison.audit.holds() { Ok(()) } else { Err(Failure::Silent) }
}

/// Not read by the parser of arguments, which repeats what it cannot read: a URL may hold a password.
fn read(option: &str, url: &str) -> Result<StoreUrl, Failure> {
    url.parse().map_err(|why| Failure::Usage(format!("{option}: {why}")))
}

/// One store read into itself, by another name or link, would look for room in what it reads.
fn refuse_same(from: &StoreUrl, to: &StoreUrl) -> Result<(), Failure> {
    if app::place(from) == app::place(to) {
        return Err(Failure::Usage("--from and --to are the same store".to_owned()));
    }
    match (from, to) {
        (StoreUrl::Sqlite(from), StoreUrl::Sqlite(to)) if is_same_file(from, to) => Err(Failure::Usage(format!(
            "--from and --to are the same file: {} and {} are two names (hard links) of it; name a new file in --to",
            from.display(),
            to.display()
        ))),
        _ => Ok(()),
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// What a transfer came to; the same for one that was finished before.
#[derive(Serialize)]
struct Report<'a> {
    same: bool,
    seconds: f64,
    #[serde(with = "leadwire_connector::timestamp::option")]
    finished_at: Option<Timestamp>,
    /// `None` when nothing was done.
    comparison: Option<&'a Comparison>,
}

/// It was only finished because both sides were the same.
fn tell_finished(context: &Context, at: Timestamp, took: Duration) -> Result<(), Failure> {
    if context.json {
        return context.print_json(&Report { same: true, seconds: took.as_secs_f64(), finished_at: Some(at), comparison: None });
    }
    line(&format!("this transfer was finished at {}; nothing was done", time::long(at)))
}

async fn copy(mut transfer: Transfer) -> Result<Comparison, Failure> {
    let bar = bar("{bar:30} {human_pos} of {human_len} events, {whole_per_sec}, {eta} left");
    let start = transfer.progress();
    bar.set_length(start.of);
    bar.set_position(start.events);
    bar.reset_eta();
    let copied = copy_all(&mut transfer, &bar).await;
    bar.finish_and_clear();
    copied.map_err(|error| match error {
        Failure::Failed(why) => Failure::Failed(format!("{why}; the same command goes on where it stopped")),
        other => other,
    })?;
    Ok(transfer.finish().await?)
}

async fn copy_all(transfer: &mut Transfer, bar: &ProgressBar) -> Result<(), Failure> {
    while transfer.step().await? {
        bar.set_position(transfer.progress().events);
    }
    Ok(())
}

fn show(comparison: &Comparison, took: Duration) -> Result<(), Failure> {
    let rows = comparison.lines.iter().map(|row| {
        let sign = if row.origin == row.target { "same" } else { "DIFFERS" };
        vec![row.part.clone(), row.what.clone(), row.origin.to_string(), row.target.to_string(), sign.to_owned()]
    });
    table(&["of", "what", "from", "to", ""], rows.collect(), "there was nothing to move")?;
    line("")?;
    for finding in comparison.audit.findings.iter().filter(|finding| !finding.differing.is_empty()) {
        line(&format!("BROKEN in the target: {} ({})", finding.invariant, finding.differing.join("; ")))?;
    }
    let seconds = took.as_secs_f64();
    match (comparison.is_same(), comparison.audit.holds()) {
        (true, true) => line(&format!("both stores hold the same, and the audit of the target holds; {seconds:.1} s")),
        (true, false) => line("both stores hold the same, and what the audit finds broken was so before"),
        (false, _) => line("the stores DIFFER: no bridge starts on the target; run it again with an empty one"),
    }
}
