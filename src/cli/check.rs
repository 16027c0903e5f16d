//! `leadwire check`: the configuration, and nothing else.

use super::{Context, Failure, show};
use serde_json::json;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    if context.json {
        let warnings: Vec<_> = settings.warnings.iter().map(crate::config::Diagnostic::to_json).collect();
        return context.print_json(&json!({"faults": [], "warnings": warnings}));
    }
    for warning in settings.told_warnings() {
        show::note(&format!("warning: {warning}\n"));
    }
    show::line(&format!(
        "{}: fine ({}, {}, {}, {})",
        context.config.display(),
        show::count(settings.sources.len(), "source"),
        show::count(settings.destinations.len(), "destination"),
        show::count(settings.routes.iter().count(), "route"),
        show::count(settings.warnings.len(), "warning"),
    ))
}
