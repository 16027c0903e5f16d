//! The shared store: one PostgreSQL database, any number of bridges.
//!
//! What many instances do at once is kept apart by the database itself: content by the key of `content`, the order per person by the
//! unique index `delivery_active`, leases by `FOR UPDATE SKIP LOCKED` and the number of the lease. Isolation is READ COMMITTED.

mod acts;
mod address;
mod alert;
mod audit;
mod batch;
mod causes;
mod checkup;
mod connect;
mod dump;
mod hold;
mod index;
mod instance;
mod known;
mod lease;
mod ledger;
mod load;
mod logout;
mod missed;
mod person;
mod quarantine;
mod rate;
mod receive;
mod replay;
mod retention;
mod row;
mod schema;
mod search;
mod settle;
mod sighting;
mod signal;
mod size;
mod tally;
mod tls;
mod token;
mod transfer;

use super::names::Names;
use super::{Changes, DestinationId, Error, Handoff, LaneEnd, Leased, Ownership, Result, Right, Seen};
use crate::failpoint::{self, Commit};
use crate::figures::StoreFigures;
use batch::Batcher;
use connect::Target;
use deadpool_postgres::{GenericClient, Object, Pool};
use instance::Membership;
use jiff::Timestamp;
use receive::Arrival;
use settle::Settling;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

pub use address::{check_url, has_password, name_of};
pub(in crate::store) use checkup::check_up;
pub(in crate::store) use dump::Dump;
pub(super) use instance::Member;
pub(super) use signal::Signal;
pub(super) use transfer::Session;

/// Connections for what may wait.
const TURNS: usize = 4;

/// How long to wait for a connection of another task when the server has no room for a new one, and how often to look.
const ROOM_WITHIN: Duration = Duration::from_secs(3);
const ROOM_EVERY: Duration = Duration::from_millis(20);

type Lanes = HashMap<DestinationId, LaneEnd>;

/// The store on one PostgreSQL database. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Postgres {
    shared: Arc<Shared>,
    receiver: Batcher<Arrival>,
    settler: Batcher<Settling>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("target", &self.shared.target).finish_non_exhaustive()
    }
}

/// What all parts of the engine use.
struct Shared {
    target: Target,
    pool: Pool,
    /// Connections belong to the runtime that opened them; whoever calls, the work is done there.
    runtime: Handle,
    names: Names,
    lanes: RwLock<Lanes>,
    figures: Arc<StoreFigures>,
    membership: Membership,
    signals: signal::Signals,
    turns: Semaphore,
    quarantining: Semaphore,
    /// Events whose commit may have happened without an answer.
    doubts: Mutex<HashSet<uuid::Uuid>>,
}

impl Postgres {
    pub(in crate::store) async fn open<'a>(
        url: &str,
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        let target = Target::parse(url)?;
        let pool = target.pool()?;
        let mut client = pool.get().await.map_err(|error| target.explain(&error))?;
        schema::migrate(&mut client).await?;
        let names = Names {
            sources: register(&client, "source", sources).await?,
            destinations: register(&client, "destination", destinations).await?,
        };
        drop(client);
        let signals = signal::Signals::default();
        let membership = Membership::default();
        let shared = Arc::new(Shared {
            target,
            pool,
            runtime: Handle::current(),
            names,
            lanes: RwLock::default(),
            figures: Arc::default(),
            membership,
            signals,
            turns: Semaphore::new(TURNS),
            quarantining: Semaphore::new(2),
            doubts: Mutex::default(),
        });
        Ok(Self { receiver: Batcher::start(&shared), settler: Batcher::start(&shared), shared })
    }

    pub(in crate::store) async fn take_ownership(&self) -> Result<Ownership> {
        self.refuse_during_transfer().await?;
        let ownership = Ownership { _right: Right::Member(instance::join(&self.shared).await?) };
        // A transfer that began in between has not seen this bridge, or is seen by it now.
        if let Err(error) = self.refuse_during_transfer().await {
            self.sign_off(Timestamp::now()).await?;
            return Err(error);
        }
        Ok(ownership)
    }

    pub(in crate::store) fn set_lanes(&self, lanes: Lanes) {
        *self.shared.lanes.write().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub(in crate::store) fn destination_id(&self, name: &str) -> Option<DestinationId> {
        self.shared.names.destinations.get(name).copied()
    }

    pub(in crate::store) fn names(&self) -> &Names {
        &self.shared.names
    }

    /// What its commits were like.
    pub(in crate::store) fn figures(&self) -> Arc<StoreFigures> {
        Arc::clone(&self.shared.figures)
    }

    pub(in crate::store) fn changes(&self) -> Changes {
        Changes { seen: Seen::Signal(self.shared.signals.listen()) }
    }

    pub(in crate::store) fn may_start(&self, leased: &Leased) -> bool {
        self.shared.membership.may_start(leased)
    }

    pub(in crate::store) async fn probe(&self) -> Result<()> {
        self.run(|client| async move {
            failpoint::reach(Commit::Other.before()).await?;
            execute(&client, "UPDATE pulse SET beats = beats + 1", &[]).await?;
            Ok(failpoint::reach(Commit::Other.after()).await?)
        })
        .await
    }

    /// Does work that may wait for its turn: what people ask for, and what comes from strangers, must not take the connections that
    /// leads and deliveries need.
    async fn run<T, F, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
        W: FnOnce(Object) -> F + Send + 'static,
    {
        // It is never closed.
        let _turn = self.shared.turns.acquire().await;
        self.run_now(work).await
    }

    /// Does work with a connection, on the runtime of the connections.
    async fn run_now<T, F, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
        W: FnOnce(Object) -> F + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let task = self.shared.runtime.spawn(async move {
            let result = work(shared.connection().await?).await;
            result.inspect_err(|error| shared.look_again(error))
        });
        task.await.map_err(|error| Error::Refused(format!("a query failed: {error}")))?
    }
}

