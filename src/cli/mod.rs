//! The command line. One file for each command; results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 fine, 1 failed, 64 wrong usage or configuration (`EX_USAGE` of sysexits.h).

mod actions;
mod alerts;
mod audit;
mod backfill;
mod check;
mod config;
mod connectors;
mod deliveries;
mod demo;
mod desk;
mod discard;
mod doctor;
mod events;
mod health;
mod hold;
mod id;
mod init;
mod manual;
mod missed;
mod near;
mod person;
mod preview;
mod quarantine;
mod reload;
mod remote;
mod replay;
mod route;
mod run;
mod send;
mod show;
mod simulate;
mod sources;
mod status;
mod store;
mod time;
mod who;

use crate::app;
use crate::config::{Diagnostics, Server, Settings, StoreUrl, load, load_server};
use crate::connectors::Connectors;
use crate::store::Store;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use desk::Desk;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const EXIT_USAGE: u8 = 64;

/// Says which bridge to ask, like `--server`.
const SERVER_VARIABLE: &str = "LEADWIRE_SERVER";
const NOT_OVER_A_SERVER: &str = "this command works where the store or the configuration is, and not over a bridge; leave out --server";

/// What a command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// A store, or a bridge over its API.
    Server,
    /// A store, and nothing else will do.
    Store,
    /// Neither.
    Apart,
}

impl Command {
    fn reach(&self) -> Reach {
        match self {
            Self::Status
            | Self::Doctor(_)
            | Self::Events(_)
            | Self::Deliveries(_)
            | Self::Replay(_)
            | Self::Discard(_)
            | Self::Route(_)
            | Self::Hold(_)
            | Self::Resume(_)
            | Self::Quarantine(_)
            | Self::Preview(_)
            | Self::Reload
            | Self::Actions(_) => Reach::Server,
            Self::Sources(_) | Self::Missed(_) | Self::Backfill(_) | Self::Person(_) | Self::Audit | Self::Store(_) => Reach::Store,
            Self::Run
            | Self::Demo(_)
            | Self::Check
            | Self::Init(_)
            | Self::Config(_)
            | Self::Send(_)
            | Self::Alerts(_)
            | Self::Connectors(_)
            | Self::Simulate(_)
            | Self::Health(_)
            | Self::Completions(_)
            | Self::Man(_) => Reach::Apart,
        }
    }
}

/// Takes the leads, appointments and chat logs that a chatbot platform posts, and gets every one of them into your CRMs.
#[derive(Debug, Parser)]
#[command(name = "leadwire", version, max_term_width = 100)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "config/leadwire.toml", env = "LEADWIRE_CONFIG")]
    config: PathBuf,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// Ask the bridge whose console is at this address, instead of the store; also by LEADWIRE_SERVER. Its token is in LEADWIRE_TOKEN.
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// The token for --server, in a file.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge; also what happens without a command.
    Run,
    /// Show leads travelling from a simulated chatbot through the bridge into a simulated CRM and a CSV file.
    Demo(demo::DemoArgs),
    /// Check the configuration: no network, nothing written.
    Check,
    /// Make a configuration, or add sources and destinations to the one there is. What is there stays as it is.
    Init(init::InitArgs),
    /// Have the running bridge read its configuration again. What is wrong changes nothing, and what needs a restart is told.
    Reload,
    /// Show what holds and where it came from, or what may be written: a schema for editors, and the reference.
    Config(config::ConfigArgs),
    /// Ask the store, the sources and each destination whether they can do their work; changes nothing.
    Doctor(doctor::DoctorArgs),
    /// Post signed samples or own payloads to a source, and print the answers.
    Send(send::SendArgs),
    /// Tell how a running bridge is.
    Status,
    /// Ask this machine's bridge whether it would keep a lead; the exit code tells, for health checks.
    Health(health::HealthArgs),
    /// Find events, or show everything about one.
    Events(events::EventsArgs),
    /// List deliveries and where they stand.
    Deliveries(deliveries::DeliveriesArgs),
    /// Deliver again what has ended.
    Replay(replay::ReplayArgs),
    /// End dead letters that need not be delivered, with the reason; they can still be replayed.
    Discard(discard::DiscardArgs),
    /// Give events deliveries that no route took, by the routes as they are now, or where you say.
    Route(route::RouteArgs),
    /// Park a destination: its deliveries wait.
    Hold(hold::HoldArgs),
    /// Release a parked destination.
    Resume(hold::ResumeArgs),
    /// The sources: their URLs, when and how they were last seen, and whether one is unusually silent.
    Sources(sources::SourcesArgs),
    /// Conversations in which a visitor left a contact although no lead came: list them, make leads of them, or dismiss them.
    Missed(missed::MissedArgs),
    /// Fetch from the platform's list of leads what its webhooks lost; counts first.
    Backfill(backfill::BackfillArgs),
    /// List, verify again or purge bodies that could not be verified.
    Quarantine(quarantine::QuarantineArgs),
    /// Export everything that is held of a person, or erase it.
    Person(person::PersonArgs),
    /// Show the exact requests a destination would be sent, or which of them another configuration would change. Sends nothing.
    Preview(preview::PreviewArgs),
    /// List what people did: who, when, what, and to how many.
    Actions(actions::ActionsArgs),
    /// Test the channels of alerts, and list open trouble.
    Alerts(alerts::AlertsArgs),
    /// Prove that every event and delivery is accounted for.
    Audit,
    /// Sizes, backups, restore drills, and moving everything to another store.
    Store(store::StoreArgs),
    /// List the kinds of destination this program knows, or show the configuration reference of one.
    Connectors(connectors::ConnectorsArgs),
    /// Simulate a CRM or the sender, for staging.
    Simulate(simulate::SimulateArgs),
    /// Print the completions of a shell.
    Completions(manual::CompletionsArgs),
    /// Write the manual pages of all commands into a folder.
    Man(manual::ManArgs),
}

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// The configuration file.
    pub config: PathBuf,
    /// The kinds of destination.
    pub connectors: Connectors,
    /// Whether to print JSON.
    pub json: bool,
    /// The bridge to ask instead of the store.
    server: Option<Arc<remote::Server>>,
}

