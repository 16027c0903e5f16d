//! A restore drill: can a copy be opened, is every page whole, and does the ledger agree with the rows?

use super::audit::audit;
use super::open::{find_log, open_immutable};
use super::size::read_space;
use super::{Error, Result, Sqlite, moment, open_reader, schema};
use crate::store::{AuditReport, Verification};
use leadwire_connector::Event;
use rusqlite::{Connection, ErrorCode};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Damages told, at most.
const SHOWN: usize = 20;

/// Looks at the file without writing to it or beside it. What is wrong with the file is a finding, never an error.
pub(in crate::store) fn verify(file: &Path) -> Verification {
    let mut verification = Verification::new(file);
    if let Err(error) = look(file, &mut verification) {
        verification.findings.push(error.to_string());
    }
    verification
}

fn look(file: &Path, verification: &mut Verification) -> Result<()> {
    check_start(file)?;
    if let Some(log) = find_log(file) {
        return Err(Error::Refused(format!(
            "{} is beside it: this is a store in use, or a plain copy of one, not a backup; make one with `leadwire store backup`",
            log.display()
        )));
    }
    let connection = open_immutable(file).map_err(damaged)?;
    let version = schema::read_version(&connection).map_err(damaged)?;
    verification.schema = Some(version);
    if version == 0 {
        return Err(Error::Refused("it is empty: no store was ever made in it".to_owned()));
    }
    let damages = find_damages(&connection, "integrity_check")?;
    let is_whole = damages.is_empty();
    verification.findings.extend(damages);
    if !is_whole {
        return Ok(());
    }
    if version == schema::NEWEST {
        return look_inside(&connection, verification);
    }
    // The drill goes on with a copy, brought up to date as a restored store would be.
    drop(connection);
    let folder = tempfile::tempdir().map_err(|error| {
        Error::Unavailable(format!("a temporary folder for the drill cannot be made: {error}; make room, or set TMPDIR"))
    })?;
    let copy = folder.path().join("copy.db");
    std::fs::copy(file, &copy).map_err(|error| {
        Error::Unavailable(format!(
            "it cannot be copied to {} for the drill: {error}; make room there, or set TMPDIR",
            folder.path().display()
        ))
    })?;
    drop(Sqlite::open(&copy, [], [])?);
    look_inside(&open_reader(&copy)?, verification)
}

fn damaged(error: Error) -> Error {
    if let Error::Unavailable(_) = error { Error::Refused("damaged: its beginning cannot be read".to_owned()) } else { error }
}

fn check_start(file: &Path) -> Result<()> {
    let unreadable = |error: std::io::Error| Error::Unavailable(format!("it cannot be read: {error}{}", remedy(&error)));
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Error::Refused("it is no file; name a backup".to_owned()));
    }
    let mut start = Vec::new();
    std::fs::File::open(file).and_then(|file| file.take(16).read_to_end(&mut start)).map_err(unreadable)?;
    match start.as_slice() {
        [] => Err(Error::Refused("it is empty".to_owned())),
        found if found == MAGIC => Ok(()),
        _ => Err(Error::Refused("it is no SQLite file, so it is no backup of Leadwire".to_owned())),
    }
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "; name a backup that is there",
        ErrorKind::PermissionDenied => "; this user must be able to read it",
        _ => "",
    }
}

/// Reads every page. `check` is SQLite's `integrity_check`, or the quicker `quick_check`, which does not compare indexes with rows.
pub(super) fn find_damages(connection: &Connection, check: &str) -> Result<Vec<String>> {
    let read = || {
        let mut query = connection.prepare(&format!("PRAGMA {check}({SHOWN})"))?;
        query.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    match read() {
        Ok(found) => Ok(found.into_iter().filter(|text| text != "ok").map(|text| format!("damaged: {text}")).collect()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(vec![format!("damaged: {error}")]),
        Err(error) => Err(error.into()),
    }
}

fn look_inside(connection: &Connection, verification: &mut Verification) -> Result<()> {
    verification.findings.extend(check_schema(connection)?);
    let report = audit(connection)?;
    verification.findings.extend(broken(&report));
    verification.findings.extend(find_unreadable(connection)?);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    verification.events = number("SELECT count(*) FROM event")?.unwrap_or(0);
    verification.oldest = number("SELECT min(received_at) FROM event")?.map(moment);
    verification.newest = number("SELECT max(received_at) FROM event")?.map(moment);
    verification.quarantine_bodies = number("SELECT count(*) FROM quarantine")?.unwrap_or(0);
    if let Some(origin) = read_unfinished(connection)? {
        verification.findings.push(format!("only a part of the leads is here: a transfer from {origin} was not finished"));
    }
    verification.used_bytes = read_space(connection)?.used_bytes();
    verification.audit = Some(report);
    Ok(())
}

fn check_schema(connection: &Connection) -> Result<Vec<String>> {
    let (mut found, expected) = (schema::read_objects(connection)?, schema::expected_objects()?);
    let mut findings = Vec::new();
    for (name, sql) in &expected {
        match found.remove(name) {
            None => findings.push(format!("the schema lacks {name}")),
            Some(other) if other != *sql => findings.push(format!("{name} is not as this program makes it")),
            Some(_) => {}
        }
    }
    findings.extend(found.keys().map(|name| format!("{name} does not belong into a store")));
    Ok(findings)
}

fn broken(report: &AuditReport) -> impl Iterator<Item = String> {
    let broken = report.findings.iter().filter(|finding| !finding.differing.is_empty());
    broken.map(|finding| format!("does not hold: {} ({})", finding.invariant, finding.differing.join("; ")))
}

/// SQLite keeps no checksums, so that a page may look whole while what is written on it is not what it was.
fn find_unreadable(connection: &Connection) -> Result<Vec<String>> {
    let mut query = connection.prepare("SELECT seq, body FROM event ORDER BY seq")?;
    let (mut rows, mut findings) = (query.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        if serde_json::from_slice::<Event>(body).is_err() {
            findings.push(format!("event {} cannot be read", row.get::<_, i64>(0)?));
        }
        if findings.len() >= SHOWN {
            break;
        }
    }
    Ok(findings)
}

fn read_unfinished(connection: &Connection) -> Result<Option<String>> {
    let mut query = connection.prepare("SELECT origin FROM transfer WHERE finished_at IS NULL")?;
    let mut origins = query.query_map([], |row| row.get(0))?;
    Ok(origins.next().transpose()?)
}
