//! `leadwire store`: how large it is, copies of it, and moving it.

mod backup;
mod migrate;
mod status;
mod verify;

use super::{Context, Failure};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    /// Sizes, counts by state, the oldest pending delivery.
    Status,
    /// Write everything, as it is at one moment, to a new SQLite file. Works while the bridge runs and receives.
    ///
    /// Not in it: the emergency spool, CSV files that were written, and the configuration with its secrets.
    Backup {
        /// A name that does not exist yet.
        file: PathBuf,
    },
    /// A restore drill on a backup: open it, check every page, run the audit, count. Writes nothing.
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Move everything from one store to another, or restore a backup. Goes on where it was interrupted.
    Migrate(migrate::MigrateArgs),
}

pub(super) async fn run(args: StoreArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        StoreCommand::Status => status::run(context).await,
        StoreCommand::Backup { file } => backup::run(&file, context).await,
        StoreCommand::Verify { file } => verify::run(&file, context).await,
        StoreCommand::Migrate(args) => migrate::run(args, context).await,
    }
}

/// A bar on standard error, which shows itself on a terminal only.
fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("whole_per_sec", whole_per_sec));
    bar
}

/// There are no fractions of an event.
fn whole_per_sec(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // A bar that cannot be drawn is no reason to stop.
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

/// The same for work of which nobody knows how much is left.
fn spinner(doing: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(&format!("{{spinner}} {doing}, {{elapsed}}"));
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// A size for people.
fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
