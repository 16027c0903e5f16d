//! Work that outlives the delivery that began it.

use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Work that goes on when the delivery that began it is given up, such as renewing a token. The bridge waits for it when it stops.
/// Clones count together.
#[derive(Debug, Clone)]
pub struct Background {
    running: Arc<watch::Sender<usize>>,
}

impl Default for Background {
    fn default() -> Self {
        Self { running: Arc::new(watch::Sender::new(0)) }
    }
}

/// Counts one piece of work until it ends, however it ends.
struct Running(Arc<watch::Sender<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running = running.saturating_sub(1));
    }
}

impl Background {
    /// Begins work that nobody cuts short but the end of the process. It should be bounded in time.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.running.send_modify(|running| *running += 1);
        let running = Running(Arc::clone(&self.running));
        tokio::spawn(async move {
            let _running = running;
            work.await
        })
    }

    /// Returns when nothing is under way.
    pub async fn finished(&self) {
        // An error would mean that there is nobody left to count, which cannot be while we are.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_is_waited_for_although_nobody_wants_its_result_and_although_it_panics() {
        let background = Background::default();
        background.finished().await;
        let (go, wait) = oneshot::channel::<()>();
        drop(background.spawn(wait));
        drop(background.spawn(async { panic!("odd") }));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), background.finished()).await.is_err());
        go.send(()).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(10), background.finished()).await.unwrap();
    }
}
