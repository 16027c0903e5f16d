//! Logs, health and counts. None of them names a person nor shows a secret.

mod health;
mod logs;
mod refusals;

pub use health::Health;
pub use logs::start as start_logs;
pub use refusals::Refusals;
