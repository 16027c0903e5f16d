//! The cast of the stories: a bridge (the real binary), a sender, and destinations on loopback.

use bytes::Bytes;
use leadwire::verify::{SigningKey, sign};
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::simulator::{Faults, Server, Service};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const KEY: &str = "whk_story_0123456789abcdef";

/// Longer than anything a story waits for on a slow machine; only a story that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds what it looks for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So much of a log that what went wrong in the story is still seen beside it.
fn last_lines(log: &str) -> String {
    let mut lines: Vec<String> = log.lines().rev().take(40).map(|line| line.chars().take(300).collect()).collect();
    lines.reverse();
    lines.join("\n")
}

/// A configuration under construction, in a folder of its own.
pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    toml: String,
    /// A configuration that is there already, and stays as it is.
    file: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    /// Put before the bridge's own command.
    wrapper: Vec<String>,
    /// What a bridge on it says, also before it listens.
    log: Log,
}

/// What a bridge wrote to standard error so far.
pub(crate) type Log = Arc<Mutex<String>>;

impl Setup {
    /// One source `acme` with the key [`KEY`], quick backoff, ports of the system's choice.
    pub(crate) fn new() -> Self {
        Self::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\n"))
    }

    /// The same with other sources.
    pub(crate) fn bare(sources: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("data/leadwire.db");
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n\
             [delivery]\nbackoff_initial = \"200ms\"\nbackoff_max = \"1s\"\n{sources}",
            database.display()
        );
        Self { folder, toml, file: None, environment: BTreeMap::new(), wrapper: Vec::new(), log: Log::default() }
    }

    /// A file of the repository, read where it stands; what is elsewhere on this machine is told by the environment. Relative folders are
    /// in this setup's own.
    pub(crate) fn of_file(file: &Path) -> Self {
        assert!(file.is_file(), "there is no {}", file.display());
        let setup = Self { file: Some(file.to_owned()), ..Self::bare("") };
        setup.environment("LEADWIRE__SERVER__LISTEN", "127.0.0.1:0").environment("LEADWIRE__CONSOLE__LISTEN", "127.0.0.1:0")
    }

    /// How long a sender may take.
    pub(crate) fn request_timeout(mut self, timeout: &str) -> Self {
        self.toml = self.toml.replace("[server]\n", &format!("[server]\nrequest_timeout = \"{timeout}\"\n"));
        self
    }

    /// Keeps everything in this PostgreSQL database.
    pub(crate) fn on(mut self, postgres: &str) -> Self {
        let sqlite = format!("sqlite:{}", self.folder.path().join("data/leadwire.db").display());
        self.toml = self.toml.replace(&sqlite, postgres);
        self
    }

    /// Adds lines to the configuration.
    pub(crate) fn with(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// A destination `name` that is the JSON endpoint at `url`, and a route to it.
    pub(crate) fn endpoint(self, name: &str, url: &str) -> Self {
        self.with(&format!("[destinations.{name}]\ntype = \"json\"\nurl = \"{url}\"\n[[routes]]\nto = [\"{name}\"]"))
    }

    /// A destination `archive` that is a CSV drop, and a route to it. Files are closed after one second.
    pub(crate) fn archive(self) -> Self {
        let directory = self.drop_folder().display().to_string();
        self.with(&format!(
            "[destinations.archive]\ntype = \"csv\"\ndirectory = \"{directory}\"\nmax_age = \"1s\"\n[[routes]]\nto = [\"archive\"]"
        ))
    }

    pub(crate) fn drop_folder(&self) -> PathBuf {
        self.folder.path().join("drop")
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| self.folder.path().join("leadwire.toml"))
    }

    /// What bridges on it said that are gone.
    fn said_path(&self) -> PathBuf {
        self.folder.path().join("said.log")
    }

    pub(crate) fn write(&self) {
        if self.file.is_none() {
            std::fs::write(self.config_path(), &self.toml).unwrap();
        }
    }

    /// Changes the configuration; takes effect at the next start or command.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        assert!(self.toml.contains(from), "the configuration has no {from:?}");
        self.toml = self.toml.replace(from, to);
        self.write();
    }

    /// Runs a command of the binary on this configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.write();
        self.prepare(arguments).output().unwrap()
    }

    /// Through a shell that ignores SIGXFSZ, so that a file that reaches a limit is an error to the binary, as on a full disk.
    pub(crate) fn prepare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command.args(self.wrapper.iter().filter(|_| arguments == ["run"])).arg(env!("CARGO_BIN_EXE_leadwire"));
        command.arg("--config").arg(self.config_path()).args(arguments).envs(&self.environment).env("NO_COLOR", "1").env("COLUMNS", "120");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the bridge, not other commands, by this command.
    pub(crate) fn under(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Takes a name out of the environment again.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// What the next bridge says, to be looked at while it starts.
    pub(crate) fn log(&self) -> Log {
        Arc::clone(&self.log)
    }

    /// Starts the bridge and waits until it listens.
    pub(crate) fn start(self) -> Bridge {
        self.try_start().unwrap_or_else(|(_, log)| panic!("the bridge does not listen; it said:\n{log}"))
    }

    /// Starts the bridge and waits until it listens or has ended; then with all it said.
    pub(crate) fn try_start(self) -> Result<Bridge, (Box<Self>, String)> {
        self.write();
        let mut child = self.prepare(&["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::clone(&self.log);
        let (found, addresses) = std::sync::mpsc::channel();
        let (lines, shared) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("leadwire: listening on ") {
                    let _ = found.send(rest.to_owned());
                }
                let mut log = shared.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let Ok(addresses) = addresses.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            let log = log.lock().unwrap().clone();
            return Err((Box::new(self), log));
        };
        let (url, console) = addresses.split_once(", console on ").unwrap();
        Ok(Bridge { url: url.to_owned(), console: console.to_owned(), setup: self, child, log, client: client() })
    }
}

pub(crate) fn client() -> Client {
    Client::new(&HttpSettings { max_answer_bytes: 16 << 20, ..HttpSettings::default() }).unwrap()
}

/// The real binary, running. Killed when dropped.
pub(crate) struct Bridge {
    pub(crate) url: String,
    pub(crate) console: String,
    pub(crate) setup: Setup,
    pub(crate) client: Client,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let before = std::fs::read_to_string(self.setup.said_path()).unwrap_or_default();
            eprintln!("{before}---- the bridge said, at the end ----\n{}", last_lines(&self.log.lock().unwrap()));
        }
    }
}

