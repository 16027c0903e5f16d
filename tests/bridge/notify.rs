//! What a supervisor hears of the bridge, and what a health check is told.

use crate::harness::{Bridge, Setup, eventually, lead};
use crate::sick::Lock;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What the watchdog of these stories waits, in microseconds.
const WATCHDOG: Duration = Duration::from_secs(1);
/// Longer than anything is waited for on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of the line at which systemd would sit.
struct Listener(UnixDatagram);

impl Listener {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 1_000];
        // With a time limit, a signal ends it: a child of another story that ends is one (signal(7)).
        let heard = std::iter::repeat_with(|| self.0.recv(&mut buffer))
            .find(|heard| heard.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Interrupted));
        let length = heard.unwrap().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message that is no food for the watchdog.
    fn hear_news(&self) -> String {
        std::iter::repeat_with(|| self.hear()).find(|heard| heard != "WATCHDOG=1").unwrap()
    }
}

fn watched(setup: Setup, name: &str) -> Setup {
    setup.environment("NOTIFY_SOCKET", name).environment("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string())
}

fn health(bridge: &Bridge, more: &[&str]) -> Output {
    bridge.command(&[&["health", "--url", &bridge.url], more].concat())
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_hears_when_requests_are_answered_and_when_the_bridge_stops() {
    let setup = Setup::new().archive();
    let path = setup.folder.path().join("notify");
    let listener = Listener::new(UnixDatagram::bind(&path).unwrap());
    let bridge = watched(setup, path.to_str().unwrap()).start();
    let ready = listener.hear_news();
    assert_eq!(ready.lines().next(), Some("READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=listening on {}, console on {}", bridge.url, bridge.console)), "{ready}");
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    for _ in 0..3 {
        assert_eq!(listener.hear(), "WATCHDOG=1");
    }
    bridge.terminate();
    assert_eq!(listener.hear_news().lines().next(), Some("STOPPING=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_store_does_not_keep_the_watchdog_from_its_food() {
    let name = format!("leadwire-story-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let listener = Listener::new(socket);
    let bridge = watched(Setup::new().archive(), &format!("@{name}")).start();
    assert!(listener.hear_news().starts_with("READY=1\n"));
    assert_eq!(told(&health(&bridge, &[])), (Some(0), "fine\n".to_owned()));

    let lock = Lock::take(&bridge.setup);
    eventually("the bridge to be not ready", async || (health(&bridge, &[]).status.code() == Some(1)).then_some(())).await;
    let (code, why) = told(&health(&bridge, &[]));
    assert!(code == Some(1) && why.contains("not ready: "), "{why}");
    assert_eq!(told(&health(&bridge, &["--live"])), (Some(0), "fine\n".to_owned()), "a restart would mend nothing");
    // What waited meanwhile in the socket is heard first, and is old.
    listener.0.set_nonblocking(true).unwrap();
    while listener.0.recv(&mut [0; 100]).is_ok() {}
    listener.0.set_nonblocking(false).unwrap();
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(listener.hear(), "WATCHDOG=1");
    }
    assert!(began.elapsed() < 4 * WATCHDOG, "it would have been killed: {:?}", began.elapsed());
    drop(lock);
    eventually("the bridge to be ready", async || health(&bridge, &[]).status.success().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_tells_when_no_bridge_answers_and_when_it_cannot_know_where() {
    let bridge = Setup::new().archive().start();
    let json = bridge.json(&["health", "--url", &bridge.url]);
    assert_eq!((json["ok"].as_bool(), json["http_status"].as_u64()), (Some(true), Some(200)), "{json}");
    let (code, why) = told(&bridge.command(&["health"]));
    assert!(code == Some(64) && why.contains("--url"), "{why}");
    // Somebody is in the middle of changing the file, which the bridge has read before.
    let whole = std::fs::read_to_string(bridge.setup.config_path()).unwrap();
    let here = whole.replace("127.0.0.1:0", bridge.url.trim_start_matches("http://"));
    std::fs::write(bridge.setup.config_path(), format!("{here}\n[destinations.half]\ntype = \"\"\n")).unwrap();
    let (code, why) = told(&bridge.command(&["health"]));
    assert_eq!(code, Some(0), "{why}");
    std::fs::write(bridge.setup.config_path(), here.replace("listen = \"", "listen = \"x")).unwrap();
    let (code, why) = told(&bridge.command(&["health"]));
    assert!(code == Some(64) && why.contains("listen"), "{why}");
    std::fs::write(bridge.setup.config_path(), whole).unwrap();
    let url = bridge.url.clone();
    let setup = bridge.terminate();
    let (code, why) = told(&setup.command(&["health", "--url", &url]));
    assert!(code == Some(1) && why.contains("no bridge answers at"), "{why}");
}

/// What the unit says after `name=`.
fn of_unit(name: &str) -> String {
    let unit = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/leadwire.service")).unwrap();
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit has no {name}=")).to_owned()
}

#[test]
fn the_command_line_of_the_unit_starts_a_bridge_as_systemd_would() {
    let setup = Setup::new().archive();
    setup.write();
    let path = setup.folder.path().join("notify");
    let listener = Listener::new(UnixDatagram::bind(&path).unwrap());
    let command = of_unit("ExecStart").replace("/etc/leadwire/leadwire.toml", setup.config_path().to_str().unwrap());
    let (program, arguments) = command.split_once(' ').unwrap();
    assert_eq!((program, of_unit("Type").as_str()), ("/usr/local/bin/leadwire", "notify"));
    let mut bridge = Command::new(env!("CARGO_BIN_EXE_leadwire"))
        .args(arguments.split(' '))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", format!("{}000000", of_unit("WatchdogSec")))
        .current_dir(setup.folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(listener.hear_news().starts_with("READY=1\n"));
    assert_eq!(listener.hear(), "WATCHDOG=1", "at once, since nobody knows when the last one was");
    let pid = bridge.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(listener.hear_news().starts_with("STOPPING=1\n"));
    assert!(bridge.wait().unwrap().success());
}

#[test]
fn a_supervisor_that_cannot_be_reached_keeps_nobody_from_starting() {
    for name in ["/nowhere/at/all", "vsock:2:1"] {
        let bridge = watched(Setup::new().archive(), name).start();
        bridge.terminate();
    }
}
