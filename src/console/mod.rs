//! The operator's listener: pages for people, the same as JSON for programs, figures for Prometheus. On loopback unless there is a token.
//!
//! A page is a file in `pages` with a template of the same name in `templates`; `pages/now.rs` is the pattern. Who may see it is decided
//! before any handler runs, in `access`, so that a new page cannot forget to ask.

pub mod access;
pub mod actions;
mod api;
mod assets;
mod headers;
mod live;
mod metrics;
pub mod pages;
mod refusal;
mod status;

pub use access::{Access, Mask, Role, Visitor};
pub use actions::{Jobs, Reload, Reloads, Unchanged};
pub use live::Live;
pub use metrics::Looked;
pub use refusal::{Kind, Refusal};

use crate::alerts::Overview;
use crate::deliver::{LateConnector, Statuses};
use crate::door::{self, Limits, Tls};
use crate::inspect::SecretMask;
use crate::receive::Intake;
use crate::store::{Keeper, Store};
use crate::swap::Swap;
use crate::telemetry::Health;
use actix_server::Server;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::header::ContentType;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Connections open at once; each page that refreshes itself holds one.
const MAX_CONNECTIONS: usize = 256;
/// For the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// For pages under way when the bridge stops.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(30);

/// What the console shows from.
#[derive(Debug)]
pub struct Console {
    /// Where the rows are.
    pub store: Store,
    /// How store and spool are.
    pub keeper: Keeper,
    /// What `/readyz` says.
    pub health: Arc<Health>,
    /// How the destinations are.
    pub lanes: Statuses,
    /// What `/metrics` looks at now and then.
    pub looked: Arc<Looked>,
    /// How alerts are; `None` when nobody is told.
    pub alerts: Option<Arc<Mutex<Overview>>>,
    /// Who may see it.
    pub access: Access,
    /// By name: whether the source has a signing key.
    pub sources: BTreeMap<String, bool>,
    /// Sources and routes, for what is verified again, routed now, or tried.
    pub intake: Arc<Intake>,
    /// By name: what talks to the destinations, the same as in their lanes.
    pub connectors: BTreeMap<String, LateConnector>,
    /// For what is shown of requests and answers.
    pub secrets: SecretMask,
    /// What senders reach the receiver by, from outside; or where it listens.
    pub public_url: String,
    /// What goes on when a page is left.
    pub jobs: Arc<Jobs>,
    /// Who reads the configuration again.
    pub reloads: Reloads,
    /// Who is told of changes as they happen.
    pub live: Live,
    /// Knows the certificate of this moment.
    pub tls: Option<Arc<Tls>>,
}

/// Starts to listen; each request is answered from the console of its beginning. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn listen(console: Arc<Swap<Console>>, listener: TcpListener, tls: Option<Arc<Tls>>) -> std::io::Result<Server> {
    let console = web::Data::from(console);
    let is_tls = tls.is_some();
    let limits = Limits { workers: 1, connections: MAX_CONNECTIONS, head: HEAD_WITHIN, shutdown: SHUTDOWN_WITHIN };
    door::serve(listener, tls, &limits, move || {
        App::new()
            .app_data(web::Data::clone(&console))
            .app_data(web::FormConfig::default().limit(access::LARGEST_BODY))
            .app_data(web::JsonConfig::default().limit(access::LARGEST_BODY))
            .app_data(web::PayloadConfig::new(access::LARGEST_BODY))
            .wrap(from_fn(access::guard))
            .wrap(from_fn(refusal::tell))
            .wrap(headers::safe(is_tls))
            .wrap(from_fn(show_current))
            .service(web::resource("/login").route(web::get().to(access::login::show)).route(web::post().to(access::login::log_in)))
            // As resources, not as routes of the app: then other methods are told so, and not that there is nothing.
            .service(web::resource("/logout").route(web::post().to(access::login::log_out)))
            .service(web::resource("/").route(web::get().to(pages::now)))
            .configure(pages::routes)
            .configure(api::routes)
            .service(actions::forms_of_pages())
            .service(web::resource("/live").route(web::get().to(live::watch)))
            .service(web::resource("/metrics").route(web::get().to(show_metrics)))
            .service(web::resource("/healthz").route(web::get().to(healthz)))
            .service(web::resource("/assets/{name}").route(web::get().to(assets::serve)))
            .default_service(web::to(|| async { Err::<HttpResponse, _>(Refusal::not_found()) }))
    })
}

/// Gives a request the console of this moment, before anything looks for it.
async fn show_current(mut request: ServiceRequest, next: Next<impl MessageBody>) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(console) = request.app_data::<web::Data<Swap<Console>>>().map(|console| console.now()) {
        let mut data = Extensions::new();
        data.insert(web::Data::from(console));
        request.add_data_container(Rc::new(data));
    }
    next.call(request).await
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"status":"alive"}"#)
}

/// Told also while the store cannot be read, without what only the store knows.
async fn show_metrics(console: web::Data<Console>) -> HttpResponse {
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::render(&console).await)
}

/// Whether a program asks, which is answered in JSON, and not a person with a browser.
fn is_for_programs(request: &HttpRequest) -> bool {
    let path = request.path();
    ["/api/", "/metrics", "/live", "/healthz", "/figures.json"].iter().any(|prefix| path.starts_with(prefix))
}
