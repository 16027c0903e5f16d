//! Logs, health and the tally. None of them names a person nor shows a secret.

mod health;
mod logs;
mod tally;

pub use health::Health;
pub use logs::start as start_logs;
pub use tally::Tallying;
