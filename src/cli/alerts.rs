//! `leadwire alerts`: whether its channels work, and which trouble is open.

use super::show::{line, note, table};
use super::{Context, Failure, time};
use crate::alerts::{self, Incident, Tested, span};
use leadwire_connector::settings::did_you_mean;

#[derive(Debug, clap::Args)]
pub(super) struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AlertsCommand {
    /// Send a test message to each channel, and tell what each answered.
    Test(TestArgs),
    /// List trouble that was told and is not over, the worst first.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Only this channel.
    #[arg(long, short)]
    channel: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Also what was over in the last 30 days.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: AlertsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        AlertsCommand::Test(args) => test(args, context).await,
        AlertsCommand::List(args) => list(args, context).await,
    }
}

async fn test(args: TestArgs, context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let names: Vec<&str> = settings.alerts.channels.iter().map(|channel| channel.name.as_str()).collect();
    if names.is_empty() {
        return Err(Failure::Usage("there is no channel; add [[alerts.channels]] with a `type`: webhook, slack or smtp".to_owned()));
    }
    if let Some(unknown) = args.channel.as_deref().filter(|name| !names.contains(name)) {
        return Err(Failure::Usage(format!("there is no channel `{unknown}`; {}", did_you_mean(unknown, &names))));
    }
    let tested = alerts::test(&settings, args.channel.as_deref()).await.map_err(Failure::Failed)?;
    if context.json {
        context.print_json(&tested)?;
    } else {
        table(&["channel", "type", "", "answer"], tested.iter().map(tested_row).collect(), "no channel")?;
    }
    if tested.iter().all(|tested| tested.taken) { Ok(()) } else { Err(Failure::Silent) }
}

fn tested_row(tested: &Tested) -> Vec<String> {
    let mark = if tested.taken { "✓" } else { "✗" };
    vec![tested.channel.clone(), tested.kind.to_owned(), mark.to_owned(), tested.answer.clone()]
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let incidents = alerts::incidents(&context.store_to_read().await?, args.all).await?;
    if context.json {
        return context.print_json(&incidents);
    }
    if context.settings()?.alerts.channels.is_empty() {
        note("no bridge on this configuration looks for trouble: there is no channel in [alerts]");
    }
    let Some(first) = incidents.first() else { return line("no trouble is open") };
    table(&["since", "severity", "lasts", "what"], incidents.iter().map(row).collect(), "")?;
    if first.is_open() && !first.remedy.is_empty() { line(&format!("\n{}: {}", first.title, first.remedy)) } else { Ok(()) }
}

fn row(incident: &Incident) -> Vec<String> {
    let end = incident.ended_at.unwrap_or_else(jiff::Timestamp::now);
    let lasted = span(end.duration_since(incident.since));
    let lasts = if incident.is_open() { lasted } else { format!("{lasted}, over") };
    vec![time::short(incident.since), incident.severity.as_str().to_owned(), lasts, format!("{}. {}", incident.title, incident.detail)]
}
