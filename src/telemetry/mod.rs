//! Logs, health, the tally and traces. None of them names a person nor shows a secret.

mod health;
mod logs;
mod tally;
mod traces;

pub use health::Health;
pub use logs::start as start_logs;
pub use tally::Tallying;
pub use traces::{Attribute, Span, SpanKind, TraceOptions, Tracer, Tracing, first_of};
