//! A consistent copy of the file while a bridge writes to it.

use super::{Error, Result, Sqlite, open_reader};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
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
        let (path, origin) = (part.path.clone(), self.readers.path.clone());
        let mut copying = tokio::task::spawn_blocking(move || copy(&origin, &path));
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

fn copy(origin: &Path, path: &Path) -> Result<()> {
    let connection = open_reader(origin)?;
    let name = path.to_str().ok_or_else(|| Error::Refused(format!("{} is not UTF-8; choose another name", path.display())))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?;
    Ok(())
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
        let mut path = OsString::from(file);
        path.push(".part");
        let path = PathBuf::from(path);
        let unavailable = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&path).map_err(unavailable)?;
        lock.try_lock().map_err(|_| Error::Refused(format!("another backup is writing {}; let it finish", path.display())))?;
        lock.set_len(0).map_err(unavailable)?;
        Ok(Self { path, lock })
    }

    /// Gives the file its name, once all of it is on disk.
    fn keep(self, file: &Path) -> Result<()> {
        let unavailable = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", file.display()));
        self.lock.sync_all().map_err(unavailable)?;
        // A link never replaces a file that came in the meantime, as renaming would.
        match std::fs::hard_link(&self.path, file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => refuse_existing(file)?,
            // Some disks have no links.
            Err(_) => {
                refuse_existing(file)?;
                std::fs::rename(&self.path, file).map_err(unavailable)?;
            }
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        drop(self);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unavailable)
    }
}

pub(in crate::store) fn refuse_existing(file: &Path) -> Result<()> {
    match file.symlink_metadata() {
        Ok(_) => Err(Error::Refused(format!("{} exists, and a backup overwrites nothing; choose another name", file.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("{}: {error}", file.display()))),
    }
}
