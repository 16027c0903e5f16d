//! What a destination would do with an event, without secrets.

use super::SecretMask;
use crate::deliver::LateConnector;
use leadwire_connector::{DeliveryError, Event, PreviewRequest, Verdict};

/// What a delivery would begin with.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// In order. None of them: it would be skipped.
    Requests(Vec<PreviewRequest>),
    /// The attempt would fail before anything is sent.
    Refused(DeliveryError),
}

impl Outcome {
    /// Whether nothing can be sent as things are.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
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

/// What the connector would send for the event.
///
/// # Errors
/// What keeps the destination from being set up.
pub async fn preview(connector: &LateConnector, event: &Event, mask: &SecretMask) -> Result<Outcome, String> {
    let connector = connector.get().await.map_err(|error| mask.text(&error.message))?;
    Ok(match connector.preview(event) {
        Ok(requests) => Outcome::Requests(requests.into_iter().map(|request| mask.request(request)).collect()),
        Err(error) => Outcome::Refused(DeliveryError { message: mask.text(&error.message), ..error }),
    })
}
