//! The pages. One is a handler, a template and a call of [`View::show`]; `now.rs` is the pattern.

mod destinations;
#[expect(unreachable_pub, reason = "the macro of the template engine writes `pub`")]
mod filters;
mod lead;
mod leads;
mod notice;
mod now;
mod try_it;
mod view;
mod words;

pub use notice::Notice;
pub use view::{Nav, View};

pub(super) use now::now;
pub(super) use view::{redirect, refused};

use actix_web::web::{ServiceConfig, get, post, resource};

/// Every page but the first.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/leads").route(get().to(leads::leads)))
        .service(resource("/leads/{id}").route(get().to(lead::lead)))
        .service(resource("/destinations").route(get().to(destinations::destinations)))
        .service(resource("/destinations/{name}").route(get().to(destinations::destination)))
        .service(resource("/destinations/{name}/doctor").route(post().to(destinations::doctor)))
        .service(resource("/try").route(get().to(try_it::form)).route(post().to(try_it::tried)));
}
