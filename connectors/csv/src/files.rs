//! The folder: which file rows go to, when it is finished, and what an earlier run left. Blocking; the writer's thread owns it.
//!
//! The rows are the truth of what is delivered. An id goes to the index before its file is given away, never after, so that at
//! every moment it is in a file this folder still reads, or in the index, or in both.

use crate::index::{Id, Index};
use crate::map::Row;
use crate::outbox::Outbox;
use crate::part::{Part, sync_directory};
use leadwire_connector::reexport::Timestamp;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod copies;
mod erase;
mod probe;
mod recover;

pub(crate) use erase::kept;
pub(crate) use probe::probe;

pub(crate) const HIDDEN: &str = ".leadwire";
/// In the hidden folder: the name of the file that was begun last, wherever that is by now.
const LAST: &str = "last";
const PREFIX: &str = "leads-";
const SUFFIX: &str = ".csv";
/// How often a file may be replaced under our hands within one write.
const TRIES: usize = 3;
/// Daily files of one day: a new one is begun when the columns change or somebody edits the last.
const DAILY_MOST: u32 = 1_000;

/// When a file is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// At so many rows, or when its first row is so old. Out of sight until then.
    Files { rows: u64, age: Duration },
    /// At midnight UTC. In sight all day.
    Daily,
}

