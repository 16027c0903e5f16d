//! The pages. One is a handler, a template and a call of [`View::show`]; `now.rs` is the pattern.

mod causes;
mod confirm;
mod dead;
mod destinations;
#[expect(unreachable_pub, reason = "the macro of the template engine writes `pub`")]
mod filters;
mod lead;
mod leads;
mod missed;
mod notice;
mod now;
mod person;
mod plots;
mod quarantine;
mod refusals;
mod sources;
mod trail;
mod try_it;
mod view;
mod words;

pub use notice::Notice;
pub use view::{Nav, View};

pub(super) use confirm::{CONFIRMED, confirm};
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
        .service(resource("/person").route(get().to(person::person)))
        .service(resource("/person/dead").route(get().to(dead::dead)))
        .service(resource("/person/missed").route(get().to(missed::missed)))
        .service(resource("/person/quarantine").route(get().to(quarantine::quarantine)))
        .service(resource("/person/quarantine/{id}").route(get().to(quarantine::body)))
        .service(resource("/sources").route(get().to(sources::sources)))
        .service(resource("/sources/{name}").route(get().to(sources::source)))
        .service(resource("/figures.json").route(get().to(plots::figures)))
        .service(resource("/actions").route(get().to(trail::trail)))
        .service(resource("/try").route(get().to(try_it::form)).route(post().to(try_it::tried)));
}
