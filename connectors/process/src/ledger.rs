//! The steps that a child has finished in a delivery, in the bridge's durable memory. They are all the child's: this connector has none.

use leadwire_connector::{DeliveryError, ErrorKind, Steps};
use serde_json::{Map, Value};

/// A child that keeps more than this has mistaken the memory of a delivery for a database.
const MOST: usize = 50;

/// The steps that are done, with their remote ids.
pub(crate) fn read(steps: &Steps<'_>) -> Map<String, Value> {
    steps.iter().map(|(name, remote_id)| (name.to_owned(), remote_id.into())).collect()
}

/// Keeps one more; durable when it returns.
pub(crate) async fn keep(steps: &mut Steps<'_>, name: &str, remote_id: &str) -> Result<(), DeliveryError> {
    if steps.get(name).is_none() && steps.iter().count() >= MOST {
        let message = format!("the child wants to keep more than {MOST} steps of one delivery");
        return Err(DeliveryError::reject(ErrorKind::Internal, message));
    }
    steps.keep(name, remote_id).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::MemorySteps;
    use serde_json::json;

    #[tokio::test]
    async fn steps_survive_and_are_bounded() {
        let memory = MemorySteps::default();
        let mut steps = Steps::new(&memory, []);
        keep(&mut steps, "contact", "101").await.unwrap();
        keep(&mut steps, "note.sent", "").await.unwrap();
        let mut again = Steps::new(&memory, memory.saved());
        assert_eq!(Value::from(read(&again)), json!({"contact": "101", "note.sent": ""}));
        keep(&mut again, "contact", "102").await.unwrap();
        assert_eq!(read(&again)["contact"], "102");
        for number in 0..48 {
            keep(&mut again, &format!("n{number}"), "").await.unwrap();
        }
        assert!(keep(&mut again, "one more", "").await.is_err());
    }
}
