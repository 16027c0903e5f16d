//! The deliveries whose rows are in files that are finished: users move and delete those, so the ids are kept apart.
//!
//! One file of 16-byte fingerprints for each day, `ids-2026-11-22`, appended to only; whole days are forgotten.

use crate::part::sync_directory;
use leadwire_connector::reexport::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Days on which files were finished that are kept. A repeat comes within days: the bridge gives up after three by default.
const DAYS_MOST: usize = 30;
/// At 16 bytes each, some 30 MB of memory.
const IDS_MOST: usize = 1_000_000;
const PREFIX: &str = "ids-";
const ID_BYTES: usize = 16;

/// The fingerprint of a delivery's id: half of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id([u8; ID_BYTES]);

impl Id {
    /// How long it is.
    pub(crate) const BYTES: usize = ID_BYTES;

    /// In hexadecimal.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Of the id as it stands in its cell.
    pub(crate) fn of(cell: &[u8]) -> Self {
        let digest = Sha256::digest(cell);
        let mut half = [0; ID_BYTES];
        half.copy_from_slice(&digest[..ID_BYTES]);
        Self(half)
    }
}

/// Fingerprints by the day they were added on.
#[derive(Debug)]
pub(crate) struct Index {
    directory: PathBuf,
    days: BTreeMap<String, HashSet<Id>>,
}

impl Index {
    /// Reads what is kept in `directory`.
    pub(crate) fn load(directory: &Path) -> io::Result<Self> {
        let mut days = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if let Some(day) = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)) {
                days.insert(day.to_owned(), read(&entry.path())?);
            }
        }
        Ok(Self { directory: directory.to_owned(), days })
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.days.values().any(|ids| ids.contains(id))
    }

    /// Durable when it returns `Ok`. Ids that are known already cost nothing.
    pub(crate) fn add(&mut self, now: Timestamp, ids: impl IntoIterator<Item = Id>) -> io::Result<()> {
        let fresh: Vec<Id> = ids.into_iter().filter(|id| !self.contains(id)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let day = now.strftime("%Y-%m-%d").to_string();
        append(&self.file(&day), &fresh)?;
        sync_directory(&self.directory)?;
        self.days.entry(day).or_default().extend(fresh);
        self.forget();
        Ok(())
    }

    fn file(&self, day: &str) -> PathBuf {
        self.directory.join(format!("{PREFIX}{day}"))
    }

    /// The newest day always stays. A file that cannot be removed is tried again when the next day ends.
    fn forget(&mut self) {
        while self.days.len() > 1 && (self.days.len() > DAYS_MOST || self.days.values().map(HashSet::len).sum::<usize>() > IDS_MOST) {
            let Some((day, _)) = self.days.pop_first() else { return };
            if let Err(error) = fs::remove_file(self.file(&day)) {
                tracing::warn!(%day, %error, "an old list of delivered ids cannot be removed");
            }
        }
    }
}

/// A last fingerprint that was written in part is left out.
fn read(path: &Path) -> io::Result<HashSet<Id>> {
    let bytes = fs::read(path)?;
    Ok(bytes.as_chunks::<ID_BYTES>().0.iter().copied().map(Id).collect())
}

fn append(path: &Path, ids: &[Id]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    // What a failed write left must not shift what follows.
    file.set_len(length - length % ID_BYTES as u64)?;
    file.write_all(&ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + number * 86_400).unwrap()
    }

    fn ids(names: &[&str]) -> Vec<Id> {
        names.iter().map(|name| Id::of(name.as_bytes())).collect()
    }

    #[test]
    fn ids_survive_a_restart_and_a_torn_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::load(folder.path()).unwrap();
        index.add(day(0), ids(&["a", "b"])).unwrap();
        let file = index.file(&day(0).strftime("%Y-%m-%d").to_string());
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"torn").unwrap();

        let mut index = Index::load(folder.path()).unwrap();
        index.add(day(0), ids(&["c"])).unwrap();
        let index = Index::load(folder.path()).unwrap();
        assert!(ids(&["a", "b", "c"]).iter().all(|id| index.contains(id)));
        assert!(!index.contains(&Id::of(b"d")));
        assert_eq!(fs::metadata(file).unwrap().len(), 48);
    }

    #[test]
    fn the_oldest_days_are_forgotten_with_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::load(folder.path()).unwrap();
        for number in 0..40 {
            index.add(day(number), [Id::of(&number.to_be_bytes())]).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), DAYS_MOST);
        assert!(!index.contains(&Id::of(&0_i64.to_be_bytes())));
        assert!(index.contains(&Id::of(&39_i64.to_be_bytes())));
    }
}
