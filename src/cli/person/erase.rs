//! `leadwire person erase`: says what there is, asks, erases, and certifies.

use super::certificate::{Certificate, Interrupted, Progress, RowLeft};
use super::find::{self, Found, Search};
use super::{Context, Failure, Scene, must_be_new, to_json, write_private};
use crate::cli::show::{ask, line, note};
use crate::cli::{time, who};
use crate::deliver::erasure;
use crate::normalize::Subject;
use crate::store::{DestinationId, Erasing, ErasureResult, EventRow, Needle};
use jiff::Timestamp;
use leadwire_connector::Person;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events erased in one transaction: short enough that an answer waiting behind it does not notice.
const PIECE: usize = 100;
/// More rounds than a person can post into.
const ROUNDS: usize = 10;
/// How long a running bridge is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// A shorter text is in the data of many.
const NEEDLE_LEAST: usize = 6;

/// What was asked for.
pub(super) struct Wish {
    pub(super) mentions: bool,
    pub(super) yes: bool,
    pub(super) certificate: Option<PathBuf>,
}

pub(super) async fn run(scene: &Scene, mut wish: Wish, context: &Context) -> Result<(), Failure> {
    let interrupted = find_interrupted(scene).await?;
    wish.mentions |= interrupted.as_ref().is_some_and(|known| known.head.mentions_included);
    let mut search = Search::new(scene);
    let found = search.round().await?;
    found.tell(scene, wish.mentions);
    let (is_fresh, begun_at) = (interrupted.is_none(), interrupted.as_ref().map(|known| known.unfinished.owed.begun_at));
    if let Some(at) = begun_at {
        note(&format!("leadwire: an erasure of them that was begun at {} is not finished; this goes on with it", time::long(at)));
    }
    let mut certificate = Certificate::new(scene, &found, wish.mentions, interrupted);
    wish.certificate.as_deref().map_or(Ok(()), |path| must_be_new_or(path, &certificate, &scene.subject))?;
    if !wish.yes && !ask("Erase all of this for good?", "this erases for good; add --yes to do it without being asked")? {
        return Err(Failure::Failed("nothing was erased".to_owned()));
    }
    // Before the first row goes, so that a file that cannot be written stops it here, and the records are on paper.
    write(&certificate, &wish, context)?;
    certificate.begin();
    // The trail names nobody: whom it was is in the certificate.
    let new = who::acts("erase", "a person", 0, format!("certificate {}", certificate.id()));
    let action = scene.store.begin_action(new, Timestamp::now()).await?;
    let erased = finish(scene, (&mut search, found), &wish, &mut certificate, is_fresh).await;
    let failure = erased.as_ref().err().map(|_| "interrupted; the same command goes on with it".to_owned());
    scene.store.end_action(action, certificate.count_events(), failure, Timestamp::now()).await?;
    erased?;
    certificate.conclude();
    write(&certificate, &wish, context)?;
    line(&to_json(&certificate, context)?)?;
    if certificate.state == Progress::Complete {
        return Ok(scene.store.certify(certificate.id()).await?);
    }
    note("leadwire: the erasure is not complete; see incomplete_because. The same command goes on with it");
    Err(Failure::Silent)
}

