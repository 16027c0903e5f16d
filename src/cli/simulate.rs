//! `leadwire simulate`: a simulated CRM, and the platform's sender, for staging.

use super::send::TargetArgs;
use super::show::{line, plain};
use super::{Context, Failure};
use crate::simulate::{LeadList, SampleKind, Samples, Sender, Try, parse_schedule, write};
use bytes::Bytes;
use jiff::Timestamp;
use leadwire_connector::settings::{did_you_mean, duration};
use leadwire_connector::simulator::{FaultRule, Faults, Server};
use leadwire_connector::text::truncate;
use leadwire_connector::{ConnectorKind, Simulation};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Events under way at once; with the platform's schedule one can be under way for four minutes.
const MOST_UNDER_WAY: usize = 1_024;

#[derive(Debug, clap::Args)]
pub(super) struct SimulateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A service that destinations can deliver to, with faults to order.
    Crm(CrmArgs),
    /// The chatbot platform: posts, believes only the right answer, tries again, forgets.
    Sender(SenderArgs),
    /// The chatbot platform's list of leads, for `leadwire backfill`.
    Leads(LeadsArgs),
}

#[derive(Debug, clap::Args)]
struct CrmArgs {
    /// The kind of destination, as in `type`; by default the first that comes with a simulation.
    #[arg(long)]
    kind: Option<String>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// A fault from the start, such as `503x3`, `429:30`, `reset-after-write x1`, `503@20%`. May be repeated.
    #[arg(long, value_name = "RULE", long_help = FAULTS)]
    fault: Vec<FaultRule>,
    /// Added to every answer, such as 200ms.
    #[arg(long, value_parser = duration::parse)]
    latency: Option<Duration>,
    /// The same seed draws the same faults.
    #[arg(long, default_value_t)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct LeadsArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// How many leads are on the list, one an hour, the last one now.
    #[arg(long, default_value_t = 48)]
    count: u32,
    /// What a caller must show.
    #[arg(long, default_value = "simulated-secret-key")]
    token: String,
    /// A fault from the start, such as `503x3`, `429:30`, `garbage`. May be repeated.
    #[arg(long, value_name = "RULE", long_help = FAULTS)]
    fault: Vec<FaultRule>,
    /// The same seed makes the same people.
    #[arg(long)]
    seed: Option<u64>,
}

const FAULTS: &str = "A fault from the start; may be repeated.

  KIND[:VALUE] [xTIMES] [@PERCENT%] [@METHOD] [@/PATH]

  503, 422, …         this status, in the service's own shape
  429:30              its own rate limit, with a Retry-After
  429:daily           its own rate limit, for the rest of the day
  search-lag          a search that does not know yet what was written
  invalid:FIELD       its own refusal of this field, where it is sent
  error-inside        its own 2xx that reports an error inside
  reset-before        the connection breaks before it sees the request
  reset-after-write   the work is done, then the connection breaks
  hang                no answer
  latency:200ms       a later answer
  close-idle          a kept connection closes as it is used again
  garbage             a page of HTML, as proxies send them
  wrong-type          an answer that says it is HTML
  echo                a 400 that repeats all that was sent
  slow-body:100ms     one byte at a time, with this pause
  huge-body:BYTES     a very long answer

xTIMES hits the next so many requests, @PERCENT% each with that
probability, @METHOD and @/PATH only such requests:

  503x3
  429:30 x1
  503@20%
  reset-after-write x1 @POST
  latency:2s @GET @/crm/objects";

#[derive(Debug, clap::Args)]
struct SenderArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Post only this; by default a mixture.
    #[arg(long, value_enum)]
    kind: Option<SampleKind>,
    /// Stop after so many bodies; by default goes on until it is stopped.
    #[arg(long)]
    count: Option<u64>,
    /// The pause between two bodies.
    #[arg(long, default_value = "1s", value_parser = duration::parse)]
    every: Duration,
    /// The pause before each try of a body.
    #[arg(long, default_value = "0s,60s,180s", value_name = "PAUSES")]
    tries: String,
    /// How likely a body is sent once more although it was taken, 0 to 1.
    #[arg(long, default_value_t, value_name = "PROBABILITY")]
    duplicate_chance: f64,
    /// The same seed makes the same people.
    #[arg(long)]
    seed: Option<u64>,
}

pub(super) async fn run(args: SimulateArgs, context: &Context) -> Result<(), Failure> {
    match args.what {
        What::Crm(args) => crm(args, context).await,
        What::Sender(args) => sender(args, context).await,
        What::Leads(args) => leads(args, context).await,
    }
}

