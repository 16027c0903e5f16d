//! The chatbot platform, simulated: what it posts, and how it posts it.

mod lead_list;
mod samples;
mod sender;

pub use lead_list::LeadList;
pub use samples::{SampleKind, Samples, write};
pub use sender::{Sender, Try, is_success, parse_schedule};
