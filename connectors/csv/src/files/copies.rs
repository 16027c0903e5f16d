//! What of a folder goes to its outbox, if it has one.

use super::{PREFIX, Plan, day, is_daily, listed};
use crate::part::Part;
use std::io;

impl Plan {
    /// Copies a finished file.
    pub(super) fn copy(&self, part: &Part) -> io::Result<()> {
        self.outbox.as_ref().map_or(Ok(()), |outbox| outbox.add(part))
    }

    /// Copies those of a day that were left for another because the columns changed or somebody edited them.
    pub(super) fn copy_others(&self, part: &Part) -> io::Result<()> {
        if self.outbox.is_none() {
            return Ok(());
        }
        let day = format!("{PREFIX}{}", day(part.since));
        for path in listed(&self.directory, |name| is_daily(name) && name.starts_with(&day))? {
            if path != part.path {
                let (file, found) = Part::read(&path)?;
                self.copy(&Part::finished(path, file, found))?;
            }
        }
        Ok(())
    }

    /// Says that there is something to upload.
    pub(super) fn ring(&self) {
        if let Some(outbox) = &self.outbox {
            outbox.added.notify_one();
        }
    }
}