impl Rotation {
    /// The name of the `number`th file begun at that moment.
    pub(crate) fn file_name(self, since: Timestamp, number: u32) -> String {
        match (self, number) {
            (Self::Files { .. }, number) => format!("{PREFIX}{}-{number:06}{SUFFIX}", since.strftime("%Y-%m-%dT%H%M%SZ")),
            (Self::Daily, 1) => format!("{PREFIX}{}{SUFFIX}", day(since)),
            (Self::Daily, number) => format!("{PREFIX}{}-{number}{SUFFIX}", day(since)),
        }
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// When the file of that name was begun; long ago if the name does not say.
fn begun(path: &Path) -> Timestamp {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let moment = name.strip_prefix(PREFIX).and_then(|rest| rest.get(..17));
    let read = moment.and_then(|moment| Timestamp::strptime("%Y-%m-%dT%H%M%S%z", format!("{moment}+0000")).ok());
    read.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Where rows go and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) directory: PathBuf,
    pub(crate) header: Vec<u8>,
    pub(crate) rotation: Rotation,
    /// Gets a copy of every finished file.
    pub(crate) outbox: Option<Arc<Outbox>>,
}

/// A folder that this process, and no other, writes into.
#[derive(Debug)]
pub(crate) struct Folder {
    plan: Plan,
    hidden: PathBuf,
    index: Index,
    part: Option<Part>,
    /// The name of the file that was begun last, by whichever owner of the folder.
    last: String,
    /// Held as long as the folder is open.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is missing, locks it, and takes up what an earlier run left.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(crate) fn open(plan: Plan, now: Timestamp) -> Result<Self, String> {
        let shown = plan.directory.display().to_string();
        let failed = |error: io::Error| format!("the folder {shown} cannot be used: {}", explain(&error));
        let hidden = plan.directory.join(HIDDEN);
        fs::create_dir_all(&hidden).map_err(failed)?;
        let lock = File::create(hidden.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => format!(
                "another destination or another running Leadwire writes into {shown}; give each its own `directory`, or stop the other one"
            ),
            TryLockError::Error(error) => failed(error),
        })?;
        let index = Index::load(&hidden).map_err(failed)?;
        plan.outbox.as_ref().map_or(Ok(()), |outbox| outbox.load()).map_err(failed)?;
        let last = last_begun(&plan.directory, &hidden).map_err(failed)?;
        let mut folder = Self { plan, hidden, index, part: None, last, _lock: lock };
        folder.recover(now).map_err(failed)?;
        Ok(folder)
    }

    /// How many rows the next batch may have, so that no file gets more than its share.
    pub(crate) fn room(&self) -> usize {
        match self.plan.rotation {
            Rotation::Files { rows, .. } => usize::try_from(rows.saturating_sub(self.rows()).max(1)).unwrap_or(usize::MAX),
            Rotation::Daily => usize::MAX,
        }
    }

    /// Appends rows, except those of deliveries that have one. Durable when it returns `Ok`, with the name of each row's file (`None`
    /// for a repeat whose file is finished); after an error none of the new rows counts as written.
    pub(crate) fn append(&mut self, rows: &[Row], now: Timestamp) -> io::Result<Vec<Option<String>>> {
        for _ in 0..TRIES {
            self.tidy(now)?;
            self.let_go_if_moved(now)?;
            // Today's file is read before it is asked which rows are in it; no file is begun for repeats alone.
            if self.part.is_none() && !self.fresh(rows).is_empty() {
                self.part = Some(self.begin(now)?);
            }
            if self.write(&self.fresh(rows), now)? {
                return Ok(rows.iter().map(|row| self.file_of(row)).collect());
            }
        }
        Err(io::Error::other("another program keeps moving or replacing the file; let it work on a copy"))
    }

    /// Finishes the file if it is time. To be called after rows were appended and when [`due_in`](Self::due_in) has passed.
    pub(crate) fn tidy(&mut self, now: Timestamp) -> io::Result<()> {
        if self.is_due(now) { self.finish(now) } else { Ok(()) }
    }

    /// How long until [`tidy`](Self::tidy) has something to do, if no row comes.
    pub(crate) fn due_in(&self, now: Timestamp) -> Option<Duration> {
        match (self.plan.rotation, &self.part) {
            (Rotation::Files { age, .. }, Some(part)) if !part.ids.is_empty() => Some(age.saturating_sub(age_of(part, now))),
            _ => None,
        }
    }

    fn rows(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.ids.len() as u64)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let Some(part) = self.part.as_ref() else { return false };
        match self.plan.rotation {
            Rotation::Files { rows, age } => self.rows() >= rows || (self.rows() > 0 && age_of(part, now) >= age),
            Rotation::Daily => day(part.since) != day(now),
        }
    }

    /// Rows of deliveries that have none yet, each once.
    fn fresh<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let mut seen = HashSet::new();
        rows.iter().filter(|row| !self.is_in_part(row) && !self.index.contains(&row.id) && seen.insert(row.id)).collect()
    }

    fn is_in_part(&self, row: &Row) -> bool {
        self.part.as_ref().is_some_and(|part| part.ids.contains(&row.id))
    }

    fn file_of(&self, row: &Row) -> Option<String> {
        self.part.as_ref().filter(|_| self.is_in_part(row)).map(|part| file_name(&part.path))
    }

    /// People move, delete and save over files that they see. The rows in such a file stay delivered.
    fn let_go_if_moved(&mut self, now: Timestamp) -> io::Result<()> {
        if let Some(part) = &self.part
            && !part.is_in_place()?
        {
            self.plan.copy(part)?;
            self.index.add(now, part.ids.iter().copied())?;
            self.part = None;
            self.plan.ring();
        }
        Ok(())
    }

    /// False when the file was moved or replaced at that very moment: what was written went with it and does not count.
    fn write(&mut self, fresh: &[&Row], now: Timestamp) -> io::Result<bool> {
        let Some(part) = self.part.as_mut().filter(|_| !fresh.is_empty()) else { return Ok(true) };
        part.append(fresh, now)?;
        let is_in_place = part.is_in_place()?;
        if !is_in_place {
            part.disown(fresh);
        }
        Ok(is_in_place)
    }

    fn begin(&mut self, now: Timestamp) -> io::Result<Part> {
        match self.plan.rotation {
            Rotation::Files { .. } => self.begin_hidden(now),
            Rotation::Daily => self.begin_daily(now),
        }
    }

    /// Names sort in the order in which files are begun, also when several are within one second and the earlier ones are gone.
    fn begin_hidden(&mut self, now: Timestamp) -> io::Result<Part> {
        let begun_before = number_within(&self.last, &self.plan.rotation.file_name(now, 1));
        for number in begun_before.saturating_add(1).. {
            let name = self.plan.rotation.file_name(now, number);
            let path = self.hidden.join(&name);
            if !is_taken(&self.plan.directory.join(&name))? && !is_taken(&path)? {
                // Not synced: after a power failure it is another second.
                fs::write(self.hidden.join(LAST), &name)?;
                self.last = name;
                return Part::create(path, &self.plan.header, now);
            }
        }
        Err(io::Error::other("there are too many files of this second already; move some away"))
    }

    /// Goes on with today's file, or begins one beside those that are not ours to append to.
    fn begin_daily(&mut self, now: Timestamp) -> io::Result<Part> {
        for number in 1..=DAILY_MOST {
            let path = self.plan.directory.join(self.plan.rotation.file_name(now, number));
            if !is_taken(&path)? {
                return Part::create(path, &self.plan.header, now);
            }
            if let Some(part) = self.take_up_daily(path, now)? {
                return Ok(part);
            }
        }
        Err(io::Error::other(format!("there are {DAILY_MOST} files of today already; move some away")))
    }

    /// Goes on with a file of today if it is ours to append to; else remembers which deliveries are in it.
    fn take_up_daily(&mut self, path: PathBuf, now: Timestamp) -> io::Result<Option<Part>> {
        let (file, found) = Part::read(&path)?;
        if found.header == self.plan.header && !found.is_edited {
            return Part::resume(path, file, found, now).map(Some);
        }
        if found.ids.is_empty() && !found.header.ends_with(b"\n") && self.plan.header.starts_with(&found.header) {
            // A crash tore the header itself, or made the file and nothing in it.
            drop(file);
            fs::remove_file(&path)?;
            return Part::create(path, &self.plan.header, now).map(Some);
        }
        self.remember(&file, found.ids, now)?;
        Ok(None)
    }

    /// Rows that were written but not yet durable when the earlier run ended must be before they count as there.
    fn remember(&mut self, file: &File, ids: Vec<Id>, now: Timestamp) -> io::Result<()> {
        file.sync_all()?;
        self.index.add(now, ids)
    }

    /// Gives the file away. A crash in between repeats the steps at the next start.
    fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        part.mend()?;
        self.plan.copy(part)?;
        self.index.add(now, part.ids.iter().copied())?;
        match self.plan.rotation {
            Rotation::Daily => self.plan.copy_others(part)?,
            Rotation::Files { .. } => {
                let path = part.path.clone();
                self.publish(&path)?;
            }
        }
        self.part = None;
        self.plan.ring();
        Ok(())
    }

    /// Moves a finished file into sight, in one step, over nothing.
    fn publish(&self, path: &Path) -> io::Result<()> {
        let name = file_name(path);
        let mut target = self.plan.directory.join(&name);
        for number in 2_u32.. {
            if !is_taken(&target)? {
                break;
            }
            target = self.plan.directory.join(format!("{}-{number}{SUFFIX}", name.strip_suffix(SUFFIX).unwrap_or(&name)));
        }
        match fs::rename(path, &target) {
            // Somebody removed the hidden file: there is nothing to give away, and waiting would not bring it back.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_taken(path)? => {
                tracing::error!(file = %name, "the unfinished file was removed from the hidden folder; its rows are lost");
            }
            moved => moved?,
        }
        sync_directory(&self.plan.directory)?;
        sync_directory(&self.hidden)
    }
}

