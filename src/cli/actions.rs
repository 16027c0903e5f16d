//! `leadwire actions`: what people did.

use super::show::table;
use super::{Context, Failure, time};
use crate::store::{ActionFilter, ActionRow};
use jiff::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct ActionsArgs {
    #[command(subcommand)]
    command: ActionsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ActionsCommand {
    /// Newest first.
    List {
        /// Only what was begun since: a moment, a day, or an age such as 7d.
        #[arg(long, value_parser = time::parse)]
        since: Option<Timestamp>,
        /// Only lines before the one of this number, to go on with a list.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

pub(super) async fn run(args: ActionsArgs, context: &Context) -> Result<(), Failure> {
    let ActionsCommand::List { since, before, limit } = args.command;
    let rows = context.desk_to_read().await?.actions(ActionFilter { since, before, limit }).await?;
    if context.json {
        return context.print_json(&rows);
    }
    table(&["when", "who", "did", "to", "how many", "detail"], rows.iter().map(row).collect(), "nobody did anything yet")
}

fn row(row: &ActionRow) -> Vec<String> {
    let who = row.client.as_ref().map_or_else(|| row.who.clone(), |client| format!("{} from {client}", row.who));
    let count = if row.ended_at.is_none() { format!("{} of {}", row.count, row.planned) } else { row.count.to_string() };
    vec![time::short(row.at), who, row.action.clone(), row.target.clone(), count, detail(row)]
}

fn detail(row: &ActionRow) -> String {
    let end = match (&row.failure, row.ended_at) {
        (Some(why), _) => Some(format!("failed: {why}")),
        (None, None) => Some("goes on, or was interrupted".to_owned()),
        (None, Some(_)) => None,
    };
    [Some(row.detail.clone()).filter(|detail| !detail.is_empty()), end].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
