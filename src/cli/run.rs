//! `leadwire run`: the bridge, until it is told to stop.

use super::show::note;
use super::{Context, Failure};
use crate::app::Bridge;
use crate::config::{LogFormat, Reloaded, Settings, load};
use crate::console::{Reload, Reloads, Unchanged};
use crate::door;
use crate::notify::Supervisor;
use crate::store::NewAction;
use crate::telemetry;
use std::collections::BTreeSet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Sources whose URLs are told at the start.
const MOST_ANNOUNCED: usize = 100;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    telemetry::start_logs(&settings.log.level, settings.log.format == LogFormat::Json);
    for warning in settings.told_warnings() {
        note(&format!("warning: {warning}\n"));
    }
    door::raise_limit();
    if let Err(limit) = door::enough_for(settings.server.max_connections) {
        note(&format!(
            "warning: `max_connections` is {}, and this process may have {limit} files open; raise it (`ulimit -n`, LimitNOFILE=)\n",
            settings.server.max_connections
        ));
    }
    let (mut signals, mut hangup) = (Signals::listen()?, listen(SignalKind::hangup())?);
    let (reloads, mut wished) = Reloads::new();
    let urls = Urls::of(&settings);
    // A start may wait for its store, and must end when it is told to.
    let mut bridge = tokio::select! {
        started = Box::pin(Bridge::start_with(settings, reloads)) => started.map_err(|error| Failure::Failed(error.to_string()))?,
        () = signals.stop() => return Err(Failure::Failed("stopped before it had started".to_owned())),
    };
    urls.announce(&bridge);
    let supervisor = Supervisor::of_environment();
    supervisor.ready(&at(&bridge));
    // Also while it stops: that may take longer than the watchdog's patience.
    let _ = supervisor.keep_alive();
    until_stopped(context, &mut bridge, &mut signals, (&mut hangup, &mut wished), &supervisor).await;
    supervisor.stopping();
    note("leadwire: stopping; a second signal stops at once");
    tokio::select! {
        is_settled = bridge.stop() => {
            if !is_settled {
                note("leadwire: some attempts were still under way; they are made again at the next start");
            }
            Ok(())
        }
        () = signals.stop() => Err(Failure::Failed("stopped at once; attempts under way are made again at the next start".to_owned())),
    }
}

/// Reads the configuration again as often as it is wished, until the bridge is to stop.
async fn until_stopped(
    context: &Context,
    bridge: &mut Bridge,
    signals: &mut Signals,
    (hangup, wished): (&mut Signal, &mut mpsc::Receiver<Reload>),
    supervisor: &Supervisor,
) {
    loop {
        tokio::select! {
            () = signals.stop() => return,
            _ = hangup.recv() => {
                let by = NewAction { who: "signal (SIGHUP)".to_owned(), action: "reload", target: "configuration".to_owned(), planned: 1, ..NewAction::default() };
                drop(Box::pin(reload(context, bridge, by, supervisor)).await);
            }
            Some(wish) = wished.recv() => {
                let reloaded = Box::pin(reload(context, bridge, wish.by, supervisor)).await;
                // Whoever wished it may have gone.
                drop(wish.answer.send(reloaded));
            }
        }
    }
}

async fn reload(context: &Context, bridge: &mut Bridge, by: NewAction, supervisor: &Supervisor) -> Result<Reloaded, Unchanged> {
    supervisor.reloading();
    let loaded = load(&context.config, &context.connectors, super::environment());
    let urls = loaded.as_ref().ok().map(Urls::of);
    let reloaded = match loaded {
        Ok(settings) => bridge.reload(settings, by).await,
        Err(faults) => Err(Unchanged::Faulty(faults)),
    };
    match &reloaded {
        Ok(reloaded) => {
            note(&format!("leadwire: {} was read again; {}", context.config.display(), reloaded.words()));
            reloaded.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
            if let Some(urls) = urls {
                urls.announce_sources(bridge, &reloaded.sources.added);
            }
        }
        Err(why) => note(&format!("leadwire: nothing has changed, and everything goes on as before:\n{why}")),
    }
    supervisor.ready(&at(bridge));
    reloaded
}

/// Where it is reached.
fn at(bridge: &Bridge) -> String {
    let scheme = |is_tls: bool| if is_tls { "https" } else { "http" };
    let (receiving, showing) = (scheme(bridge.speaks_tls.0), scheme(bridge.speaks_tls.1));
    format!("listening on {receiving}://{}, console on {showing}://{}", bridge.address, bridge.console)
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("signals cannot be received: {error}")))
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What is pasted into the chatbot platform.
struct Urls {
    base: Option<String>,
    scheme: &'static str,
    sources: Vec<(String, bool)>,
}

impl Urls {
    fn of(settings: &Settings) -> Self {
        Self {
            base: settings.server.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            scheme: settings.server.scheme(),
            sources: settings.sources.iter().map(|(name, source)| (name.clone(), source.signing_keys.is_empty())).collect(),
        }
    }

    fn announce(&self, bridge: &Bridge) {
        note(&format!("leadwire: {}", at(bridge)));
        self.announce_each(bridge, self.sources.iter());
    }

    fn announce_sources(&self, bridge: &Bridge, names: &[String]) {
        let names: BTreeSet<&String> = names.iter().collect();
        self.announce_each(bridge, self.sources.iter().filter(|(name, _)| names.contains(name)));
    }

    fn announce_each<'a>(&self, bridge: &Bridge, mut sources: impl Iterator<Item = &'a (String, bool)>) {
        let base = self.base.clone().unwrap_or_else(|| format!("{}://{}", self.scheme, bridge.address));
        for (name, awaits_key) in sources.by_ref().take(MOST_ANNOUNCED) {
            let remark = if *awaits_key { "  (awaits its signing key)" } else { "" };
            note(&format!("leadwire: source {name}: {base}/hooks/{name}{remark}"));
        }
        match sources.count() {
            0 => {}
            more => note(&format!("leadwire: and {more} more; `leadwire sources list` shows all of them")),
        }
    }
}
