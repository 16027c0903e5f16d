//! Connections of the listeners: with or without TLS, bounded in number and in time, whatever is done to them.
//!
//! What is said over a connection is the business of `receive` and `console`. Here it is made sure that nobody takes all the places: a
//! connection that keeps the bridge waiting has so much time and no more, and is the first to go when the places run out.

mod certificate;
mod files;
mod request;
mod room;
mod stream;
mod tls;

pub use certificate::{Certificate, Fault, Files, Part};
pub use files::{enough_for, raise_limit};
pub use tls::Tls;

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use room::{Room, Seat};
use std::fmt::Debug;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;
use tokio::net::TcpStream;

/// Between two requests of a connection.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// For the other side to take note of the end of its connection.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Connections that the kernel keeps until they are let in. The 128 of the standard library are gone in a moment of a flood, and whoever
/// comes then tries again only after a second.
const QUEUE: i32 = 4_096;
/// Beyond the time for a head, so that whoever is late is told so (408) before the connection is cut.
const GRACE: Duration = Duration::from_secs(1);

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads that serve it.
    pub workers: usize,
    /// Connections open at once.
    pub connections: usize,
    /// From the connection, or from the answer before, to the end of a request's head, with the handshake of TLS if there is one.
    pub head: Duration,
    /// How long a stop waits for requests under way.
    pub shutdown: Duration,
}

/// Binds an address, with words for the common case.
///
/// # Errors
/// Which address, and why not.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    // Asked again, it only takes the longer queue; without it, things are as they were.
    let _ = rustix::net::listen(&listener, QUEUE);
    Ok(listener)
}

/// Starts to serve an app. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve<F, I, S, B>(listener: TcpListener, tls: Option<Arc<Tls>>, limits: &Limits, app: F) -> std::io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let room = Arc::new(Room::new(limits.connections));
    let workers = limits.workers.clamp(1, room::MOST_WORKERS);
    let builder = Server::build()
        .workers(workers)
        // Each worker counts for itself. Whoever comes beyond the limit is let in, and another has to go.
        .max_concurrent_connections(room.doors().div_ceil(workers))
        .shutdown_timeout(limits.shutdown.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let head = limits.head;
    let make = move || {
        let stopping = stopping.clone();
        let http = HttpService::<Stream, _, _>::build()
            .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
            .client_request_timeout(head)
            .client_disconnect_timeout(DISCONNECT_WITHIN)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|stream: &Stream, data| drop(data.insert(Arc::clone(&stream.seat))));
        let app = map_config(app(), |()| AppConfig::default()).map_err(|error| error.into().error_response());
        let http = http.finish(apply_fn_factory(app, request::serve));
        let (room, tls) = (Arc::clone(&room), tls.clone());
        apply_fn_factory(http, move |tcp: TcpStream, http: &_| {
            let peer = tcp.peer_addr().ok();
            let place = room.enter(peer);
            let seat: &Arc<Seat> = &place.seat;
            let served = http.call((Stream::new(tcp, tls.as_deref(), seat), Protocol::Http1, peer));
            async move {
                tokio::select! {
                    biased;
                    served = served => served,
                    // Dropping what is served closes the connection.
                    () = place.must_go(head + GRACE) => Ok(()),
                }
            }
        })
    };
    Ok(builder.listen("door", listener, make)?.run())
}
