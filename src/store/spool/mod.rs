//! The emergency spool: where requests are kept, durably and in order, while the store is sick.
//!
//! Segments of records in a folder, on another volume than the store. A record is durable before it is answered with success, and its
//! segment is removed when all its records are committed in the store. A record may be brought into the store twice, which is
//! harmless: content keys make the second time a duplicate.

pub(super) mod entry;
mod folder;
mod frame;
#[cfg(test)]
mod tests;
mod writer;

pub use folder::{SpoolReport, inspect};

use super::{Error, Result};
use entry::Entry;
use folder::{BROKEN, LOCK, REFUSED, count_aside, extension, name, new_path, read_segment, segments, trouble};
use frame::{Piece, encode, scan};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use writer::{Append, Job};

/// What is left below the bound when the spool counts as full: the next lead may not fit.
const SPARE_BYTES: u64 = 64 << 10;

/// A spool as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpoolStatus {
    /// Records that are not in the store yet.
    pub records: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// When the oldest of them came.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub oldest: Option<Timestamp>,
    /// Whether it takes more: it is not full, and its last write succeeded.
    pub takes_more: bool,
    /// Files with damaged or refused records, or that are none of the spool; each needs a person.
    pub set_aside: u64,
}

/// A segment whose records are not all in the store.
#[derive(Debug, Clone)]
struct Segment {
    path: PathBuf,
    /// Damaged ones too.
    records: u64,
    bytes: u64,
    oldest: Option<Timestamp>,
    /// Everything before is in the store.
    done: usize,
}

/// What the writer thread and the others know together.
#[derive(Debug)]
struct Shelf {
    folder: PathBuf,
    max_bytes: u64,
    /// Records that are being written, or are written and not in the store yet.
    pending: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    has_failed: bool,
    set_aside: u64,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes_left(&self) -> u64 {
        self.max_bytes.saturating_sub(self.lock().segments.iter().map(|segment| segment.bytes).sum())
    }

    /// A record was counted, and is not written.
    fn uncount(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    fn note_write(&self, error: Option<&Error>) {
        let mut state = self.lock();
        if let (Some(error), false) = (error, state.has_failed) {
            tracing::error!("the spool takes nothing for now: {error}");
        }
        state.has_failed = error.is_some();
    }

    fn note_records(&self, path: &Path, records: u64, bytes: u64, oldest: Option<Timestamp>) {
        let mut state = self.lock();
        match state.segments.back_mut().filter(|segment| segment.path == path) {
            Some(segment) => {
                segment.records += records;
                segment.bytes += bytes;
            }
            None => state.segments.push_back(Segment { path: path.to_owned(), records, bytes, oldest, done: 0 }),
        }
    }
}

/// The spool of a running bridge.
#[derive(Debug)]
pub struct Spool {
    shelf: Arc<Shelf>,
    jobs: Sender<Job>,
    _lock: File,
}

/// A record on its way into the store: the place behind it, and what it says or why it cannot be read.
pub(super) struct Reading {
    pub(super) end: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) entry: Result<Entry>,
}

/// Why a record cannot be brought into the store.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aside {
    /// It can be read, and the store refuses it. Tried again at the next start.
    Refused,
    /// It cannot be read.
    Broken,
}

impl Spool {
    /// Opens the folder, which is made when it is not there. What an earlier run left counts as pending.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be used, `Refused` when another bridge uses it.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| trouble(folder, &error))?;
        let path = folder.join(LOCK);
        let lock = writer::create_or_empty(&path).map_err(|error| trouble(&path, &error))?;
        lock.try_lock().map_err(|_| {
            Error::Refused(format!("another bridge uses the spool {}; give each a folder of its own in [store] spool", folder.display()))
        })?;
        let state = State { set_aside: count_aside(folder)?, segments: read_all(folder)?, has_failed: false };
        let pending = AtomicU64::new(state.segments.iter().map(|segment| segment.records).sum());
        let shelf = Arc::new(Shelf { folder: folder.to_owned(), max_bytes, pending, state: Mutex::new(state) });
        Ok(Self { jobs: writer::start(Arc::clone(&shelf))?, shelf, _lock: lock })
    }

    /// Writes a record. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when it is full or cannot write; `Refused` when the record is too long for it.
    pub(super) async fn append(&self, entry: &Entry) -> Result<()> {
        let mut frame = Vec::new();
        encode(&entry.to_json()?, &mut frame).map_err(|_| Error::Refused("the request is too long for the spool".to_owned()))?;
        let (reply, answer) = oneshot::channel();
        // Counted before it is written: whoever sees none pending may write to the store without overtaking anything.
        self.shelf.pending.fetch_add(1, Ordering::AcqRel);
        self.send(Job::Append(Append { frame, at: entry.at, reply }))?;
        answer.await.map_err(|_| gone())?
    }

    /// Whether records are not in the store yet.
    pub(super) fn pending(&self) -> u64 {
        self.shelf.pending.load(Ordering::Acquire)
    }

    pub(super) fn status(&self) -> SpoolStatus {
        let state = self.shelf.lock();
        let bytes = state.segments.iter().map(|segment| segment.bytes).sum();
        SpoolStatus {
            records: self.pending(),
            bytes,
            oldest: state.segments.iter().filter_map(|segment| segment.oldest).min(),
            takes_more: !state.has_failed && bytes + SPARE_BYTES <= self.shelf.max_bytes,
            set_aside: state.set_aside,
        }
    }

    /// Looks whether the folder can be written again, if it could not.
    pub(super) async fn look_again(&self) {
        if !self.shelf.lock().has_failed {
            return;
        }
        let (reply, answer) = oneshot::channel();
        if self.send(Job::Probe(reply)).is_ok() && matches!(answer.await, Ok(Ok(()))) {
            tracing::info!("the spool can be written again");
        }
    }

    /// Counts anew what needs a person: files come into the folder, and go, by other hands too.
    pub(super) fn count_aside(&self) {
        if let Ok(count) = count_aside(&self.shelf.folder) {
            self.shelf.lock().set_aside = count;
        }
    }

    fn send(&self, job: Job) -> Result<()> {
        self.jobs.send(job).map_err(|_| gone())
    }
}

