//! `leadwire reload`: a running bridge reads its configuration again.

use super::near::own;
use super::remote::Server;
use super::{Context, Failure, show};
use crate::config::{Role, Settings};
use serde_json::{Value, json};

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let reloaded: Value = match &context.server {
        Some(server) => server.post(&["reload"], &json!({})).await?,
        // What is wrong is told here, with its place, before the bridge is asked.
        None => own_bridge(&context.settings()?)?.post(&["reload"], &json!({})).await.map_err(with_another_way)?,
    };
    if context.json {
        return context.print_json(&reloaded);
    }
    show::line(&format!("the bridge has read its configuration again; {}", words(&reloaded)))
}

/// The bridge of this configuration, at the console that it names.
pub(super) fn own_bridge(settings: &Settings) -> Result<Server, Failure> {
    let console = &settings.console;
    let url = own(console.scheme(), console.listen, "console", "--server")?;
    let of_users = console.users.values().filter(|user| user.role == Role::Operate).filter_map(|user| user.token.as_ref());
    let token = console.token.as_ref().or_else(|| of_users.into_iter().next());
    Server::nearby(url, token.map(|token| token.expose().to_owned()))
}

/// The address or the token of the console may be among what has changed.
fn with_another_way(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(message) => Failure::Failed(format!(
            "{message}; a bridge with another console or another token is asked with --server, or by its signal: kill -HUP PID"
        )),
        other => other,
    }
}

fn words(reloaded: &Value) -> String {
    match serde_json::from_value::<crate::config::Reloaded>(reloaded.clone()) {
        Ok(reloaded) => {
            let warnings: String = reloaded.warnings.iter().map(|warning| format!("\nwarning: {}", show::plain(warning))).collect();
            format!("{}{warnings}", show::plain(&reloaded.words()))
        }
        Err(_) => "it says what this version does not know".to_owned(),
    }
}