/// From the first row that goes to the last look for remains.
async fn finish(
    scene: &Scene,
    (search, found): (&mut Search<'_>, Found),
    wish: &Wish,
    certificate: &mut Certificate,
    is_fresh: bool,
) -> Result<(), Failure> {
    let needles = erase_rounds(scene, search, found, wish, certificate).await?;
    if !is_fresh {
        ask_again(scene, certificate).await?;
    }
    carry_out(scene, certificate).await?;
    certificate.rows_left = rows_left(scene, certificate)?;
    scrub(scene, needles, !is_fresh, certificate).await;
    Ok(())
}

async fn find_interrupted(scene: &Scene) -> Result<Option<Interrupted>, Failure> {
    let unfinished = scene.store.unfinished_erasures().await?;
    Ok(unfinished.into_iter().find_map(|unfinished| Interrupted::of(&scene.subject, unfinished)))
}

/// A file that holds the same certificate, from before an interruption, is replaced; nothing else is.
fn must_be_new_or(path: &Path, certificate: &Certificate, subject: &Subject) -> Result<(), Failure> {
    let is_ours = std::fs::read_to_string(path).is_ok_and(|text| certificate.is_in(&text, subject));
    if is_ours { Ok(()) } else { must_be_new(path) }
}

fn write(certificate: &Certificate, wish: &Wish, context: &Context) -> Result<(), Failure> {
    wish.certificate.as_ref().map_or(Ok(()), |path| write_private(path, &to_json(certificate, context)?))
}

/// Erases what was found, and then what came meanwhile, until nothing more comes. Returns what must be nowhere any more.
async fn erase_rounds(
    scene: &Scene,
    search: &mut Search<'_>,
    mut found: Found,
    wish: &Wish,
    certificate: &mut Certificate,
) -> Result<Vec<Needle>, Failure> {
    let mut needles = BTreeSet::new();
    for _ in 0..ROUNDS {
        found.events_meant(wish.mentions).for_each(|(why, row)| collect(&mut needles, &scene.subject, row, *why));
        let events: Vec<Uuid> = found.events_meant(wish.mentions).map(|(_, row)| row.event.id).collect();
        for piece in events.chunks(PIECE) {
            let erasing = Erasing { events: piece.to_vec(), owed: Some(certificate.owed()?), ..Erasing::default() };
            certificate.add(scene, scene.store.erase(erasing, Timestamp::now()).await?);
        }
        let quarantined = found.bodies.iter().map(|row| row.id).collect();
        let kept = rows_without_event(scene, &found, &events, wish.mentions);
        let erasing = Erasing { events: Vec::new(), quarantined, kept, owed: Some(certificate.owed()?) };
        certificate.add(scene, scene.store.erase(erasing, Timestamp::now()).await?);
        found = search.round().await?;
        // Rows stay until connectors have removed them, and are found again.
        if found.events_meant(wish.mentions).next().is_none() && found.bodies.is_empty() {
            break;
        }
    }
    needles.extend(scene.subject.email().map(|email| ("email", email.to_owned())));
    needles.extend(scene.subject.numbers().iter().map(|number| ("phone", number.clone())));
    Ok(spellings(needles))
}

/// Rows of events that have left the store, by delivery.
fn rows_without_event(scene: &Scene, found: &Found, events: &[Uuid], mentions: bool) -> Vec<(DestinationId, String)> {
    let events: HashSet<String> = events.iter().map(Uuid::to_string).collect();
    let has_event = |delivery: &str| delivery.split_once('_').is_some_and(|(event, _)| events.contains(event));
    let rows = found.rows_meant(mentions).filter(|(_, _, kept)| !kept.delivery.is_empty() && !has_event(&kept.delivery));
    rows.filter_map(|(_, name, kept)| Some((scene.store.destination_id(name)?, kept.delivery.clone()))).collect()
}

/// What connectors could not remove before the interruption may have been mended since.
async fn ask_again(scene: &Scene, certificate: &mut Certificate) -> Result<(), Failure> {
    let mut erasures = scene.store.erasures(certificate.begun_at()).await?;
    let is_left = |result: Option<&str>| matches!(result, Some("left" | "not_found" | "unknown_destination"));
    erasures.retain(|erasure| certificate.is_erased(&erasure.delivery) && is_left(erasure.result.as_deref()));
    let kept = erasures.into_iter().map(|erasure| (erasure.destination_id, erasure.delivery)).collect();
    let erasing = Erasing { kept, owed: Some(certificate.owed()?), ..Erasing::default() };
    certificate.add(scene, scene.store.erase(erasing, Timestamp::now()).await?);
    Ok(())
}

/// Has the connectors remove what they keep on our side: here when no bridge holds it, and else by the bridge.
async fn carry_out(scene: &Scene, certificate: &mut Certificate) -> Result<(), Failure> {
    let since = certificate.begun_at();
    let started_at = Instant::now();
    for (name, open) in erasure::open_by_destination(&scene.store.erasures(since).await?) {
        match scene.destinations.get(&name) {
            // Set up for this and closed at once, so that a bridge that wants its folder finds it free.
            Some(connector) => {
                if let Err(why) = erasure::carry_out(&scene.store, &connector.again(), &open).await {
                    note(&format!("leadwire: destination {name}: left to a running bridge, for up to {} s ({why})", PATIENCE.as_secs()));
                }
            }
            None => scene.store.finish_erasures(ErasureResult::of_unknown(&open), Timestamp::now()).await?,
        }
    }
    loop {
        let mut erasures = scene.store.erasures(since).await?;
        erasures.retain(|erasure| certificate.is_erased(&erasure.delivery));
        if erasures.iter().all(|erasure| erasure.done_at.is_some()) || started_at.elapsed() > PATIENCE {
            certificate.add_erasures(scene, erasures);
            return Ok(());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Looks through the files once more: what is there of an erased delivery, or names the person in a cell of its own.
fn rows_left(scene: &Scene, certificate: &Certificate) -> Result<Vec<RowLeft>, Failure> {
    let rows = find::look_at_files(scene, &[])?;
    let is_left = |why: find::Why, delivery: &str| why == find::Why::Person || certificate.is_erased(delivery);
    Ok(rows
        .into_iter()
        .filter(|(why, _, kept)| is_left(*why, &kept.delivery))
        .map(|(_, destination, kept)| RowLeft { destination, place: kept.place, row: kept.number, delivery: kept.delivery })
        .collect())
}

/// After an interruption, what of the names was erased before is no longer known: the file is written anew whatever is found.
async fn scrub(scene: &Scene, needles: Vec<Needle>, anew: bool, certificate: &mut Certificate) {
    let bar = find::bar(0, "{bar:30} {bytes} of {total_bytes} of the store looked through for remains");
    let shown = bar.clone();
    let progress = Arc::new(move |done, total| {
        shown.set_length(total);
        shown.set_position(done);
    });
    match scene.store.scrub(needles, anew, progress).await {
        Ok(scrubbed) => certificate.store = Some(scrubbed),
        Err(error) => certificate.incomplete_because.push(format!("the store's files were not looked through for remains: {error}")),
    }
    bar.finish_and_clear();
}

/// What of an event is to be nowhere any more: its contacts as stored and as sent, and its names together.
fn collect(needles: &mut BTreeSet<(&'static str, String)>, subject: &Subject, row: &EventRow, why: find::Why) {
    let mut contacts = Vec::new();
    strings(&row.event.raw, &mut |text| contacts.extend(Some(text.trim().to_owned()).filter(|text| subject.is(Some(text), Some(text)))));
    let person = &row.event.person;
    // An event that only mentions the person has the names and contacts of somebody else.
    if why != find::Why::Mention {
        contacts.extend(person.email.iter().chain(&person.phone).cloned());
        needles.extend(names(person).into_iter().map(|name| ("name", name)));
    }
    needles.extend(contacts.into_iter().map(|contact| (if contact.contains('@') { "email" } else { "phone" }, contact)));
}

/// As people write it, and as the stored event has it.
fn names(person: &Person) -> Vec<String> {
    let (Some(first), Some(last)) = (&person.first_name, &person.last_name) else { return Vec::new() };
    let stored = format!("\"first_name\":{},\"last_name\":{}", Value::from(first.as_str()), Value::from(last.as_str()));
    vec![format!("{first} {last}"), stored]
}

fn strings(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, each)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, each)),
        _ => {}
    }
}

/// Each text in lower case, as the store's files are looked through, and as it stands in JSON with and without escapes.
fn spellings(texts: BTreeSet<(&'static str, String)>) -> Vec<Needle> {
    let mut all = BTreeSet::new();
    for (label, text) in texts {
        let json = Value::from(text.as_str()).to_string();
        let json = json.trim_matches('"').to_owned();
        let ascii: String = text
            .encode_utf16()
            .map(|unit| char::from_u32(unit.into()).filter(char::is_ascii).map_or_else(|| format!("\\u{unit:04x}"), String::from))
            .collect();
        all.extend([text, json, ascii].map(|text| (label, text.to_ascii_lowercase())));
    }
    all.into_iter().filter(|(_, text)| text.len() >= NEEDLE_LEAST).map(|(label, text)| Needle { label, text }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_name_is_looked_for_as_it_is_written_anywhere() {
        let person = Person { first_name: Some("José".to_owned()), last_name: Some("O\"Neil".to_owned()), ..Person::default() };
        let texts = names(&person).into_iter().map(|name| ("name", name)).collect();
        let needles: Vec<String> = spellings(texts).into_iter().map(|needle| needle.text).collect();
        for text in ["josé o\"neil", "josé o\\\"neil", "jos\\u00e9 o\"neil", "\"first_name\":\"josé\",\"last_name\":\"o\\\"neil\""] {
            assert!(needles.iter().any(|needle| needle == text), "{text}: {needles:?}");
        }
    }

    #[test]
    fn a_lone_first_name_is_no_proof_of_anything() {
        assert!(names(&Person { first_name: Some("Al".to_owned()), ..Person::default() }).is_empty());
        assert!(spellings(BTreeSet::from([("name", "Al B".to_owned())])).is_empty());
    }
}
