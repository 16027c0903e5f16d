//! Logs and health. None of them names a person nor shows a secret.

mod health;
mod logs;

pub use health::Health;
pub use logs::start as start_logs;
