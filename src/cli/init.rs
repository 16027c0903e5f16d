//! `leadwire init`: a configuration from a few answers, or more in the one there is. By flags alone, or by questions.

mod lead;
mod plan;
mod talk;
mod write;

use super::{Context, Failure, show};
use crate::config::{Settings, variables_file};
use plan::{Addition, Plan};
use std::net::SocketAddr;
use url::Url;

#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// A source to add: its webhook URL ends with its name. May be repeated.
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// The Sign Key of a source, as the platform's Webhook tab shows it. Without it, the source awaits its key and loses nothing.
    #[arg(long, value_name = "SOURCE=KEY", value_parser = plan::pair, hide_env_values = true)]
    key: Vec<(String, String)>,
    /// Where telephone numbers without an international prefix are from, such as US.
    #[arg(long, value_name = "COUNTRY")]
    country: Option<String>,
    /// A destination to add, by its name and its type, such as archive=csv; `leadwire connectors` lists the types. May be repeated.
    #[arg(long, value_name = "NAME=TYPE", value_parser = plan::pair)]
    destination: Vec<(String, String)>,
    /// A setting of a destination to add, such as crm.token=pat-na1-…. Secrets go to the file `.env`. May be repeated.
    #[arg(long, value_name = "NAME.KEY=VALUE", value_parser = plan::pair, hide_env_values = true)]
    set: Vec<(String, String)>,
    /// How the platform reaches the bridge, such as https://leads.example.com.
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    /// Where the bridge listens; only for a new file.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Then have the doctor ask the destinations whether they can do their work.
    #[arg(long)]
    doctor: bool,
    /// Then send a made-up lead on its whole way to the destinations, where it stays. A bridge that runs takes the file first.
    #[arg(long)]
    test_lead: bool,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(args: InitArgs, context: &Context) -> Result<(), Failure> {
    let is_asking = !args.yes && args.source.is_empty() && args.destination.is_empty();
    let known = if context.config.exists() { Some(context.settings()?) } else { None };
    let plan = if is_asking { talk::ask(&args, known.as_ref(), context)? } else { Plan::of(&args, context)? };
    let addition = plan.addition(known.as_ref(), context)?;
    let settings = write::apply(&addition, context)?;
    tell(&addition, &settings, context)?;
    if args.doctor || is_asking && show::ask("Shall the doctor look at it now?", "")? {
        super::doctor::run(super::doctor::DoctorArgs::default(), context).await?;
    }
    if args.test_lead || is_asking && show::ask("Shall a made-up lead go the whole way now? It stays at the destinations.", "")? {
        let source = addition.sources.first().or_else(|| args.source.first()).or_else(|| settings.sources.keys().next());
        return lead::travel(source.map_or("", String::as_str), context).await;
    }
    Ok(())
}

fn tell(addition: &Addition, settings: &Settings, context: &Context) -> Result<(), Failure> {
    let base = settings.server.reached_by(settings.server.listen);
    let url = |name: &String| format!("{base}/hooks/{name}");
    if context.json {
        let sources: Vec<_> = addition.sources.iter().map(|name| serde_json::json!({"name": name, "url": url(name)})).collect();
        let told = serde_json::json!({
            "file": context.config.display().to_string(), "env": variables_file(&context.config).display().to_string(),
            "sources": sources, "destinations": addition.destinations, "variables": addition.variables.keys().collect::<Vec<_>>(),
            "left_alone": addition.left_alone,
        });
        return context.print_json(&told);
    }
    for name in &addition.left_alone {
        show::note(&format!("{name} is there already, and stays as it is"));
    }
    for warning in settings.told_warnings() {
        show::note(&format!("warning: {warning}\n"));
    }
    show::line(&written(addition, context))?;
    for name in &addition.sources {
        let has_key = settings.sources.get(name).is_some_and(|source| !source.signing_keys.is_empty());
        show::line(&steps(name, &url(name), settings, has_key, context))?;
    }
    show::line(&next(addition, context))
}

/// Which files are others than before.
fn written(addition: &Addition, context: &Context) -> String {
    let (config, env) = (context.config.display(), variables_file(&context.config));
    match (addition.toml.is_empty(), addition.variables.is_empty()) {
        (false, _) => format!("{config} is written, and its secrets are in {}", env.display()),
        (true, false) => format!("the secret is written to {}; {config} stays as it is", env.display()),
        (true, true) => format!("{config} has all of this; nothing is written"),
    }
}

/// What to click at the platform.
fn steps(name: &str, url: &str, settings: &Settings, has_key: bool, context: &Context) -> String {
    let reach = match settings.server.public_url {
        Some(_) => String::new(),
        None => "\n     (the platform must reach it from outside: put a proxy with TLS in front, and set --public-url)".to_owned(),
    };
    let key = if has_key {
        String::new()
    } else {
        let config = config_option(context);
        format!(
            "\n  3. Copy the Sign Key that the tab shows now:\n     leadwire{config} init --source {name} --key {name}=KEY, then leadwire{config} reload"
        )
    };
    format!(
        "\nAt the chatbot platform, for the source {name}:\n  1. Open the workspace, then its tab Webhook.\n  2. Paste this URL and save:\n     {url}{reach}{key}"
    )
}

fn next(addition: &Addition, context: &Context) -> String {
    let config = config_option(context);
    let source = addition.sources.first().map(|name| format!(" --source {name}")).unwrap_or_default();
    format!(
        "\nThen:\n  leadwire{config} doctor        asks the destinations whether they can do their work\n  leadwire{config}               runs the bridge; \
         one that runs takes the file by `leadwire{config} reload`\n  leadwire{config} send{source}    posts a test lead to it"
    )
}

/// What a command needs to find this configuration; nothing where it looks by itself.
fn config_option(context: &Context) -> String {
    let is_usual = context.config == std::path::Path::new("config/leadwire.toml");
    if is_usual { String::new() } else { format!(" --config {}", context.config.display()) }
}
