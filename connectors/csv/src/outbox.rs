//! Copies of finished files that are to be uploaded, and the record of those that were.
//!
//! A copy, because people move, edit and delete the files that they see. It lies in `.leadwire/outbox` until the bucket has it, so that the
//! folder is the queue: what a crash leaves in it is uploaded after the next start. The record, `.leadwire/uploaded`, has a line for each object
//! with the fingerprints of the deliveries in it: only so can be told, when a person is erased, where their rows are.

#![cfg_attr(not(any(feature = "s3", test)), expect(dead_code, reason = "without the feature there is never one"))]

use crate::index::Id;
use crate::part::{Part, sync_directory};
use crate::scan::scan;
use leadwire_connector::ErasedPlace;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub(crate) const FOLDER: &str = "outbox";
const RECORD: &str = "uploaded";
/// Not yet whole; the next start removes it.
const COPYING: &str = "copying";
const SUFFIX: &str = ".csv";
/// Two files of one name and different rows must not become one object.
const HASH_BYTES: usize = 8;

/// The copies that wait, and what is known of those that are gone.
#[derive(Debug)]
pub(crate) struct Outbox {
    directory: PathBuf,
    record: PathBuf,
    /// What stands before the name of a file in its address, such as `s3://bucket/prefix/`.
    place: String,
    uploaded: Mutex<HashSet<String>>,
    /// Rung when a copy was added.
    pub(crate) added: Notify,
}

impl Outbox {
    /// In the hidden folder of a destination. Reads and writes nothing yet.
    pub(crate) fn new(hidden: &Path, place: String) -> Self {
        let (directory, record) = (hidden.join(FOLDER), hidden.join(RECORD));
        Self { directory, record, place, uploaded: Mutex::default(), added: Notify::new() }
    }

    /// Takes up what an earlier run left, once the folder is ours alone.
    pub(crate) fn load(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        match fs::remove_file(self.directory.join(COPYING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut uploaded = self.names();
        each_line(&self.record, |name, _, _| {
            uploaded.insert(name.to_owned());
        })
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        // What is behind the lock is whole after each statement.
        self.uploaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a finished file, durable when it returns `Ok`; once, however often it is asked. A file without rows is not copied.
    pub(crate) fn add(&self, part: &Part) -> io::Result<()> {
        if part.ids.is_empty() {
            return Ok(());
        }
        let copying = self.directory.join(COPYING);
        let mut copy = File::create(&copying)?;
        let mut hash = Sha256::new();
        let mut source = part.written()?;
        let mut piece = vec![0; 65_536];
        loop {
            let read = source.read(&mut piece)?;
            if read == 0 {
                break;
            }
            let piece = piece.get(..read).unwrap_or_default();
            hash.update(piece);
            copy.write_all(piece)?;
        }
        copy.sync_all()?;
        let name = object_name(&part.path, &hash.finalize());
        if self.names().contains(&name) {
            return fs::remove_file(copying);
        }
        fs::rename(copying, self.directory.join(name))?;
        sync_directory(&self.directory)
    }

    /// Forgets the copies of a file that is gone on with, since a crash came between copying and finishing it.
    pub(crate) fn forget(&self, path: &Path) -> io::Result<()> {
        let stem = stem(path);
        let is_copy = |name: &String| name.strip_prefix(&stem).is_some_and(|rest| rest.len() == 1 + 2 * HASH_BYTES + SUFFIX.len());
        for name in self.waiting()?.into_iter().filter(is_copy) {
            fs::remove_file(self.directory.join(name))?;
        }
        Ok(())
    }

    /// The names of the copies that wait, the oldest file first.
    pub(crate) fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            // Before the first start.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(SUFFIX)));
        }
        names.sort();
        Ok(names)
    }

    /// A copy to be sent, and the deliveries whose rows are in it.
    pub(crate) fn take(&self, name: &str) -> io::Result<(Vec<u8>, Vec<Id>)> {
        let path = self.directory.join(name);
        // In this order: should rows be erased in between, too many deliveries are remembered, and none too few.
        let ids = scan(&mut File::open(&path)?)?.ids;
        Ok((fs::read(path)?, ids))
    }

    /// The bucket has it: remembers that, and removes the copy.
    pub(crate) fn done(&self, name: &str, ids: &[Id]) -> io::Result<()> {
        let mut record = OpenOptions::new().append(true).read(true).create(true).open(&self.record)?;
        let ids: String = ids.iter().map(Id::hex).collect();
        // A line that a crash tore is ended first.
        let torn = if ends_in_line_feed(&mut record)? { "" } else { "\n" };
        record.write_all(format!("{torn}{name}\t{}{name}\t{ids}\n", self.place).as_bytes())?;
        record.sync_data()?;
        self.names().insert(name.to_owned());
        fs::remove_file(self.directory.join(name))
    }

    /// Whether the file is a copy of this outbox.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.parent() == Some(self.directory.as_path())
    }

