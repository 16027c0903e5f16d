//! Finding the server: the URL, TLS, the pool of connections, and what its errors mean for us.

use crate::store::{Error, Result};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one process: one for each batch under way, the rest for claims, steps and people.
const MOST_CONNECTIONS: usize = 12;

/// What each session is told. A process that is stopped in the middle of a transaction must not keep its locks for long, and an
/// answer of success is worth nothing if the server does not write before it says so.
const SESSION: &str = "SET idle_in_transaction_session_timeout = '10s';
    SET lock_timeout = '10s';
    SET statement_timeout = '60s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

/// A server and how to reach it.
#[derive(Clone)]
pub(super) struct Target {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

/// Without the password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl Target {
    /// Reads a URL. It is never repeated in an error: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error| Error::Refused(format!("[store] url is no PostgreSQL URL: {error}")))?;
        config.application_name("leadwire");
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(10));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| Error::Refused(format!("TLS to PostgreSQL cannot be set up: {error}"));
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_platform_verifier()
            .map_err(refused)?
            .with_no_client_auth();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// Where it is, for people: hosts and database, nothing else.
    pub(super) fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        format!("PostgreSQL at {}, database {}", hosts.collect::<Vec<_>>().join(", "), self.config.get_dbname().unwrap_or("of the user"))
    }

    pub(super) fn pool(&self) -> Result<Pool> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), settings);
        let prepare = Hook::async_fn(|client, _| Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) }));
        let pool = Pool::builder(manager)
            .max_size(MOST_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(5)))
            .create_timeout(Some(Duration::from_secs(10)))
            .recycle_timeout(Some(Duration::from_secs(5)))
            .post_create(prepare)
            .build();
        pool.map_err(|error| Error::Refused(format!("the pool of connections cannot be built: {error}")))
    }

    /// A connection of its own, outside of the pool, with its driver still to be run.
    pub(super) async fn connect(
        &self,
    ) -> Result<(
        tokio_postgres::Client,
        tokio_postgres::Connection<tokio_postgres::Socket, impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + use<>>,
    )> {
        Ok(self.config.connect(self.tls.clone()).await?)
    }

    /// Why there is no connection.
    pub(super) fn explain(&self, error: &PoolError) -> Error {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => match read(error) {
                Error::Unavailable(why) => Error::Unavailable(format!("{}: {why}", self.place())),
                Error::Refused(why) => Error::Refused(format!("{}: {why}", self.place())),
            },
            PoolError::Timeout(_) => Error::Unavailable(format!("{}: it does not answer in time", self.place())),
            other => Error::Unavailable(format!("{}: {other}", self.place())),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        read(&error)
    }
}

/// What an error means. The server's `detail` may hold values of rows, so it is left out.
fn read(error: &tokio_postgres::Error) -> Error {
    let Some(answer) = error.as_db_error() else {
        // The outer text is "error connecting to server" and the like; what went wrong is below.
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return Error::Unavailable(format!("{error}{cause}"));
    };
    let told = format!("{} ({})", answer.message(), answer.code().code());
    if would_again(answer.code()) { Error::Refused(told) } else { Error::Unavailable(told) }
}

/// Whether the same request would fail in the same way: faults of data, of statements, of the login and of constraints. What is
/// left passes: full disks, shut downs, lost locks, a server that turned into a standby.
fn would_again(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("22" | "23" | "28" | "3D" | "42"))
}

/// Whether the transaction met another one (a deadlock, a serialization failure) and is to be run again as it is.
pub(super) fn is_collision(error: &Error) -> bool {
    matches!(error, Error::Unavailable(told) if COLLISIONS.iter().any(|code| told.ends_with(code)))
}

/// How [`read`] ends its words for these.
const COLLISIONS: [&str; 2] = ["(40001)", "(40P01)"];
