//! What a destination would do with an event, without secrets.

use super::Subject;
use crate::app::{self, LateConnector};
use crate::cli::Failure;
use crate::cli::mask::Mask;
use crate::config::Settings;
use leadwire_connector::{DeliveryError, Event, PreviewRequest, Verdict};

/// What a delivery would begin with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// In order. None of them: it would be skipped.
    Requests(Vec<PreviewRequest>),
    /// The attempt would fail before anything is sent.
    Refused(DeliveryError),
}

impl Outcome {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// In a few words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Requests(requests) => match requests.len() {
                0 => "nothing would be sent: the destination does not take such an event, and its delivery is skipped".to_owned(),
                1 => "1 request".to_owned(),
                count => format!("{count} requests"),
            },
            Self::Refused(error) => {
                let then = match &error.verdict {
                    Verdict::Reject => "and it is a dead letter",
                    Verdict::Hold { .. } => "and the destination is put on hold",
                    Verdict::Retry { .. } => "and it is tried again later",
                };
                format!("nothing would be sent, {then}: {}", error.message)
            }
        }
    }
}

/// A destination that shows what it would send.
pub(super) struct Previewer {
    /// The type of the destination.
    pub(super) kind: String,
    connector: LateConnector,
    mask: Mask,
}

impl Previewer {
    /// Takes the destination of this name, which must be there, out of the settings.
    pub(super) fn new(name: &str, settings: &mut Settings, mask: Mask) -> Result<Self, Failure> {
        let missing = || Failure::Usage(format!("there is no destination `{name}`"));
        let destination = settings.destinations.remove(name).ok_or_else(missing)?;
        let kind = destination.kind.clone();
        // Nothing is asked of the destination, so that no token is renewed.
        Ok(Self { kind, connector: app::connect(name, destination, &settings.delivery, None), mask })
    }

    /// Fails when the destination cannot be set up.
    pub(super) async fn of(&self, event: &Event) -> Result<Outcome, Failure> {
        let connector = self.connector.get().await.map_err(|error| Failure::Failed(self.mask.text(&error.message)))?;
        Ok(match connector.preview(event) {
            Ok(requests) => Outcome::Requests(requests.into_iter().map(|request| self.mask.request(request)).collect()),
            Err(error) => Outcome::Refused(DeliveryError { message: self.mask.text(&error.message), ..error }),
        })
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
