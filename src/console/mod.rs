//! The operator's listener: how things stand, as a page and as JSON. On loopback unless there is a token.

mod metrics;

pub use metrics::Looked;

use crate::deliver::{LaneStatus, Statuses};
use crate::store::{Condition, DestinationRow, Hold, Keeper, SpoolStatus, Store};
use crate::telemetry::Health;
use actix_web::dev::Server;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, ContentType, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use minijinja::{Environment, context};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// A store that takes longer counts as one that cannot be read.
const READ_WITHIN: Duration = Duration::from_secs(5);

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
    pub looked: Looked,
    /// What a caller must show; `None` on loopback.
    pub token: Option<String>,
    /// By name: whether the source has a signing key.
    pub sources: BTreeMap<String, bool>,
}

/// How things stand.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    ready: bool,
    not_ready_because: Option<String>,
    /// Why leads are kept somewhere else than in the store.
    remark: Option<String>,
    store: StoreStatus,
    spool: Option<SpoolStatus>,
    sources: Vec<SourceStatus>,
    destinations: Vec<DestinationStatus>,
    /// This and what follows is unknown while the store cannot be read, as are the counts of sources and destinations.
    quarantined: Option<i64>,
    unrouted: Option<i64>,
}

#[derive(Debug, Serialize)]
struct StoreStatus {
    up: bool,
    sick_for_s: u64,
    failures: u64,
    /// Why it cannot be read; the rest is told all the same.
    unreadable_because: Option<String>,
}

#[derive(Debug, Serialize)]
struct SourceStatus {
    name: String,
    received: Option<i64>,
    awaiting_key: bool,
}

#[derive(Debug, Serialize)]
struct DestinationStatus {
    #[serde(flatten)]
    known: Known,
    state: LaneState,
    in_flight: u32,
}

/// What is known of a destination.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Known {
    /// All that the store says.
    Row(DestinationRow),
    /// While the store cannot be read, there are no counts: "unknown" must not look like "nothing pending".
    Lane { name: String, hold: Option<Hold> },
}

/// How the running bridge treats a destination.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum LaneState {
    Fine,
    Held,
    /// The breaker is open: it is probed now and then.
    Down,
    /// Its deliveries are kept, and nobody delivers them.
    NotConfigured,
}

/// Starts to listen. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn listen(console: Console, listener: TcpListener) -> std::io::Result<Server> {
    let console = web::Data::new(console);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&console))
            .route("/", web::get().to(page))
            .route("/api/v1/status", web::get().to(status))
            .route("/metrics", web::get().to(show_metrics))
            .route(
                "/healthz",
                web::get().to(|| async { HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"status":"alive"}"#) }),
            )
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

async fn status(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    if let Some(refusal) = refuse_stranger(&request, &console) {
        return refusal;
    }
    HttpResponse::Ok().json(collect(&console).await)
}

/// Told also while the store cannot be read, without what only the store knows.
async fn show_metrics(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    if let Some(refusal) = refuse_stranger(&request, &console) {
        return refusal;
    }
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::render(&console).await)
}

async fn page(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    if let Some(refusal) = refuse_stranger(&request, &console) {
        return refusal;
    }
    match render(&collect(&console).await) {
        Ok(html) => HttpResponse::Ok()
            .content_type(ContentType::html())
            .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .body(html),
        Err(error) => HttpResponse::InternalServerError().body(format!("the page cannot be made: {error}")),
    }
}

fn render(status: &Status) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("status.html", include_str!("status.html"))?;
    environment.get_template("status.html")?.render(context! { status })
}

