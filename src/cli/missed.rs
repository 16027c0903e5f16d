//! `leadwire missed`: conversations in which a visitor left a contact although no lead came.

use super::id::{self, Id};
use super::show::{line, table};
use super::{Context, Failure, time};
use crate::app;
use crate::receive::{Taken, take_missed};
use crate::store::{Missed, MissedEnding};
use jiff::Timestamp;
use leadwire_connector::Kind;
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
pub(super) struct MissedArgs {
    #[command(subcommand)]
    command: MissedCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MissedCommand {
    /// Newest first. A running bridge finds them within a minute of the chat log.
    List {
        /// Of chat logs received since: a moment, a day, or an age such as 7d.
        #[arg(long, value_parser = time::parse)]
        since: Option<Timestamp>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Make a lead of each of these conversations; it is routed and delivered as any other. Doing it twice makes one.
    Take {
        /// Conversations, by id, or by the first 8 digits of it or more.
        #[arg(value_parser = id::parse, required = true)]
        ids: Vec<Id>,
    },
    /// Take these conversations off the list without making a lead.
    Dismiss {
        /// Conversations, by id, or by the first 8 digits of it or more.
        #[arg(value_parser = id::parse, required = true)]
        ids: Vec<Id>,
    },
}

pub(super) async fn run(args: MissedArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        MissedCommand::List { since, limit } => list(since, limit, context).await,
        MissedCommand::Take { ids } => take(&ids, context).await,
        MissedCommand::Dismiss { ids } => dismiss(&ids, context).await,
    }
}

async fn list(since: Option<Timestamp>, limit: u32, context: &Context) -> Result<(), Failure> {
    let rows = context.store_to_read().await?.missed(since, limit).await?;
    if context.json {
        return context.print_json(&rows);
    }
    let heading = ["received", "conversation", "source", "e-mail", "phone"];
    table(&heading, rows.into_iter().map(row).collect(), "no lead is missed")
}

fn row(missed: Missed) -> Vec<String> {
    let contact = |contact: Option<String>| contact.unwrap_or_default();
    vec![time::short(missed.received_at), missed.id.to_string(), missed.source, contact(missed.email), contact(missed.phone)]
}

async fn take(ids: &[Id], context: &Context) -> Result<(), Failure> {
    let mut settings = context.settings()?;
    let store = context.whole_store().await?;
    let intake = app::build_intake(&mut settings, &store);
    let mut results = Vec::new();
    for id in ids {
        let conversation = conversation(id, &store).await?;
        results.push((conversation, take_missed(&intake, &store, conversation, Timestamp::now()).await?));
    }
    if context.json {
        let all: Vec<_> = results.iter().map(|(id, taken)| json!({"conversation": id, "taken": taken})).collect();
        context.print_json(&all)?;
    } else {
        results.iter().try_for_each(|(id, taken)| line(&format!("{id}: {}", told(*taken))))?;
    }
    let is_done = |taken: &Taken| matches!(taken, Taken::Made(_) | Taken::Before(_));
    if results.iter().all(|(_, taken)| is_done(taken)) { Ok(()) } else { Err(Failure::Silent) }
}

fn told(taken: Taken) -> String {
    match taken {
        Taken::Made(lead) => format!("is the lead {lead} now; a running bridge delivers it"),
        Taken::Before(lead) => format!("was made the lead {lead} before"),
        Taken::Dismissed => "was dismissed".to_owned(),
        Taken::NotListed => "is not on the list; its lead may have come meanwhile".to_owned(),
    }
}

async fn dismiss(ids: &[Id], context: &Context) -> Result<(), Failure> {
    let store = context.store().await?;
    let mut dismissed = 0;
    for id in ids {
        let conversation = conversation(id, &store).await?;
        dismissed += u32::from(store.settle_missed(conversation, MissedEnding::Dismissed, Timestamp::now()).await?);
    }
    if context.json { context.print_json(&json!({"dismissed": dismissed})) } else { line(&format!("{dismissed} dismissed")) }
}

async fn conversation(id: &Id, store: &crate::store::Store) -> Result<Uuid, Failure> {
    let event = id.find_in(store).await?.event;
    if event.kind == Kind::Conversation {
        return Ok(event.id);
    }
    Err(Failure::Usage(format!("{} is no conversation, but of the kind {}; `leadwire missed list` has the ids", event.id, event.kind)))
}
