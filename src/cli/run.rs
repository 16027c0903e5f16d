//! `leadwire run`: the bridge, until it is told to stop.

use super::show::note;
use super::{Context, Failure};
use crate::app::Bridge;
use crate::config::{LogFormat, Settings};
use crate::notify::Supervisor;
use crate::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    telemetry::start_logs(&settings.log.level, settings.log.format == LogFormat::Json);
    for warning in &settings.warnings {
        note(&format!("warning: {warning}\n"));
    }
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let urls = Urls::of(&settings);
    // A start may wait for its store, and must end when it is told to.
    let bridge = tokio::select! {
        started = Bridge::start(settings) => started.map_err(|error| Failure::Failed(error.to_string()))?,
        () = either(&mut interrupt, &mut terminate) => return Err(Failure::Failed("stopped before it had started".to_owned())),
    };
    urls.announce(&bridge);
    let supervisor = Supervisor::of_environment();
    supervisor.ready(&format!("listening on http://{}, console on http://{}", bridge.address, bridge.console));
    // Also while it stops: that may take longer than the watchdog's patience.
    let _ = supervisor.keep_alive();
    either(&mut interrupt, &mut terminate).await;
    supervisor.stopping();
    note("leadwire: stopping; a second signal stops at once");
    tokio::select! {
        is_settled = bridge.stop() => {
            if !is_settled {
                note("leadwire: some attempts were still under way; they are made again at the next start");
            }
            Ok(())
        }
        () = either(&mut interrupt, &mut terminate) => Err(Failure::Failed("stopped at once; attempts under way are made again at the next start".to_owned())),
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("signals cannot be received: {error}")))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// What is pasted into the chatbot platform.
struct Urls {
    base: Option<String>,
    sources: Vec<(String, bool)>,
}

impl Urls {
    fn of(settings: &Settings) -> Self {
        Self {
            base: settings.server.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            sources: settings.sources.iter().map(|(name, source)| (name.clone(), source.signing_keys.is_empty())).collect(),
        }
    }

    fn announce(&self, bridge: &Bridge) {
        let base = self.base.clone().unwrap_or_else(|| format!("http://{}", bridge.address));
        note(&format!("leadwire: listening on http://{}, console on http://{}", bridge.address, bridge.console));
        for (name, awaits_key) in &self.sources {
            let remark = if *awaits_key { "  (awaits its signing key)" } else { "" };
            note(&format!("leadwire: source {name}: {base}/hooks/{name}{remark}"));
        }
    }
}
