//! The example of an endpoint, in Python, that answers with verdicts.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::sample;
use leadwire_connector::testing::{build, deliver};
use leadwire_connector::{BuildContext, Connector, Receipt, Verdict};
use leadwire_connector_json::KIND;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/endpoint.py");

/// Whether there is a Python. On the machines that decide what is merged there must be one.
fn python() -> bool {
    let is_there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "python3 is not on the PATH, and this is CI");
    if !is_there {
        eprintln!("NOT TESTED: python3 is not on the PATH");
    }
    is_there
}

struct Endpoint {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Endpoint {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.arg(EXAMPLE).current_dir(&folder).env("BACKEND_SECRET", SECRET).env("PORT", "0");
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { process, port, folder }
    }

    fn connector(&self, secret: &str) -> Box<dyn Connector> {
        let settings = json!({"url": format!("http://127.0.0.1:{}/", self.port), "secret": secret});
        build(KIND, &settings, &BuildContext::new("backend"))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_example_takes_a_lead_once_and_answers_with_verdicts() {
    if !python() {
        return;
    }
    let endpoint = Endpoint::start();
    let connector = endpoint.connector(SECRET);
    for _ in 0..2 {
        assert_eq!(deliver(&*connector, "d-1", &sample()).await.unwrap(), Receipt::record("lead-1"));
    }
    let mut nobody = sample();
    nobody.person.email = None;
    let error = deliver(&*connector, "d-2", &nobody).await.unwrap_err();
    assert_eq!((error.verdict, error.message.as_str()), (Verdict::Reject, "127.0.0.1 asked to reject (422): a lead needs an e-mail"));
    std::fs::write(endpoint.folder.path().join("closed"), "").unwrap();
    let error = deliver(&*connector, "d-3", &sample()).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(600)) });
    let stranger = endpoint.connector("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(deliver(&*stranger, "d-4", &sample()).await.unwrap_err().verdict, Verdict::Hold { until: None });
}
