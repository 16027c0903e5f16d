//! `leadwire doctor`: asks the store, the sources and each destination whether they can do their work, and changes nothing.

mod destinations;
mod remote;
mod show;
mod sources;
mod store;

use super::show::{line, note};
use super::{Context, Failure};
use crate::app;
use crate::config::Settings;
use crate::inspect::SecretMask;
use leadwire_connector::settings::{did_you_mean, duration};
use leadwire_connector::{Report, Severity};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Ask only this destination. May be repeated.
    #[arg(long, short)]
    destination: Vec<String>,
    /// How long each destination may take.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
}

/// Somebody who was asked, and the answer.
#[derive(Debug, Serialize)]
struct Asked {
    /// `store`, `source` or `destination`.
    what: &'static str,
    /// The name in the configuration; of the store, what it is.
    name: String,
    /// Of a destination, its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(flatten)]
    report: Report,
}

pub(super) async fn run(args: DoctorArgs, context: &Context) -> Result<(), Failure> {
    if let Some(server) = &context.server {
        return tell(&remote::ask(server, &args.destination).await?, context);
    }
    let mut settings = context.settings()?;
    let mask = SecretMask::of([&settings]);
    args.refuse_unknown(&settings)?;
    for warning in settings.told_warnings() {
        note(&format!("warning: {warning}\n"));
    }
    let checkup = app::check_store(&settings).await;
    // A schema is made or renewed by the bridge alone.
    let opened = if checkup.is_current() { Some(app::open_store(&settings).await) } else { None };
    let mut destinations = std::mem::take(&mut settings.destinations);
    destinations.retain(|name, _| args.destination.is_empty() || args.destination.contains(name));
    let mut asked = Vec::new();
    if args.destination.is_empty() {
        asked.extend(store::ask(&settings, &checkup, opened.as_ref()).await);
        asked.extend(sources::ask(&settings));
    }
    let opened = opened.and_then(Result::ok);
    asked.extend(destinations::ask(destinations, &settings.delivery, opened.as_ref(), args.timeout).await);
    asked.iter_mut().for_each(|asked| without_secrets(asked, &mask));
    tell(&asked, context)
}

/// All of them, with the time that the command line gives.
impl Default for DoctorArgs {
    fn default() -> Self {
        Self { destination: Vec::new(), timeout: Duration::from_secs(30) }
    }
}

impl DoctorArgs {
    fn refuse_unknown(&self, settings: &Settings) -> Result<(), Failure> {
        let known: Vec<&str> = settings.destinations.keys().map(String::as_str).collect();
        let unknown = self.destination.iter().find(|name| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(Failure::Usage(format!("there is no destination `{name}`; {}", did_you_mean(name, &known)))))
    }
}

/// What the other side said stands in some of the messages.
fn without_secrets(asked: &mut Asked, mask: &SecretMask) {
    for finding in &mut asked.report.findings {
        finding.message = mask.text(&finding.message);
        finding.remedy = finding.remedy.as_deref().map(|remedy| mask.text(remedy));
    }
}

fn tell(asked: &[Asked], context: &Context) -> Result<(), Failure> {
    let count = |severity| asked.iter().flat_map(|asked| &asked.report.findings).filter(|finding| finding.severity == severity).count();
    let (bad, warn) = (count(Severity::Bad), count(Severity::Warn));
    if context.json {
        context.print_json(&json!({"bad": bad, "warn": warn, "asked": asked}))?;
    } else {
        line(&show::render(asked, (bad, warn), super::show::width()))?;
    }
    if bad == 0 { Ok(()) } else { Err(Failure::Silent) }
}
