//! `leadwire status`: how a running bridge is.

use super::near::own;
use super::remote::Server;
use super::show::{line, plain, table};
use super::{Context, Failure};
use serde_json::Value;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let own;
    let server = match &context.server {
        Some(server) => server.as_ref(),
        None => {
            own = own_console(context)?;
            &own
        }
    };
    let status: Value = server.get(&["status"], &[]).await?;
    if context.json {
        return context.print_json(&status);
    }
    show(&status)
}

/// The console of the configuration.
fn own_console(context: &Context) -> Result<Server, Failure> {
    let console = context.settings()?.console;
    let url = own(console.scheme(), console.listen, "console", "--server")?;
    Server::nearby(url, console.token.map(|token| token.expose().to_owned()))
}

fn show(status: &Value) -> Result<(), Failure> {
    let ready = status["not_ready_because"].as_str().map_or_else(|| "ready".to_owned(), |why| format!("NOT READY: {why}"));
    line(&format!("leadwire {}, {}", words(&status["version"]), plain(&ready)))?;
    for remark in [&status["remark"], &status["store"]["unreadable_because"]].into_iter().filter_map(Value::as_str) {
        line(&plain(remark))?;
    }
    line(&format!("in the quarantine: {}; without a route: {}", words(&status["quarantined"]), words(&status["unrouted"])))?;
    line("")?;
    let source = |row: &Value| {
        let key = if row["awaiting_key"] == true { "awaits its key" } else { "" };
        vec![words(&row["name"]), words(&row["received"]), key.to_owned()]
    };
    table(&["source", "received", "remark"], rows(&status["sources"]).map(source).collect(), "there is no source")?;
    line("")?;
    let destination = |row: &Value| {
        let fields = ["name", "state", "pending", "delivered", "skipped", "dead"].map(|name| words(&row[name]));
        let hold = row["hold"]["reason"].as_str().unwrap_or_default().to_owned();
        fields.into_iter().chain([hold]).collect()
    };
    let heading = ["destination", "state", "pending", "delivered", "skipped", "dead", "on hold because"];
    table(&heading, rows(&status["destinations"]).map(destination).collect(), "there is no destination")
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What is unknown must not look like none.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
