//! The folder of the spool, as it is on disk: for a start, and for looking at it beside a running bridge.

use super::entry::Entry;
use super::frame::{Piece, scan};
use crate::store::{AuditFinding, Error, Result};
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A segment: records that wait for the store.
const SEGMENT: &str = "log";
/// Records that the store refused; looked at again at every start.
pub(super) const REFUSED: &str = "refused";
/// Bytes that were a record and are damaged; kept for a person.
pub(super) const BROKEN: &str = "broken";

/// Held by the bridge that uses the folder.
pub(super) const LOCK: &str = "spool.lock";
/// Written to see whether the folder can be written.
pub(super) const PROBE: &str = "probe.tmp";

/// What a spool folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpoolReport {
    /// Records, each of one request that was answered with success, that are not in the store yet.
    pub records: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// When the oldest of them came.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub oldest: Option<Timestamp>,
    /// Files and places of what cannot be read.
    pub unreadable: Vec<String>,
    /// Files with records that the store refused.
    pub refused: Vec<String>,
}

impl SpoolReport {
    /// What must hold of a spool, for the audit.
    #[must_use]
    pub fn findings(&self) -> [AuditFinding; 2] {
        [
            AuditFinding { invariant: "every record of the spool can be read".to_owned(), differing: self.unreadable.clone() },
            AuditFinding {
                invariant: "the store takes every record of the spool (its source and destinations are in the configuration)".to_owned(),
                differing: self.refused.clone(),
            },
        ]
    }
}

/// Reads a spool folder, which another process may be writing to. A folder that is not there holds nothing.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn inspect(folder: &Path) -> Result<SpoolReport> {
    let mut report = SpoolReport::default();
    for path in files(folder)? {
        match extension(&path) {
            SEGMENT | REFUSED => {
                // Gone since: it was brought into the store.
                let Some(found) = read_segment(&path)? else { continue };
                report.records += found.records;
                report.bytes += found.bytes;
                report.oldest = [report.oldest, found.oldest].into_iter().flatten().min();
                report.unreadable.extend(found.broken.iter().map(|at| format!("{}, from byte {at}", name(&path))));
                if extension(&path) == REFUSED {
                    report.refused.push(format!("{}: {} records", name(&path), found.records));
                }
            }
            BROKEN => report.unreadable.push(name(&path)),
            _ => report.unreadable.push(format!("{}: no file of a spool; look at it, and move it elsewhere", name(&path))),
        }
    }
    Ok(report)
}

/// What is in one segment.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) oldest: Option<Timestamp>,
    broken: Vec<usize>,
}

impl Found {
    /// How many pieces are to be brought into the store or set aside. One at least: a file in which nothing is whole must not stay.
    pub(super) fn pieces(&self) -> u64 {
        (self.records + self.broken.len() as u64).max(1)
    }
}

/// `None` when the file is gone.
pub(super) fn read_segment(path: &Path) -> Result<Option<Found>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(path, &error)),
    };
    let mut found = Found { bytes: bytes.len() as u64, ..Found::default() };
    for piece in scan(&bytes) {
        match piece {
            Piece::Record { at, payload } => match Entry::from_json(bytes.get(payload).unwrap_or_default()) {
                Ok(entry) => {
                    found.records += 1;
                    found.oldest = Some(found.oldest.map_or(entry.at, |oldest| oldest.min(entry.at)));
                }
                Err(_) => found.broken.push(at),
            },
            Piece::Broken(range) => found.broken.push(range.start),
            Piece::Torn(_) => {}
        }
    }
    Ok(Some(found))
}

/// Segments in the order in which they are brought into the store. What was refused before is older than the rest.
pub(super) fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let (refused, segments): (Vec<_>, Vec<_>) =
        files(folder)?.into_iter().filter(|path| matches!(extension(path), SEGMENT | REFUSED)).partition(|path| extension(path) == REFUSED);
    Ok([refused, segments].concat())
}

/// How many files of the folder hold what cannot be brought into the store without a person.
pub(super) fn count_aside(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.iter().filter(|path| extension(path) != SEGMENT).count() as u64)
}

/// The files of the folder, by name, which begins with the time. Folders and hidden files are the system's: a spool may be the root of
/// a disk.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(trouble(folder, &error)),
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|error| trouble(folder, &error))?;
    files.retain(|path| !name(path).starts_with('.') && ![LOCK, PROBE].contains(&name(path).as_str()) && path.is_file());
    files.sort();
    Ok(files)
}

/// What a file of the spool holds; empty for a file that is none of it.
pub(super) fn extension(path: &Path) -> &str {
    let ending = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    if name(path).starts_with("spool-") && [SEGMENT, REFUSED, BROKEN].contains(&ending) { ending } else { "" }
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A name that sorts by time, and that no file of the folder has.
pub(super) fn new_path(folder: &Path, now: Timestamp, number: u64, ending: &str) -> PathBuf {
    folder.join(format!("spool-{}-{number:06}.{ending}", now.strftime("%Y%m%dT%H%M%S%.6fZ")))
}

/// A file or folder of the spool that cannot be used. A disk may be mended in a moment; a file where a folder should be stays one.
pub(super) fn trouble(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let told = format!("the spool cannot use {}: {error}", path.display());
    match error.kind() {
        AlreadyExists | NotADirectory => Error::Refused(format!("{told}; [store] spool must be the path of a folder")),
        PermissionDenied | ReadOnlyFilesystem => Error::Unavailable(format!("{told}; the bridge's user must be able to write it")),
        StorageFull => Error::Unavailable(format!("{told}; make room on its disk")),
        _ => Error::Unavailable(told),
    }
}
