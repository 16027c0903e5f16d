//! The sections that need no connector: the public listener, the store, delivery, the log and the sources.

use super::backfill;
use super::reader::Reader;
use super::settings::{Delivery, Log, Server, Source, Store, StoreUrl};
use super::spool;
use super::tls;
use crate::store::has_postgres_password;
use leadwire_connector::settings::Secret;
use std::collections::BTreeMap;

pub(super) const LITERAL: &str = "write { env = \"NAME\" } or { file = \"/run/secrets/name\" } and give the secret there";

/// Indexes and a few thousand leads.
const SMALLEST_STORE: u64 = 64 << 20;

pub(super) fn server(reader: &mut Reader<'_>) -> Server {
    let server = server_alone(reader);
    tls::check(reader, &server);
    server
}

/// As it is written, without a look at the files it names.
pub(super) fn server_alone(reader: &mut Reader<'_>) -> Server {
    let table = reader.section("server");
    reader.read(&["server"], table)
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