/// The token travels as bearer token, or as the password of basic authentication, which browsers ask for.
fn refuse_stranger(request: &HttpRequest, console: &Console) -> Option<HttpResponse> {
    let token = console.token.as_ref()?;
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(read_token);
    if shown.is_some_and(|shown| shown.as_bytes().ct_eq(token.as_bytes()).into()) {
        return None;
    }
    let body = r#"{"status":"error","error":"unauthorized","message":"send the console token as bearer token"}"#;
    let basic = (WWW_AUTHENTICATE, r#"Basic realm="Leadwire", charset="UTF-8""#);
    Some(HttpResponse::Unauthorized().insert_header(basic).content_type(ContentType::json()).body(body))
}

fn read_token(header: &str) -> Option<String> {
    use base64::Engine as _;
    let (scheme, value) = header.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
            Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

async fn collect(console: &Console) -> Status {
    let readiness = console.health.check(&console.keeper).await;
    let Condition { sick_for, failures, spool } = console.keeper.condition();
    let read = tokio::time::timeout(READ_WITHIN, read(&console.store)).await;
    let (figures, unreadable_because) = match read {
        Ok(Ok(figures)) => (Some(figures), None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(_) => (None, Some("the store does not answer".to_owned())),
    };
    let (quarantined, unrouted) = figures.as_ref().map(|figures| (figures.quarantined, figures.unrouted)).unzip();
    let (received, rows) = figures.map(|figures| (figures.received, figures.destinations)).unzip();
    let lanes: BTreeMap<String, LaneStatus> = console.lanes.iter().map(|(name, lane)| (name.to_owned(), lane)).collect();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: readiness.is_ok(),
        remark: readiness.as_ref().ok().cloned().flatten(),
        not_ready_because: readiness.err(),
        store: StoreStatus { up: sick_for.is_none(), sick_for_s: sick_for.unwrap_or_default().as_secs(), failures, unreadable_because },
        spool,
        sources: console.sources.iter().map(|(name, has_key)| source_status(name, *has_key, received.as_ref())).collect(),
        destinations: know(rows, &lanes).into_iter().map(|known| destination_status(known, &lanes)).collect(),
        quarantined,
        unrouted,
    }
}

/// What only the store knows.
struct Figures {
    received: BTreeMap<String, i64>,
    destinations: Vec<DestinationRow>,
    quarantined: i64,
    unrouted: i64,
}

async fn read(store: &Store) -> crate::store::Result<Figures> {
    Ok(Figures {
        received: store.source_counts().await?.into_iter().collect(),
        destinations: store.destinations().await?,
        quarantined: store.count_quarantined().await?,
        unrouted: store.count_unrouted().await?,
    })
}

fn source_status(name: &str, has_key: bool, received: Option<&BTreeMap<String, i64>>) -> SourceStatus {
    let received = received.map(|received| received.get(name).copied().unwrap_or(0));
    SourceStatus { name: name.to_owned(), received, awaiting_key: !has_key }
}

fn know(rows: Option<Vec<DestinationRow>>, lanes: &BTreeMap<String, LaneStatus>) -> Vec<Known> {
    let of_lane = |(name, lane): (&String, &LaneStatus)| Known::Lane { name: name.clone(), hold: lane.hold.clone() };
    // The lane may have been put on hold since the row was read, and what is told as held is told with its reason.
    let hold_of = |name: &str| lanes.get(name).and_then(|lane| lane.hold.clone());
    let complete = |row: DestinationRow| Known::Row(DestinationRow { hold: row.hold.clone().or_else(|| hold_of(&row.name)), ..row });
    match rows {
        Some(rows) => rows.into_iter().map(complete).collect(),
        None => lanes.iter().map(of_lane).collect(),
    }
}

fn destination_status(known: Known, lanes: &BTreeMap<String, LaneStatus>) -> DestinationStatus {
    let lane = lanes.get(match &known {
        Known::Row(row) => &row.name,
        Known::Lane { name, .. } => name,
    });
    let state = match lane {
        None => LaneState::NotConfigured,
        Some(lane) if lane.hold.is_some() => LaneState::Held,
        Some(lane) if lane.flowing => LaneState::Fine,
        Some(_) => LaneState::Down,
    };
    DestinationStatus { state, in_flight: lane.map_or(0, |lane| lane.in_flight), known }
}
