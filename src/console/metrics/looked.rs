//! What costs the store a walk over what is pending: looked at now and then, however often it is asked for.

use crate::store::{Result, Status, Store};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a look is good for.
const GOOD_FOR: Duration = Duration::from_secs(15);

/// The last look, if there was one.
#[derive(Debug, Default)]
pub struct Looked {
    last: Mutex<Option<(Instant, Arc<Look>)>>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) status: Status,
    /// When the oldest event of what is pending was received, by destination.
    pub(super) oldest: BTreeMap<String, Timestamp>,
    pub(super) unrouted: i64,
    pub(super) disk_free_bytes: Option<u64>,
}

impl Looked {
    /// The last look, or a new one when it is too old. One looks at a time; the others wait for it.
    pub(super) async fn look(&self, store: &Store) -> Result<Arc<Look>> {
        let mut last = self.last.lock().await;
        if let Some((_, look)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return Ok(Arc::clone(look));
        }
        let look = Look {
            status: store.status().await?,
            oldest: store.oldest_pending().await?,
            unrouted: store.count_unrouted().await?,
            disk_free_bytes: store.disk_free_bytes(),
        };
        let look = Arc::new(look);
        *last = Some((Instant::now(), Arc::clone(&look)));
        Ok(look)
    }
}
