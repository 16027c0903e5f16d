//! `leadwire config`: what holds, and what may be written.

use super::{Context, Failure, show};
use crate::config::{self, Effective, Layer};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every value that holds, with where it came from: a line of the file, the environment, or the default. Secrets are masked.
    Show {
        /// Only what was given, without the defaults.
        #[arg(long)]
        given: bool,
    },
    /// The JSON Schema of the file, for editors.
    Schema,
    /// The reference of every section and key, as Markdown.
    Reference,
}

pub(super) fn run(args: &ConfigArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        Command::Show { given } => show(given, context),
        Command::Schema => {
            let schema = config::schema(&context.connectors);
            show::line(&serde_json::to_string_pretty(&schema).map_err(|error| Failure::Failed(error.to_string()))?)
        }
        Command::Reference => show::line(config::reference(&context.connectors).trim_end()),
    }
}

fn show(given: bool, context: &Context) -> Result<(), Failure> {
    let values = config::effective(&context.config, &context.connectors, super::environment());
    let mut values = values.map_err(|faults| context.faulty(&faults))?;
    values.retain(|value| !given || value.from != Layer::Default);
    if context.json {
        return context.print_json(&values);
    }
    let rows = values.iter().map(|value| vec![value.key.clone(), in_toml(&value.value), from(value, context)]).collect();
    show::table(&["key", "value", "from"], rows, "nothing is configured")
}

fn from(value: &Effective, context: &Context) -> String {
    match &value.from {
        Layer::File { line: Some(line) } => format!("{}:{line}", context.config.display()),
        Layer::File { line: None } => context.config.display().to_string(),
        Layer::Environment { variable } => variable.clone(),
        Layer::Default => "default".to_owned(),
    }
}

/// As it could stand in the file.
fn in_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let keys: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {}", in_toml(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        other => show::plain(&other.to_string()),
    }
}
