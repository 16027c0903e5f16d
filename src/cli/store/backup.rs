//! `leadwire store backup`.

use super::{bar, bytes};
use crate::cli::show::{line, note};
use crate::cli::{Context, Failure};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

pub(super) async fn run(file: &Path, context: &Context) -> Result<(), Failure> {
    let store = context.store_to_read().await?;
    let (bar, started_at) = (bar("{bar:30} {percent} % {eta} left"), Instant::now());
    let written = store
        .backup(file, |done, of| {
            bar.set_length(of);
            bar.set_position(done.min(of));
        })
        .await;
    bar.finish_and_clear();
    written?;
    let size = file.metadata().map_or(0, |found| found.len());
    let seconds = started_at.elapsed().as_secs_f64();
    if context.json {
        return context.print_json(&json!({"file": file.display().to_string(), "bytes": size, "seconds": seconds}));
    }
    line(&format!("{}: {}, in {seconds:.1} s", file.display(), bytes(size)))?;
    note("not in it: the emergency spool, CSV files that were written, and the configuration with its secrets");
    note(&format!("prove that it can be restored: leadwire store verify {}", file.display()));
    Ok(())
}
