//! The one thread that writes segments, and its group commit: what waits together is written together, with one fdatasync.

use super::Shelf;
use super::folder::{PROBE, new_path, trouble};
use crate::store::{Error, Result};
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// A segment is read whole when it is brought into the store.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Records written with one fdatasync, and their bytes.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 8 << 20;
/// What a test of the folder writes: more than a lead takes.
const PROBE_BYTES: usize = 64 << 10;

/// A record to be written.
pub(super) struct Append {
    pub(super) frame: Vec<u8>,
    pub(super) at: Timestamp,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

pub(super) enum Job {
    Append(Append),
    /// The segment that is written to gets no more records. Answered when all before it is done.
    Close(oneshot::Sender<()>),
    /// Whether the folder can be written.
    Probe(oneshot::Sender<Result<()>>),
}

/// Starts the thread; it ends when the sender is dropped.
pub(super) fn start(shelf: Arc<Shelf>) -> Result<Sender<Job>> {
    let (jobs, queue) = channel();
    let writer = Writer { shelf, open: None, number: 0 };
    std::thread::Builder::new()
        .name("leadwire-spool".to_owned())
        .spawn(move || writer.serve(&queue))
        .map_err(|error| Error::Unavailable(format!("the thread of the spool cannot be started: {error}")))?;
    Ok(jobs)
}

struct Writer {
    shelf: Arc<Shelf>,
    open: Option<Segment>,
    number: u64,
}

struct Segment {
    path: PathBuf,
    file: File,
    /// Everything before is durable.
    length: u64,
}

impl Writer {
    fn serve(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
            while let Some(Job::Append(append)) = next.take_if(|job| matches!(job, Job::Append(_))) {
                bytes += append.frame.len();
                group.push(append);
                next = if group.len() < MOST_RECORDS && bytes < MOST_BYTES { queue.try_recv().ok() } else { None };
            }
            self.write_group(group);
            match next {
                Some(Job::Close(reply)) => {
                    self.open = None;
                    let _ = reply.send(());
                }
                Some(Job::Probe(reply)) => {
                    let _ = reply.send(self.probe());
                }
                Some(Job::Append(_)) | None => {}
            }
        }
    }

    /// Every record of the group is durable, or its sender learns that it is not.
    fn write_group(&mut self, group: Vec<Append>) {
        let mut left = self.shelf.bytes_left();
        let (group, too_many): (Vec<_>, Vec<_>) = group.into_iter().partition(|append| {
            let fits = append.frame.len() as u64 <= left;
            left = left.saturating_sub(if fits { append.frame.len() as u64 } else { 0 });
            fits
        });
        for append in too_many {
            self.shelf.uncount();
            let _ = append.reply.send(Err(Error::Unavailable("the spool is full; see [store] spool_max_bytes".to_owned())));
        }
        if group.is_empty() {
            return;
        }
        let result = self.write_durably(&group);
        self.shelf.note_write(result.as_ref().err());
        for append in group {
            if result.is_err() {
                self.shelf.uncount();
            }
            // A sender that hung up has its record kept all the same.
            let _ = append.reply.send(result.clone());
        }
    }

    fn write_durably(&mut self, group: &[Append]) -> Result<()> {
        let mut segment = match self.open.take() {
            Some(segment) => segment,
            None => self.begin_segment()?,
        };
        let bytes = group.iter().fold(Vec::new(), |mut bytes, append| {
            bytes.extend_from_slice(&append.frame);
            bytes
        });
        if let Err(error) = segment.file.write_all(&bytes).and_then(|()| segment.file.sync_data()) {
            // What is behind the last good record was answered to nobody. After a failed fsync a file is not to be trusted with more,
            // so that the next group gets a new segment.
            let _ = segment.file.set_len(segment.length).and_then(|()| segment.file.sync_data());
            if segment.length == 0 {
                let _ = std::fs::remove_file(&segment.path);
            }
            return Err(trouble(&segment.path, &error));
        }
        segment.length += bytes.len() as u64;
        self.shelf.note_records(&segment.path, group.len() as u64, bytes.len() as u64, group.iter().map(|append| append.at).min());
        self.open = Some(segment).filter(|segment| segment.length < SEGMENT_BYTES);
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<Segment> {
        self.number += 1;
        let path = new_path(&self.shelf.folder, Timestamp::now(), self.number, "log");
        let file = create(&path).map_err(|error| trouble(&path, &error))?;
        // A file is only there after a power failure when its name is on disk too.
        sync_folder(&self.shelf.folder).map_err(|error| trouble(&self.shelf.folder, &error))?;
        Ok(Segment { path, file, length: 0 })
    }

    fn probe(&self) -> Result<()> {
        let path = self.shelf.folder.join(PROBE);
        let written = create_or_empty(&path).and_then(|mut file| file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_data()));
        let _ = std::fs::remove_file(&path);
        let result = written.map_err(|error| trouble(&self.shelf.folder, &error));
        self.shelf.note_write(result.as_ref().err());
        result
    }
}

/// It holds personal data in clear: for its owner alone.
pub(super) fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn create_or_empty(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
