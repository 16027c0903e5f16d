//! ChromeDriver, one for the test process: started when first needed, and gone with it, however it ends.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// For ChromeDriver to listen; and for the answer to a command, which may be the load of a page.
const PATIENCE: Duration = Duration::from_secs(60);
/// Browsers at once; each takes a core while it draws.
const AT_ONCE: usize = 2;

/// At the end of its input, which comes however the test process ends, it ends ChromeDriver and every browser that is still there.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
folder=$1 chromedriver=$2
TMPDIR=$folder "$chromedriver" --port=0 >"$folder/log" 2>&1 </dev/null &
chromedriver=$!
while read -r _; do :; done
# It inherits that these signals are ignored.
kill -9 "$chromedriver"
for process in /proc/[0-9]*; do
    case $(tr '\0' ' ' <"$process/cmdline") in
    *"--user-data-dir=$folder/"*) kill -9 "${process#/proc/}" ;;
    esac
done 2>/dev/null
wait
rm -rf "$folder"
"#;

/// Closes at the end of the process, which is what the supervisor waits for.
static LIFELINE: Mutex<Option<ChildStdin>> = Mutex::new(None);

struct Driver {
    port: u16,
    folder: PathBuf,
    chromium: String,
    profiles: AtomicU32,
}

fn driver() -> &'static Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    DRIVER.get_or_init(Driver::start)
}

impl Driver {
    #[expect(clippy::zombie_processes, reason = "it outlives the test process, to clear up after it")]
    fn start() -> Self {
        let (chromium, chromedriver) = programs();
        let folder = tempfile::Builder::new().prefix("leadwire-browser-").tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "sh"]).arg(&folder).arg(chromedriver);
        // Interrupting the tests must not interrupt it, and it must keep no output of theirs open.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut supervisor = command.spawn().unwrap();
        *LIFELINE.lock().unwrap() = supervisor.stdin.take();
        let port = listening_port(&folder.join("log"));
        Self { port, folder, chromium, profiles: AtomicU32::new(0) }
    }
}

/// Chromium and ChromeDriver, which are installed when missing. Tests that need them fail without; none is skipped.
fn programs() -> (String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/chromium.sh");
    // What it says of an installation, which takes its time, is seen while it goes on.
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "there is no Chromium or no ChromeDriver; see above");
    let found = String::from_utf8(output.stdout).unwrap();
    let (chromium, chromedriver) = found.trim_end().split_once('\n').unwrap();
    (chromium.to_owned(), chromedriver.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a story runs on a thread of its own")]
fn listening_port(log: &Path) -> u16 {
    let start = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let port = said.split_once("started successfully on port ").and_then(|(_, rest)| rest.split_once('.')?.0.parse().ok());
        if let Some(port) = port {
            return port;
        }
        assert!(start.elapsed() < PATIENCE, "ChromeDriver does not listen; it said:\n{said}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A browser with a profile of its own. Closed when dropped.
pub(crate) struct Session {
    id: String,
    _turn: Turn,
}

impl Session {
    pub(crate) fn open() -> Self {
        let turn = Turn::wait();
        let driver = driver();
        let profile = driver.folder.join(format!("profile-{}", driver.profiles.fetch_add(1, Ordering::Relaxed)));
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            // A dialog that nobody ordered stays, to be found.
            "unhandledPromptBehavior": "ignore",
            "timeouts": {"pageLoad": 45_000, "script": 45_000},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": driver.chromium, "args": arguments}
        }}});
        let session = request("POST", "/session", Some(&capabilities)).unwrap_or_else(|why| panic!("no browser: {why}"));
        Self { id: session["sessionId"].as_str().unwrap().to_owned(), _turn: turn }
    }

    /// A command of WebDriver, with its value or its fault.
    pub(crate) fn post(&self, command: &str, body: &Value) -> Result<Value, String> {
        request("POST", &format!("/session/{}/{command}", self.id), Some(body))
    }

    pub(crate) fn get(&self, command: &str) -> Result<Value, String> {
        request("GET", &format!("/session/{}/{command}", self.id), None)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // When it fails, the supervisor ends the browser.
        let _ = request("DELETE", &format!("/session/{}", self.id), None);
    }
}

/// A browser of nothing but our pages: it asks nobody else for anything, and could not find them.
const ARGUMENTS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "about:blank",
];

/// The right to have a browser.
struct Turn;

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Self {
        let mut open = CLOSED.wait_while(OPEN.lock().unwrap(), |open| *open >= AT_ONCE).unwrap();
        *open += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *OPEN.lock().unwrap() -= 1;
        CLOSED.notify_one();
    }
}

/// One HTTP request to ChromeDriver: its value, or its fault in words.
fn request(method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let port = driver().port;
    let body = body.map(Value::to_string).unwrap_or_default();
    let told = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(told)?;
    let answer = read_answer(&mut stream).map_err(told)?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| format!("{method} {path}: {error}"))?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
        None => Ok(value),
    }
}

/// The body; ChromeDriver says how long it is, and may leave the connection open.
fn read_answer(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 64 << 10]);
    loop {
        if let Some(body) = whole_body(&bytes) {
            return Ok(body.to_vec());
        }
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn whole_body(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse::<usize>().ok()?;
    Some(&bytes[end + 4..]).filter(|body: &&[u8]| body.len() >= length)
}