    /// Where the copy is going, or, should an answer have got lost, is already.
    pub(crate) fn place_of(&self, path: &Path) -> String {
        format!("{}{}", self.place, path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// The objects that hold rows of these deliveries. They are the owner's to remove.
    pub(crate) fn uploaded(&self, wanted: &HashMap<Id, &str>) -> io::Result<Vec<ErasedPlace>> {
        let hex: HashMap<String, &str> = wanted.iter().map(|(id, delivery)| (id.hex(), *delivery)).collect();
        let mut found = Vec::new();
        each_line(&self.record, |_, place, ids| {
            for id in ids.as_bytes().chunks(2 * Id::BYTES) {
                if let Some(delivery) = std::str::from_utf8(id).ok().and_then(|id| hex.get(id)) {
                    found.push(ErasedPlace { delivery: (*delivery).to_owned(), place: place.to_owned(), is_removed: false });
                }
            }
        })?;
        Ok(found)
    }
}

/// `leads-2026-11-22-0123456789abcdef.csv`: the same rows give the same name.
fn object_name(path: &Path, hash: &[u8]) -> String {
    let hash: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}{SUFFIX}", stem(path))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Calls `each` with the name, the place and the fingerprints of every whole line.
fn each_line(record: &Path, mut each: impl FnMut(&str, &str, &str)) -> io::Result<()> {
    let file = match File::open(record) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    for line in BufReader::new(file).lines() {
        let line = line?;
        let mut columns = line.split('\t');
        if let (Some(name), Some(place), Some(ids)) = (columns.next(), columns.next(), columns.next()) {
            each(name, place, ids);
        }
    }
    Ok(())
}

fn ends_in_line_feed(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::reexport::Timestamp;

    const HEADER: &[u8] = b"text,delivery_id\n";

    fn open(hidden: &Path) -> Outbox {
        let outbox = Outbox::new(hidden, "s3://b/p/".to_owned());
        outbox.load().unwrap();
        outbox
    }

    fn part(path: &Path, ids: &[&str]) -> Part {
        let _ = fs::remove_file(path);
        let mut part = Part::create(path.to_owned(), HEADER, Timestamp::UNIX_EPOCH).unwrap();
        let row = |id: &&str| crate::map::Row { id: Id::of(id.as_bytes()), csv: format!("x,{id}\n").into_bytes(), remark: None };
        let rows: Vec<_> = ids.iter().map(row).collect();
        part.append(&rows.iter().collect::<Vec<_>>(), Timestamp::UNIX_EPOCH).unwrap();
        part
    }

    #[test]
    fn a_file_is_copied_once_and_other_rows_are_another_copy() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = open(folder.path());
        let path = folder.path().join("leads-2026-11-22.csv");
        for ids in [&["a"][..], &["a"], &["a", "b"], &[]] {
            outbox.add(&part(&path, ids)).unwrap();
        }
        let names = outbox.waiting().unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("leads-2026-11-22-") && name.ends_with(".csv")));
        outbox.forget(&path).unwrap();
        assert!(outbox.waiting().unwrap().is_empty());
    }

    #[test]
    fn what_was_uploaded_is_remembered_over_a_restart_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (path, outbox) = (folder.path().join("leads-1.csv"), open(folder.path()));
        for ids in [&["a", "b"][..], &["c"]] {
            outbox.add(&part(&path, ids)).unwrap();
            let name = outbox.waiting().unwrap().remove(0);
            let (bytes, found) = outbox.take(&name).unwrap();
            assert!(bytes.starts_with(HEADER) && found.len() == ids.len());
            outbox.done(&name, &found).unwrap();
            OpenOptions::new().append(true).open(folder.path().join(RECORD)).unwrap().write_all(b"torn").unwrap();
        }
        let outbox = open(folder.path());
        outbox.add(&part(&path, &["a", "b"])).unwrap();
        assert!(outbox.waiting().unwrap().is_empty(), "it is there already");
        let wanted = |id: &'static str| HashMap::from([(Id::of(id.as_bytes()), id)]);
        let places = outbox.uploaded(&wanted("b")).unwrap();
        assert_eq!((places.len(), places[0].is_removed, places[0].delivery.as_str()), (1, false, "b"));
        assert!(places[0].place.starts_with("s3://b/p/leads-1-"), "{places:?}");
        assert!(outbox.uploaded(&wanted("d")).unwrap().is_empty());
    }
}
