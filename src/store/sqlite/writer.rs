//! The one thread that writes, and its group commit: what waits together is committed together, with one fsync.

use super::backlog::Backlogs;
use super::checkpoint::Checkpointer;
use super::ledger::Tally;
use crate::failpoint::{Commit, Struck, reach_commit};
use crate::figures::StoreFigures;
use crate::store::{DestinationId, Error, Handoff, LaneEnd, Result};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::Instant;
use tokio::sync::oneshot;

/// More jobs than this are split over several commits, so that the first of them is not answered last.
const MAX_BATCH: usize = 512;

/// What a job works with: the open transaction, and what is to be told to the lanes once it is committed.
pub(super) struct Unit<'a> {
    pub(super) connection: &'a Connection,
    /// What the ledger gains in this transaction; written once, before the commit.
    pub(super) tally: Tally,
    pub(super) backlogs: &'a mut Backlogs,
    lanes: &'a Lanes,
    handoffs: Vec<(DestinationId, Handoff)>,
}

impl Unit<'_> {
    /// Takes a place in the destination's lane, if it has one left.
    pub(super) fn try_enter(&self, destination: DestinationId) -> bool {
        self.lanes.get(&destination).is_some_and(|lane| lane.room.try_enter())
    }

    /// Whether this process delivers there.
    pub(super) fn has_lane(&self, destination: DestinationId) -> bool {
        self.lanes.contains_key(&destination)
    }

    /// To be told to the destination's lane after the commit, and not at all without one.
    pub(super) fn hand_off(&mut self, destination: DestinationId, handoff: Handoff) {
        self.handoffs.push((destination, handoff));
    }
}

fn deliver(handoffs: Vec<(DestinationId, Handoff)>, lanes: &Lanes) {
    for (destination, handoff) in handoffs {
        let Some(lane) = lanes.get(&destination) else { continue };
        // A lane that is gone is a process that stops: the lease is freed at the next start.
        let _ = lane.inbox.send(handoff);
    }
}

fn give_back_places(handoffs: Vec<(DestinationId, Handoff)>, lanes: &Lanes) {
    for (destination, handoff) in handoffs {
        if let (Handoff::Leased(leased), Some(lane)) = (handoff, lanes.get(&destination)) {
            lane.room.leave(leased.places);
        }
    }
}

pub(super) type Lanes = HashMap<DestinationId, LaneEnd>;

/// Runs in the transaction, perhaps a second time after a rollback; then told whether it was committed.
trait Job: Send {
    fn kind(&self) -> Commit;
    fn run(&mut self, unit: &mut Unit<'_>) -> Result<()>;
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Task<T, F> {
    kind: Commit,
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Unit<'_>) -> Result<T> + Send> Job for Task<T, F> {
    fn kind(&self) -> Commit {
        self.kind
    }

    fn run(&mut self, unit: &mut Unit<'_>) -> Result<()> {
        self.value = Some((self.work)(unit)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        let Self { value, reply, .. } = *self;
        let missing = || Error::Unavailable("the write was not run".to_owned());
        let result = committed.and_then(|()| value.ok_or_else(missing));
        // Nobody waits any more when the client hung up; what is committed stays committed.
        let _ = reply.send(result);
    }
}

/// A handle to the writer thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Box<dyn Job>>,
    lanes: Arc<RwLock<Lanes>>,
    figures: Arc<StoreFigures>,
}

impl Writer {
    /// Starts the thread on this connection, which tells the checkpointer of its commits.
    pub(super) fn start(connection: Connection, checkpointer: Checkpointer) -> Result<Self> {
        let (jobs, queue) = channel();
        let lanes: Arc<RwLock<Lanes>> = Arc::default();
        let figures: Arc<StoreFigures> = Arc::default();
        let shared = (Arc::clone(&lanes), Arc::clone(&figures));
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&connection, &queue, &shared.0, &shared.1, &checkpointer))
            .map_err(|error| Error::Unavailable(format!("the writer thread cannot be started: {error}")))?;
        Ok(Self { jobs, lanes, figures })
    }

    /// What its commits were like.
    pub(super) fn figures(&self) -> Arc<StoreFigures> {
        Arc::clone(&self.figures)
    }

    /// Sets where deliveries that are born leased go.
    pub(super) fn set_lanes(&self, lanes: Lanes) {
        *self.lanes.write().unwrap_or_else(std::sync::PoisonError::into_inner) = lanes;
    }

