//! `leadwire store`: how large it is, copies of it, and moving it.

mod backup;
mod migrate;
mod status;
mod verify;

use super::{Context, Failure};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

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
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A size for people.
fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
