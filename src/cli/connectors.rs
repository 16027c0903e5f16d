//! `leadwire connectors`: what a destination can be.

use super::{Context, Failure, show};
use leadwire_connector::ConnectorKind;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(super) struct ConnectorsArgs {
    /// Show the configuration reference of this kind.
    kind: Option<String>,
}

pub(super) fn run(args: &ConnectorsArgs, context: &Context) -> Result<(), Failure> {
    match &args.kind {
        Some(name) => {
            let unknown = || Failure::Usage(format!("there is no connector `{name}`; known are {}", context.connectors.names().join(", ")));
            let kind = context.connectors.get(name).ok_or_else(unknown)?;
            if context.json { context.print_json(&shown(kind)) } else { show::line(kind.reference) }
        }
        None if context.json => {
            let kinds: Vec<_> = context.connectors.iter().map(shown).collect();
            context.print_json(&kinds)
        }
        None => {
            let rows = context.connectors.iter().map(|kind| vec![kind.name.to_owned(), kind.about.to_owned()]).collect();
            show::table(&["type", "what it does"], rows, "this program was built without connectors")?;
            show::line("\n`leadwire connectors TYPE` shows the settings of one.")
        }
    }
}

fn shown(kind: &ConnectorKind) -> Value {
    json!({"name": kind.name, "about": kind.about, "reference": kind.reference})
}
