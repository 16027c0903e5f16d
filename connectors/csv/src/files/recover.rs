//! Taking up what an earlier run left.

use super::{Folder, PREFIX, Rotation, begun, day, file_name, is_daily, listed};
use crate::part::Part;
use leadwire_connector::reexport::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

impl Folder {
    pub(super) fn recover(&mut self, now: Timestamp) -> io::Result<()> {
        self.remove_copy()?;
        for path in listed(&self.hidden, |_| true)? {
            self.recover_part(&path, now)?;
        }
        self.recover_daily(now)
    }

    /// An unfinished file is gone on with if it fits the configuration, and else given away as it is.
    fn recover_part(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let (file, found) = Part::read(path)?;
        if found.leading == 0 {
            return fs::remove_file(path);
        }
        let fits = found.header == self.plan.header && matches!(self.plan.rotation, Rotation::Files { .. }) && self.part.is_none();
        let part = Part::resume(path.to_owned(), file, found, begun(path))?;
        if fits {
            // A crash between copying and finishing it: what it has now and will have becomes one object.
            self.plan.outbox.as_ref().map_or(Ok(()), |outbox| outbox.forget(path))?;
            self.part = Some(part);
            return self.tidy(now);
        }
        self.plan.copy(&part)?;
        self.index.add(now, part.ids.iter().copied())?;
        self.publish(path)
    }

    /// Goes on with today's file, and remembers what is in all others of today and of the last day before: their ids are in no index
    /// when the columns changed and changed back, or when the bridge did not see the day end.
    fn recover_daily(&mut self, now: Timestamp) -> io::Result<()> {
        let today = format!("{PREFIX}{}", day(now));
        let day_of = |path: &Path| file_name(path).get(..today.len()).unwrap_or_default().to_owned();
        let mut daily = listed(&self.plan.directory, is_daily)?;
        let last = daily.iter().map(|path| day_of(path)).filter(|day| *day != today).max();
        daily.retain(|path| day_of(path) == today || Some(day_of(path)) == last);
        // In the order in which they were begun: the first one has no number.
        daily.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        for path in daily {
            if self.plan.rotation == Rotation::Daily && day_of(&path) == today && self.part.is_none() {
                self.part = self.take_up_daily(path, now)?;
            } else {
                let is_over = day_of(&path) != today;
                self.recover_finished(path, is_over, now)?;
            }
        }
        Ok(())
    }

    /// A day may have ended while no bridge ran. Until it has, a file may be gone on with, should its columns come back.
    fn recover_finished(&mut self, path: PathBuf, is_over: bool, now: Timestamp) -> io::Result<()> {
        let (file, found) = Part::read(&path)?;
        self.remember(&file, found.ids.clone(), now)?;
        if is_over { self.plan.copy(&Part::finished(path, file, found)) } else { Ok(()) }
    }
}
