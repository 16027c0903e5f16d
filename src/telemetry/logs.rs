//! Log lines, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// The web server's own notes at its start tell an operator nothing. Of each request that is none it would tell an error, with which whoever
/// can connect could fill the log. `level` may still ask for both by name.
const QUIET: &str = "actix_server=warn,actix_http=off";

/// Starts logging. `level` is `info`, or with exceptions for parts of the program. A second start changes nothing.
pub fn start(level: &str, as_json: bool) {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // Fails only when logging runs already, as in the demo, which starts several parts in one process.
    let _ = if as_json { lines.json().flatten_event(true).try_init() } else { lines.with_target(false).try_init() };
}
