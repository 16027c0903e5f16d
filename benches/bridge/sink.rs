//! The destinations of a bridge under load: they count the leads that arrive, and when they did.

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What comes before the number of a lead.
const MARK: &[u8] = b"david";
const ACCEPTED: &str = "{\"status\":\"accepted\"}";

/// When each lead first arrived, and how often.
type Arrivals = HashMap<u64, (Instant, u32)>;

/// A server with a destination at each path: `/0`, `/1`, …; that at `/slow` takes its time.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    handle: ServerHandle,
}

#[derive(Default)]
struct Seen {
    by_path: Mutex<HashMap<String, Arrivals>>,
}

/// How long the slow destination thinks.
pub(crate) const SLOW: Duration = Duration::from_millis(200);

impl Drop for Sink {
    fn drop(&mut self) {
        // The runtime that it runs on ends with the bench.
        drop(self.handle.stop(false));
    }
}

impl Sink {
    /// Runs on a thread of its own.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let data = web::Data::from(Arc::clone(&seen));
        let (told, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let app = move || App::new().app_data(web::Data::clone(&data)).default_service(web::to(take));
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
                told.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { address, seen, handle: hear.recv().unwrap() }
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen.by_path.lock().unwrap().get(path).map_or(0, HashMap::len)
    }

    /// Waits until so many different leads have arrived.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) {
        let until = Instant::now() + Duration::from_secs(120);
        while self.count(path) < count {
            assert!(Instant::now() < until, "{path}: {} of {count} leads arrived", self.count(path));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fails unless exactly these have arrived, each once.
    pub(crate) fn assert_each_once(&self, path: &str, leads: &[(u64, Instant)]) {
        let by_path = self.seen.by_path.lock().unwrap();
        let arrived = by_path.get(path).unwrap();
        let lost = leads.iter().filter(|(n, _)| !arrived.contains_key(n)).count();
        let doubled = arrived.values().filter(|(_, times)| *times > 1).count();
        assert_eq!((lost, doubled, arrived.len()), (0, 0, leads.len()), "{path}: lost, doubled, arrived");
    }

    /// How long each of these took from when it was due to its arrival.
    pub(crate) fn arrived_in(&self, path: &str, leads: &[(u64, Instant)]) -> crate::load::Times {
        let (by_path, mut times) = (self.seen.by_path.lock().unwrap(), crate::load::no_times());
        let arrived = by_path.get(path).unwrap();
        leads.iter().for_each(|(n, sent)| crate::load::record(&mut times, arrived[n].0.saturating_duration_since(*sent)));
        times
    }
}

async fn take(request: actix_web::HttpRequest, body: web::Bytes, seen: web::Data<Seen>) -> HttpResponse {
    let now = Instant::now();
    if let Some(n) = number(&body) {
        let mut by_path = seen.by_path.lock().unwrap();
        if !by_path.contains_key(request.path()) {
            by_path.insert(request.path().to_owned(), Arrivals::new());
        }
        by_path.get_mut(request.path()).unwrap().entry(n).or_insert((now, 0)).1 += 1;
    }
    if request.path() == "/slow" {
        tokio::time::sleep(SLOW).await;
    }
    HttpResponse::Ok().content_type("application/json").body(ACCEPTED)
}

/// The number of the lead in a body.
fn number(body: &[u8]) -> Option<u64> {
    let start = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[start..start + digits]).ok()?.parse().ok()
}
