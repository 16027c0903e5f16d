//! What would happen, without making it happen: what a destination would be sent, whether it can do its work, and the whole way of a body
//! that somebody wants to try. For the commands and the console alike.

mod doctor;
mod mask;
mod preview;
mod trial;

pub use doctor::{examine, with_state};
pub use mask::{SecretMask, is_masked};
pub use preview::{Outcome, preview};
pub use trial::{Signature, Trial, Tried, Workbench, vouch};
