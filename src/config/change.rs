//! What is different in other settings, and what of it a running bridge cannot take.

use super::Traces;
use super::settings::{Console, Log, Server, Settings, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names that are new, that mean something else now, and that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// New ones.
    pub added: Vec<String>,
    /// Those with other settings.
    pub changed: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

impl Changed {
    /// Compares what was with what is, by name.
    #[must_use]
    pub fn between<A, B>(old: &BTreeMap<String, A>, new: &BTreeMap<String, B>, is_same: impl Fn(&A, &B) -> bool) -> Self {
        let mut changed = Self::default();
        for (name, settings) in new {
            match old.get(name) {
                None => changed.added.push(name.clone()),
                Some(known) if !is_same(known, settings) => changed.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        changed.removed = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        changed
    }

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// `added a, b; removed c`; empty without a difference.
    #[must_use]
    pub fn words(&self) -> String {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let told = parts.into_iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("{what} {}", names.join(", ")));
        told.collect::<Vec<_>>().join("; ")
    }
}

/// What came of taking other settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The sources.
    pub sources: Changed,
    /// The destinations. What is pending at those that are gone stays in the store, and is delivered when they are there again.
    pub destinations: Changed,
    /// Keys whose change is seen only after a restart.
    pub needs_restart: Vec<String>,
    /// What is legal but probably not meant, a sentence each.
    pub warnings: Vec<String>,
}

impl Reloaded {
    /// For people, in a line.
    #[must_use]
    pub fn words(&self) -> String {
        let told = |what: &str, changed: &Changed| if changed.is_empty() { None } else { Some(format!("{what}: {}", changed.words())) };
        let restart = (!self.needs_restart.is_empty()).then(|| format!("only after a restart: {}", self.needs_restart.join(", ")));
        let parts: Vec<String> =
            [told("sources", &self.sources), told("destinations", &self.destinations), restart].into_iter().flatten().collect();
        if parts.is_empty() { "no source and no destination is another".to_owned() } else { parts.join("; ") }
    }
}

/// What a bridge took at its start and keeps until its end: sockets, the store, the log, the traces.
#[derive(Debug)]
pub struct Lasting {
    server: Server,
    console: Console,
    store: Store,
    log: Log,
    traces: Option<Traces>,
}

impl Lasting {
    /// Of the settings that a bridge starts with.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let Settings { server, console, store, log, traces, .. } = settings;
        Self { server: server.clone(), console: console.clone(), store: store.clone(), log: log.clone(), traces: traces.clone() }
    }

    /// Whether the console listens elsewhere by these settings, or speaks TLS where it did not. Then nothing of its section is taken: who may come and where it listens
    /// were checked together, and one without the other may let in everybody.
    #[must_use]
    pub fn has_other_console(&self, settings: &Settings) -> bool {
        self.console.listen != settings.console.listen || self.console.tls != settings.console.tls
    }

    /// The keys of these settings that only a restart takes.
    #[must_use]
    pub fn needs_restart(&self, settings: &Settings) -> Vec<String> {
        let (server, store) = (&settings.server, &settings.store);
        let keys = [
            ("server.listen", self.server.listen != server.listen),
            ("server.tls (with it or without it)", self.server.tls.is_some() != server.tls.is_some()),
            ("server.tls.redirect", redirect(&self.server) != redirect(server)),
            ("server.workers", self.server.workers != server.workers),
            ("server.max_connections", self.server.max_connections != server.max_connections),
            ("server.request_timeout (of a head)", head(&self.server) != head(server)),
            ("server.shutdown_timeout", self.server.shutdown_timeout != server.shutdown_timeout),
            ("console (all of it, because of its listen or tls)", self.has_other_console(settings)),
            ("store.url", self.store.url != store.url),
            ("store.spool", self.store.spool != store.spool),
            ("store.spool_max_bytes", self.store.spool_max_bytes != store.spool_max_bytes),
            ("log", self.log != settings.log),
            ("traces", self.traces != settings.traces),
        ];
        keys.into_iter().filter(|(_, is_other)| *is_other).map(|(key, _)| key.to_owned()).collect()
    }
}

/// What the listener was given for the head of a request; see `receive::listen`.
fn head(server: &Server) -> std::time::Duration {
    server.request_timeout.min(std::time::Duration::from_secs(15))
}

fn redirect(server: &Server) -> Option<std::net::SocketAddr> {
    server.tls.as_ref().and_then(|tls| tls.redirect)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn named(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_is_new_another_or_gone_is_told_by_name() {
        let changed = Changed::between(&named(&[("a", 1), ("b", 1), ("c", 1)]), &named(&[("b", 2), ("c", 1), ("d", 1)]), |a, b| a == b);
        assert_eq!(changed.words(), "added d; changed b; removed a");
        assert!(Changed::between(&named(&[("a", 1)]), &named(&[("a", 1)]), |a, b| a == b).is_empty());
    }

    #[test]
    fn what_only_a_restart_takes_is_told() {
        let parse = |text: &str| {
            let text = format!("{text}\n[sources.a]\nsigning_keys = [\"k\"]");
            super::super::parse(std::path::Path::new("l.toml"), &text, &crate::connectors::Connectors::default(), std::iter::empty())
                .unwrap()
        };
        let lasting = Lasting::of(&parse(""));
        assert_eq!(lasting.needs_restart(&parse("[store]\nretention = \"90d\"\n[delivery]\ntimeout = \"9s\"")), Vec::<String>::new());
        let other = parse("[server]\nlisten = \"127.0.0.1:9\"\n[store]\nurl = \"sqlite:b.db\"\n[log]\nlevel = \"debug\"");
        assert_eq!(lasting.needs_restart(&other), ["server.listen", "store.url", "log"]);
    }
}
