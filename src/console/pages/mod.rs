//! The pages. One is a handler, a template and a call of [`View::show`]; `now.rs` is the pattern.

#[expect(unreachable_pub, reason = "the macro of the template engine writes `pub`")]
mod filters;
mod notice;
mod now;
mod view;

pub use notice::Notice;
pub use view::{Nav, View};

pub(super) use now::now;
pub(super) use view::{redirect, refused};
