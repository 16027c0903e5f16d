//! Replay and discard over a bridge: which deliveries, how many, and then do it.

use super::Server;
use crate::cli::desk::Desk;
use crate::cli::id::Id;
use crate::cli::show::ask;
use crate::cli::{Context, Failure};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which deliveries. Everything given must match.
pub(in crate::cli) struct Selected<'a> {
    pub(in crate::cli) ids: &'a [Id],
    pub(in crate::cli) destination: Option<&'a str>,
    pub(in crate::cli) cause: Option<&'a str>,
    pub(in crate::cli) since: Option<Timestamp>,
}

/// What is done to them.
pub(in crate::cli) struct Deed<'a> {
    /// The word of the API.
    pub(in crate::cli) action: &'static str,
    /// What the result calls it.
    pub(in crate::cli) done: &'static str,
    /// What the API takes besides the selection.
    pub(in crate::cli) more: Value,
    pub(in crate::cli) which: Selected<'a>,
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) yes: bool,
}

impl Selected<'_> {
    /// One request for each id, or one for all.
    async fn requests(&self, server: &Arc<Server>, more: &Value) -> Result<Vec<Value>, Failure> {
        let desk = Desk::Server(Arc::clone(server));
        let mut request = more.clone();
        request["destination"] = json!(self.destination);
        request["cause"] = json!(self.cause);
        request["since"] = json!(self.since.map(|since| since.to_string()));
        let mut requests = Vec::new();
        for id in self.ids {
            let event = id.find(&desk).await?.event.id;
            let mut request = request.clone();
            request["delivery"] = json!(event);
            if let Some(destination) = &id.destination {
                request["destination"] = json!(destination);
            }
            requests.push(request);
        }
        Ok(if self.ids.is_empty() { vec![request] } else { requests })
    }
}

impl Deed<'_> {
    /// Counts, asks, does it, and reports.
    pub(in crate::cli) async fn run(self, server: &Arc<Server>, context: &Context) -> Result<(), Failure> {
        let (action, word) = (self.action, self.done);
        let requests = self.which.requests(server, &self.more).await?;
        let mut found = 0;
        for request in &requests {
            found += server.count(action, request).await?;
        }
        let mut done = 0;
        if !self.dry_run {
            let without_terminal = format!("this is to {action} {found} deliveries; add --yes to do it without being asked");
            if !self.yes && !ask(&format!("{action} {found} deliveries at {}?", server.url), &without_terminal)? {
                return Err(Failure::Failed(format!("nothing was {word}")));
            }
            for request in &requests {
                done += server.act(action, request).await?.count;
            }
        }
        context.tell_done(&json!({"found": found, word: done}), &format!("{found} found, {done} {word}"))
    }
}
