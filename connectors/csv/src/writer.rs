//! The thread that owns the folder: rows that wait together share one write and one fsync.

use crate::files::{Folder, Plan, explain};
use crate::map::Row;
use leadwire_connector::ErasedPlace;
use leadwire_connector::reexport::Timestamp;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// More rows than this wait for the next write.
const BATCH_MOST: usize = 1_024;
/// How soon a file that could not be finished is tried again.
const TIDY_AGAIN: Duration = Duration::from_secs(5);
/// Looks at the clock at least so often: the wall clock can be set while the thread waits.
const WAIT_MOST: Duration = Duration::from_secs(60);

enum Order {
    Append(Row, oneshot::Sender<Result<Option<String>, String>>),
    Erase(Vec<String>, oneshot::Sender<Result<Vec<ErasedPlace>, String>>),
}

/// The handle of the thread. Dropping it lets the thread finish what it was given and waits for that, so that the folder is free for
/// the next owner at once.
pub(crate) struct Writer {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the folder and starts the thread.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(crate) fn start(plan: Plan, destination: &str) -> Result<Self, String> {
        let folder = Folder::open(plan, Timestamp::now())?;
        let (orders, receiver) = channel();
        let worker = Worker { folder, orders: receiver, destination: destination.to_owned() };
        let thread = std::thread::Builder::new().name("csv-writer".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|error| format!("the thread that writes the files cannot be started: {error}"))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has the row on disk when it returns `Ok`, with the name of its file; `None` for a repeat whose file is finished.
    pub(crate) async fn append(&self, row: Row) -> Result<Option<String>, String> {
        self.ask(|answer| Order::Append(row, answer)).await
    }

    /// Removes the rows of these deliveries, for good: none of them is written any more.
    pub(crate) async fn erase(&self, deliveries: Vec<String>) -> Result<Vec<ErasedPlace>, String> {
        self.ask(|answer| Order::Erase(deliveries, answer)).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order) -> Result<T, String> {
        const GONE: &str = "the thread that writes the files has ended; restart the bridge";
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or(GONE)?;
        orders.send(order(answer)).map_err(|_| GONE)?;
        answered.await.map_err(|_| GONE)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported; there is nothing to add.
            drop(thread.join());
        }
    }
}

struct Worker {
    folder: Folder,
    orders: Receiver<Order>,
    destination: String,
}

impl Worker {
    fn run(mut self) {
        let mut tidy_failed = false;
        loop {
            let due = self.folder.due_in(Timestamp::now()).unwrap_or(WAIT_MOST).min(WAIT_MOST);
            let wait = if tidy_failed { due.max(TIDY_AGAIN) } else { due };
            match self.orders.recv_timeout(wait) {
                Ok(order) => self.serve(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let tidied = self.folder.tidy(Timestamp::now());
            tidy_failed = tidied.is_err();
            if let Err(error) = tidied {
                tracing::warn!(destination = %self.destination, error = %explain(&error), "a file of rows cannot be finished yet");
            }
        }
    }

    /// Serves one order and all that can share its write.
    fn serve(&mut self, first: Order) {
        let most = self.folder.room().min(BATCH_MOST);
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Append(row, answer) => {
                    rows.push(row);
                    answers.push(answer);
                }
                // Rows that wait for the write below are taken for repeats after this, and not written.
                Order::Erase(deliveries, answer) => {
                    let erased = self.folder.erase(&deliveries, Timestamp::now());
                    drop(answer.send(erased.map_err(|error| explain(&error))));
                }
            }
            next = if rows.len() < most { self.orders.try_recv().ok() } else { None };
        }
        if !rows.is_empty() {
            self.append(&rows, answers);
        }
    }

    /// A receiver that is gone was dropped at shutdown: its row is on disk, and is recognised when the delivery comes again.
    fn append(&mut self, rows: &[Row], answers: Vec<oneshot::Sender<Result<Option<String>, String>>>) {
        match self.folder.append(rows, Timestamp::now()) {
            Ok(files) => answers.into_iter().zip(files).for_each(|(answer, file)| drop(answer.send(Ok(file)))),
            Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(explain(&error))))),
        }
    }
}
