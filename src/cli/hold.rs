//! `leadwire hold` and `leadwire resume`.

use super::show::line;
use super::{Context, Failure, who};
use crate::store::{Act, Entry, NewAction};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::settings::duration;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct HoldArgs {
    /// The destination.
    destination: String,
    /// Why, for whoever looks later.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Resume by itself after this time, such as 2h.
    #[arg(long, value_parser = duration::parse)]
    r#for: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// The destination.
    destination: String,
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("say why, for whoever looks later".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) async fn hold(args: HoldArgs, context: &Context) -> Result<(), Failure> {
    let now = Timestamp::now();
    let until = args.r#for.and_then(|span| now.checked_add(SignedDuration::try_from(span).ok()?).ok());
    if let Some(server) = &context.server {
        let span = args.r#for.map(|span| format!("{}s", span.as_secs()));
        let body = json!({"destination": args.destination, "reason": args.reason, "for": span});
        let done = server.act("hold", &body).await?;
        return context.tell_done(&json!({"destination": args.destination, "held": true, "until": until}), &done.message);
    }
    let store = context.store_or_new().await?;
    let id = store.find_destination(&args.destination).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let end = until.map(|until| format!("until {until}")).unwrap_or_default();
    let new = NewAction { reason: args.reason.clone(), ..who::acts("hold", &args.destination, 1, end) };
    store.perform(Entry::New(new), Act::Hold { destination: id, reason: args.reason.clone(), until }, now).await?;
    if context.json {
        return context.print_json(&json!({"destination": args.destination, "held": true, "until": until}));
    }
    line(&format!(
        "{} is on hold: its deliveries wait, and none is lost; `leadwire resume {}` releases it",
        args.destination, args.destination
    ))
}

pub(super) async fn resume(args: ResumeArgs, context: &Context) -> Result<(), Failure> {
    if let Some(server) = &context.server {
        let done = server.act("resume", &json!({"destination": args.destination})).await?;
        let told = json!({"destination": args.destination, "held": false, "was_held": done.count == 1});
        return context.tell_done(&told, &done.message);
    }
    let store = context.store_or_new().await?;
    let id = store.find_destination(&args.destination).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let new = who::acts("resume", &args.destination, 1, String::new());
    let was_held = store.perform(Entry::New(new), Act::Resume { destination: id }, Timestamp::now()).await? == 1;
    if context.json {
        return context.print_json(&json!({"destination": args.destination, "held": false, "was_held": was_held}));
    }
    let what = if was_held { "is released; a running bridge delivers what waited" } else { "was not on hold" };
    line(&format!("{} {what}", args.destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(reason(" moving accounts "), Ok("moving accounts".to_owned()));
        assert!(reason("").is_err() && reason(" \t").is_err());
    }
}
