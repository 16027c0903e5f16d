//! `leadwire person export`: everything that is held of a person, as one document.

use super::find::{Found, Search, Why};
use super::{Context, Failure, Scene, must_be_new, to_json, write_private};
use crate::cli::show::{line, note};
use crate::store::QuarantineRow;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use leadwire_connector::timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is out of reach.
const NOT_COVERED: [&str; 3] = [
    "what the destinations themselves hold: their records are named under `deliveries` of each event",
    "backups of the store, and files that were moved out of the folders of the destinations",
    "logs of other systems on the way, such as a proxy",
];

pub(super) async fn run(scene: &Scene, output: Option<PathBuf>, mentions: bool, context: &Context) -> Result<(), Failure> {
    output.as_deref().map_or(Ok(()), must_be_new)?;
    let found = Search::new(scene).round().await?;
    found.tell(scene, mentions);
    let text = to_json(&document(scene, &found, mentions).await?, context)?;
    match output {
        Some(path) => {
            write_private(&path, &text)?;
            note(&format!("leadwire: written to {}, which only you can read", path.display()));
            Ok(())
        }
        None => line(&text),
    }
}

async fn document(scene: &Scene, found: &Found, mentions: bool) -> Result<Value, Failure> {
    let mut events = Vec::new();
    for (why, row) in found.events_meant(mentions) {
        if let Some(detail) = scene.store.event(row.event.id).await? {
            events.push(json!({"found_as": why, "event": detail}));
        }
    }
    let mut quarantined = Vec::new();
    for row in &found.bodies {
        quarantined.extend(body(scene, row).await?);
    }
    let files: Vec<Value> = found.rows_meant(mentions).map(|(why, destination, kept)| row(*why, destination, kept)).collect();
    let left_out: Vec<_> = found.events.iter().filter(|(why, _)| *why == Why::Mention && !mentions).map(|(_, row)| row.event.id).collect();
    Ok(json!({
        "schema": "leadwire-person-export/1",
        "exported_at": timestamp::format(Timestamp::now()),
        "version": env!("CARGO_PKG_VERSION"),
        "subject": {"email": scene.subject.email(), "phone": scene.subject.numbers()},
        "events": events,
        "quarantined": quarantined,
        "files": files,
        "mentions_left_out": left_out,
        "not_covered": NOT_COVERED,
    }))
}

fn row(why: Why, destination: &str, kept: &leadwire_connector::Kept) -> Value {
    let cells: serde_json::Map<String, Value> = kept.values.iter().map(|(name, cell)| (name.clone(), json!(cell))).collect();
    json!({"found_as": why, "destination": destination, "file": kept.place, "row": kept.number, "delivery": kept.delivery, "cells": cells})
}

/// The body as text, or as base64 when it is none; nothing when it has left the quarantine meanwhile.
async fn body(scene: &Scene, row: &QuarantineRow) -> Result<Option<Value>, Failure> {
    let found = scene.store.stored_bodies(row.id - 1, 1).await?.into_iter().find(|(found, _)| found.id == row.id);
    Ok(found.map(|(row, body)| match String::from_utf8(body) {
        Ok(text) => json!({"found_as": Why::Mention, "quarantined": row, "body": text}),
        Err(error) => json!({"found_as": Why::Mention, "quarantined": row, "body_base64": BASE64_STANDARD.encode(error.as_bytes())}),
    }))
}