/// How a command fails.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration; the message is printed. Exit code 64.
    Usage(String),
    /// It did not work; the message is printed. Exit code 1.
    Failed(String),
    /// It did not work, and the output has said so already. Exit code 1.
    Silent,
    /// The reader of the output has seen enough and closed the pipe. Exit code 0.
    Unread,
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Context {
    /// Loads the configuration.
    ///
    /// # Errors
    /// `Usage`, with every fault in it.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.settings_of(&self.config)
    }

    /// Loads another configuration in the same way.
    ///
    /// # Errors
    /// `Usage`, with every fault in it.
    pub fn settings_of(&self, file: &Path) -> Result<Settings, Failure> {
        load(file, &self.connectors, environment()).map_err(|faults| self.faulty(&faults))
    }

    /// Loads where a bridge of this configuration listens, which may have read it before somebody began to change it.
    ///
    /// # Errors
    /// `Usage`, with every fault that keeps from knowing it.
    pub fn settings_of_server(&self) -> Result<Server, Failure> {
        load_server(&self.config, environment()).map_err(|faults| self.faulty(&faults))
    }

    /// What is wrong with a configuration, as this command tells it.
    fn faulty(&self, faults: &Diagnostics) -> Failure {
        Failure::Usage(if self.json { faults.to_json().to_string() } else { faults.to_string() })
    }

    /// Opens the store of the configuration, beside a bridge that may be running on it. It must be there: an empty one, made in the
    /// wrong folder, would answer that there is nothing.
    ///
    /// # Errors
    /// Of the configuration or of the store; `Failed` when there is none.
    pub async fn store(&self) -> Result<Store, Failure> {
        Ok(app::open_store(&self.settings_of_a_store()?).await?)
    }

    /// The same for a command that only reads: also where nothing can be written.
    ///
    /// # Errors
    /// Of the configuration or of the store; `Failed` when there is none.
    pub async fn store_to_read(&self) -> Result<Store, Failure> {
        Ok(app::open_store_to_read(&self.settings_of_a_store()?).await?)
    }

    /// Where to read: the bridge of `--server`, else the store.
    ///
    /// # Errors
    /// Of [`Context::store_to_read`].
    async fn desk_to_read(&self) -> Result<Desk, Failure> {
        match &self.server {
            Some(server) => Ok(Desk::Server(Arc::clone(server))),
            None => Ok(Desk::Store(self.store_to_read().await?)),
        }
    }

    fn settings_of_a_store(&self) -> Result<Settings, Failure> {
        let settings = self.settings()?;
        match &settings.store.url {
            StoreUrl::Sqlite(path) if path.try_exists().is_ok_and(|exists| !exists) => Err(Failure::Failed(no_store(path))),
            StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => Ok(settings),
        }
    }

    /// The same, for what makes no sense on a part of it: refuses while a transfer into it or from it is not finished.
    ///
    /// # Errors
    /// Of the configuration or of the store; `Failed` when there is none, or only a part.
    pub async fn whole_store(&self) -> Result<Store, Failure> {
        let store = self.store().await?;
        store.refuse_during_transfer().await?;
        Ok(store)
    }

    /// The same, but makes the store when there is none; for what is right before the bridge has ever run.
    ///
    /// # Errors
    /// Of the configuration or of the store.
    pub async fn store_or_new(&self) -> Result<Store, Failure> {
        Ok(app::open_store(&self.settings()?).await?)
    }

    /// Prints what came of an action: as JSON, or in words.
    fn tell_done(&self, json: &serde_json::Value, words: &str) -> Result<(), Failure> {
        if self.json { self.print_json(json) } else { show::line(&show::plain(words)) }
    }

    /// Prints a value as JSON, one line.
    ///
    /// # Errors
    /// When it is no JSON, which is a bug.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
        show::line(&text)
    }
}