    /// Runs `work` in a transaction, perhaps shared with others, and returns once it is on disk.
    /// `work` may run twice when another's work in the same transaction failed.
    pub(super) async fn write<T: Send + 'static>(&self, work: impl FnMut(&mut Unit<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.write_as(Commit::Other, work).await
    }

    /// The same, with what it is for the failpoints.
    pub(super) async fn write_as<T: Send + 'static>(
        &self,
        kind: Commit,
        work: impl FnMut(&mut Unit<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::Unavailable("the writer thread has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Box::new(Task { kind, work, value: None, reply })).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn serve(
    connection: &Connection,
    queue: &Receiver<Box<dyn Job>>,
    lanes: &RwLock<Lanes>,
    figures: &StoreFigures,
    checkpointer: &Checkpointer,
) {
    let mut backlogs = Backlogs::default();
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(MAX_BATCH - 1));
        let lanes = lanes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        commit_batch(connection, batch, &lanes, &mut backlogs, figures);
        checkpointer.note_commit();
    }
}

fn commit_batch(connection: &Connection, mut batch: Vec<Box<dyn Job>>, lanes: &Lanes, backlogs: &mut Backlogs, figures: &StoreFigures) {
    let began = Instant::now();
    match commit(connection, &mut batch, lanes, backlogs) {
        Ok(()) => {
            count(&batch, began, figures);
            let struck = reach_commit(batch.iter().map(|job| job.kind()), Commit::after);
            let told = |kind| if struck.contains(&kind) { Err(Struck.into()) } else { Ok(()) };
            batch.into_iter().for_each(|job| {
                let told = told(job.kind());
                job.finish(told);
            });
        }
        // One job that fails must not take the others with it: each is tried alone.
        Err(Failure::Job(_)) if batch.len() > 1 => {
            batch.into_iter().for_each(|job| commit_batch(connection, vec![job], lanes, backlogs, figures));
        }
        Err(Failure::Job(error) | Failure::Engine(error)) => batch.into_iter().for_each(|job| job.finish(Err(error.clone()))),
    }
}

fn count(batch: &[Box<dyn Job>], began: Instant, figures: &StoreFigures) {
    let (took, jobs) = (began.elapsed(), |kind| batch.iter().filter(|job| job.kind() == kind).count());
    figures.receive.commit(jobs(Commit::Receive), took);
    figures.settle.commit(jobs(Commit::Settle), took);
}

/// A job that panics fails alone; the thread lives on.
fn run_guarded(job: &mut dyn Job, unit: &mut Unit<'_>) -> Result<()> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run(unit)))
        .unwrap_or_else(|_| Err(Error::Refused("a write to the store panicked; this is a bug".to_owned())))
}

enum Failure {
    Job(Error),
    Engine(Error),
}

/// Commits the batch, or nothing of it.
fn commit(connection: &Connection, batch: &mut [Box<dyn Job>], lanes: &Lanes, backlogs: &mut Backlogs) -> std::result::Result<(), Failure> {
    let engine = |error: Error| Failure::Engine(error);
    execute(connection, "BEGIN IMMEDIATE").map_err(engine)?;
    let noted = backlogs.note_others(connection, |destination| lanes.contains_key(&destination));
    let mut unit = Unit { connection, tally: Tally::default(), backlogs, lanes, handoffs: Vec::new() };
    let ran = noted
        .and_then(|()| batch.iter_mut().try_for_each(|job| run_guarded(job.as_mut(), &mut unit)))
        .and_then(|()| unit.tally.write(unit.connection));
    let handoffs = std::mem::take(&mut unit.handoffs);
    let result = match ran {
        Ok(()) if !reach_commit(batch.iter().map(|job| job.kind()), Commit::before).is_empty() => Err(Failure::Engine(Struck.into())),
        Ok(()) => execute(connection, "COMMIT").map_err(engine),
        Err(error) => Err(Failure::Job(error)),
    };
    match &result {
        Ok(()) => deliver(handoffs, lanes),
        Err(_) => {
            give_back_places(handoffs, lanes);
            backlogs.forget();
        }
    }
    // A sick disk may have ended the transaction already; one that stays open would make every later one fail too.
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// Parsed once: these two are run more often than any other statement.
fn execute(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop).map_err(Error::from)
}