impl Shared {
    /// A connection that works, or why there is none. When the server has no room for another one, those there are go round.
    async fn connection(&self) -> Result<Object> {
        let began_at = Instant::now();
        loop {
            match self.pool.get().await.map_err(|error| self.target.explain(&error)) {
                Err(error) if connect::is_crowded(&error) && began_at.elapsed() < ROOM_WITHIN => tokio::time::sleep(ROOM_EVERY).await,
                other => return other,
            }
        }
    }

    /// After an error that says so, connections are made anew: to the server that is the right one now.
    fn look_again(&self, error: &Error) {
        if connect::is_deposed(error) {
            self.pool.retain(|_, _| false);
        }
    }

    /// Tells the lanes of this process, and the other instances, that something may be due.
    fn tell_waiting(&self, destinations: impl IntoIterator<Item = DestinationId>) {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for destination in destinations {
            any = true;
            if let Some(lane) = lanes.get(&destination) {
                // A lane that is gone is a process that stops.
                let _ = lane.inbox.send(Handoff::Waiting);
            }
        }
        if any {
            self.signals.tell_others();
        }
    }
}

/// How often a transaction that met another one is run again.
const COLLISIONS: u64 = 30;

/// Runs a transaction again when it met another one.
async fn again<T, F: Future<Output = Result<T>>>(mut once: impl FnMut() -> F) -> Result<T> {
    for n in 0..COLLISIONS {
        match once().await {
            Err(error) if connect::is_collision(&error) || connect::is_taken(&error) => {}
            other => return other,
        }
        tokio::time::sleep(Duration::from_millis(n)).await;
    }
    once().await
}

/// Tells all bridges with the commit of this transaction. What is rare tells it in this way, which a command can use, too.
async fn tell_all(client: &impl GenericClient) -> Result<()> {
    execute(client, "SELECT pg_notify('leadwire', '')", &[]).await.map(drop)
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a statement, prepared once for each connection, and returns its rows.
async fn query(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// The same, for at most one row.
async fn query_opt(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_opt(&statement, params).await?)
}

/// The same, for the number of rows that were touched.
async fn execute(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

/// A column of a row.
fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    Ok(row.try_get(index)?)
}

/// Text as PostgreSQL can hold it: it knows no U+0000. Only columns for searching and for people pass here; the event itself is JSON,
/// where that character is escaped.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Gives every name a number that it keeps for good.
async fn register<'a, Id: TryFrom<i64>>(
    client: &impl GenericClient,
    table: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<HashMap<String, Id>> {
    let names: Vec<&String> = names.into_iter().collect();
    let insert = format!(
        "INSERT INTO {table} (name) SELECT n FROM unnest($1::TEXT[]) AS n WHERE n NOT IN (SELECT name FROM {table}) ON CONFLICT (name) DO NOTHING"
    );
    execute(client, &insert, &[&names]).await?;
    let rows = query(client, &format!("SELECT name, id FROM {table} WHERE name = ANY($1::TEXT[])"), &[&names]).await?;
    let too_many = |_| Error::Refused(format!("too many names in the table {table}"));
    rows.iter().map(|row| Ok((column(row, 0)?, Id::try_from(column(row, 1)?).map_err(too_many)?))).collect()
}

/// Microseconds since 1970, as every time is kept.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment of that many microseconds; a number that is no moment becomes 1970.
fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