impl Bridge {
    /// Everything it has written to standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What the kernel counts of its process (proc(5), `status`), such as `VmHWM:` in KiB.
    pub(crate) fn of_process(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let number = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        number.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Posts a body to `acme`, signed over its bytes with [`KEY`] at this moment.
    pub(crate) async fn post(&self, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let header = signature(KEY, &body);
        self.post_to("acme", body, &[("X-Webhook-Signature", &header)]).await.unwrap()
    }

    /// Posts a body with these headers.
    pub(crate) async fn post_to(
        &self,
        source: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, leadwire_connector::DeliveryError> {
        let url = format!("{}/hooks/{source}", self.url).parse().unwrap();
        let mut request = Request::new(Method::Post, url).body("application/json", body.into());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.client.send(&request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.send(&Request::new(Method::Get, format!("{}{path}", self.url).parse().unwrap())).await.unwrap()
    }

    /// Runs a command beside the bridge.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.setup.prepare(arguments).output().unwrap()
    }

    /// Runs a command with `--json` beside the bridge, which must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// All deliveries, newest first.
    pub(crate) fn deliveries(&self) -> Vec<Value> {
        self.json(&["deliveries", "list", "--limit", "100000"]).as_array().unwrap().clone()
    }

    /// Waits until so many deliveries are in this state.
    pub(crate) async fn until(&self, state: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} deliveries to be {state}"), async || {
            let found: Vec<Value> = self.deliveries().into_iter().filter(|delivery| delivery["state"] == state).collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// What the console tells.
    pub(crate) async fn status(&self) -> Value {
        let request = Request::new(Method::Get, format!("{}/api/v1/status", self.console).parse().unwrap());
        self.client.send(&request).await.unwrap().json().unwrap()
    }

    /// Waits until a destination is on hold, in the running bridge; returns the hold.
    pub(crate) async fn until_held(&self, name: &str) -> Value {
        eventually(&format!("{name} to be on hold"), async || {
            let status = self.status().await;
            let row = status["destinations"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned();
            row.filter(|row| row["state"] == "held").map(|row| row["hold"].clone())
        })
        .await
    }

    /// Whether nothing is pending, as the console tells, which is quicker than a command. While the store cannot be read there are no
    /// counts, and it is not known to be quiet.
    pub(crate) async fn is_quiet(&self) -> bool {
        let request = Request::new(Method::Get, format!("{}/api/v1/status", self.console).parse().unwrap());
        let Some(status) = self.client.send(&request).await.ok().and_then(|answer| answer.json()) else { return false };
        status["destinations"].as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(|row| row["pending"] == 0))
    }

    /// `leadwire audit` must hold.
    pub(crate) fn assert_audit(&self) {
        let output = self.command(&["audit"]);
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The same for one that stays in its place, as a bridge that is gone.
    pub(crate) fn kill_in_place(&mut self) -> Setup {
        // It may have ended before.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.take_setup()
    }

    /// SIGKILL, as a crash.
    pub(crate) fn kill(mut self) -> Setup {
        self.kill_in_place()
    }

    /// SIGTERM; waits for the end, which must be good.
    pub(crate) fn terminate(mut self) -> Setup {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the stop failed: {status}\n{}", self.log());
        self.take_setup()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    fn take_setup(&mut self) -> Setup {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.setup.said_path());
        // No story depends on it.
        let _ = file.and_then(|mut file| write!(file, "---- a bridge that is gone said ----\n{}", self.log()));
        let setup = std::mem::replace(&mut self.setup, Setup::bare(""));
        Setup { log: Log::default(), ..setup }
    }
}

/// A library of `tests/faults`, built once, to be put before the system's own by `LD_PRELOAD`.
pub(crate) fn preload(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(name).with_extension("c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.so", std::process::id()));
        let output =
            Command::new("cc").args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
        let output = output.expect("`cc` is needed, as it is to build SQLite");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    };
    built.entry(name.to_owned()).or_insert_with(build).clone()
}

/// Where nobody listens: below the ports that systems give to clients and to whoever asks for any.
pub(crate) fn free_address() -> String {
    let addresses = std::iter::repeat_with(|| format!("127.0.0.1:{}", rand::random_range(15_000..32_000)));
    addresses.take(1_000).find(|address| TcpListener::bind(address).is_ok()).expect("a free port on 127.0.0.1")
}

/// The header's value for a body signed now.
pub(crate) fn signature(key: &str, body: &[u8]) -> String {
    sign(&SigningKey::new(key), &jiff::Timestamp::now().as_second().to_string(), body)
}

/// A lead like the platform's own example, about person `n`.
pub(crate) fn lead(n: u64) -> Value {
    json!({
        "SerialNumber": "59001dd73709417321c58b11693183a2", "Type": "Lead", "FirstName": "David", "LastName": format!("Garcia {n}"),
        "Email": format!("david{n}@example.com"), "PhoneNumber": "", "CreateTime": format!("2026-11-22T10:{:02}:{:02}.{:06}Z", n / 60 % 60, n % 60, n),
        "Content": format!("test {n}"), "SessionID": 31_305 + n, "URI": "www.google.com"
    })
}

/// A JSON endpoint on loopback that remembers what it accepted, by id.
pub(crate) async fn endpoint() -> Server {
    serve("json").await
}

/// A simulated service of this kind of destination.
pub(crate) async fn serve(kind: &str) -> Server {
    let connectors = leadwire::connectors::builtin();
    let simulation = connectors.get(kind).unwrap().simulator.unwrap();
    let service: Box<dyn Service> = (simulation.service)();
    Server::start(service, "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

/// The whole finished CSV files of a folder, in order of their names, each as rows by column.
pub(crate) fn rows(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "csv")).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let mut reader = csv::Reader::from_path(file).unwrap();
            reader.deserialize().map(Result::unwrap).collect::<Vec<BTreeMap<String, String>>>()
        })
        .collect()
}
