//! What a destination of a bridge would be sent for one of its events.

use super::PreviewArgs;
use super::show::{of_its_way, render_parts};
use crate::cli::desk::Desk;
use crate::cli::remote::Server;
use crate::cli::{Context, Failure, show};
use leadwire_connector::PreviewRequest;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// As the API tells it.
#[derive(Deserialize)]
struct Preview {
    event: String,
    kind: String,
    source: String,
    routed: bool,
    says: String,
    outcome: String,
    finished_steps: Vec<Step>,
    requests: Vec<PreviewRequest>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    remote_id: String,
}

pub(super) async fn run(args: &PreviewArgs, server: &Arc<Server>, context: &Context) -> Result<(), Failure> {
    let Some(id) = &args.event else {
        return Err(Failure::Usage("a bridge previews its own events; add --event ID, or leave out --server".to_owned()));
    };
    let destination = match (&args.destination, &id.destination) {
        (Some(asked), Some(own)) if asked != own => {
            return Err(Failure::Usage(format!("a delivery to {own} is named, but --destination is {asked}")));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(Failure::Usage("which destination? Add --destination".to_owned())),
    };
    let event = id.find(&Desk::Server(Arc::clone(server))).await?.event.id;
    let told: Value = server.get(&["destinations", destination, "preview"], &[("event", event.to_string())]).await?;
    let preview = Preview::deserialize(&told).map_err(|error| Failure::Failed(format!("the bridge answers in another way: {error}")))?;
    if context.json {
        context.print_json(&json!({"destination": destination, "events": [told]}))?;
    } else {
        show::line(&preview.render(destination))?;
    }
    if preview.outcome == "refused" { Err(Failure::Silent) } else { Ok(()) }
}

impl Preview {
    fn render(&self, destination: &str) -> String {
        let heading = format!("{} {} from {} to {destination}: {}", self.kind, self.event, self.source, self.says);
        let steps: Vec<_> = self.finished_steps.iter().map(|step| (step.step.clone(), step.remote_id.clone())).collect();
        render_parts(heading, of_its_way(destination, self.routed, &steps), &self.requests)
    }
}
