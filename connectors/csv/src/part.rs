//! One file that rows are appended to.

use crate::index::Id;
use crate::map::Row;
use crate::scan::{Scan, scan};
use leadwire_connector::reexport::Timestamp;
use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that rows are appended to, and the deliveries whose rows are in it, on disk.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    /// When it was begun.
    pub(crate) since: Timestamp,
    pub(crate) ids: HashSet<Id>,
    file: File,
    /// Everything up to here is whole and on disk.
    len: u64,
    /// A write failed: what is behind `len` must go before the next one.
    is_torn: bool,
}

impl Part {
    /// A new file with a header row, durable.
    pub(crate) fn create(path: PathBuf, header: &[u8], since: Timestamp) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).read(true).create_new(true).open(&path)?;
        let mut part = Self { path, since, ids: HashSet::new(), file, len: 0, is_torn: false };
        let written = part.write(header).and_then(|()| sync_parent(&part.path));
        // Without its header the file would only be in the way of the next try.
        written.inspect_err(|_| drop(fs::remove_file(&part.path)))?;
        Ok(part)
    }

    /// Reads a file that an earlier run left.
    pub(crate) fn read(path: &Path) -> io::Result<(File, Scan)> {
        let mut file = OpenOptions::new().append(true).read(true).open(path)?;
        let found = scan(&mut file)?;
        Ok((file, found))
    }

    /// Goes on with a file that [`read`](Self::read) found, behind its leading whole rows; what follows those is cut off.
    pub(crate) fn resume(path: PathBuf, file: File, found: Scan, since: Timestamp) -> io::Result<Self> {
        file.set_len(found.end)?;
        // Rows that were written but not yet durable when the earlier run ended are now counted as there.
        file.sync_all()?;
        sync_parent(&path)?;
        let ids = found.ids.into_iter().take(found.leading).collect();
        Ok(Self { path, since, ids, file, len: found.end, is_torn: false })
    }

    /// A file that nothing is appended to any more, as [`read`](Self::read) found it; nothing is cut off.
    pub(crate) fn finished(path: PathBuf, file: File, found: Scan) -> Self {
        let ids = found.ids.into_iter().take(found.leading).collect();
        Self { path, since: Timestamp::UNIX_EPOCH, ids, file, len: found.end, is_torn: false }
    }

    /// Appends rows, durable when it returns `Ok`. After an error none of them counts, and the next write removes what is left of them.
    pub(crate) fn append(&mut self, rows: &[&Row], now: Timestamp) -> io::Result<()> {
        if self.ids.is_empty() {
            self.since = now;
        }
        let bytes: Vec<u8> = rows.iter().flat_map(|row| row.csv.iter().copied()).collect();
        self.write(&bytes)?;
        self.ids.extend(rows.iter().map(|row| row.id));
        Ok(())
    }

    /// Counts rows as not written.
    pub(crate) fn disown(&mut self, rows: &[&Row]) {
        for row in rows {
            self.ids.remove(&row.id);
        }
    }

    /// Removes what a failed write left.
    pub(crate) fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.len)?;
            self.file.sync_data()?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Everything that is whole and on disk, to be read from its start.
    pub(crate) fn written(&self) -> io::Result<impl Read> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file.take(self.len))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mend()?;
        self.is_torn = true;
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether the path still leads to this file, as it was left: people move, delete and save over files.
    pub(crate) fn is_in_place(&self) -> io::Result<bool> {
        let there = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => there?,
        };
        Ok(identity(&there) == identity(&self.file.metadata()?) && (self.is_torn || there.len() == self.len))
    }
}

#[cfg(unix)]
fn identity(file: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Elsewhere an open file cannot be replaced.
#[cfg(not(unix))]
fn identity(_file: &Metadata) -> (u64, u64) {
    (0, 0)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes names that appeared in or left a directory durable.
#[cfg(unix)]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere directories cannot be opened; the file system does it.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
impl Part {
    /// Leaves the file as a write does that failed half-way.
    pub(crate) fn tear(&mut self, half: &[u8]) {
        self.is_torn = self.file.write_all(half).is_ok();
    }
}