/// Returns when the process is asked to stop, by Ctrl-C or SIGTERM.
pub(super) async fn interrupted() -> Result<(), Failure> {
    let failed = |error| Failure::Failed(format!("signals cannot be received: {error}"));
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// The kinds that come with a simulation, in the order of the registry.
pub(super) fn simulated(context: &Context) -> Vec<(&ConnectorKind, Simulation)> {
    context.connectors.iter().filter_map(|kind| Some((kind, kind.simulator?))).collect()
}

async fn crm(args: CrmArgs, context: &Context) -> Result<(), Failure> {
    let (kind, simulation) = choose(args.kind.as_deref(), context)?;
    let faults = Faults { latency: args.latency.unwrap_or_default(), rules: args.fault, seed: args.seed };
    let server = Server::start((simulation.service)(), args.listen, faults).await.map_err(|error| {
        Failure::Failed(format!("{} cannot be listened on: {error}; give another address with `--listen`", args.listen))
    })?;
    let (url, settings) = (server.url(), (simulation.settings)(&server.url()));
    if context.json {
        context.print_json(&json!({"kind": kind, "url": url, "settings": settings, "control": format!("{url}_simulator/")}))?;
    } else {
        line(&introduction(kind, url.as_str(), &settings))?;
    }
    interrupted().await?;
    eprintln!("leadwire: stopped; there were {} requests", server.count());
    server.stop().await;
    Ok(())
}

async fn leads(args: LeadsArgs, context: &Context) -> Result<(), Failure> {
    let list = LeadList::sample(args.token.clone(), args.count, args.seed);
    let chatbots = list.chatbots();
    let faults = Faults { rules: args.fault, seed: args.seed.unwrap_or_default(), ..Faults::default() };
    let server = Server::start(Box::new(list), args.listen, faults).await.map_err(|error| {
        Failure::Failed(format!("{} cannot be listened on: {error}; give another address with `--listen`", args.listen))
    })?;
    let url = server.url();
    if context.json {
        context.print_json(&json!({"url": url, "token": args.token, "chatbots": chatbots}))?;
    } else {
        let token = args.token;
        line(&format!(
            "A simulated list of leads is at {url}\n\nLet a source fetch from it:\n\n[sources.acme.backfill]\nurl = \"{url}\"\ntoken = \"{token}\"\nchatbots = {chatbots:?}\n\nCtrl-C stops it."
        ))?;
    }
    interrupted().await?;
    server.stop().await;
    Ok(())
}

fn choose<'a>(name: Option<&str>, context: &'a Context) -> Result<(&'a str, Simulation), Failure> {
    let kinds = simulated(context);
    let wanted = kinds.iter().find(|(kind, _)| name.is_none_or(|name| name == kind.name));
    wanted.map(|(kind, simulation)| (kind.name, *simulation)).ok_or_else(|| {
        let known: Vec<&str> = kinds.iter().map(|(kind, _)| kind.name).collect();
        match name {
            Some(name) => {
                let all = known.join(", ");
                Failure::Usage(format!("no kind `{name}` comes with a simulation; {}; those that do: {all}", did_you_mean(name, &known)))
            }
            None => Failure::Usage("no kind of destination in this program comes with a simulation".to_owned()),
        }
    })
}

fn introduction(kind: &str, url: &str, settings: &str) -> String {
    format!(
        "A simulated {kind} listens on {url}

Let a destination deliver to it:

[destinations.crm]
{settings}
Order faults while it runs, and end them:

  curl -d '{{\"rule\":\"503x3\"}}' {url}_simulator/faults
  curl -X DELETE {url}_simulator/faults

See what it holds, and what it was asked:

  curl {url}_simulator/state
  curl {url}_simulator/requests

Ctrl-C stops it."
    )
}

/// What came of the bodies, each counted once.
#[derive(Debug, Default)]
struct Tally {
    taken: u64,
    forgotten: u64,
}

impl Tally {
    fn count(&mut self, is_taken: bool) {
        if is_taken { self.taken += 1 } else { self.forgotten += 1 }
    }
}

async fn sender(args: SenderArgs, context: &Context) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&args.duplicate_chance) {
        return Err(Failure::Usage("`--duplicate-chance` is a probability, 0 to 1".to_owned()));
    }
    let schedule = parse_schedule(&args.tries).map_err(|why| Failure::Usage(format!("`--tries`: {why}")))?;
    let sender = Arc::new(args.target.sender(context)?.with_schedule(schedule));
    if !context.json {
        eprintln!("leadwire: posting to {}", sender.url);
    }
    let mut tally = Tally::default();
    tokio::select! {
        () = work(&args, &sender, context.json, &mut tally) => {}
        stopped = interrupted() => stopped?,
    }
    eprintln!("leadwire: {} taken as success, {} forgotten after the last try", tally.taken, tally.forgotten);
    if tally.forgotten == 0 { Ok(()) } else { Err(Failure::Silent) }
}

