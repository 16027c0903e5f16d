//! The public listener: takes webhooks, answers once they are stored.
//!
//! Receiving never waits for a destination. What a sender reads is decided in one place, `answer`.

mod answer;
mod backfill;
mod body;
mod budget;
mod client;
mod hook;
mod intake;
mod missed;
mod plain;
mod reroute;
mod reverify;
mod sightings;
mod stages;

pub use backfill::{ApiError, BackfillError, Backfilled, LeadList, Pages, Span, backfill};
pub use budget::Budget;
pub use client::address as client_address;
pub use intake::{Came, Examined, Intake, SourceGate};
pub use missed::{Taken, Walker, take_missed};
pub use plain::{Plain, listen_plain};
pub use reroute::{Rerouted, route_unrouted, routing};
pub use reverify::{Reverified, reverify};
pub use sightings::Sightings;

use crate::door::{self, Limits, Tls};
use crate::store::Keeper;
use crate::swap::Swap;
use crate::telemetry::{Health, Tracer};
use actix_server::Server;
use actix_web::{App, web};
use answer::Answer;
use ipnet::IpNet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Everything a request needs.
#[derive(Debug)]
pub struct Receiver {
    /// Sources and routes.
    pub intake: Arc<Intake>,
    /// Where events and bodies go.
    pub keeper: Keeper,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// For a whole request body.
    pub request_timeout: Duration,
    /// What `/readyz` says.
    pub health: Arc<Health>,
    /// Memory for bodies.
    pub budget: Budget,
    /// What is seen of each source.
    pub sightings: Arc<Sightings>,
    /// Who follows events.
    pub tracer: Tracer,
}

/// Starts to listen; each request is taken by the receiver of its beginning. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn listen(receiver: Arc<Swap<Receiver>>, listener: TcpListener, tls: Option<Arc<Tls>>, limits: &Limits) -> std::io::Result<Server> {
    let receiver = web::Data::from(receiver);
    door::serve(listener, tls, limits, move || {
        App::new()
            .app_data(web::Data::clone(&receiver))
            .service(
                web::resource("/hooks/{source}")
                    .route(web::post().to(hook::post))
                    .route(web::get().to(hook::get))
                    .route(web::head().to(hook::get))
                    .default_service(web::to(|| async { Answer::MethodNotAllowed })),
            )
            .service(web::resource("/healthz").route(web::get().to(healthz)).route(web::head().to(healthz)))
            .service(web::resource("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
            .default_service(web::to(|| async { Answer::NotFound }))
    })
}

async fn healthz() -> Answer {
    Answer::Alive
}

async fn readyz(door: web::Data<Swap<Receiver>>) -> Answer {
    let receiver = door.now();
    match receiver.health.check(&receiver.keeper).await {
        Ok(remark) => Answer::Ready(remark),
        Err(reason) => Answer::NotReady(reason),
    }
}
