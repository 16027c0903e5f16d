//! Group commit: what waits together is one transaction, with one round of statements and one wait for the server's disk.

use super::Shared;
use super::connect::is_collision;
use crate::figures::{StoreFigures, WorkFigures};
use crate::store::{Error, Result};
use deadpool_postgres::Object;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Jobs of one transaction, at most, so that the first of them is not answered last.
const MAX_BATCH: usize = 256;

/// A transaction that takes longer is given up, with its connection: the network may have swallowed it.
const WITHIN: Duration = Duration::from_secs(10);

/// How often a transaction that met another one is run again.
const COLLISIONS: u64 = 30;

/// Something that is written together with others of its kind.
pub(super) trait Job: Sized + Send + Sync + 'static {
    /// What its sender is told.
    type Reply: Send + 'static;

    /// Where its commits are counted.
    fn figures(figures: &StoreFigures) -> &WorkFigures;

    /// Commits all of them, or none. One reply for each, in order.
    fn commit(client: &mut Object, shared: &Arc<Shared>, jobs: &[Self]) -> impl Future<Output = Result<Vec<Self::Reply>>> + Send;
}

type Waiting<J> = oneshot::Sender<Result<<J as Job>::Reply>>;

/// Where jobs of one kind go.
pub(super) struct Batcher<J: Job> {
    queue: UnboundedSender<(J, Waiting<J>)>,
}

impl<J: Job> Clone for Batcher<J> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<J: Job> Batcher<J> {
    /// Starts the task that commits. It ends when the last handle is dropped.
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (queue, waiting) = unbounded_channel();
        shared.runtime.spawn(serve(Arc::downgrade(shared), waiting));
        Self { queue }
    }

    /// Returns once the job is committed. It is also committed when the caller stops waiting.
    pub(super) async fn send(&self, job: J) -> Result<J::Reply> {
        let gone = || Error::Unavailable("the store has been closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.queue.send((job, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn serve<J: Job>(shared: Weak<Shared>, mut queue: UnboundedReceiver<(J, Waiting<J>)>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let Some(shared) = shared.upgrade() else { return };
        let (jobs, replies): (Vec<J>, Vec<Waiting<J>>) = batch.drain(..).unzip();
        let results = commit(&shared, &jobs).await;
        for (reply, result) in replies.into_iter().zip(results) {
            // Nobody waits any more when the client hung up; what is committed stays committed.
            let _ = reply.send(result);
        }
    }
}

/// One job that is refused must not take the others with it: each is tried alone.
async fn commit<J: Job>(shared: &Arc<Shared>, jobs: &[J]) -> Vec<Result<J::Reply>> {
    match commit_together(shared, jobs).await {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(Error::Refused(_)) if jobs.len() > 1 => {
            let mut results = Vec::with_capacity(jobs.len());
            for job in jobs {
                let alone = commit_together(shared, std::slice::from_ref(job)).await;
                results.push(alone.and_then(|replies| replies.into_iter().next().ok_or_else(unanswered)));
            }
            results
        }
        Err(error) => jobs.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn unanswered() -> Error {
    Error::Refused("a write to the store was not answered; this is a bug".to_owned())
}

async fn commit_together<J: Job>(shared: &Arc<Shared>, jobs: &[J]) -> Result<Vec<J::Reply>> {
    let mut collisions = 0;
    loop {
        let mut client = shared.connection().await?;
        let began = Instant::now();
        let result = tokio::time::timeout(WITHIN, J::commit(&mut client, shared, jobs)).await;
        let Ok(result) = result else {
            drop(Object::take(client));
            return Err(Error::Unavailable(format!("PostgreSQL did not commit within {} s", WITHIN.as_secs())));
        };
        match result {
            Err(error) if is_collision(&error) && collisions < COLLISIONS => {
                tokio::time::sleep(Duration::from_millis(collisions)).await;
                collisions += 1;
            }
            other => {
                drop(client);
                if other.is_ok() {
                    J::figures(&shared.figures).commit(jobs.len(), began.elapsed());
                }
                return other.inspect_err(|error| shared.look_again(error));
            }
        }
    }
}
