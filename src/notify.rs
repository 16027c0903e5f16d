//! What the supervisor of this process is told: the protocol of sd_notify(3), which systemd speaks with `Type=notify` and `WatchdogSec=`.
//!
//! The watchdog is fed as long as this process schedules its work, whatever the store does. A disk that is full or a database that is
//! away does not come back by a restart; a restart would take away the spool, which needs a bridge that was started, and the senders that
//! are waiting. What is wrong with the store is told by `/readyz`, which moves traffic and kills nothing.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a supervisor that reads nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pause of nothing would keep a processor busy.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// Who started this process and wants to know how it is. Without one, everything here does nothing.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    line: Option<Arc<Line>>,
    /// What it waits for a sign of life, at most.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// The one that the environment of this process names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    #[must_use]
    pub fn of_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        let number = |name| std::env::var(name).ok();
        let watchdog = watchdog(number("WATCHDOG_USEC").as_deref(), number("WATCHDOG_PID").as_deref());
        match Line::to(&name) {
            Ok(line) => Self { line: Some(Arc::new(line)), watchdog },
            Err(error) => {
                tracing::warn!("the supervisor is told nothing, since NOTIFY_SOCKET cannot be used: {error}");
                Self::default()
            }
        }
    }

    /// Requests are answered from now on; `status` says where, for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// New settings are being taken; ends with the next [`Supervisor::ready`].
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// It stops, and finishes what is under way.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Feeds the watchdog twice in its time, for ever; `None` when there is none. Dropping the handle does not end it.
    #[must_use]
    pub fn keep_alive(&self) -> Option<JoinHandle<()>> {
        let pause = (self.watchdog? / 2).max(LEAST_PAUSE);
        let supervisor = self.clone();
        Some(tokio::spawn(async move {
            loop {
                supervisor.tell("WATCHDOG=1");
                tokio::time::sleep(pause).await;
            }
        }))
    }

    fn tell(&self, state: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(state.as_bytes(), &line.address) {
            tracing::warn!("the supervisor could not be told `{}`: {error}", state.lines().next().unwrap_or_default());
        }
    }
}

impl Line {
    /// `name` is a path, or the name of an abstract socket with `@` for the zero that it begins with.
    fn to(name: &OsStr) -> std::io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, address })
    }
}

/// None when the number is none, or is meant for another process.
fn watchdog(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|number| *number > 0)?;
    Some(Duration::from_micros(microseconds))
}

/// A second line would be another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn the_watchdog_is_only_fed_where_this_process_is_meant() {
        let own = std::process::id().to_string();
        assert_eq!(watchdog(Some("30000000"), None), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some(&own)), Some(Duration::from_secs(30)));
        for (microseconds, pid) in
            [(None, None), (Some("0"), None), (Some("-1"), None), (Some("soon"), None), (Some("30000000"), Some("1"))]
        {
            assert_eq!(watchdog(microseconds, pid), None, "{microseconds:?} {pid:?}");
        }
    }

    #[test]
    fn both_kinds_of_sockets_are_reached_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("leadwire-notify-{}", std::process::id());
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        for (name, listener) in [(path.into_os_string(), at_path), (format!("@{abstract_name}").into(), at_name)] {
            let supervisor = Supervisor { line: Some(Arc::new(Line::to(&name).unwrap())), watchdog: None };
            supervisor.ready("at a\nREADY=0");
            let mut heard = [0; 100];
            let length = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=at a READY=0");
        }
        for name in ["relative", "vsock:2:1234", ""] {
            assert!(Line::to(OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn without_a_supervisor_nothing_is_said() {
        let supervisor = Supervisor::default();
        supervisor.ready("here");
        supervisor.reloading();
        supervisor.stopping();
        assert!(supervisor.keep_alive().is_none());
    }
}
