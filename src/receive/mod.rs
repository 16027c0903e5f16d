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
mod reroute;
mod reverify;
mod sightings;
mod stages;

pub use backfill::{ApiError, BackfillError, Backfilled, LeadList, Pages, Span, backfill};
pub use budget::Budget;
pub use client::address as client_address;
pub use intake::{Came, Examined, Intake, SourceGate};
pub use missed::{Taken, Walker, take_missed};
pub use reroute::{Rerouted, route_unrouted, routing};
pub use reverify::{Reverified, reverify};
pub use sightings::Sightings;

use crate::store::Keeper;
use crate::telemetry::{Health, Tracer};
use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use answer::Answer;
use ipnet::IpNet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// How the listener behaves.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads that receive.
    pub workers: usize,
    /// Connections open at once.
    pub max_connections: usize,
    /// From the end of the request's head to the end of its body.
    pub request_timeout: Duration,
    /// How long a stop waits for requests under way.
    pub shutdown_timeout: Duration,
}

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

/// Starts to listen. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn listen(receiver: Receiver, listener: TcpListener, limits: &Limits) -> std::io::Result<Server> {
    let receiver = web::Data::new(receiver);
    let server = HttpServer::new(move || {
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
    });
    Ok(server
        .workers(limits.workers)
        // Each worker counts for itself.
        .max_connections(limits.max_connections.div_ceil(limits.workers.max(1)))
        .client_request_timeout(limits.request_timeout.min(Duration::from_secs(15)))
        .shutdown_timeout(limits.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(listener)?
        .run())
}

/// Binds an address, with words for the common case.
///
/// # Errors
/// Which address, and why not.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

async fn healthz() -> Answer {
    Answer::Alive
}

async fn readyz(receiver: web::Data<Receiver>) -> Answer {
    match receiver.health.check(&receiver.keeper).await {
        Ok(remark) => Answer::Ready(remark),
        Err(reason) => Answer::NotReady(reason),
    }
}
