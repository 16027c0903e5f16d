//! Finding rows in every file that is still in the folder, and removing those of erased deliveries.

use super::{Folder, HIDDEN, file_name, listed};
use crate::index::Id;
use crate::outbox;
use crate::part::{Part, sync_directory};
use crate::rows::{self, Row};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::{ErasedPlace, Kept};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The copy without the rows, until it takes the file's place. A crash leaves it behind; the next start removes it.
const COPY: &str = "erasing";

/// The rows of the files of a folder, in sight and not, that `wanted` says yes to. Needs no lock: it only reads.
pub(crate) fn kept(directory: &Path, wanted: &dyn Fn(&Kept) -> bool) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    // The hidden folder first: a file that is finished in between is then seen in its new place.
    let hidden = directory.join(HIDDEN);
    for folder in [&hidden.join(outbox::FOLDER), &hidden, directory].into_iter().filter(|folder| folder.is_dir()) {
        for path in listed(folder, |_| true)? {
            let walked = rows::walk(&path, &mut |header, row| found.extend(Some(row.kept(header, &path)).filter(|kept| wanted(kept))));
            match walked {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(found)
}

impl Folder {
    /// Removes the rows of these deliveries. From then on they count as written, so that a late attempt writes no row again.
    pub(crate) fn erase(&mut self, deliveries: &[String], now: Timestamp) -> io::Result<Vec<ErasedPlace>> {
        let wanted: HashMap<Id, &str> = deliveries.iter().map(|id| (Id::of(id.as_bytes()), id.as_str())).collect();
        // First of all: a row that is written behind our back would stay for good.
        self.index.add(now, wanted.keys().copied())?;
        self.let_go_if_moved(now)?;
        if let Some(part) = &mut self.part {
            // What a failed write left may be of the same person.
            part.mend()?;
        }
        let mut found = Vec::new();
        for path in self.every_file()? {
            let places = self.erase_in(&path, &wanted)?;
            found.extend(self.objects_of(&path, &places));
            found.extend(places);
        }
        if let Some(outbox) = &self.plan.outbox {
            found.extend(outbox.uploaded(&wanted)?);
        }
        Ok(found)
    }

    /// Removes what a crash in the middle of [`erase`](Self::erase) left.
    pub(super) fn remove_copy(&self) -> io::Result<()> {
        match fs::remove_file(self.hidden.join(COPY)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn every_file(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = listed(&self.plan.directory, |_| true)?;
        paths.extend(listed(&self.hidden, |_| true)?);
        let outbox = self.hidden.join(outbox::FOLDER);
        if outbox.is_dir() {
            paths.extend(listed(&outbox, |_| true)?);
        }
        Ok(paths)
    }

    /// A copy that waits may be on its way, or be there although the answer got lost: a person must look.
    fn objects_of(&self, path: &Path, places: &[ErasedPlace]) -> Vec<ErasedPlace> {
        let Some(outbox) = self.plan.outbox.as_ref().filter(|outbox| outbox.holds(path)) else { return Vec::new() };
        let object = |place: &ErasedPlace| ErasedPlace { place: outbox.place_of(path), is_removed: false, ..place.clone() };
        places.iter().map(object).collect()
    }

    fn erase_in(&mut self, path: &Path, wanted: &HashMap<Id, &str>) -> io::Result<Vec<ErasedPlace>> {
        let found = find(path, wanted)?;
        if !found.cuts.is_empty() {
            self.rewrite(path, &found.cuts)?;
            self.take_up_again(path)?;
        }
        Ok(found.places)
    }

    /// Puts a copy without these bytes in the file's place, in one step.
    fn rewrite(&self, path: &Path, cuts: &[Range<u64>]) -> io::Result<()> {
        let copy = self.hidden.join(COPY);
        let written = write_without(path, &copy, cuts).and_then(|()| fs::rename(&copy, path));
        written.inspect_err(|_| drop(fs::remove_file(&copy)))?;
        sync_directory(&self.hidden)?;
        sync_directory(&self.plan.directory)
    }

    /// The file that rows go to is another one now.
    fn take_up_again(&mut self, path: &Path) -> io::Result<()> {
        let Some(part) = self.part.take_if(|part| part.path == path) else { return Ok(()) };
        let (file, found) = Part::read(path)?;
        self.part = Some(Part::resume(part.path, file, found, part.since)?);
        Ok(())
    }
}

/// What one file holds of the wanted deliveries.
#[derive(Default)]
struct Found {
    cuts: Vec<Range<u64>>,
    places: Vec<ErasedPlace>,
}

fn find(path: &Path, wanted: &HashMap<Id, &str>) -> io::Result<Found> {
    let (mut found, name) = (Found::default(), file_name(path));
    let place = |delivery: &str, is_removed| ErasedPlace { delivery: delivery.to_owned(), place: name.clone(), is_removed };
    let is_ours = rows::walk(path, &mut |_, row: &Row<'_>| {
        if let Some(delivery) = wanted.get(&Id::of(row.delivery)) {
            found.cuts.push(row.bytes.clone());
            found.places.push(place(delivery, true));
        } else if let Some(delivery) = row.cells.iter().find_map(|cell| wanted.get(&Id::of(cell))) {
            // Somebody changed the row: what else of it is left, and where it ends, is not for a program to guess.
            found.places.push(place(delivery, false));
        }
    })?;
    if !is_ours {
        let text = fs::read(path)?;
        let is_in = |id: &str| text.windows(id.len()).any(|window| window == id.as_bytes());
        found.places.extend(wanted.values().filter(|id| is_in(id)).map(|id| place(id, false)));
    }
    Ok(found)
}

fn write_without(path: &Path, copy: &Path, cuts: &[Range<u64>]) -> io::Result<()> {
    let mut from = File::open(path)?;
    let before = from.metadata()?;
    let mut to = File::create(copy)?;
    // Before there is anything in it: whoever may not read the file may not read its copy.
    to.set_permissions(before.permissions())?;
    let mut at = 0;
    for cut in cuts {
        from.seek(SeekFrom::Start(at))?;
        io::copy(&mut (&from).take(cut.start.saturating_sub(at)), &mut to)?;
        at = cut.end;
    }
    from.seek(SeekFrom::Start(at))?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    if fs::metadata(path)?.len() != before.len() {
        return Err(io::Error::other(format!("another program writes to {}; let it work on a copy", path.display())));
    }
    Ok(())
}
