//! The servers under load: the bare one, and the bridge (the real binary).

use crate::load::KEY;
use actix_web::{App, HttpResponse, HttpServer, web};
use leadwire::verify::{SigningKey, Tolerance, verify};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Arguments that make this program a bare server: one that checks signatures, or one that only reads.
const BARE: [&str; 2] = ["--bare", "--bare-unverified"];

/// A child process, killed when dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap().success());
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    /// User and system time so far (proc(5), `stat` fields 14 and 15, in ticks of 10 ms).
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.read("stat");
        let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|field| field.parse().ok()).collect();
        (fields[10] + fields[11]) / 100.0
    }

    /// What it had the kernel write to disks so far (proc(5), `io`).
    pub(crate) fn written_bytes(&self) -> f64 {
        let io = self.read("io");
        io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap()
    }

    pub(crate) fn peak_resident_mib(&self) -> f64 {
        self.resident("VmHWM:")
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        self.resident("VmRSS:")
    }

    fn resident(&self, name: &str) -> f64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
    }
}

/// A server that reads the body and checks its signature, and nothing else.
pub(crate) struct Bare {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(is_verifying: bool) -> Self {
        let argument = BARE[usize::from(!is_verifying)];
        let child = Command::new(std::env::current_exe().unwrap()).arg(argument).stderr(Stdio::piped()).spawn().unwrap();
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

/// Whether this process was started to be a bare server; if so, it was one until now.
pub(crate) fn was_bare() -> bool {
    let Some(is_verifying) = std::env::args().find_map(|argument| BARE.iter().position(|bare| *bare == argument)).map(|at| at == 0) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        eprintln!("listening on {}", listener.local_addr().unwrap());
        let key = web::Data::new(vec![SigningKey::new(KEY)]);
        let app = move || {
            let app = App::new().app_data(web::Data::clone(&key));
            if is_verifying { app.default_service(web::to(check)) } else { app.default_service(web::to(read)) }
        };
        HttpServer::new(app).workers(workers()).listen(listener).unwrap().run().await.unwrap();
    });
    true
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, Into::into)
}

async fn check(request: actix_web::HttpRequest, body: web::Bytes, keys: web::Data<Vec<SigningKey>>) -> HttpResponse {
    let header = request.headers().get("x-webhook-signature").and_then(|value| value.to_str().ok());
    match verify(&body, header, &keys, &Tolerance::default(), jiff::Timestamp::now()) {
        Ok(_) => read(body).await,
        Err(_) => HttpResponse::Unauthorized().finish(),
    }
}

async fn read(_: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body("{\"status\":\"success\"}")
}

/// A destination of a bridge.
pub(crate) struct Destination {
    pub(crate) name: &'static str,
    pub(crate) url: String,
}

/// The real binary, on a fresh store.
pub(crate) struct Bridge {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Of the console, which needs no login here.
    pub(crate) console: String,
    folder: TempDir,
}

impl Bridge {
    /// Every lead goes to all of the destinations.
    pub(crate) fn start(store: Option<&str>, destinations: &[Destination]) -> Self {
        Self::start_with(&config(store, destinations))
    }

    /// With a whole configuration.
    pub(crate) fn start_with(config: &str) -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        std::fs::write(folder.path().join("leadwire.toml"), config).unwrap();
        Self::run(folder)
    }

    /// One whose only destination takes nothing for now.
    pub(crate) fn start_on_hold(store: Option<&str>, destination: &Destination) -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        std::fs::write(folder.path().join("leadwire.toml"), config(store, std::slice::from_ref(destination))).unwrap();
        run(&folder, &["hold", destination.name, "--reason", "bench"]);
        Self::run(folder)
    }

    fn run(folder: TempDir) -> Self {
        let child = command(&folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let (process, line) = first_line(child, "listening on http://");
        let (address, console) = line.split_once(", console on ").unwrap();
        Self { process, address: address.parse().unwrap(), console: console.trim().to_owned(), folder }
    }

    /// Kills it as `kill -9` does, and starts it on what it left.
    pub(crate) fn crash_and_start(self) -> Self {
        let Self { process, folder, .. } = self;
        drop(process);
        Self::run(folder)
    }

    pub(crate) fn resume(&self, destination: &str) {
        run(&self.folder, &["resume", destination]);
    }

    /// Events in the store, proved by the audit.
    pub(crate) fn stored(&self) -> usize {
        let report: Value = serde_json::from_slice(&run(&self.folder, &["audit", "--json"])).unwrap();
        usize::try_from(report["sources"][0]["stored"].as_u64().unwrap()).unwrap()
    }
}

pub(crate) fn config(store: Option<&str>, destinations: &[Destination]) -> String {
    let mut config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n[sources.bench]\nsigning_keys = [\"{KEY}\"]\n"
    );
    if let Some(url) = store {
        config += &format!("[store]\nurl = \"{url}\"\n");
    }
    for Destination { name, url } in destinations {
        config += &format!("[destinations.{name}]\ntype = \"json\"\nurl = \"{url}\"\nconcurrency = 64\n");
    }
    let names: Vec<_> = destinations.iter().map(|destination| destination.name).collect();
    config + &format!("[[routes]]\nto = {names:?}\n")
}

fn run(folder: &TempDir, arguments: &[&str]) -> Vec<u8> {
    let output = command(folder, arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadwire"));
    command.args(["--config", "leadwire.toml"]).args(arguments).current_dir(folder.path()).stdout(Stdio::piped());
    command
}
