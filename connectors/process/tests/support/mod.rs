//! What the stories share.

use leadwire_connector::conformance::sample;
use leadwire_connector::testing;
use leadwire_connector::{BuildContext, Connector, Delivery, DeliveryError, Event, MemorySteps, Receipt, Steps};
use leadwire_connector_process::KIND;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than any stop takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is a Python. On the machines that decide what is merged there must be one.
pub(crate) fn python() -> bool {
    let is_there = std::process::Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "python3 is not on the PATH, and this is CI");
    if !is_there {
        eprintln!("NOT TESTED: python3 is not on the PATH");
    }
    is_there
}

/// A destination whose child leaves its traces in a folder.
pub(crate) struct Story {
    pub(crate) connector: Box<dyn Connector>,
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    event: Arc<Event>,
    memory: MemorySteps,
    attempts: AtomicU32,
}

impl Story {
    /// With a child that behaves that way.
    pub(crate) fn begin(how: &str, settings: Value) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self { folder: temporary.path().to_owned(), _temporary: Some(temporary), ..Self::within(how, PathBuf::new(), json!({})) }
            .with(how, settings)
    }

    /// In a folder of somebody else.
    pub(crate) fn within(how: &str, folder: PathBuf, settings: Value) -> Self {
        Self { folder, ..Self::of(&json!({"command": ["python3"]})) }.with(how, settings)
    }

    /// With these settings alone.
    pub(crate) fn of(settings: &Value) -> Self {
        let connector = build(settings);
        let (event, memory, attempts) = (Arc::new(sample()), MemorySteps::default(), AtomicU32::new(0));
        Self { connector, folder: PathBuf::new(), _temporary: None, event, memory, attempts }
    }

    fn with(self, how: &str, mut settings: Value) -> Self {
        settings["command"] = json!(["python3", "tests/child.py", how, self.folder]);
        Self { connector: build(&settings), ..self }
    }

    /// With another event.
    pub(crate) fn with_event(mut self, change: impl FnOnce(&mut Event)) -> Self {
        change(Arc::make_mut(&mut self.event));
        self
    }

    /// One attempt, with the steps of those before.
    pub(crate) async fn deliver(&self, id: &str) -> Result<Receipt, DeliveryError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let delivery = Delivery { id: id.to_owned(), destination: "tester".to_owned(), event: Arc::clone(&self.event), attempt };
        let mut steps = Steps::new(&self.memory, self.memory.saved());
        self.connector.deliver(&delivery, &mut steps).await
    }

    /// What the child left in a file.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        lines(&self.folder.join(name))
    }

    /// Drops the connector, and says which processes it had.
    pub(crate) fn end(self) -> Vec<String> {
        self.lines("starts")
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn build(settings: &Value) -> Box<dyn Connector> {
    testing::build(KIND, settings, &BuildContext::new("tester").with_base_directory(env!("CARGO_MANIFEST_DIR")))
}

/// Whether a process lives; a zombie does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    let shown = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&shown.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
