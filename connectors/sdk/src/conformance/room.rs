//! Where a case takes place.

use super::Subject;
use crate::http::HttpSettings;
use crate::settings::Typed;
use crate::simulator::{FaultRule, Faults, Request, Server};
use crate::{BuildContext, Connector, Delivery, DeliveryError, MemorySteps, Receipt, Steps, Verdict};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Long enough for a busy machine, short enough to wait for.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// So many attempts are enough to get through any ordered chance.
const MOST_ATTEMPTS: u32 = 60;

/// One connector and one fresh service.
pub(super) struct Room<'a> {
    subject: &'a dyn Subject,
    server: Option<Server>,
    pub(super) connector: Box<dyn Connector>,
    memory: MemorySteps,
    pub(super) delivery: Delivery,
}

impl<'a> Room<'a> {
    pub(super) async fn enter(subject: &'a dyn Subject, faults: Faults) -> Result<Self, String> {
        let server = match subject.service() {
            Some(service) => {
                let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                Some(Server::start(service, anywhere, faults).await.map_err(|error| format!("the server does not start: {error}"))?)
            }
            None => None,
        };
        let url = server.as_ref().map_or_else(nowhere, Server::url);
        let build =
            (subject.kind().parse)(subject.settings(&url), &Typed).map_err(|faults| format!("the settings are refused: {faults:?}"))?;
        let http = HttpSettings { timeout: TIMEOUT, ..HttpSettings::default() };
        let context = BuildContext::new("exam").with_http(http);
        let connector = build.build(&context)?;
        let event = Arc::new(subject.event());
        let delivery =
            Delivery { id: "0199f3c2-0000-7000-8000-0000000000aa".to_owned(), destination: "exam".to_owned(), event, attempt: 1 };
        Ok(Self { subject, server, connector, memory: MemorySteps::default(), delivery })
    }

    /// One attempt, with the steps that earlier ones finished. The outer error is a secret that got out.
    pub(super) async fn attempt(&mut self) -> Result<Result<Receipt, DeliveryError>, String> {
        let mut steps = Steps::new(&self.memory, self.memory.saved());
        let result = self.connector.deliver(&self.delivery, &mut steps).await;
        drop(steps);
        self.delivery.attempt += 1;
        self.is_silent(&format!("{result:?}")).map(|()| result)
    }

    pub(super) async fn deliver(&mut self) -> Result<(), String> {
        self.attempt().await?.map(drop).map_err(|error| format!("the delivery failed: {error:?}"))
    }

    /// Tries again as the bridge would, without waiting. Ends well, or with the last error.
    pub(super) async fn deliver_in_the_end(&mut self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..MOST_ATTEMPTS {
            match self.attempt().await? {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.verdict, Verdict::Reject) => return Err(format!("it was rejected: {error:?}")),
                Err(error) => last = format!("{error:?}"),
            }
        }
        Err(format!("{MOST_ATTEMPTS} attempts were not enough; the last: {last}"))
    }

    pub(super) fn is_silent(&self, text: &str) -> Result<(), String> {
        let is_told = self.subject.secrets().iter().any(|secret| text.contains(secret));
        if is_told { Err("a secret stands in an error, a preview or a report".to_owned()) } else { Ok(()) }
    }

    pub(super) fn records(&self) -> usize {
        self.subject.records(&self.state())
    }

    /// Everything the service holds; `null` without one.
    pub(super) fn state(&self) -> Value {
        self.server.as_ref().map_or(Value::Null, Server::state)
    }

    /// What the service was asked, in order.
    pub(super) fn requests(&self) -> Vec<Request> {
        let logged = self.server.as_ref().map(Server::requests).unwrap_or_default();
        logged.into_iter().map(|logged| logged.request).collect()
    }

    pub(super) fn url(&self) -> Url {
        self.server.as_ref().map_or_else(nowhere, Server::url)
    }

    pub(super) fn order(&self, rule: FaultRule) {
        if let Some(server) = &self.server {
            server.order(rule);
        }
    }
}

/// Where nobody listens.
fn nowhere() -> Url {
    #[expect(clippy::unwrap_used, reason = "it is a constant that is an address")]
    Url::parse("http://127.0.0.1:9/").unwrap()
}
