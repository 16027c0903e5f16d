//! `leadwire preview`: the exact requests a destination would be sent, and which of them another configuration would change.

mod against;
mod diff;
mod outcome;
mod remote;
mod show;
mod show_diff;
mod subject;

use super::id::{self, Id};
use super::{Context, Failure, time};
use crate::config::Settings;
use crate::inspect::{Outcome, SecretMask};
use crate::simulate::SampleKind;
use jiff::Timestamp;
use leadwire_connector::settings::did_you_mean;
use outcome::Previewer;
use serde_json::json;
use std::path::PathBuf;
use subject::Subject;

/// Nothing is sent, and the destination is not asked anything.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PreviewArgs {
    /// The destination; not needed when there is only one.
    #[arg(long, short)]
    destination: Option<String>,
    /// A stored event, by its id or the first 8 digits or more of it; or the id of a delivery.
    #[arg(long, value_name = "ID", value_parser = id::parse, conflicts_with_all = ["file", "kind", "source", "since"])]
    event: Option<Id>,
    /// A body as the platform posts it, not verified; `-` reads standard input. Needs no store.
    #[arg(long, conflicts_with_all = ["kind", "since"])]
    file: Option<PathBuf>,
    /// The source that the body would be posted to; not needed when there is only one.
    #[arg(long, conflicts_with = "since")]
    source: Option<String>,
    /// What the sample is, where neither --event nor --file is given: a lead unless this says otherwise.
    #[arg(long, value_enum, conflicts_with = "since")]
    kind: Option<SampleKind>,
    /// Compare, for the events received since: a moment, a day, or an age such as 2h.
    #[arg(long, requires = "against", value_parser = time::parse)]
    since: Option<Timestamp>,
    /// The configuration to compare with: which requests would it change?
    #[arg(long, value_name = "OTHER_CONFIG", requires = "since")]
    against: Option<PathBuf>,
    /// Compare so many at most, the newest.
    #[arg(long, requires = "against", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

const AFTER_HELP: &str = "Exit codes: 0 all is well; 1 the destination would refuse an event, or, with --against, some requests would \
change (as `diff` does); 64 wrong usage or configuration.";

pub(super) async fn run(args: PreviewArgs, context: &Context) -> Result<(), Failure> {
    if let (Some(since), Some(other)) = (args.since, &args.against) {
        return against::run(&against::Task { args: &args, since, other }, context).await;
    }
    if let Some(server) = &context.server {
        return remote::run(&args, server, context).await;
    }
    let mut settings = context.settings()?;
    let mask = SecretMask::of([&settings]);
    let name = args.destination_name(&settings)?.to_owned();
    let subjects = subject::find(&args, &settings, &name, context).await?;
    let previewer = Previewer::new(&name, &mut settings, mask)?;
    let outcomes: Vec<(Subject, Outcome)> = previewer.of_all(subjects).await?;
    if context.json {
        let events: Vec<_> = outcomes.iter().map(|(subject, outcome)| show::to_json(subject, outcome)).collect();
        context.print_json(&json!({"destination": name, "kind": previewer.kind, "events": events}))?;
    } else {
        for (subject, outcome) in &outcomes {
            super::show::line(&show::render(subject, outcome, &name, &previewer.kind))?;
        }
    }
    if outcomes.iter().any(|(_, outcome)| outcome.is_refused()) { Err(Failure::Silent) } else { Ok(()) }
}

impl PreviewArgs {
    /// The destination that is meant.
    fn destination_name<'a>(&'a self, settings: &'a Settings) -> Result<&'a str, Failure> {
        let of_delivery = self.event.as_ref().and_then(|id| id.destination.as_deref());
        let known: Vec<&str> = settings.destinations.keys().map(String::as_str).collect();
        match (self.destination.as_deref(), of_delivery) {
            (Some(asked), Some(own)) if asked != own => {
                Err(Failure::Usage(format!("a delivery to {own} is named, but --destination is {asked}")))
            }
            (Some(name), _) | (None, Some(name)) if known.contains(&name) => Ok(name),
            (Some(name), _) | (None, Some(name)) => {
                Err(Failure::Usage(format!("there is no destination `{name}`; {}", did_you_mean(name, &known))))
            }
            (None, None) => match known.as_slice() {
                [only] => Ok(only),
                [] => Err(Failure::Usage("the configuration has no destination; add one, `[destinations.NAME]`".to_owned())),
                known => Err(Failure::Usage(format!("which destination? Add `--destination` with one of {}", known.join(", ")))),
            },
        }
    }
}