/// Bringing records into the store.
impl Spool {
    /// What is not in the store yet of the oldest segment, in order; `None` when there is no segment. It gets no more records.
    pub(super) async fn read_oldest(&self) -> Result<Option<Vec<Reading>>> {
        let (reply, closed) = oneshot::channel();
        self.send(Job::Close(reply))?;
        closed.await.map_err(|_| gone())?;
        let Some(segment) = self.shelf.lock().segments.front().cloned() else { return Ok(None) };
        let work = move || read_rest(&segment);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(gone())).map(Some)
    }

    /// Everything before this place of the oldest segment is in the store.
    pub(super) fn note_done(&self, place: usize) {
        if let Some(segment) = self.shelf.lock().segments.front_mut() {
            segment.done = place;
        }
    }

    /// All records of the oldest segment are in the store.
    pub(super) fn remove_oldest(&self) -> Result<()> {
        let Some(segment) = self.shelf.lock().segments.front().cloned() else { return Ok(()) };
        match std::fs::remove_file(&segment.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(trouble(&segment.path, &error)),
            _ => {}
        }
        self.shelf.lock().segments.pop_front();
        self.count_aside();
        self.shelf.pending.fetch_sub(segment.records, Ordering::AcqRel);
        Ok(())
    }

    /// Keeps the bytes of a record that cannot be brought into the store, for a person. Durable when it returns.
    pub(super) fn set_aside(&self, end: usize, bytes: &[u8], aside: Aside) -> Result<PathBuf> {
        let ending = match aside {
            Aside::Refused => REFUSED,
            Aside::Broken => BROKEN,
        };
        let path = new_path(&self.shelf.folder, Timestamp::now(), u64::try_from(end).unwrap_or(u64::MAX), ending);
        let written = writer::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()));
        written.and_then(|()| writer::sync_folder(&self.shelf.folder)).map_err(|error| trouble(&path, &error))?;
        self.shelf.lock().set_aside += 1;
        Ok(path)
    }
}

fn gone() -> Error {
    Error::Unavailable("the thread of the spool has stopped".to_owned())
}

fn read_all(folder: &Path) -> Result<VecDeque<Segment>> {
    let mut all = VecDeque::new();
    for path in segments(folder)? {
        let Some(found) = read_segment(&path)? else { continue };
        tracing::info!(
            file = name(&path),
            kind = extension(&path),
            records = found.records,
            "the spool holds what an earlier run received"
        );
        all.push_back(Segment { path, records: found.pieces(), bytes: found.bytes, oldest: found.oldest, done: 0 });
    }
    Ok(all)
}

fn read_rest(segment: &Segment) -> Result<Vec<Reading>> {
    match std::fs::read(&segment.path) {
        Ok(bytes) => Ok(take_apart(&bytes, segment.done)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::error!(file = name(&segment.path), records = segment.records, "a segment of the spool is gone: somebody removed it");
            Ok(Vec::new())
        }
        Err(error) => Err(trouble(&segment.path, &error)),
    }
}

fn take_apart(bytes: &[u8], done: usize) -> Vec<Reading> {
    let part = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    let damaged = || Err(Error::Refused("its bytes are damaged".to_owned()));
    scan(bytes)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Record { at, payload } => {
                Some(Reading { end: payload.end, bytes: part(at..payload.end).to_vec(), entry: Entry::from_json(part(payload)) })
            }
            Piece::Broken(range) => Some(Reading { end: range.end, bytes: part(range).to_vec(), entry: damaged() }),
            Piece::Torn(at) => {
                tracing::warn!(
                    bytes = bytes.len() - at,
                    "the last record of a segment of the spool is cut off: it was answered to nobody, and is left out"
                );
                None
            }
        })
        .filter(|reading| reading.end > done)
        .collect()
}