/// Variables that are no Unicode cannot be ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs the command line of this process with these connectors.
#[must_use]
pub fn run(connectors: Connectors) -> ExitCode {
    keep_pages_small();
    let matches = Arguments::command().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let command = arguments.command.unwrap_or(Command::Run);
    let server = match server(&command, arguments.server.as_deref(), arguments.token_file.as_deref()) {
        Ok(server) => server,
        Err(failure) => return fail(&failure),
    };
    let context = Context { config: arguments.config, connectors, json: arguments.json, server };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Failed(format!("the runtime cannot be started: {error}"))),
    };
    let result = runtime.block_on(dispatch(command, &context));
    // What still runs here is a sleeping task or a query nobody waits for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

/// A huge page is resident as a whole for the first byte that is used of it: an idle bridge would take twice the memory, and answer no
/// sooner. Where the kernel refuses, that is all there is to it.
fn keep_pages_small() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The bridge to ask, for commands that can.
fn server(command: &Command, url: Option<&str>, token_file: Option<&Path>) -> Result<Option<Arc<remote::Server>>, Failure> {
    let of_environment = std::env::var(SERVER_VARIABLE).ok().filter(|url| !url.is_empty());
    let reach = command.reach();
    match (url, of_environment) {
        (Some(_), _) if reach != Reach::Server => Err(Failure::Usage(NOT_OVER_A_SERVER.to_owned())),
        (None, Some(_)) if reach == Reach::Store => Err(Failure::Usage(format!("{NOT_OVER_A_SERVER}; {SERVER_VARIABLE} is set"))),
        (Some(url), _) => remote::Server::new(url, token_file).map(|server| Some(Arc::new(server))),
        (None, Some(url)) if reach == Reach::Server => remote::Server::new(&url, token_file).map(|server| Some(Arc::new(server))),
        (None, _) => Ok(None),
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Status => status::run(context).await,
        Command::Run => run::run(context).await,
        Command::Demo(args) => Box::pin(demo::run(args, context)).await,
        Command::Check => check::run(context),
        Command::Init(args) => Box::pin(init::run(args, context)).await,
        Command::Reload => reload::run(context).await,
        Command::Config(args) => config::run(&args, context),
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
        Command::Send(args) => Box::pin(send::run(args, context)).await,
        Command::Events(args) => events::run(args, context).await,
        Command::Deliveries(args) => deliveries::run(args, context).await,
        Command::Replay(args) => replay::run(args, context).await,
        Command::Discard(args) => discard::run(args, context).await,
        Command::Route(args) => route::run(args, context).await,
        Command::Hold(args) => hold::hold(args, context).await,
        Command::Resume(args) => hold::resume(args, context).await,
        Command::Sources(args) => sources::run(args, context).await,
        Command::Missed(args) => missed::run(args, context).await,
        Command::Backfill(args) => Box::pin(backfill::run(args, context)).await,
        Command::Quarantine(args) => quarantine::run(args, context).await,
        Command::Person(args) => Box::pin(person::run(args, context)).await,
        Command::Preview(args) => Box::pin(preview::run(args, context)).await,
        Command::Actions(args) => actions::run(args, context).await,
        Command::Alerts(args) => Box::pin(alerts::run(args, context)).await,
        Command::Audit => audit::run(context).await,
        Command::Store(args) => Box::pin(store::run(args, context)).await,
        Command::Connectors(args) => connectors::run(&args, context),
        Command::Simulate(args) => Box::pin(simulate::run(args, context)).await,
        Command::Health(args) => health::run(args, context).await,
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    }
}

fn no_store(path: &Path) -> String {
    let shown = path.display();
    match std::env::current_dir() {
        Ok(folder) if path.is_relative() => {
            format!("there is no store at {shown} (seen from {}); is this the folder the bridge runs in?", folder.display())
        }
        _ => format!("there is no store at {shown}; is this the configuration the bridge runs with?"),
    }
}

/// Help and version are no failures; wrong usage is 64 instead of clap's 2.
fn explain(error: &clap::Error) -> ExitCode {
    // Nothing can be told any more when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
}

fn fail(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Usage(message) => {
            show::note(message);
            ExitCode::from(EXIT_USAGE)
        }
        Failure::Failed(message) => {
            show::note(&format!("leadwire: {message}"));
            ExitCode::FAILURE
        }
        Failure::Silent => ExitCode::FAILURE,
        Failure::Unread => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
