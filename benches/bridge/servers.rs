//! The servers under load: the bare one, the bridge (the real binary), and the destination.

use crate::load::KEY;
use actix_web::{App, HttpResponse, HttpServer, web};
use leadwire::verify::{SigningKey, Tolerance, verify};
use leadwire_connector::simulator::{Faults, Request, Response, Server, Service};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const BARE: &str = "--bare";

/// A child process, killed when dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    /// User and system time so far (proc(5), `stat` fields 14 and 15, in ticks of 10 ms).
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.read("stat");
        let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|field| field.parse().ok()).collect();
        (fields[10] + fields[11]) / 100.0
    }

    pub(crate) fn peak_resident_mib(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
    }
}

/// A server that reads the body and checks its signature, and nothing else.
pub(crate) struct Bare {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start() -> Self {
        let child = Command::new(std::env::current_exe().unwrap()).arg(BARE).stderr(Stdio::piped()).spawn().unwrap();
        let (process, line) = first_line(child, "listening on ");
        Self { process, address: line.parse().unwrap() }
    }
}

/// Waits for the line that starts so, and returns what follows. Further lines are read and dropped, so that the child never blocks.
fn first_line(mut child: Child, prefix: &str) -> (Process, String) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.find_map(|line| line.split_once(prefix).map(|(_, rest)| rest.to_owned())).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    (Process(child), found)
}

pub(crate) fn serve_bare() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        eprintln!("listening on {}", listener.local_addr().unwrap());
        let key = web::Data::new(vec![SigningKey::new(KEY)]);
        let app = move || App::new().app_data(web::Data::clone(&key)).default_service(web::to(check));
        HttpServer::new(app).workers(workers()).listen(listener).unwrap().run().await.unwrap();
    });
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, Into::into)
}

async fn check(request: actix_web::HttpRequest, body: web::Bytes, keys: web::Data<Vec<SigningKey>>) -> HttpResponse {
    let header = request.headers().get("x-webhook-signature").and_then(|value| value.to_str().ok());
    match verify(&body, header, &keys, &Tolerance::default(), jiff::Timestamp::now()) {
        Ok(_) => HttpResponse::Ok().content_type("application/json").body("{\"status\":\"success\"}"),
        Err(_) => HttpResponse::Unauthorized().finish(),
    }
}

/// The real binary on a fresh store.
pub(crate) struct Bridge {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Bridge {
    pub(crate) fn start(sink: &Sink, store: Option<&str>, on_hold: bool) -> Self {
        let store = store.map(|url| format!("[store]\nurl = \"{url}\"\n")).unwrap_or_default();
        let folder = tempfile::tempdir_in(".").unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n{store}[sources.bench]\nsigning_keys = [\"{KEY}\"]\n\
             [destinations.sink]\ntype = \"json\"\nurl = \"{}\"\nconcurrency = 64\n[[routes]]\nto = [\"sink\"]\n",
            sink.server.url()
        );
        std::fs::write(folder.path().join("leadwire.toml"), config).unwrap();
        if on_hold {
            assert!(command(&folder, &["hold", "sink", "--reason", "bench"]).status().unwrap().success());
        }
        let child = command(&folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let (process, line) = first_line(child, "listening on http://");
        Self { process, address: line.split(',').next().unwrap().parse().unwrap(), folder }
    }

    /// Events in the store, proved by the audit.
    pub(crate) fn stored(&self) -> usize {
        let output = command(&self.folder, &["audit", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        usize::try_from(report["sources"][0]["stored"].as_u64().unwrap()).unwrap()
    }
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadwire"));
    command.args(["--config", "leadwire.toml"]).args(arguments).current_dir(folder.path()).stdout(Stdio::piped());
    command
}

/// The destination: counts ids.
pub(crate) struct Sink {
    server: Server,
    seen: Arc<Mutex<HashMap<String, u32>>>,
}

struct Counter(Arc<Mutex<HashMap<String, u32>>>);

impl Service for Counter {
    fn answer(&mut self, request: &Request) -> Response {
        let id = request.header("webhook-id").unwrap_or_default().to_owned();
        *self.0.lock().unwrap().entry(id).or_default() += 1;
        Response::json(200, &json!({"status": "accepted"}))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"verdict": "retry"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({}))
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let service = Box::new(Counter(Arc::clone(&seen)));
        let server = Server::start(service, "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap();
        server.set_log_limit(0);
        Self { server, seen }
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        while self.seen.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn assert_each_once(&self, count: usize) {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), count, "lost or invented");
        assert!(seen.values().all(|times| *times == 1), "doubled");
    }
}
