//! Finding the server: the URL, TLS, the pool of connections, and what its errors mean for us.

use super::address::Address;
use super::tls;
use crate::failpoint;
use crate::store::{Error, Result};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one process: one for each batch under way, the rest for claims, steps and people.
const MOST_CONNECTIONS: usize = 12;

/// What to do when the server has no room for another connection.
const ROOM: &str = "; a bridge opens up to 13 connections: raise `max_connections` of the server, or the limit of the user or database";

/// What each session is told. A process that is stopped in the middle of a transaction must not keep its locks for long, and an
/// answer of success is worth nothing if the server does not write before it says so.
const SESSION: &str = "SET idle_in_transaction_session_timeout = '10s';
    SET lock_timeout = '10s';
    SET statement_timeout = '60s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

async fn prepare_session(client: &tokio_postgres::Client) -> std::result::Result<(), tokio_postgres::Error> {
    client.batch_execute(SESSION).await?;
    if failpoint::reach(failpoint::STORE_CARELESS).await.is_err() {
        client.batch_execute("SET synchronous_commit = off").await?;
    }
    Ok(())
}

/// The server keeps a plan for as long as its statistics stand, and those of a table that grows fast are always old: a plan that walks
/// through all of a small table would still do so when it is large. Forgotten at each doubling of the uses of a connection, plans are
/// never made for a table of much less than half its size.
async fn forget_plans(client: &tokio_postgres::Client, uses: usize) -> std::result::Result<(), tokio_postgres::Error> {
    if uses.is_power_of_two() { client.batch_execute("DISCARD PLANS").await } else { Ok(()) }
}

/// A server and how to reach it.
#[derive(Clone)]
pub(super) struct Target {
    address: Address,
    tls: MakeRustlsConnect,
}

/// Without the password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address.place())
    }
}

impl Target {
    /// Reads a URL and the files it names. It is never repeated in an error: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let address = Address::parse(url).map_err(|why| Error::Refused(format!("[store] url: {why}")))?;
        let tls = MakeRustlsConnect::new(address.wish.build()?);
        Ok(Self { address, tls })
    }

    pub(super) fn pool(&self) -> Result<Pool> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.address.config.clone(), self.tls.clone(), settings);
        let prepare = Hook::async_fn(|client, _| Box::pin(async move { prepare_session(client).await.map_err(HookError::Backend) }));
        let pool = Pool::builder(manager)
            .max_size(MOST_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(5)))
            .create_timeout(Some(self.create_timeout()))
            .recycle_timeout(Some(Duration::from_secs(5)))
            .post_create(prepare)
            .post_recycle(Hook::async_fn(|client, metrics| {
                let uses = metrics.recycle_count;
                Box::pin(async move { forget_plans(client, uses).await.map_err(HookError::Backend) })
            }))
            .build();
        pool.map_err(|error| Error::Refused(format!("the pool of connections cannot be built: {error}")))
    }

    /// Long enough to try every host of the list.
    fn create_timeout(&self) -> Duration {
        let config = &self.address.config;
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        config.get_connect_timeout().copied().unwrap_or_default().saturating_mul(hosts).saturating_add(Duration::from_secs(5))
    }

    /// A connection of its own, outside of the pool, with its driver still to be run.
    pub(super) async fn connect(
        &self,
    ) -> Result<(
        tokio_postgres::Client,
        tokio_postgres::Connection<tokio_postgres::Socket, impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + use<>>,
    )> {
        Ok(self.address.config.connect(self.tls.clone()).await?)
    }

    /// Why there is no connection.
    pub(super) fn explain(&self, error: &PoolError) -> Error {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => match read(error) {
                Error::Unavailable(why) => Error::Unavailable(format!("the store {} is unavailable: {why}", self.address.place())),
                Error::Refused(why) => Error::Refused(format!("{}: {why}", self.address.place())),
            },
            PoolError::Timeout(_) => {
                Error::Unavailable(format!("the store {} is unavailable: it does not answer in time", self.address.place()))
            }
            other => Error::Unavailable(format!("the store {} is unavailable: {other}", self.address.place())),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match read(&error) {
            Self::Unavailable(why) => Self::Unavailable(format!("the store is unavailable: {why}")),
            refused => refused,
        }
    }
}

/// What an error means. The server's `detail` may hold values of rows, so it is left out.
fn read(error: &tokio_postgres::Error) -> Error {
    let Some(answer) = error.as_db_error() else {
        if let Some(told) = tls::explain(error) {
            return Error::Unavailable(told);
        }
        // The outer text is "error connecting to server" and the like; what went wrong is below.
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return Error::Unavailable(format!("{error}{cause}"));
    };
    let hint = if *answer.code() == SqlState::TOO_MANY_CONNECTIONS { ROOM } else { "" };
    let told = format!("{}{hint} ({})", answer.message(), answer.code().code());
    if would_again(answer.code()) { Error::Refused(told) } else { Error::Unavailable(told) }
}

/// Whether the same request would fail in the same way: faults of data, of statements, of the login and of constraints. What is
/// left passes: full disks, shut downs, lost locks, a server that turned into a standby.
fn would_again(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("22" | "23" | "28" | "3D" | "42"))
}

/// Whether the server said that it is no longer the one to write to: it became a standby, or is shutting down. The other
/// connections to it are of no use then, and new ones find its successor.
pub(super) fn is_deposed(error: &Error) -> bool {
    matches!(error, Error::Unavailable(told) if DEPOSED.iter().any(|code| told.ends_with(code)))
}

/// Whether the transaction met another one (a deadlock, a serialization failure) and is to be run again as it is.
pub(super) fn is_collision(error: &Error) -> bool {
    matches!(error, Error::Unavailable(told) if COLLISIONS.iter().any(|code| told.ends_with(code)))
}

/// Whether the server has no room for another connection.
pub(super) fn is_crowded(error: &Error) -> bool {
    matches!(error, Error::Unavailable(told) if told.ends_with("(53300)"))
}

/// What [`is_collision`] recognises, for one that the program itself sees.
pub(super) fn collision(what: &str) -> Error {
    Error::Unavailable(format!("{what} (40001)"))
}

/// Whether another transaction has made just now what this one was about to make.
pub(super) fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Refused(told) if told.ends_with("(23505)"))
}

/// How [`read`] ends its words for these.
/// The last one is what statements that were sent together with the one that failed are told; their error may be seen first.
const COLLISIONS: [&str; 3] = ["(40001)", "(40P01)", "(25P02)"];
const DEPOSED: [&str; 4] = ["(25006)", "(57P01)", "(57P02)", "(57P03)"];
