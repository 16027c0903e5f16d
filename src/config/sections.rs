//! The sections that need no connector: the listeners, the store, delivery, the log and the sources.

use super::backfill;
use super::reader::Reader;
use super::settings::{Console, Delivery, Log, Server, Source, Store, StoreUrl};
use super::spool;
use crate::store::has_postgres_password;
use leadwire_connector::settings::Secret;
use std::collections::BTreeMap;
use std::net::SocketAddr;

const LITERAL: &str = "write { env = \"NAME\" } or { file = \"/run/secrets/name\" } and give the secret there";

/// Shorter ones can be guessed over the network.
const SHORTEST_TOKEN: usize = 16;

/// Indexes and a few thousand leads.
const SMALLEST_STORE: u64 = 64 << 20;

pub(super) fn server(reader: &mut Reader<'_>) -> Server {
    let table = reader.section("server");
    reader.read(&["server"], table)
}

pub(super) fn console(reader: &mut Reader<'_>, server: &Server) -> Console {
    let table = reader.section("console");
    let console: Console = reader.read(&["console"], table);
    if collide(server.listen, console.listen) {
        let message = format!("the console listens on {}, where [server] already does", console.listen);
        reader.fault(&["console", "listen"], message, "give it a port of its own, such as \"127.0.0.1:8081\"");
    }
    match &console.token {
        Some(token) => check_token(reader, token),
        None if reader.is_faulty(&["console", "token"]) => {}
        None if console.listen.ip().is_loopback() => {
            reader.warn(&["console"], "the console has no token: everyone on this machine can read the leads", "set `token` in [console]");
        }
        None => {
            let message = format!("without a token the console listens on this machine only, not on {}", console.listen);
            reader.fault(
                &["console", "listen"],
                message,
                "set `token = { env = \"LEADWIRE_CONSOLE_TOKEN\" }` in [console], or listen on 127.0.0.1",
            );
        }
    }
    console
}

/// Port 0 is any free port, so two of those never collide.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn check_token(reader: &mut Reader<'_>, token: &Secret) {
    let path = ["console", "token"];
    if !token.expose().chars().all(|c| c.is_ascii_graphic()) {
        reader.fault(
            &path,
            "no HTTP header can carry this token",
            "use letters, digits and signs without spaces, such as the output of `openssl rand -hex 32`",
        );
    } else if token.expose().len() < SHORTEST_TOKEN {
        reader.warn(&path, "this token is short enough to be guessed", "use the output of `openssl rand -hex 32`");
    }
    if token.is_literal() && reader.layers.is_from_file(&path) {
        reader.warn(&path, "this secret stands in the file itself", LITERAL);
    }
}

pub(super) fn store(reader: &mut Reader<'_>) -> Store {
    let table = reader.section("store");
    let store: Store = reader.read(&["store"], table);
    if let StoreUrl::Postgres(url) = &store.url
        && url.is_literal()
        && has_postgres_password(url.expose())
        && reader.layers.is_from_file(&["store", "url"])
    {
        reader.warn(&["store", "url"], "the password of the database stands in the file itself", LITERAL);
    }
    spool::check(reader, &store);
    store
}

/// Warns of bounds that are legal and hurt.
pub(super) fn check_keeping(reader: &mut Reader<'_>, store: &Store, delivery: &Delivery) {
    if store.retention.is_some_and(|age| age < delivery.give_up_after) {
        reader.warn(
            &["store", "retention"],
            "`retention` is shorter than a delivery may take, `give_up_after`: a lead is forgotten while its neighbours are still tried, and              one that is sent again is a new event",
            "use at least \"7d\"",
        );
    }
    if store.max_bytes.is_some_and(|bytes| bytes < SMALLEST_STORE) {
        reader.warn(
            &["store", "max_bytes"],
            "`max_bytes` is so small that leads are forgotten soon after they were delivered",
            "use at least \"64MiB\"; a lead takes 2 to 4 KiB",
        );
    }
}

pub(super) fn delivery(reader: &mut Reader<'_>) -> Delivery {
    let table = reader.section("delivery");
    let delivery: Delivery = reader.read(&["delivery"], table);
    if delivery.backoff_initial > delivery.backoff_max {
        let place = if reader.layers.merged.get("delivery").is_some_and(|table| table.get("backoff_max").is_some()) {
            "backoff_max"
        } else {
            "backoff_initial"
        };
        reader.fault(
            &["delivery", place],
            "the longest pause, `backoff_max`, is shorter than the first, `backoff_initial`",
            "the defaults are \"1h\" and \"5s\"",
        );
    }
    delivery
}

pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    let table = reader.section("log");
    reader.read(&["log"], table)
}

pub(super) fn sources(reader: &mut Reader<'_>) -> BTreeMap<String, Source> {
    let tables = reader.named("sources");
    if tables.is_empty() && !reader.is_faulty(&["sources"]) {
        reader.fault(&["sources"], "there is no source, so nothing can be received", "add [sources.NAME]; its URL is then /hooks/NAME");
    }
    let mut sources = BTreeMap::new();
    for (name, table) in tables {
        let source: Source = reader.read(&["sources", &name], table);
        check_source(reader, &name, &source);
        if let Some(backfill) = &source.backfill {
            backfill::check(reader, &name, backfill);
        }
        sources.insert(name, source);
    }
    sources
}

fn check_source(reader: &mut Reader<'_>, name: &str, source: &Source) {
    let keys = ["sources", name, "signing_keys"];
    if source.signing_keys.is_empty() && !reader.is_faulty(&keys) {
        let message = format!(
            "the source `{name}` is awaiting its signing key: what it receives is kept in quarantine and delivered once the key is there"
        );
        reader.warn(&["sources", name], message, "save the URL at the platform, then copy the key it shows into `signing_keys`");
    }
    if source.report_only && source.allow_ips.is_empty() && !reader.is_faulty(&["sources", name, "allow_ips"]) {
        reader.warn(&["sources", name, "report_only"], "`report_only` does nothing without `allow_ips`", "add `allow_ips`, or remove it");
    }
    for (index, key) in source.signing_keys.iter().enumerate() {
        check_signing_key(reader, name, source, index, key);
    }
}

fn check_signing_key(reader: &mut Reader<'_>, name: &str, source: &Source, index: usize, key: &Secret) {
    let number = index.to_string();
    let path = ["sources", name, "signing_keys", &number];
    if source.signing_keys.iter().take(index).any(|earlier| earlier.expose() == key.expose()) {
        reader.fault(
            &path,
            format!("signing key {} of `{name}` is the same as an earlier one", index + 1),
            "remove it; the old key and the new one belong here while rotating",
        );
    }
    if key.expose().trim() != key.expose() {
        reader.warn(&path, "this signing key starts or ends with white space, and no request will match it", "copy the key again");
    }
    if key.is_literal() && reader.layers.is_from_file(&path) {
        reader.warn(&path, "this secret stands in the file itself", LITERAL);
    }
}
