//! The exam that every connector takes, as far as it concerns files.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::ConnectorKind;
use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::Service;
use leadwire_connector_csv::KIND;
use serde_json::{Map, Value, json};
use std::sync::Mutex;
use tempfile::TempDir;

/// A folder for each room.
struct Csv(Mutex<Vec<TempDir>>);

impl Subject for Csv {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        None
    }

    fn settings(&self, _: &Url) -> Map<String, Value> {
        let folder = TempDir::new().unwrap();
        let settings = json!({"directory": folder.path(), "mode": "daily"}).as_object().unwrap().clone();
        self.0.lock().unwrap().push(folder);
        settings
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Rows below the header, also of the file that is still written.
    fn records(&self, _: &Value) -> usize {
        let folders = self.0.lock().unwrap();
        let files = std::fs::read_dir(folders.last().unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap_or_default());
        texts.map(|text| text.lines().count().saturating_sub(1)).sum()
    }
}

#[tokio::test]
async fn csv_passes_the_exam() {
    conformance::run(&Csv(Mutex::default())).await;
}