/// The name of the file that was begun last, as far as anybody remembers; the folder may have been copied without what is hidden in it.
fn last_begun(directory: &Path, hidden: &Path) -> io::Result<String> {
    let noted = match fs::read(hidden.join(LAST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        read => String::from_utf8(read.unwrap_or_default()).unwrap_or_default(),
    };
    let finished = listed(directory, |name| !is_daily(name))?;
    Ok(finished.last().map(|path| file_name(path)).into_iter().chain([noted]).max().unwrap_or_default())
}

/// The number of the file of that name if it was begun in the same second as `first`, else 0.
fn number_within(name: &str, first: &str) -> u32 {
    let second = first.rsplit_once('-').map_or(first, |(second, _)| second);
    let number = name.strip_prefix(second).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(SUFFIX));
    // A file that was in the way of another has one more number behind its own.
    number.and_then(|number| number.split('-').next()?.parse().ok()).unwrap_or(0)
}

/// A clock that was set back counts as time that passed: better a file too soon than none for a year.
fn age_of(part: &Part, now: Timestamp) -> Duration {
    now.duration_since(part.since).unsigned_abs()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_taken(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `leads-2026-11-22.csv` and `leads-2026-11-22-2.csv`, not the files of mode `files`, which have a time.
fn is_daily(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)).unwrap_or_default();
    let date = rest.get(..10).unwrap_or_default();
    date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !rest[10..].starts_with('T')
}

/// Our files in a directory, in the order of their names.
fn listed(directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && wanted(&name) && entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// What went wrong and what to do.
pub(crate) fn explain(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; free some space",
        io::ErrorKind::PermissionDenied => "the bridge may not write there; give its user the right to",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; mount it writable",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "there is a file where the folder should be; name another `directory`"
        }
        io::ErrorKind::NotFound => "the folder is gone; restart the bridge to make it again, or bring it back",
        _ => return error.to_string(),
    };
    format!("{remedy} ({error})")
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
