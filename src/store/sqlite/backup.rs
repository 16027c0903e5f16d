//! A consistent copy of the file while a bridge writes to it.

use super::open::{beside, folder_of};
use super::{Error, Result, Sqlite};
use rusqlite::{Connection, ErrorCode};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the growing copy is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Sqlite {
    /// Writes one snapshot of the store to a new file, without what was deleted. Writers go on meanwhile.
    /// `progress` gets bytes written and bytes expected.
    ///
    /// # Errors
    /// `Refused` when the file exists; `Unavailable` when it cannot be written. Nothing of that name is there then.
    pub(in crate::store) async fn backup(&self, file: &Path, mut progress: impl FnMut(u64, u64)) -> Result<()> {
        let expected = self.space().await?.used_bytes();
        let part = Part::create(file)?;
        let (path, readers) = (part.path.clone(), Arc::clone(&self.readers));
        let mut copying = tokio::task::spawn_blocking(move || readers.with(|connection| copy(connection, &path)));
        let copied = loop {
            tokio::select! {
                copied = &mut copying => break copied,
                () = tokio::time::sleep(LOOK_EVERY) => progress(std::fs::metadata(&part.path).map_or(0, |found| found.len()), expected),
            }
        };
        copied.map_err(|error| Error::Refused(format!("the copy failed: {error}")))??;
        part.keep(file)
    }
}

fn copy(connection: &Connection, path: &Path) -> Result<()> {
    let name = path.to_str().ok_or_else(|| Error::Refused(format!("{} is not UTF-8; choose another name", path.display())))?;
    match connection.execute("VACUUM INTO ?1", [name]) {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Err(error.into()),
        Err(error) => {
            Err(Error::Unavailable(format!("the backup {} cannot be written: {error}; name a place with room for it", path.display())))
        }
    }
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| {
        let advice = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => "make its folder first",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk",
            _ => "name a place that this user can write to",
        };
        Error::Unavailable(format!("the backup {} cannot be written: {error}; {advice}", path.display()))
    }
}

/// `FILE.part`: what is not whole yet. Removed when dropped.
struct Part {
    path: PathBuf,
    lock: File,
}

impl Drop for Part {
    fn drop(&mut self) {
        // What is left is overwritten by the next backup of that name.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Part {
    /// A leftover of a backup that was cut short is emptied; one that is being written is not.
    fn create(file: &Path) -> Result<Self> {
        refuse_existing(file)?;
        let path = beside(file, ".part");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&path).map_err(unwritable(&path))?;
        lock.try_lock().map_err(|_| Error::Refused(format!("another backup is writing {}; let it finish", path.display())))?;
        lock.set_len(0).map_err(unwritable(&path))?;
        Ok(Self { path, lock })
    }

    /// Gives the file its name, once all of it is on disk.
    fn keep(self, file: &Path) -> Result<()> {
        let unavailable = unwritable(file);
        self.lock.sync_all().map_err(&unavailable)?;
        // A link never replaces a file that came in the meantime, as renaming would.
        match std::fs::hard_link(&self.path, file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => refuse_existing(file)?,
            // Some disks have no links.
            Err(_) => {
                refuse_existing(file)?;
                std::fs::rename(&self.path, file).map_err(&unavailable)?;
            }
        }
        drop(self);
        File::open(folder_of(file)).and_then(|folder| folder.sync_all()).map_err(unavailable)
    }
}

pub(in crate::store) fn refuse_existing(file: &Path) -> Result<()> {
    match file.symlink_metadata() {
        Ok(_) => Err(Error::Refused(format!("{} exists, and a backup overwrites nothing; choose another name", file.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unwritable(file)(error)),
    }
}
