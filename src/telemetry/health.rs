//! Whether the bridge can do its work now.

use crate::store::{Condition, Keeper};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer of the store is good for: anyone may ask, and each question costs a commit.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// A store that takes longer than this to commit is not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// What `/readyz` says.
#[derive(Debug, Default)]
pub struct Health {
    stopping: AtomicBool,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// From now on not ready: the process stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Ready when a lead would be kept. With a remark when it would go to the spool.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub async fn check(&self, keeper: &Keeper) -> Result<Option<String>, String> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("the bridge is stopping".to_owned());
        }
        if let Some(told) = judge(&keeper.condition()) {
            return told;
        }
        let probed = self.probe(keeper).await;
        // The question may have been what found the store sick.
        judge(&keeper.condition()).unwrap_or(probed.map(|()| None))
    }

    async fn probe(&self, keeper: &Keeper) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((_, result)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return result.clone();
        }
        // It goes on when it is no longer waited for: a store that hangs is found sick by it, and the spool stands in.
        let keeper = keeper.clone();
        let probe = tokio::spawn(async move { keeper.probe().await });
        let result = match tokio::time::timeout(PATIENCE, probe).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err("the store cannot commit".to_owned()),
            Err(_) => Err("the store does not commit in time".to_owned()),
        };
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

/// What is known without asking the store: it went sick, and no write of the size that failed has been committed since; or the
/// spool stands in for it. `None` when nothing is wrong.
fn judge(condition: &Condition) -> Option<Result<Option<String>, String>> {
    let is_sick = condition.sick_for.is_some();
    match &condition.spool {
        None if is_sick => Some(Err("the store refused a write, and none as large has been committed since".to_owned())),
        Some(spool) if is_sick && spool.takes_more => Some(Ok(Some("the store is sick; what is received is kept in the spool".to_owned()))),
        Some(spool) if is_sick || spool.records > 0 && !spool.takes_more => {
            let store = if is_sick { "the store is sick" } else { "the spool is not yet brought into the store" };
            Some(Err(format!("{store}, and the spool is full or cannot be written")))
        }
        Some(spool) if spool.records > 0 => Some(Ok(Some("the spool is being brought into the store".to_owned()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::store::SpoolStatus;

    fn condition(is_sick: bool, spool: Option<(u64, bool)>) -> Condition {
        let spool = spool.map(|(records, takes_more)| SpoolStatus { records, bytes: records, oldest: None, takes_more, set_aside: 0 });
        Condition { sick_for: is_sick.then_some(Duration::from_secs(1)), failures: 0, spool }
    }

    #[test]
    fn ready_is_whoever_would_keep_a_lead() {
        assert_eq!(judge(&condition(false, None)), None);
        assert_eq!(judge(&condition(false, Some((0, true)))), None);
        assert_eq!(judge(&condition(false, Some((0, false)))), None, "a full folder is no matter while the store is well");
        for ready in [condition(true, Some((0, true))), condition(false, Some((5, true)))] {
            assert!(judge(&ready).unwrap().unwrap().unwrap().contains("spool"));
        }
        for not in [condition(true, None), condition(true, Some((5, false))), condition(false, Some((5, false)))] {
            assert!(judge(&not).unwrap().is_err());
        }
    }
}
