//! `leadwire health`: what `/readyz` of this machine's bridge says, as an exit code, for containers that have no other program.

use super::near::{as_neighbour, own};
use super::show::{line, plain};
use super::{Context, Failure};
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::text::truncate;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Longer than the bridge asks its store, so that its reason is heard.
const WITHIN: Duration = Duration::from_secs(4);
const REASON_CHARACTERS: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// The bridge, where it is not the one of this machine's configuration, such as http://127.0.0.1:8080.
    #[arg(long)]
    url: Option<Url>,
    /// Only ask whether the process answers, whatever its store does.
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(args: HealthArgs, context: &Context) -> Result<(), Failure> {
    let settings = HttpSettings { timeout: WITHIN, connect_timeout: WITHIN, ..HttpSettings::default() };
    let (base, settings) = match args.url {
        Some(url) => (url, settings),
        None => {
            let server = context.settings_of_server()?;
            (own(server.scheme(), server.listen, "bridge", "`--url`")?, as_neighbour(settings))
        }
    };
    let url =
        base.join(if args.live { "/healthz" } else { "/readyz" }).map_err(|_| Failure::Usage(format!("`{base}` is no web address")))?;
    let client = Client::new(&settings).map_err(Failure::Failed)?;
    let answer = client.send(&Request::new(Method::Get, url.clone())).await;
    let answer = answer.map_err(|error| Failure::Failed(format!("no bridge answers at {url}: {}", error.message)))?;
    tell(&answer, context)
}

fn tell(answer: &Answer, context: &Context) -> Result<(), Failure> {
    let said = answer.json().unwrap_or(Value::Null);
    let reason = ["reason", "message"].iter().find_map(|name| said[*name].as_str());
    let reason = reason.map(|text| truncate(&plain(text), REASON_CHARACTERS).into_owned());
    let is_well = answer.is_2xx();
    if context.json {
        context.print_json(&json!({"ok": is_well, "http_status": answer.status, "reason": reason}))?;
        return if is_well { Ok(()) } else { Err(Failure::Silent) };
    }
    match (is_well, reason) {
        (true, None) => line("fine"),
        (true, Some(reason)) => line(&format!("fine: {reason}")),
        (false, Some(reason)) => Err(Failure::Failed(format!("not ready: {reason}"))),
        (false, None) => Err(Failure::Failed(format!("what answers is no bridge that is well: it says {}", answer.status))),
    }
}
