//! A destination that shows what it would do with events.

use super::Subject;
use crate::cli::Failure;
use crate::config::Settings;
use crate::deliver::{LateConnector, connect};
use crate::inspect::{Outcome, SecretMask, preview};
use leadwire_connector::Event;

/// Asks one destination, again and again.
pub(super) struct Previewer {
    /// The type of the destination.
    pub(super) kind: String,
    connector: LateConnector,
    mask: SecretMask,
}

impl Previewer {
    /// Takes the destination of this name, which must be there, out of the settings.
    pub(super) fn new(name: &str, settings: &mut Settings, mask: SecretMask) -> Result<Self, Failure> {
        let missing = || Failure::Usage(format!("there is no destination `{name}`"));
        let destination = settings.destinations.remove(name).ok_or_else(missing)?;
        let kind = destination.kind.clone();
        // Nothing is asked of the destination, so that no token is renewed.
        Ok(Self { kind, connector: connect(name, destination, &settings.delivery, None), mask })
    }

    /// Fails when the destination cannot be set up.
    pub(super) async fn of(&self, event: &Event) -> Result<Outcome, Failure> {
        preview(&self.connector, event, &self.mask).await.map_err(Failure::Failed)
    }

    pub(super) async fn of_all(&self, subjects: Vec<Subject>) -> Result<Vec<(Subject, Outcome)>, Failure> {
        let mut outcomes = Vec::new();
        for subject in subjects {
            let outcome = self.of(&subject.event).await?;
            outcomes.push((subject, outcome));
        }
        Ok(outcomes)
    }
}