/// Posts body after body; a body that is tried again does not keep the next ones waiting.
async fn work(args: &SenderArgs, sender: &Arc<Sender>, as_json: bool, tally: &mut Tally) {
    let mut samples = Samples::start(args.seed);
    let room = Arc::new(Semaphore::new(MOST_UNDER_WAY));
    let mut under_way = JoinSet::new();
    for number in 1..=args.count.unwrap_or(u64::MAX) {
        if number > 1 {
            tokio::time::sleep(args.every).await;
        }
        let kind = args.kind.unwrap_or_else(|| samples.pick_kind());
        let body = write(&samples.make(kind, Timestamp::now()), sender.form);
        let times = if samples.chance(args.duplicate_chance) { 2 } else { 1 };
        // Never closed, so there is always a permit in the end.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let sender = Arc::clone(sender);
        under_way.spawn(async move {
            let _permit = permit;
            send(&sender, &body, &format!("{} {number}", kind.as_str()), times, as_json).await
        });
        while let Some(ended) = under_way.try_join_next() {
            tally.count(ended.unwrap_or(false));
        }
    }
    while let Some(ended) = under_way.join_next().await {
        tally.count(ended.unwrap_or(false));
    }
}

async fn send(sender: &Sender, body: &Bytes, what: &str, times: u32, as_json: bool) -> bool {
    let mut is_taken = true;
    for time in 0..times {
        let what = if time == 0 { what.to_owned() } else { format!("{what}, once more") };
        is_taken &= sender.send(body, |tried, next| tell(&what, tried, next, as_json)).await;
    }
    is_taken
}

/// One line for each try; a closed pipe is found out by the caller's next line.
fn tell(what: &str, tried: &Try, next: Option<Duration>, as_json: bool) {
    let text = if as_json {
        json!({"at": Timestamp::now(), "what": what, "try": tried, "next_in_seconds": next.map(|next| next.as_secs_f64())}).to_string()
    } else {
        shown(what, tried, next, Timestamp::now())
    };
    let _ = line(&text);
}

fn shown(what: &str, tried: &Try, next: Option<Duration>, now: Timestamp) -> String {
    let mark = if tried.success { "✓" } else { "✗" };
    let status = tried.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
    let outcome = match next {
        _ if tried.success => "taken".to_owned(),
        Some(next) => format!("again in {next:?}"),
        None => "forgotten".to_owned(),
    };
    let answer = plain(&truncate(tried.told(), 60));
    let clock = now.strftime("%H:%M:%S");
    format!("{mark} {clock}  {what:<24}  try {}  {status}  {:>6.1} ms  {outcome:<12}  {answer}", tried.number, tried.milliseconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::connectors;

    fn context() -> Context {
        Context { config: "none".into(), connectors: connectors::builtin(), json: false, server: None }
    }

    fn tried(status: Option<u16>, success: bool) -> Try {
        let answer = status.map(|_| "{\"status\":\"x\"}".to_owned());
        Try { number: 2, success, status, answer, error: Some("127.0.0.1 cannot be reached".to_owned()), milliseconds: 1.25 }
    }

    #[test]
    fn an_unknown_kind_is_told_the_known_ones() {
        let context = context();
        assert!(choose(None, &context).is_ok());
        let Err(Failure::Usage(message)) = choose(Some("csv"), &context) else { panic!("csv has no simulation") };
        for (kind, _) in simulated(&context) {
            assert!(message.contains(kind.name), "{message}");
        }
    }

    #[test]
    fn each_order_of_the_help_is_one_that_is_taken() {
        let examples = FAULTS.lines().rev().take(5).map(str::trim);
        assert_eq!(examples.filter_map(|order| order.parse::<FaultRule>().ok()).count(), 5);
        for kind in [
            "422",
            "429:30",
            "429:daily",
            "search-lag",
            "reset-before",
            "reset-after-write",
            "error-inside",
            "invalid:FIELD",
            "garbage",
            "wrong-type",
            "echo",
            "slow-body",
            "huge-body",
            "hang",
            "latency:200ms",
            "close-idle",
        ] {
            assert!(kind.parse::<FaultRule>().is_ok() && FAULTS.contains(kind), "{kind}");
        }
    }

    #[test]
    fn the_lines_to_paste_are_a_valid_destination_of_every_kind() {
        let context = context();
        for (kind, simulation) in simulated(&context) {
            let lines = (simulation.settings)(&"http://127.0.0.1:9090/".parse().unwrap());
            let text = format!("[sources.a]\n[destinations.crm]\n{lines}[[routes]]\nto = [\"crm\"]\n");
            let settings = crate::config::parse("test.toml".as_ref(), &text, &context.connectors, std::iter::empty()).unwrap();
            assert_eq!(settings.destinations["crm"].kind, kind.name);
            assert!(introduction(kind.name, "http://127.0.0.1:9090/", &lines).contains("[destinations.crm]\ntype = "));
        }
    }

    #[test]
    fn each_try_is_a_line_that_says_what_comes_next() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let shown = |tried: &Try, next| shown("lead 3", tried, next, now);
        assert_eq!(
            shown(&tried(Some(200), true), None),
            "✓ 10:00:00  lead 3                    try 2  200     1.2 ms  taken         {\"status\":\"x\"}"
        );
        assert!(shown(&tried(Some(503), false), Some(Duration::from_secs(60))).contains("✗ 10:00:00"));
        assert!(shown(&tried(Some(503), false), Some(Duration::from_secs(60))).contains("again in 60s"));
        assert!(shown(&tried(None, false), None).ends_with("---     1.2 ms  forgotten     127.0.0.1 cannot be reached"));
    }
}
