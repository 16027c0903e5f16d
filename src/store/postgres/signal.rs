//! One connection of its own for each bridge, for what must not wait behind anything: hearing that others changed something, telling
//! them, and the sign of life.

use super::connect::{Target, is_crowded};
use crate::store::telling::Telling;
use crate::store::{Error, LOOK_EVERY, Result};
use deadpool_postgres::Pool;
use futures_util::stream::poll_fn;
use futures_util::{StreamExt as _, future};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

/// The channel of `LISTEN` and `NOTIFY`.
const CHANNEL: &str = "leadwire";

/// Signals to others are sent at most so often: under load there is always something new.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// How soon a lost connection is opened again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// And how soon when the pool has just made room for it, which others would take.
const ROOM_AFTER: Duration = Duration::from_millis(10);

/// The ends of the wire in this process.
#[derive(Default)]
pub(super) struct Signals {
    wire: Arc<Mutex<Option<Arc<Client>>>>,
    heard: Arc<watch::Sender<u64>>,
    untold: Arc<Notify>,
}

/// Hears that something changed.
#[derive(Debug)]
pub(in crate::store) struct Signal {
    heard: watch::Receiver<u64>,
}

impl Signal {
    /// See [`Changes::next`](crate::store::Changes::next).
    pub(in crate::store) async fn next(&mut self) {
        // Nothing is ever heard again when the sender is gone; looking all the same is right.
        let _ = tokio::time::timeout(LOOK_EVERY, self.heard.changed()).await;
        self.heard.mark_unchanged();
    }
}

/// Ends its tasks when dropped.
#[derive(Debug)]
pub(super) struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Tasks {
    pub(super) fn one(task: JoinHandle<()>) -> Self {
        Self(vec![task])
    }

    /// Both.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }
}

impl Signals {
    /// Opens the connection, and keeps it open until the tasks are dropped.
    pub(super) fn start(&self, target: Target, pool: Pool) -> Tasks {
        let (wire, heard) = (Arc::clone(&self.wire), Arc::clone(&self.heard));
        let listening = tokio::spawn(async move {
            let mut telling = Telling::default();
            loop {
                let lost = listen(&target, &wire, &heard).await;
                if set(&wire, None).is_some() {
                    telling.over(Instant::now());
                }
                tokio::time::sleep(lost.err().map_or(AGAIN_AFTER, |error| after(&error, &pool, &mut telling))).await;
            }
        });
        let (wire, untold) = (Arc::clone(&self.wire), Arc::clone(&self.untold));
        let telling = tokio::spawn(async move {
            loop {
                untold.notified().await;
                // Without a connection they look by themselves after a few seconds.
                if let Some(client) = get(&wire) {
                    let _ = client.execute("SELECT pg_notify($1, '')", &[&CHANNEL]).await;
                }
                tokio::time::sleep(TELL_EVERY).await;
            }
        });
        Tasks(vec![listening, telling])
    }

    /// To be asked for each change.
    pub(super) fn listen(&self) -> Signal {
        Signal { heard: self.heard.subscribe() }
    }

    /// Tells all other bridges soon that they should look.
    pub(super) fn tell_others(&self) {
        self.untold.notify_one();
    }

    /// Ends the connection, so that a new one is opened: the server may have become a standby, or be behind a dead network.
    pub(super) fn hang_up(&self) {
        set(&self.wire, None);
    }

    /// The connection, if there is one now.
    pub(super) fn wire(&self) -> Result<Arc<Client>> {
        get(&self.wire).ok_or_else(|| Error::Unavailable("there is no connection to PostgreSQL".to_owned()))
    }
}

/// How soon to try again after this. Without its sign of life a bridge delivers nothing, so when the server has no room, a connection
/// of its own that is idle makes way.
fn after(error: &Error, pool: &Pool, telling: &mut Telling) -> Duration {
    let now = Instant::now();
    if telling.trouble(now, now).is_some() {
        tracing::warn!("the connection that hears of changes is lost, and opened again: {error}");
    }
    let mut is_one_gone = false;
    if is_crowded(error) {
        pool.retain(|_, _| std::mem::replace(&mut is_one_gone, true));
    }
    if is_one_gone { ROOM_AFTER } else { AGAIN_AFTER }
}

fn get(wire: &Mutex<Option<Arc<Client>>>) -> Option<Arc<Client>> {
    wire.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Returns the one before.
fn set(wire: &Mutex<Option<Arc<Client>>>, client: Option<Arc<Client>>) -> Option<Arc<Client>> {
    std::mem::replace(&mut *wire.lock().unwrap_or_else(PoisonError::into_inner), client)
}

/// Returns when the connection is lost.
async fn listen(target: &Target, wire: &Mutex<Option<Arc<Client>>>, heard: &watch::Sender<u64>) -> Result<()> {
    let (client, mut connection) = target.connect().await?;
    let mut messages = poll_fn(move |context| connection.poll_message(context));
    let client = Arc::new(client);
    // The wire alone keeps the client: when it is hung up, the connection ends.
    let subscribe = async move {
        client.batch_execute(&format!("LISTEN {CHANNEL}; SET statement_timeout = '5s'")).await?;
        set(wire, Some(client));
        // What was told while nobody listened is looked for.
        heard.send_modify(|times| *times += 1);
        Ok(())
    };
    let hear = async move {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(_) = message? {
                heard.send_modify(|times| *times += 1);
            }
        }
        Err::<(), Error>(Error::Unavailable("PostgreSQL closed it".to_owned()))
    };
    future::try_join(subscribe, hear).await.map(drop)
}
