//! The destinations of a bridge, asked by itself.

use super::Asked;
use crate::cli::Failure;
use crate::cli::remote::Server;
use crate::cli::show::note;
use leadwire_connector::Report;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Named {
    name: String,
    state: String,
}

/// All of them, or only these.
pub(super) async fn ask(server: &Server, only: &[String]) -> Result<Vec<Asked>, Failure> {
    let mut names = only.to_vec();
    if names.is_empty() {
        note("leadwire: a bridge asks its destinations; its store and sources are looked at where it runs");
        let known: Vec<Named> = server.whole(&["destinations"]).await?;
        names = known.into_iter().filter(|row| row.state != "not_configured").map(|row| row.name).collect();
    }
    let mut asked = Vec::new();
    for name in names {
        let report: Report = server.post(&["destinations", &name, "doctor"], &json!({})).await?;
        asked.push(Asked { what: "destination", name, kind: None, report });
    }
    Ok(asked)
}
